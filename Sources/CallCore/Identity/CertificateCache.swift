import Base
import CryptoCore
import Policy

/// Why a PASSporT is not believed: the cause that its call is refused for, and the words of the call's note.
struct PassportFailure: Error, Equatable {
  var cause: Cause
  var reason: String

  init(_ cause: Cause, _ reason: String) {
    self.cause = cause
    self.reason = reason
  }
}

/// Certificates by their URL: those that were had, those that could not be, and those that are being asked for.
struct CertificateCache {
  enum Finding {
    case good(PassportCertificate)
    case bad(PassportFailure)
    /// Somebody has asked for it.
    case coming
    /// It is to be asked for, which is noted with this.
    case unknown
    /// There is no room for another one.
    case full
  }

  private enum State {
    case asked
    case held([UInt8], Result<PassportCertificate, CertificateDefect>)
    case missing(String)
  }

  private struct Entry {
    var state: State
    var until: Instant
    /// Of the trust that it was judged by.
    var generation: Int
  }

  private var entries: [String: Entry] = [:]

  var count: Int { entries.count }

  mutating func find(
    _ url: String, _ trust: TrustAnchors, generation: Int, limit: Int, seconds: Int64,
    at now: Instant
  ) -> Finding {
    guard var entry = entries[url], entry.until > now else {
      return ask(url, limit: limit, at: now)
    }
    switch entry.state {
    case .asked: return .coming
    case .missing(let reason): return .bad(PassportFailure(.identityUnavailable, reason))
    case .held(let pem, var result):
      if entry.generation != generation {
        result = trust.judge(chain: pem, at: seconds)
        entry.state = .held(pem, result)
        entry.generation = generation
        entries[url] = entry
      }
      switch result {
      case .success(let certificate) where seconds > certificate.ends:
        return .bad(PassportFailure(.identityUntrusted, "certificate has expired"))
      case .success(let certificate): return .good(certificate)
      case .failure(let defect): return .bad(PassportFailure(.identityUntrusted, defect.text))
      }
    }
  }

  private mutating func ask(_ url: String, limit: Int, at now: Instant) -> Finding {
    if entries[url] == nil, entries.count >= limit {
      entries = entries.filter { $0.value.until > now }
      if entries.count >= limit, let oldest = idlest { entries[oldest] = nil }
      guard entries.count < limit else { return .full }
    }
    // An answer that never comes is asked for again.
    entries[url] = Entry(state: .asked, until: now + .seconds(30), generation: 0)
    return .unknown
  }

  /// Of those that nobody waits for, the one that would go first.
  private var idlest: String? {
    entries.filter { if case .asked = $0.value.state { false } else { true } }
      .min { ($0.value.until, $0.key) < ($1.value.until, $1.key) }?.key
  }

  mutating func store(
    _ url: String, _ answer: CertificateAnswer, _ trust: TrustAnchors, generation: Int,
    _ settings: IdentitySettings, seconds: Int64, at now: Instant
  ) {
    guard entries[url] != nil else { return }
    switch answer {
    case .fetched(let pem, let maxAge):
      let age = min(max(maxAge, .seconds(60)), settings.maxAge)
      entries[url] = Entry(
        state: .held(pem, trust.judge(chain: pem, at: seconds)), until: now + age,
        generation: generation)
    case .failed(let reason):
      entries[url] = Entry(
        state: .missing(reason), until: now + settings.failureAge, generation: generation)
    }
  }
}

extension CertificateDefect {
  var text: String {
    switch self {
    case .unreadable: "no certificate with a key on P-256 is there"
    case .untrusted(let reason): "certificate is not trusted: \(reason)"
    case .withoutAuthority: "certificate names no numbers that it may speak for"
    case .constraints: "certificate limits claims in a way that cannot be read"
    }
  }
}
