import Base
import CryptoCore
import Policy
import SIPWire

/// What a shard knows of PASSporTs: its keys and whom it trusts, certificates of others, tokens that were used, and the
/// calls that came with some. There is none where the process has nothing to sign or verify with.
final class IdentityDesk {
  private(set) var material: IdentityMaterial
  private var generation = 1
  private var certificates = CertificateCache()
  private var replays = ReplayCache()
  /// Calls that came with Identity, or from a trunk whose calls are verified, by their serials; each is a session.
  private(set) var calls: [UInt64: CallPassports] = [:]
  /// By URL: the calls that wait for that certificate.
  private var waiting: [String: [UInt64]] = [:]
  private var waitingCalls = 0
  private var counters = IdentityCounters()
  private let hash: KeyedHash

  init(_ material: IdentityMaterial, hash: KeyedHash) {
    self.material = material
    self.hash = hash
  }

  /// Certificates that are known are judged anew when they are looked at next.
  func follow(_ next: IdentityMaterial) {
    material = next
    generation += 1
  }

  func follow(_ wall: WallAnchor) { material.wall = wall }

  var settings: IdentitySettings { material.settings }

  func seconds(at now: Instant) -> Int64 { material.wall.seconds(at: now) }

  /// That of this name, or all, in their order.
  func credentials(_ name: String?) -> [SigningCredential] {
    guard let name else { return material.credentials }
    return material.credentials.filter { $0.name == name }
  }

  var currentCounters: IdentityCounters {
    var counters = counters
    counters.certificates = certificates.count
    counters.waiting = waitingCalls
    counters.replaysForgotten = replays.forgotten
    return counters
  }

  func count(_ change: (inout IdentityCounters) -> Void) { change(&counters) }

  // MARK: Calls

  func adopt(_ call: CallPassports, _ serial: UInt64) { calls[serial] = call }

  /// It is sent nowhere else: what it came with is not needed any more.
  func answered(_ serial: UInt64) { calls[serial]?.passports = [] }

  /// The call is over.
  func forget(_ serial: UInt64) -> CallPassports? {
    guard let call = calls.removeValue(forKey: serial) else { return nil }
    stopWaiting(call, serial)
    return call
  }

  func stopWaiting(_ call: CallPassports, _ serial: UInt64) {
    guard !call.awaited.isEmpty else { return }
    waitingCalls -= 1
    for url in call.awaited {
      waiting[url]?.removeAll { $0 == serial }
      if waiting[url]?.isEmpty == true { waiting[url] = nil }
    }
    call.awaited = []
  }

  /// Notes which certificates a call needs that are not known. Those to be asked for are added to `orders`.
  func orderCertificates(
    _ call: CallPassports, _ serial: UInt64, orders: inout [String], at now: Instant
  ) {
    guard let trust = material.trust else { return }
    let seconds = seconds(at: now)
    var needed: Set<String> = []
    for passport in call.passports
    where call.defect(of: passport.token, seconds: seconds, freshness: freshness) == nil {
      let url = passport.token.x5u
      switch find(url, trust, seconds: seconds, at: now) {
      case .good, .bad, .full: break
      case .coming: needed.insert(url)
      case .unknown:
        counters.fetches &+= 1
        orders.append(url)
        needed.insert(url)
      }
    }
    guard !needed.isEmpty else { return }
    guard waitingCalls < settings.waiting else {
      counters.waitsRefused &+= 1
      return
    }
    waitingCalls += 1
    call.awaited = needed
    for url in needed { waiting[url, default: []].append(serial) }
  }

  /// The calls that have all that they waited for now.
  func store(_ url: String, _ answer: CertificateAnswer, at now: Instant) -> [UInt64] {
    guard let trust = material.trust else { return [] }
    if case .failed = answer { counters.fetchFailures &+= 1 }
    certificates.store(
      url, answer, trust, generation: generation, settings, seconds: seconds(at: now), at: now)
    let serials = waiting.removeValue(forKey: url) ?? []
    return serials.filter { serial in
      guard let call = calls[serial], call.awaited.remove(url) != nil, call.awaited.isEmpty else {
        return false
      }
      waitingCalls -= 1
      return true
    }
  }

  private var freshness: Int64 { Int64(settings.freshness.milliseconds / 1_000) }

  private func find(
    _ url: String, _ trust: TrustAnchors, seconds: Int64, at now: Instant
  ) -> CertificateCache.Finding {
    guard url.utf8.count <= 1_024, url.utf8.starts(with: "https://".utf8) else {
      return .bad(PassportFailure(.identityUnavailable, "certificate is not at an https URL"))
    }
    return certificates.find(
      url, trust, generation: generation, limit: settings.certificates, seconds: seconds, at: now)
  }

  // MARK: Verification

  /// RFC 8224 §6.2, RFC 8588 and RFC 8946 §4.2, with the certificates that are there.
  func verify(_ call: CallPassports, at now: Instant) -> IdentityVerdict {
    if call.passports.isEmpty { return call.failures.first.map { .failed($0) } ?? .absent }
    guard let trust = material.trust else {
      return .failed(PassportFailure(.identityUntrusted, "no authority is trusted here"))
    }
    let seconds = seconds(at: now)
    var originals: [(ReceivedPassport, PassportCertificate)] = []
    var diversions: [PASSporT] = []
    var failures = call.failures
    for passport in call.passports {
      if let failure = call.defect(of: passport.token, seconds: seconds, freshness: freshness) {
        failures.append(failure)
        continue
      }
      switch certificate(of: passport, trust, seconds: seconds, at: now) {
      case .failure(let failure): failures.append(failure)
      case .success where passport.token.type == .div: diversions.append(passport.token)
      case .success(let certificate): originals.append((passport, certificate))
      }
    }
    for (original, certificate) in originals where call.leadsHere(original.token, by: diversions) {
      if isReplay(original, of: call, at: now) {
        return .failed(
          PassportFailure(.identityInvalid, "PASSporT was used by another call before"))
      }
      var isNumber = false
      if case .number = original.token.orig { isNumber = true }
      return .passed(
        original.token.attestation, signer: certificate.subject, isNumber: isNumber)
    }
    if !originals.isEmpty {
      failures.append(PassportFailure(.identityInvalid, "PASSporT is for another called number"))
    }
    let worst = failures.min { $0.rank < $1.rank }
    return .failed(worst ?? PassportFailure(.identityInvalid, "no PASSporT says who calls"))
  }

  private func certificate(
    of passport: ReceivedPassport, _ trust: TrustAnchors, seconds: Int64, at now: Instant
  ) -> Result<PassportCertificate, PassportFailure> {
    switch find(passport.token.x5u, trust, seconds: seconds, at: now) {
    case .good(let certificate):
      if let failure = certificate.defect(of: passport) { return .failure(failure) }
      return .success(certificate)
    case .bad(let failure): return .failure(failure)
    case .coming, .unknown:
      return .failure(PassportFailure(.identityUnavailable, "certificate did not come in time"))
    case .full:
      return .failure(PassportFailure(.identityUnavailable, "too many certificates at once"))
    }
  }

  /// By what is signed and the first half of the signature: the other half has a second value that is as good.
  private func isReplay(_ passport: ReceivedPassport, of call: CallPassports, at now: Instant)
    -> Bool
  {
    guard let signature = passport.signature else { return true }
    let bytes = passport.text.rawSpan
    let signed = hash.key(bytes.extracting(passport.value.signed), seed: 0x500)
    let token = hash.extend(signed, signature.rawSpan.slice(0, ES256.signatureBytes / 2))
    let isUsed = replays.isUsed(
      token, by: call.call, life: settings.freshness + settings.freshness,
      limit: max(settings.replays / 2, 1), at: now)
    if isUsed { counters.replays &+= 1 }
    return isUsed
  }
}

extension PassportFailure {
  /// Of several the one to answer by: a 436 only where nothing else is to be said (RFC 8224 §6.2.2).
  fileprivate var rank: Int {
    switch cause {
    case .identityUntrusted: 0
    case .identityStale: 1
    case .identityUnavailable: 3
    default: 2
    }
  }
}
