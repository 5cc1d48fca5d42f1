import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// An INVITE inside a dialog (RFC 3261 §14): hold, resume, another address. It goes through to the other
// side; what that answers decides, and a refusal leaves everything as it was.

extension Shard {
  func reInviteReceived(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ arrival: Arrival
  ) {
    if !message.body.isEmpty, !acceptsBody(message) {
      return replyInDialog(message, fields, key, 415, leg, arrival)
    }
    guard let session = leg.session, session.state == .answered, leg.state == .confirmed else {
      return replyInDialog(message, fields, key, 491, leg, arrival)
    }
    // §14.2: one that is still open, of theirs 500, of ours 491.
    if leg.inviteServer != nil { return replyInDialog(message, fields, key, 500, leg, arrival) }
    if leg.inviteClient?.isPending == true {
      return replyInDialog(message, fields, key, 491, leg, arrival)
    }
    let other = session.other(leg)
    if let other, !isQuiet(other) {
      return replyInDialog(message, fields, key, 491, leg, arrival)
    }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return replyStateless(message, fields, 503, arrival, leg: leg)
    }
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    transaction.leg = leg
    leg.inviteServer = transaction
    refreshTarget(leg, message)
    guard let other else { return answerForApplication(session, leg, transaction, message) }
    respond(transaction, 100)
    passOn(session, leg, other, transaction, message)
  }

  /// No INVITE under way in either direction.
  private func isQuiet(_ leg: Leg) -> Bool {
    leg.state == .confirmed && leg.inviteServer == nil && !leg.awaitsAck
      && leg.inviteClient?.isPending != true && leg.ackHeld == nil
  }

  private func passOn(
    _ session: Session, _ leg: Leg, _ other: Leg, _ transaction: ServerTransaction,
    _ message: borrowing Message
  ) {
    leg.pendingRemote = nil
    blocks.free(&session.offer)
    if !message.body.isEmpty {
      guard let remote = readDescription(message, leg) else {
        return refuseReInvite(leg, transaction, 488)
      }
      leg.pendingRemote = remote
      guard let stored = blocks.store(message.bytes.extracting(message.body)) else {
        return refuseReInvite(leg, transaction, 503)
      }
      session.offer = stored
      session.offerLines = offered.media.count
    }
    other.challengesAnswered = 0
    if !sendReInvite(session, other, from: leg) { refuseReInvite(leg, transaction, 488) }
  }

  private func refuseReInvite(_ leg: Leg, _ transaction: ServerTransaction, _ status: Int) {
    leg.pendingRemote = nil
    respond(transaction, status, fork: leg.fork, leg: leg)
    leg.inviteServer?.leg = nil
    leg.inviteServer = nil
    if let session = leg.session { blocks.free(&session.offer) }
  }

  private func sendReInvite(
    _ session: Session, _ leg: Leg, from source: Leg,
    answering challenge: DigestResponder.Challenge? = nil, of bytes: RawSpan = RawSpan()
  ) -> Bool {
    var hasBody = false
    if !session.offer.isNone {
      if challenge == nil { leg.sdpVersion &+= 1 }
      let text = blocks.bytes(session.offer)
      guard (try? SessionDescription.parse(text, into: &offered)) != nil,
        let codecs = codecs(source.codecs, leg.codecs),
        relay(offered, text, to: leg, codecs: codecs)
      else { return false }
      hasBody = true
    }
    defer { if hasBody { body.abandon() } }
    leg.localCSeq &+= 1
    guard let transaction = openClient(.invite, .reInvite, cseq: leg.localCSeq, leg: leg) else {
      return false
    }
    outbox.datagrams.begin()
    writeRequestLine(leg, "INVITE")
    writeVia(transaction, into: &outbox.datagrams)
    writeDialog(leg, "INVITE", cseq: leg.localCSeq)
    writeContact(leg, into: &outbox.datagrams)
    if let challenge, let credentials = leg.credentials {
      writeCredentials(challenge, bytes, "INVITE", leg, credentials)
    }
    writeCapabilities(into: &outbox.datagrams)
    writeUserAgent()
    writeBody(present: hasBody, into: &outbox.datagrams)
    leg.inviteClient = transaction
    launch(transaction)
    return true
  }

  // MARK: The other side's answer

  func reInviteAnswered(
    _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    if message.status < 200 {
      if transaction.cancelWanted { cancel(transaction) }
      return
    }
    if message.status < 300, transaction.acceptedTag != nil {
      return repeatAcknowledgement(transaction, message)
    }
    leg.inviteClient = nil
    guard let session = leg.session, session.state == .answered, let other = session.other(leg),
      let server = other.inviteServer, server.isProceeding
    else {
      guard message.status < 300 else { return }
      transaction.acceptedTag = HashKey(low: 0, high: 0)
      acknowledge(leg, transaction, withBody: false)
      // It crossed our CANCEL: this side has changed and the other has not.
      if let session = leg.session { release(session, by: .system, .cancelled) }
      return
    }
    if message.status < 300 {
      transaction.acceptedTag = HashKey(low: 0, high: 0)
      refreshTarget(leg, message)
      return reInviteAccepted(session, leg, transaction, message, other, server)
    }
    let status = message.status
    if status == 401 || status == 407, leg.credentials != nil, leg.challengesAnswered < 2,
      let challenge = DigestResponder.choose(message)
    {
      leg.challengesAnswered += 1
      if sendReInvite(session, leg, from: other, answering: challenge, of: message.bytes) { return }
    }
    refuseReInvite(other, server, status == 401 || status == 407 ? 502 : max(status, 400))
    // §12.2.1.2: the peer no longer knows the dialog.
    if status == 481 || status == 408 { release(session, by: .system, .carrierRejected) }
  }

  private func reInviteAccepted(
    _ session: Session, _ leg: Leg, _ transaction: ClientTransaction,
    _ message: borrowing Message, _ other: Leg, _ server: ServerTransaction
  ) {
    let hadOffer = !session.offer.isNone
    other.sdpVersion &+= 1
    guard !message.body.isEmpty, acceptsSDP(message), describes(message, leg),
      let codecs = codecs(other.codecs, leg.codecs),
      relay(offered, message.bytes.extracting(message.body), to: other, codecs: codecs)
    else {
      acknowledge(leg, transaction, withBody: false)
      return refuseReInvite(other, server, 488)
    }
    if let remote = other.pendingRemote { follow(remote, other) }
    other.pendingRemote = nil
    session.record.codec = codecName(offered, message.bytes.extracting(message.body))
    completeAnswer(session)
    sendSuccess(other, server)
    body.abandon()
    if hadOffer {
      acknowledge(leg, transaction, withBody: false)
    } else {
      leg.ackHeld = transaction
      other.answerExpectedInAck = true
    }
    blocks.free(&session.offer)
    watchSilence(session)
    tell(.sessionChanged(session: establishedRecord(session).encoded), call: session.id)
  }

  func reInviteTimedOut(_ leg: Leg, _ transaction: ClientTransaction) {
    leg.inviteClient = nil
    guard let session = leg.session, session.state == .answered else { return }
    if let other = session.other(leg), let server = other.inviteServer, server.isProceeding {
      refuseReInvite(other, server, 408)
    }
    release(session, by: .system, .carrierTimeout)
  }

  /// §12.2.2: a new Contact is the new target of the dialog.
  private func refreshTarget(_ leg: Leg, _ message: borrowing Message) {
    guard message.first(.contact) != nil else { return }
    let old = blocks.bytes(leg.text)
    body.begin()
    let callID = write(old, leg.callID)
    let local = write(old, leg.local)
    let remote = write(old, leg.remote)
    let target = writeTarget(message, fallback: leg.source)
    let routes = write(old, leg.routes)
    let stored = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let stored else { return }
    let tag = ByteRange(
      remote.start + leg.remoteTag.start - leg.remote.start, Int(leg.remoteTag.count))
    blocks.free(&leg.text)
    leg.text = stored
    leg.callID = callID
    leg.local = local
    leg.remote = remote
    leg.remoteTag = tag
    leg.target = target
    leg.routes = routes
    leg.destination = nextHop(leg)
  }
}
