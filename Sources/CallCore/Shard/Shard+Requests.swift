import Base
import Policy
import SIPCore
import SIPWire

// Requests as they arrive: RFC 3261 §8.2 for what begins something, §12.2.2 for what belongs to a dialog,
// §17.2.3 for what was seen before.

extension Shard {
  /// The fields without which no request can be answered or matched (§8.1.1).
  typealias RequestFields = MessageIdentity

  func receiveRequest(_ message: borrowing Message, _ arrival: Arrival) {
    guard let fields = try? message.identity() else {
      return turnsAwayMalformed(arrival) ? () : refuseMalformed(message, 400, arrival)
    }

    let key = serverKey(message, fields)
    if message.method == .ack { return receiveAck(message, fields, key, arrival) }
    if message.method == .cancel { return receiveCancel(message, fields, key, arrival) }
    if let known = serversByKey.find(key), let transaction = server(known) {
      counters.retransmissionsReceived &+= 1
      if transaction.serial != 0 {
        traceIncoming(message, transaction.serial, transaction.side, arrival)
      }
      return handleServer(transaction, invite: .retransmission, other: .retransmission)
    }
    if !fields.to.tag.isEmpty {
      return receiveInDialog(message, fields, key, arrival)
    }
    var arrival = arrival
    lookUpSender(of: message, fields, &arrival)
    if turnsAway(message, fields, arrival) { return }
    guard acceptsForm(message, fields, arrival) else { return }
    // It belongs to no network any more: nobody could be known by it, not even for a call for help.
    if isLeaving(arrival.listener), [.invite, .register, .subscribe].contains(message.method) {
      return refuse(message, fields, 503, .draining, arrival)
    }
    switch message.method {
    case .invite: receiveInvite(message, fields, key, arrival)
    case .register: receiveRegister(message, fields, key, arrival)
    case .options: answerOptions(message, fields, arrival)
    case .bye: replyStateless(message, fields, 481, arrival)
    case .other: refuse(message, fields, 501, .methodUnsupported, arrival)
    case .refer: refuseReferOutside(message, fields, arrival)
    case .subscribe: receiveSubscribe(message, fields, key, arrival)
    case .notify: refuse(message, fields, 481, .methodUnsupported, arrival)
    case .prack, .update, .info, .message, .publish:
      refuse(message, fields, 405, .methodUnsupported, arrival)
    case .ack, .cancel: break  // handled above
    }
  }

  /// The answer to INVITE (§11.2): who asks whether we take calls hears when we take none any more.
  private func answerOptions(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) {
    let status = isDraining || isLeaving(arrival.listener) ? 503 : 200
    replyStateless(message, fields, status, arrival, withCapabilities: true)
  }

  // MARK: What a server transaction is found by

  /// §17.2.3: branch, sent-by and method when the branch bears the magic cookie; RFC 2543's fields otherwise.
  func serverKey(_ message: borrowing Message, _ fields: RequestFields) -> HashKey {
    let method =
      message.method == .ack || message.method == .cancel ? Method.invite : message.method
    let bytes = message.bytes
    let branch = bytes.extracting(fields.via.branch)
    let host = bytes.extracting(fields.via.host)
    let port = UInt64(fields.via.port ?? 5060)
    if branch.byteCount > 7,
      bytes.slice(fields.via.branch.start, fields.via.branch.start + 7).equals("z9hG4bK")
    {
      let key = hash.key(branch, host, seed: UInt64(method.rawValue) + 1)
      return hash.extend(key, port)
    }
    let uri = bytes.extracting(message.requestURI)
    let callID = bytes.extracting(fields.callID)
    let tag = bytes.extracting(fields.from.tag)
    var key = hash.key(uri, callID, tag, seed: UInt64(method.rawValue) + 0x100)
    key = hash.extend(key, host)
    return hash.extend(key, UInt64(fields.cseq.number) << 16 | port)
  }

  func mergeKey(_ message: borrowing Message, _ fields: RequestFields) -> HashKey {
    let bytes = message.bytes
    let key = hash.key(
      bytes.extracting(fields.callID), bytes.extracting(fields.from.tag), seed: 0x200)
    let whole = hash.extend(key, UInt64(fields.cseq.number))
    // Contacts that a PBX calls one by one are user agents each, and not one that is reached by several ways.
    guard registrar.hasTokens, let uri = SIPURI.parse(bytes, message.requestURI),
      uri.user.count == TokenMint.digits
    else { return whole }
    return hash.extend(whole, bytes.extracting(uri.user))
  }

  // MARK: §8.2.2 and §8.2.3: is it for us, can we read it

  private func acceptsForm(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) -> Bool {
    let bytes = message.bytes
    guard let uri = SIPURI.parse(bytes, message.requestURI), uri.scheme != .other else {
      refuse(message, fields, 416, .malformed, arrival)
      return false
    }
    // We are a user agent to both sides: what a proxy must understand, we must too.
    if refuseExtensions(message, fields, arrival) { return false }
    if message.method == .invite, message.maxForwards == 0 {
      refuse(message, fields, 483, .tooManyHops, arrival)
      return false
    }
    // RFC 3891 §3.
    if message.method != .invite, message.first(.replaces) != nil {
      refuse(message, fields, 400, .malformed, arrival)
      return false
    }
    if !message.body.isEmpty, !acceptsBody(message) {
      refuse(message, fields, 415, .contentUnsupported, arrival)
      return false
    }
    return true
  }

  /// Only SDP, uncompressed, is understood; a REGISTER's or OPTIONS' body is nobody's business.
  func acceptsBody(_ message: borrowing Message) -> Bool {
    guard message.method == .invite || message.method == .ack else { return true }
    if let encoding = message.first(.contentEncoding),
      !message.bytes.extracting(encoding).equalsIgnoringCase("identity")
    {
      return false
    }
    return acceptsSDP(message)
  }

  // MARK: ACK and CANCEL

  /// An ACK is never answered (§17). One for a failure ends the transaction's resending; one for a 2xx is a
  /// transaction of its own and belongs to the dialog (§13.3.1.4).
  private func receiveAck(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    if let known = serversByKey.find(key), let transaction = server(known),
      case .invite(let machine) = transaction.machine, machine.state != .accepted
    {
      if transaction.serial != 0 {
        traceIncoming(message, transaction.serial, transaction.side, arrival)
      }
      return handleServer(transaction, invite: .ack, other: .retransmission)
    }
    guard let leg = dialog(message, fields) else {
      // Also what answers our stateless refusals: expected, not worth a fact.
      counters.strayAcks &+= 1
      return
    }
    traceIncoming(message, leg.call.serial, leg.side, arrival)
    follow(leg, arrival)
    acknowledged(leg, message, fields)
  }

  /// §9.2: answered 200 when the INVITE is known, whatever its state; it has an effect only before the
  /// final response.
  private func receiveCancel(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    guard let known = serversByKey.find(key), let invite = server(known) else {
      return turnsAway(message, fields, arrival)
        ? () : replyStateless(message, fields, 481, arrival)
    }
    if invite.serial != 0 { traceIncoming(message, invite.serial, invite.side, arrival) }
    // Stateless: the same CANCEL gets the same answer, tag included (§8.2.7, §9.2).
    replyStateless(message, fields, 200, arrival, invite: invite)
    guard invite.isProceeding, let leg = invite.leg else { return }
    cancelledByPeer(leg)
  }

  // MARK: Dialogs

  /// The leg whose dialog the request names: our tag leads to it, Call-ID and the peer's tag must agree.
  func dialog(_ message: borrowing Message, _ fields: RequestFields) -> Leg? {
    let bytes = message.bytes
    guard let leg = leg(ofTag: bytes.extracting(fields.to.tag)), leg.state != .ended else {
      return nil
    }
    // A callee's dialog begins with its 2xx or a reliable response: before that it has no tag to prove itself.
    if leg.isOurs, leg.state == .early {
      return earlyDialog(leg, message, fields) == nil ? nil : leg
    }
    guard leg.state != .abandoned || !leg.isOurs else { return nil }
    let text = blocks.bytes(leg.text)
    guard text.extracting(leg.callID).equals(bytes.extracting(fields.callID)),
      text.extracting(leg.remoteTag).equals(bytes.extracting(fields.from.tag))
    else { return nil }
    return leg
  }

  private func receiveInDialog(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    guard let leg = dialog(message, fields) else {
      if let subscription = subscription(message, fields) {
        return receive(in: subscription, message, fields, key, arrival)
      }
      if turnsAway(message, fields, arrival) { return }
      return refuse(message, fields, 481, .malformed, arrival)
    }
    traceIncoming(message, leg.call.serial, leg.side, arrival)
    guard isFromItsPeer(leg, message, fields, arrival) else {
      return refuse(message, fields, 481, .sourceUnknown, arrival)
    }
    if refuseExtensions(message, fields, arrival, leg: leg) { return }
    let fork = earlyDialog(leg, message, fields) ?? leg.fork
    guard takesCSeq(leg, fork, fields.cseq.number) else {
      return replyInDialog(message, fields, key, 500, leg, arrival)
    }
    follow(leg, arrival)
    if message.method != .bye, leg.session?.handover?.hasLeft(leg) == true {
      return replyInDialog(message, fields, key, 481, leg, arrival)
    }
    switch message.method {
    case .bye: byeReceived(leg, message, fields, key, arrival)
    case .invite: reInviteReceived(leg, message, fields, key, arrival)
    case .prack: prackReceived(leg, message, fields, key, fork, arrival)
    case .update: updateReceived(leg, message, fields, key, fork, arrival)
    case .info: infoReceived(leg, message, fields, key, arrival)
    case .options: replyInDialog(message, fields, key, 200, leg, arrival)
    case .other: replyInDialog(message, fields, key, 501, leg, arrival)
    case .refer: referReceived(leg, message, fields, key, arrival)
    case .subscribe: subscribeReceived(leg, message, fields, key, arrival)
    // Nobody here has subscribed to anything (RFC 6665 §4.1.3).
    case .notify: replyInDialog(message, fields, key, 481, leg, arrival)
    case .register, .message, .publish:
      replyInDialog(message, fields, key, 405, leg, arrival)
    case .ack, .cancel: break  // handled before
    }
  }

  /// Which of the leg's early dialogs the request is of, as the caller counts them: our tag says it of a
  /// caller's, the peer's tag of a callee's. Nil: of none that is known as one.
  private func earlyDialog(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields
  ) -> UInt8? {
    guard leg.state == .early else { return nil }
    let bytes = message.bytes
    guard leg.isOurs else { return mint.read(bytes.extracting(fields.to.tag))?.fork }
    return leg.early.first {
      let text = blocks.bytes($0.dialog.text)
      return text.extracting($0.dialog.callID).equals(bytes.extracting(fields.callID))
        && text.extracting($0.dialog.remoteTag).equals(bytes.extracting(fields.from.tag))
    }?.fork
  }

  /// §12.2.2: an older CSeq than the last is out of order, not a retransmission.
  private func takesCSeq(_ leg: Leg, _ fork: UInt8, _ number: UInt32) -> Bool {
    if let early = leg.early.firstIndex(where: { $0.fork == fork }) {
      guard number > leg.early[early].remoteCSeq else { return false }
      leg.early[early].remoteCSeq = number
      return true
    }
    guard leg.remoteCSeq == 0 || number > leg.remoteCSeq else { return false }
    leg.remoteCSeq = number
    return true
  }

  /// Answers a request of a dialog in a transaction of its own: its repetitions get the same answer,
  /// whatever has changed since.
  func replyInDialog(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ status: Int,
    _ leg: Leg, _ arrival: Arrival, retryAfter: Int = 0, minSE: UInt32 = 0,
    extra: StaticString = ""
  ) {
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return replyStateless(message, fields, 503, arrival, leg: leg)
    }
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    respond(
      transaction, status, leg: leg, extra: extra, retryAfter: retryAfter, minSE: minSE)
  }
}
