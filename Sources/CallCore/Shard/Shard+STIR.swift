import Base
import Policy
import SIPCore
import SIPWire

// Who calls, as far as somebody has signed it (RFC 8224): what an INVITE of a trunk brings is verified before the call
// goes anywhere. One that needs a certificate that is not here waits for it, a bounded time, and meanwhile its record is
// written as any other's.

extension Shard {
  /// Nil: from now on there is nothing to sign or to verify with.
  func follow(_ material: IdentityMaterial?) {
    guard let material else {
      let waiting = identities?.calls.keys.sorted() ?? []
      for serial in waiting { goOn(serial, isLate: true) }
      identities = nil
      return
    }
    if let desk = identities {
      desk.follow(material)
    } else {
      identities = IdentityDesk(material, hash: hash)
    }
  }

  /// What comes with an INVITE is looked at. Not nil: the call is to be refused with this.
  func takeIdentity(
    _ session: Session, _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind
  ) -> Cause? {
    guard let desk = identities, session.emergency == nil, case .trunk(let trunk) = caller else {
      return nil
    }
    let policy = session.configuration.trunks[trunk].stir.verify
    guard policy != .off || message.first(.identity) != nil else { return nil }
    let call = CallPassports(
      policy: policy, orig: callingParty(session, message, fields, caller),
      dest: calledParties(message, caller),
      call: hash.key(message.bytes, fields.callID, seed: 0x501))
    call.read(message)
    desk.adopt(call, session.id.serial)
    guard policy != .off else { return nil }
    desk.orderCertificates(call, session.id.serial, orders: &outbox.certificates, at: now)
    if call.awaited.isEmpty { return conclude(call, session) }
    call.timer = wheel.schedule(
      at: now + desk.settings.patience, kind: ShardTimer.identity.rawValue,
      owner: session.handle.packed)
    return nil
  }

  /// RFC 8224 §6.2 step 2: whoever was called when it was signed stands in To, and in the request URI as long as nobody
  /// has sent the call on.
  private func calledParties(
    _ message: borrowing Message, _ caller: CallerKind
  ) -> [PASSporT.Party] {
    var found: [PASSporT.Party] = []
    for range in [message.requestURI, message.to?.uri ?? .none] {
      guard let uri = SIPURI.parse(message.bytes, range), !uri.user.isEmpty,
        let party = party(Escapes.string(message.bytes, uri.user), uri, message, caller),
        !found.contains(party)
      else { continue }
      found.append(party)
    }
    return found
  }

  /// §8.1: the number that is shown, or the whole URI where that is none.
  private func callingParty(
    _ session: Session, _ message: borrowing Message, _ fields: RequestFields,
    _ caller: CallerKind
  ) -> PASSporT.Party? {
    guard let shown = session.identity.number else { return nil }
    if let number = canonical(shown, caller) { return .number(number) }
    guard let range = claimedURI(message, fields, caller),
      let uri = SIPURI.parse(message.bytes, range),
      Escapes.string(message.bytes, uri.user) == shown
    else { return nil }
    return party(shown, uri, message, caller)
  }

  private func party(
    _ user: String, _ uri: SIPURI, _ message: borrowing Message, _ caller: CallerKind
  ) -> PASSporT.Party? {
    if let number = canonical(user, caller) { return .number(number) }
    guard let text = CanonicalURI.read(message.bytes, uri) else { return nil }
    return .uri(text)
  }

  /// A number as the trunk writes it, in the canonical form (RFC 8224 §8.3).
  private func canonical(_ written: String, _ caller: CallerKind) -> String? {
    if let read = try? configuration.numberReader(of: caller)?.read(written),
      case .global(let number) = read
    {
      return CanonicalNumber.ofGlobal(number)
    }
    return CanonicalNumber.read(String(written.prefix { $0 != ";" }))
  }

  /// What has come of it is told, and what follows from it.
  private func conclude(_ call: CallPassports, _ session: Session) -> Cause? {
    guard let desk = identities else { return nil }
    let verdict = desk.verify(call, at: now)
    call.verdict = verdict
    desk.count { counters in
      switch verdict {
      case .passed: counters.verified &+= 1
      case .absent: counters.absent &+= 1
      case .failed(let failure):
        switch failure.cause {
        case .identityStale: counters.stale &+= 1
        case .identityUnavailable: counters.unavailable &+= 1
        case .identityUntrusted: counters.untrusted &+= 1
        default: counters.invalid &+= 1
        }
      }
    }
    if call.isTold {
      note(verdict.note, session)
    } else {
      session.record.note(verdict.note)
    }
    return call.policy == .require ? verdict.refusal : nil
  }

  /// The record is safe; whether the call must wait for certificates all the same.
  func awaitsIdentity(_ session: Session) -> Bool {
    guard let call = identities?.calls[session.id.serial], !call.awaited.isEmpty else {
      return false
    }
    call.isRecorded = true
    return true
  }

  func certificateArrived(_ url: String, _ answer: CertificateAnswer) {
    guard let desk = identities else { return }
    for serial in desk.store(url, answer, at: now) { goOn(serial, isLate: false) }
  }

  func identityTimedOut(_ handle: SlabHandle) {
    guard let session = session(handle), let call = identities?.calls[session.id.serial] else {
      return
    }
    call.timer = .none
    goOn(session.id.serial, isLate: true)
  }

  private func goOn(_ serial: UInt64, isLate: Bool) {
    guard let desk = identities, let session = sessionsBySerial[serial],
      let call = desk.calls[serial], !isLate || !call.awaited.isEmpty
    else { return }
    wheel.cancel(&call.timer)
    desk.stopWaiting(call, serial)
    guard session.state == .awaitingRecord else { return }
    call.isTold = true
    if let cause = conclude(call, session) {
      release(session, by: .system, cause)
    } else if call.isRecorded {
      startPlan(session)
    }
  }

  /// The call is over.
  func forgetIdentity(_ session: Session) {
    guard let desk = identities, let call = desk.forget(session.id.serial) else { return }
    wheel.cancel(&call.timer)
  }

  // MARK: What others are told

  /// What the caller's URI says to this leg of the verification; nil: nothing.
  func verstat(_ leg: Leg, _ session: Session) -> StaticString? {
    guard let desk = identities, leg.side == .b, wantsVerstat(leg, session) else { return nil }
    return desk.calls[session.id.serial]?.verdict?.verstat
  }

  private func wantsVerstat(_ leg: Leg, _ session: Session) -> Bool {
    if let trunk = leg.trunk { return session.configuration.trunks[trunk].stir.verstat }
    guard case .user(let user)? = leg.branch?.strand.hop?.target else { return false }
    return session.configuration.users[user].verstat
  }
}
