import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// Transfers, from what was asked for to the call that comes of it (RFC 5589). Whoever hands a call on is the caller
// of what follows: the plan, its permissions, limits and price are theirs; whom the target sees is the transferee.

extension Shard {
  /// Does what a REFER asked for; what becomes of it is told by the referral.
  func carryOut(
    _ target: ReferTarget, _ session: Session, _ transferor: Leg, _ transferee: Leg,
    _ party: CallerKind
  ) {
    guard let dialog = target.replaces else {
      return callTarget(target.number, session, transferor, transferee, party)
    }
    // Only a call of one's own may be handed on, and not the one at hand.
    guard let consultation = leg(replacedBy: dialog), let next = consultation.session,
      next !== session, transferee.session !== next, self.party(of: consultation) == party,
      next.record.tenant == session.record.tenant,
      next.handover?.hasLeft(consultation) != true
    else { return referFailed(session, 481, .transferFailed) }
    if next.state == .answered, let far = next.other(consultation), let farSession = far.session {
      guard isFreeForTransfer(next), isFreeForTransfer(farSession) else {
        return referFailed(session, 491, .transferFailed)
      }
      return join(session, transferor, transferee, next, consultation, far, farSession, party)
    }
    // It rings still, or it is with an application: given up, and called once more for the transferee.
    guard next.state != .released, consultation.side == .a else {
      return referFailed(session, 481, .transferFailed)
    }
    let number = next.record.calledNumber
    release(next, by: .caller, next.state == .answered ? .normalClearing : .cancelled)
    callTarget(number, session, transferor, transferee, party)
  }

  private func referFailed(_ session: Session, _ status: Int, _ cause: Cause) {
    refusalCounts[Int(cause.rawValue)] &+= 1
    note("transfer failed: \(status)", session)
    tellReferral(session, status)
  }

  /// The leg whose dialog a Replaces names, as whoever gets the request sees it (RFC 3891 §3). Some phones write
  /// the two tags as they see them themselves.
  func leg(replacedBy dialog: ReplacedDialog) -> Leg? {
    leg(ourTag: dialog.toTag, theirs: dialog.fromTag, dialog.callID)
      ?? leg(ourTag: dialog.fromTag, theirs: dialog.toTag, dialog.callID)
  }

  func leg(ourTag: String, theirs: String, _ callID: String) -> Leg? {
    let tag = Array(ourTag.utf8)
    guard let found = leg(ofTag: tag.rawSpan), !found.text.isNone else { return nil }
    let text = blocks.bytes(found.text)
    guard text.string(found.callID) == callID, text.string(found.remoteTag) == theirs else {
      return nil
    }
    return found
  }

  // MARK: Blind

  /// Calls the target as the transferor would, for the transferee.
  private func callTarget(
    _ dialled: String, _ session: Session, _ transferor: Leg, _ transferee: Leg,
    _ party: CallerKind
  ) {
    guard let tenant = configuration.tenant(named: session.record.tenant),
      let held = transferee.session
    else { return referFailed(session, 403, .forbidden) }
    var reading = InviteReading(
      dialled: dialled, called: readCalled(dialled, party, tenant: tenant),
      identity: .success(identity(of: transferee, held)))
    readEmergency(&reading, party, tenant: tenant)
    let id = nextCallID()
    let text = blocks.bytes(transferor.text)
    var record = CallRecord(
      id: id, tenant: session.record.tenant, from: name(of: party),
      calledNumber: shownNumber(reading.called, dialled, party),
      callerNumber: (try? reading.identity.get())?.shown ?? CallerIdentity.anonymous,
      source: transferor.source, sipCallID: text.string(transferor.callID.first(256)), setup: now)
    record.note("\(CallRecord.transferNote)\(session.id) by \(record.from)")
    counters.callsAttempted &+= 1

    let plan =
      reading.emergencyPlan
      ?? resolve(reading.called, reading.identity, party, tenant: tenant)
    let isHelp = reading.emergency != nil
    if let cause = isDraining ? .draining : isHelp ? nil : overload() {
      return refuse(&record, session, cause)
    }
    var holding = CallerHolding()
    if !isHelp, let cause = hold(party, tenant: tenant, in: &holding) {
      return refuse(&record, session, cause)
    }
    let route: RoutePlan
    switch plan {
    case .success(let found): route = found
    case .failure(let cause):
      letGo(&holding)
      return refuse(&record, session, cause)
    }
    guard
      let next = enter(
        record, tenant: tenant, plan: route, identity: try? reading.identity.get(), &holding)
    else { return refuse(&record, session, .capacity) }
    begin(
      Transfer(
        .blind, .calling, call: session, transferor: transferor, held: held,
        transferee: transferee, next: next, far: next, name: record.from,
        number: number(of: transferor, party, session)))
    if let emergency = reading.emergency { begin(emergency, next) }
    keepOffer(of: transferee, for: next)
    awaitRecord(next)
  }

  /// A transfer that leads nowhere has its record like any other call.
  private func refuse(_ record: inout CallRecord, _ session: Session, _ cause: Cause) {
    refusalCounts[Int(cause.rawValue)] &+= 1
    end(&record, cause)
    note("transfer failed: \(cause.name)", session)
    tellReferral(session, cause.sipStatus)
  }

  func begin(_ transfer: Transfer) {
    for session in transfer.sessions { session.makeHandover().transfer = transfer }
  }

  /// Who the transferee is for the target.
  private func identity(of transferee: Leg, _ session: Session) -> CallerIdentity {
    if transferee.side == .a { return session.identity }
    if case .user(let user)? = party(of: transferee),
      let own = try? configuration.identify(.user(user), CallerClaim())
    {
      return own
    }
    return CallerIdentity(number: session.record.calledNumber, origin: .asGiven)
  }

  /// Who the transferor is for others.
  func number(of leg: Leg, _ party: CallerKind, _ session: Session) -> String {
    if case .user(let user) = party {
      let account = configuration.users[user]
      return account.callerID ?? account.extension
    }
    guard leg.side == .a else { return session.record.calledNumber }
    return session.identity.shown
  }

  /// What the target is offered: what the transferee last said that it speaks, off hold. Without a description of
  /// it the target makes the offer.
  private func keepOffer(of leg: Leg, for next: Session) {
    // It is not told.
    let said = leg.said
    defer { leg.said = said }
    guard writeDescription(of: leg, for: leg) else { return }
    next.offerLines = UInt8(clamping: offered.media.count)
    next.offer = body.withOpenBytes { blocks.store($0) } ?? .none
    body.abandon()
  }

  /// On whose authority a call that was transferred goes out, as if they had deflected it.
  func transferDiversions(_ session: Session) -> [Diversion]? {
    guard let transfer = session.handover?.transfer, transfer.kind == .blind else { return nil }
    return [Diversion(number: transfer.number, reason: .deflection, name: transfer.name)]
  }

  /// RFC 3892, in our own words; carriers have Diversion for that, where they want it.
  func writeReferredBy(_ leg: Leg, _ session: Session) {
    guard let transfer = session.handover?.transfer, transfer.kind == .blind else { return }
    if let trunk = leg.trunk, session.configuration.trunks[trunk].kind != .pbx { return }
    outbox.datagrams.append("Referred-By: <sip:")
    outbox.datagrams.append(UserPart.escaped(transfer.number))
    outbox.datagrams.append("@")
    writeOurAddress(leg.listener, into: &outbox.datagrams)
    outbox.datagrams.append(">\r\n")
  }

  /// A provisional response of the target.
  func targetRings(
    _ session: Session, _ branch: Branch, _ leg: Leg, _ message: borrowing Message, fork: UInt8,
    early: Int?
  ) {
    let verdict = step(
      leg, fork, early == nil ? .provisional : .reliable, from: .them,
      hasDescription: hasDescription(message))
    if verdict == .offer { return lost(session, branch, 488, .mediaUnacceptable) }
    if let early {
      if verdict == .answer, !keepAnswer(leg, early, message) {
        return lost(session, branch, 488, .mediaUnacceptable)
      }
      sendPrack(leg, early)
    }
    if session.record.ringing == nil {
      session.record.ringing = now
      session.record.state = .ringing
      tell(.callRinging, call: session.id)
    }
    if let transfer = session.handover?.transfer {
      tellReferral(transfer.call, message.status == 180 ? 180 : 183)
      ringBack(transfer)
    }
  }

  /// Who has nobody left to speak with is not left in silence (RFC 5589 §6.1 lets the transferor go at once).
  func ringBack(_ transfer: Transfer) {
    guard transfer.kind == .blind, transfer.stage == .calling, !transfer.isRingingBack,
      transfer.transferor.state == .ended, transfer.next.record.ringing != nil,
      let media = transfer.transferee.media, !transfer.transferee.mediaClosing,
      let codec = media.remote?.codec, codec != .unknown
    else { return }
    transfer.isRingingBack = true
    let tone = transfer.next.configuration.ringingTone(ofTenant: transfer.next.tenant)
    transfer.transferee.hold.hearsMusic = false
    outbox.media.append(.play(media.transport, .tone(tone?.cadenced ?? .ringing)))
  }

  /// The target took the call: the transferee is offered what it says.
  func targetAnswered(
    _ session: Session, _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    let verdict = leg.exchange.handle(
      .success, from: .them, hasDescription: hasDescription(message))
    acknowledge(leg, transaction, withBody: false)
    let isUsable: Bool
    switch verdict {
    case .answer:
      isUsable = describes(message, leg)
      if isUsable { keepDescription(leg, leg.fork, message) }
    case .nothing, .repetition: isUsable = describesAgain(leg)
    case .offer, .preview, .missing, .glare, .busy, .misplaced: isUsable = false
    }
    guard isUsable, let transfer = session.handover?.transfer else {
      if let branch = leg.branch, (session.strand?.ringing.count ?? 0) > 1 {
        return lost(session, branch, 488, leg.protection.refusal ?? .mediaUnacceptable)
      }
      return release(session, by: .system, leg.protection.refusal ?? .mediaUnacceptable)
    }
    noteMedia(session, offered, blocks.bytes(leg.description))
    choose(session, leg)
    transfer.target = leg
    answered(session)
    askTransferee(transfer)
  }

  /// The target is an application: the transferee is offered what that speaks.
  func targetIsApplication(
    _ session: Session, _ transfer: Transfer, _ application: MediaApplication, line: Int
  ) {
    session.application = application
    transfer.attempt = line
    askTransferee(transfer)
  }

  // MARK: Attended

  private func join(
    _ session: Session, _ transferor: Leg, _ transferee: Leg, _ next: Session,
    _ consultation: Leg, _ target: Leg, _ far: Session, _ party: CallerKind
  ) {
    guard let held = transferee.session, held !== far else {
      return referFailed(session, 481, .transferFailed)
    }
    let transfer = Transfer(
      .attended, .offeringTarget, call: session, transferor: transferor, held: held,
      transferee: transferee, next: next, consultation: consultation, far: far, target: target,
      name: name(of: party), number: number(of: transferor, party, session))
    begin(transfer)
    askTarget(transfer)
  }
}

extension CallRecord {
  static let transferNote = "transfer of "
  static let joinNote = "goes on with "

  /// A call that was made for somebody who was handed on: no INVITE of a caller's began it.
  package var isTransfer: Bool { notes.contains { $0.hasPrefix(Self.transferNote) } }

  /// One of its parties has left it, and that of another call taken the place.
  package var isJoined: Bool { notes.contains { $0.hasPrefix(Self.joinNote) } }
}
