import Base
import Policy
import SIPCore
import SIPWire

// REFER in a call (RFC 3515), and what its sender is told of what becomes of it. The transfer is carried out here:
// neither side ever sees the other's REFER.

extension Shard {
  func referReceived(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ arrival: Arrival
  ) {
    guard let session = leg.session, session.state == .answered, leg.state == .confirmed,
      let party = party(of: leg), mayTransfer(party), let transferee = session.other(leg)
    else { return refuseTransfer(leg, message, fields, key, 403, .transferRefused, arrival) }
    guard let target = ReferTarget.read(message) else {
      return refuseTransfer(leg, message, fields, key, 400, .malformed, arrival)
    }
    // One at a time: what the call is about to become is not known yet.
    guard isFreeForTransfer(session), transferee.session.map({ isFreeForTransfer($0) }) ?? false
    else { return replyInDialog(message, fields, key, 491, leg, arrival) }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return replyStateless(message, fields, 503, arrival, leg: leg)
    }
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    let isSilent = declinesSubscription(message)
    respond(transaction, 202, leg: leg, extra: isSilent ? "Refer-Sub: false\r\n" : "")
    let handover = session.makeHandover()
    if !isSilent { beginReferral(leg, handover, cseq: fields.cseq.number) }
    handover.hasReferred = true
    let shown = target.replaces == nil ? UserPart.printable(target.number) : "another call"
    note("transfer to \(shown) asked for by \(name(of: party))", session)
    carryOut(target, session, leg, transferee, party)
  }

  private func refuseTransfer(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ status: Int, _ cause: Cause, _ arrival: Arrival
  ) {
    countRefusal(.refer, status, cause, arrival)
    replyInDialog(message, fields, key, status, leg, arrival)
  }

  func isFreeForTransfer(_ session: Session) -> Bool {
    session.state == .answered && session.handover?.transfer == nil
      && session.handover?.referral == nil
  }

  /// The user or trunk at the far end of a leg, in the present configuration; nil: there is none any more.
  func party(of leg: Leg) -> CallerKind? {
    guard let session = leg.session,
      let tenant = configuration.tenant(named: session.record.tenant)
    else { return nil }
    if let trunk = leg.trunk {
      guard session.configuration.trunks.indices.contains(trunk) else { return nil }
      return configuration.trunk(named: session.configuration.trunks[trunk].name, tenant: tenant)
        .map { .trunk($0) }
    }
    let name = leg.side == .a ? session.record.from : session.record.to
    guard name.hasPrefix("user:") else { return nil }
    return configuration.user(named: String(name.dropFirst(5)), tenant: tenant).map { .user($0) }
  }

  func mayTransfer(_ party: CallerKind) -> Bool {
    switch party {
    case .user(let user): configuration.users[user].transfer == .allow
    case .trunk(let trunk), .phone(let trunk): configuration.trunks[trunk].transfer == .allow
    }
  }

  /// RFC 4488 §4: the sender wants to hear nothing.
  private func declinesSubscription(_ message: borrowing Message) -> Bool {
    guard let value = message.first(.referSub) else { return false }
    let text = message.bytes.extracting(value)
    return text.byteCount >= 5 && text.extracting(ByteRange(0, 5)).equalsIgnoringCase("false")
  }

  /// RFC 3515 lets a REFER begin a dialog of its own. Nothing here can be asked for that way.
  func refuseReferOutside(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) {
    refuse(message, fields, 403, .transferRefused, arrival)
  }

  // MARK: The implicit subscription

  private func beginReferral(_ leg: Leg, _ handover: Handover, cseq: UInt32) {
    var effects: [NotifierSubscription.Effect] = []
    let machine = NotifierSubscription(for: Referral.duration, at: now, into: &effects)
    handover.referral = Referral(machine, leg: leg, id: handover.hasReferred ? cseq : nil)
    carryOut(effects, leg)
  }

  /// What became of the REFER so far; a final status is the last thing that is told.
  func tellReferral(_ session: Session, _ status: Int) {
    guard let referral = session.handover?.referral, referral.status < 200,
      referral.status != status
    else { return }
    referral.status = status
    handle(referral, status < 200 ? .changed : .ended(.noresource))
  }

  private func handle(_ referral: Referral, _ event: NotifierSubscription.Event) {
    var effects: [NotifierSubscription.Effect] = []
    referral.machine.handle(event, at: now, into: &effects)
    carryOut(effects, referral.leg)
  }

  private func carryOut(_ effects: [NotifierSubscription.Effect], _ leg: Leg) {
    for effect in effects {
      guard let session = leg.session, let referral = session.handover?.referral else { return }
      switch effect {
      case .notify: sendNotify(leg, session, referral)
      case .start(let after): restart(&referral.timer, .subscription, after, session.handle)
      case .stop: wheel.cancel(&referral.timer)
      case .pause: break  // a referral has no pace
      case .gone:
        endReferral(session)
        depart(session)
      }
    }
  }

  /// Nothing more will be told.
  func endReferral(_ session: Session) {
    guard let handover = session.handover, let referral = handover.referral else { return }
    wheel.cancel(&referral.timer)
    handover.referral = nil
  }

  func subscriptionDue(_ handle: SlabHandle) {
    guard let referral = session(handle)?.handover?.referral else { return }
    referral.timer = .none
    self.handle(referral, .expired)
  }

  /// The final answer to a NOTIFY of ours, or that there is none.
  func notifyAnswered(_ leg: Leg, _ status: Int) {
    guard let referral = leg.session?.handover?.referral, referral.leg === leg else { return }
    handle(referral, .answered((200..<300).contains(status)))
  }

  /// §2.4.5: the status line of what the REFER led to, and nothing of whom it led to.
  private func sendNotify(_ leg: Leg, _ session: Session, _ referral: Referral) {
    guard leg.state == .confirmed,
      let transaction = openWithin(leg, nil, "NOTIFY", .notify, .notify)
    else {
      endReferral(session)
      return depart(session)
    }
    writeContact(leg, into: &outbox.datagrams)
    outbox.datagrams.append("Event: refer")
    if let id = referral.id {
      outbox.datagrams.append(";id=")
      outbox.datagrams.append(decimal: Int(id))
    }
    outbox.datagrams.append("\r\nSubscription-State: ")
    referral.machine.write(at: now, into: &outbox.datagrams)
    outbox.datagrams.append("\r\n")
    writeUserAgent()
    body.begin()
    writeStatusLine(referral.status, into: &body)
    outbox.datagrams.append("Content-Type: message/sipfrag;version=2.0\r\nContent-Length: ")
    outbox.datagrams.append(decimal: body.position)
    outbox.datagrams.append("\r\n\r\n")
    body.withOpenBytes { outbox.datagrams.append($0) }
    body.abandon()
    launch(transaction)
  }

  // MARK: SUBSCRIBE

  /// The event packages that we notify of.
  static var allowEvents: StaticString {
    "Allow-Events: refer, dialog, message-summary, reg\r\n"
  }

  /// SUBSCRIBE in a call: longer, or no more (§2.4.4).
  func subscribeReceived(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ arrival: Arrival
  ) {
    guard isOfRefer(message) else {
      return replyInDialog(
        message, fields, key, 489, leg, arrival, extra: Self.allowEvents)
    }
    guard let referral = leg.session?.handover?.referral, referral.leg === leg,
      isNamed(referral, message)
    else {
      // Only a REFER makes such a subscription.
      return replyInDialog(message, fields, key, 403, leg, arrival)
    }
    guard referral.machine.state == .active,
      let transaction = makeServer(message, fields, key, arrival)
    else { return replyInDialog(message, fields, key, 481, leg, arrival) }
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    let most = UInt32(clamping: Referral.duration.wholeSeconds)
    let granted = min(message.expires ?? most, most)
    respond(transaction, 200, leg: leg, expires: Int(granted))
    handle(referral, .refreshed(.seconds(Int(granted))))
  }

  private func isOfRefer(_ message: borrowing Message) -> Bool {
    guard let event = message.event else { return false }
    return message.bytes.extracting(event.package).equals("refer")
  }

  /// A subscription that has an id is meant by it alone.
  private func isNamed(_ referral: Referral, _ message: borrowing Message) -> Bool {
    guard let id = referral.id else { return true }
    guard let event = message.event,
      let named = Parameters.find("id", message.bytes, event.params)
    else { return false }
    return message.bytes.decimal(named) == UInt64(id)
  }

  /// An event package that we do not have, or that only a REFER subscribes to (RFC 6665 §4.2.1.1).
  func refuseSubscription(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) {
    let status = isOfRefer(message) ? 403 : 489
    countRefusal(
      .subscribe, status, status == 489 ? .eventUnsupported : .subscriptionRefused, arrival)
    beginStateless(message, fields, status, arrival)
    if status == 489 { outbox.datagrams.append(Self.allowEvents) }
    endStateless(message, fields, arrival)
  }
}
