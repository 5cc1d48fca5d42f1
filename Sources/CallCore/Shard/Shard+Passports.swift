import Base
import CryptoCore
import Policy
import SIPWire

// PASSporTs of the calls that we make: what has come with the call goes on as long as it is true, with a `div` where the
// call was sent on here (RFC 8946); what has none is signed (RFC 8588).

extension Shard {
  func writePassports(_ leg: Leg, _ session: Session) {
    guard let desk = identities, let trunk = leg.trunk else { return }
    let rules = session.configuration.trunks[trunk].stir
    guard rules.sign || rules.pass, mayName(leg, session),
      let number = session.identity.number, let orig = CanonicalNumber.ofGlobal(number),
      let dest = calledNumber(leg, session)
    else { return }
    let credentials = rules.sign ? desk.credentials(rules.certificate) : []
    if rules.sign, credentials.isEmpty {
      desk.count { $0.signingFailures &+= 1 }
      noteOnce("not signed: no certificate `\(rules.certificate ?? "")` is there", session)
    }
    if rules.pass, passOn(desk, credentials, session, orig: orig, dest: dest) { return }
    guard !credentials.isEmpty else { return }
    let caller = callerKind(session)
    let level =
      caller.map { session.configuration.attestation(of: $0, showing: number) } ?? .gateway
    let token = PASSporT(
      type: .shaken, iat: UInt64(clamping: desk.seconds(at: now)), orig: .number(orig),
      dest: [.number(dest)], attestation: level)
    signOriginal(token, level, credentials, desk, session)
  }

  /// By the first certificate that allows it, and as sure as one of them allows.
  private func signOriginal(
    _ token: PASSporT, _ most: Attestation, _ credentials: [SigningCredential],
    _ desk: IdentityDesk, _ session: Session
  ) {
    var token = token
    var reason = ""
    for level in Attestation.allCases where level <= most {
      for credential in credentials {
        token.attestation = level
        token.origid = desk.material.origid(
          url: credential.url, tenant: session.record.tenant, account: session.record.from)
        if let failure = credential.defect(of: token) {
          if reason.isEmpty { reason = "\(failure.reason) (\(credential.name))" }
          continue
        }
        guard let line = sign(token, credential, desk, session) else { return }
        outbox.datagrams.append(line)
        countSigned(level, desk)
        noteOnce("signed by \(credential.name), attestation \(level.rawValue)", session)
        if level < most {
          noteOnce("not attested with \(most.rawValue): \(reason)", session)
        }
        return
      }
    }
    desk.count { $0.signingFailures &+= 1 }
    noteOnce("not signed: \(reason)", session)
  }

  private func countSigned(_ level: Attestation, _ desk: IdentityDesk) {
    desk.count { counters in
      switch level {
      case .full: counters.signedFull &+= 1
      case .partial: counters.signedPartial &+= 1
      case .gateway: counters.signedGateway &+= 1
      }
    }
  }

  /// A PASSporT has the caller's number in it: it goes where the number itself may go.
  private func mayName(_ leg: Leg, _ session: Session) -> Bool {
    guard session.identity.isPrivate else { return true }
    let networks = session.configuration.networks
    return networks.indices.contains(leg.network) && networks[leg.network].trusted
  }

  /// As it is inside, whatever the route puts before it for the carrier.
  private func calledNumber(_ leg: Leg, _ session: Session) -> String? {
    let hop = leg.branch?.strand.hop
    return [hop?.dialled, hop?.calledNumber, session.record.calledNumber].lazy
      .compactMap { $0.flatMap(CanonicalNumber.ofGlobal) }.first
  }

  private func sign(
    _ token: PASSporT, _ credential: SigningCredential, _ desk: IdentityDesk, _ session: Session
  ) -> [UInt8]? {
    if let line = credential.sign(token) { return line }
    desk.count { $0.signingFailures &+= 1 }
    noteOnce("not signed: the key of \(credential.name) fails", session)
    return nil
  }

  // MARK: What came with the call

  /// Writes it as it came. False: there is nothing, it is not true here, or is known to be false.
  private func passOn(
    _ desk: IdentityDesk, _ credentials: [SigningCredential], _ session: Session, orig: String,
    dest: String
  ) -> Bool {
    guard let call = desk.calls[session.id.serial] else { return false }
    if case .failed? = call.verdict { return false }
    let own = call.passports.filter { $0.token.orig == .number(orig) }
    guard let original = own.first(where: { $0.token.type != .div }) else { return false }
    let reached = own.flatMap(\.token.dest)
    var diversion: [UInt8]?
    if !reached.contains(.number(dest)) {
      // RFC 8946 §4.1: signed by whoever the call was for until then, with the original's date.
      guard let before = call.dest.first(where: reached.contains) else {
        return false
      }
      let token = PASSporT(
        type: .div, iat: original.token.iat, orig: .number(orig), dest: [.number(dest)],
        div: before)
      guard let credential = credentials.first(where: { $0.defect(of: token) == nil }),
        let line = sign(token, credential, desk, session)
      else { return false }
      diversion = line
    }
    for passport in own {
      outbox.datagrams.append("Identity: ")
      outbox.datagrams.append(passport.text)
      outbox.datagrams.append("\r\n")
    }
    if let diversion {
      outbox.datagrams.append(diversion)
      desk.count { $0.signedDiversions &+= 1 }
    }
    desk.count { $0.passed &+= 1 }
    noteOnce(diversion == nil ? "Identity passed on" : "Identity passed on, with div", session)
    return true
  }

  // MARK: Who is responsible

  /// Whoever the call is made for: the record's `user:NAME` or `trunk:NAME`.
  private func callerKind(_ session: Session) -> CallerKind? {
    let configuration = session.configuration
    if let trunk = session.caller?.trunk { return .trunk(trunk) }
    let from = session.record.from
    let name = String(from.drop { $0 != ":" }.dropFirst())
    if from.utf8.starts(with: "user:".utf8) {
      return configuration.user(named: name, tenant: session.tenant).map { .user($0) }
    }
    return configuration.trunk(named: name, tenant: session.tenant).map { .trunk($0) }
  }
}
