import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// The leg that we call: its INVITE, what it answers, and the dialog that comes of it (RFC 3261 §13.2).

extension Shard {
  /// Calls a target for a session, or says what is lacking for it.
  func invite(_ session: Session, _ branch: Branch, _ target: CallTarget) -> Cause? {
    guard session.caller != nil || session.handover != nil else { return .internalFault }
    let leg = Leg(
      side: .b, isOurs: true, call: session.id, destination: target.address,
      listener: target.listener, network: target.network)
    guard let handle = legs.insert(leg) else { return .capacity }
    leg.handle = handle
    leg.session = session
    leg.branch = branch
    branch.leg = leg
    leg.trunk = target.trunk
    leg.watched = target.watched
    leg.rules = target.trunk.flatMap { session.configuration.rules(ofTrunk: $0) }
    leg.followsSource = target.followsSource
    leg.security = target.security.map(PeerSecurity.init)
    leg.codecs = target.codecs
    leg.streams = target.streams
    leg.transcodes = target.transcodes
    leg.treatment = target.treatment
    leg.dtmf = target.dtmf
    leg.wideLatching = target.wideLatching
    leg.protection.rules = target.srtp
    leg.credentials = target.credentials
    leg.realm = target.realm
    leg.domain = target.domain
    leg.calledDomain = target.calledDomain
    leg.identities = target.identities
    leg.earlyMedia = target.dialog.earlyMedia
    leg.makesOffer = target.dialog.earlyOffer
    leg.provisionals = target.dialog.reliableProvisionals
    leg.passesInfo = target.dialog.dtmfInfo
    leg.timer.policy = target.dialog.timerPolicy
    let left = session.caller?.maxForwards ?? 70
    leg.maxForwards = left > 0 ? left - 1 : 0
    leg.silence = target.silence
    session.reason = ReleaseReason()
    guard takePort(leg) else { return .portsExhausted }
    let called = branch.strand.hop?.calledNumber ?? session.record.calledNumber
    guard keepCalledDialog(leg, session, target, called: called) else { return .capacity }
    if session.callee == nil { hear(session, leg) }
    return sendInvite(leg, session) ? nil : leg.protection.refusal ?? .mediaUnacceptable
  }

  /// The dialog as far as we make it ourselves: Call-ID, From, To and target.
  private func keepCalledDialog(
    _ leg: Leg, _ session: Session, _ target: CallTarget, called: String
  ) -> Bool {
    body.begin()
    let start = body.position
    mint.write(OwnerToken(kind: .callID, fork: 0, owner: leg.handle), into: &body)
    leg.callID = ByteRange(from: start, to: body.position)
    leg.local = writeCaller(leg, session)
    leg.remote = writeCalled(called, at: "\(target.address)", leg, session)
    leg.remoteTag = .none
    let uri = body.position
    body.append(target.uri)
    leg.target = ByteRange(from: uri, to: body.position)
    let routes = body.position
    body.append(target.routes)
    leg.routes = ByteRange(from: routes, to: body.position)
    let stored = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let stored else { return false }
    leg.text = stored
    return true
  }

  /// The first INVITE, and again with credentials: same Call-ID and From tag, next CSeq (§22.2).
  func sendInvite(
    _ leg: Leg, _ session: Session, answering challenge: DigestResponder.Challenge? = nil,
    of bytes: RawSpan = RawSpan()
  ) -> Bool {
    leg.localCSeq &+= 1
    guard
      let transaction = openClient(.invite, .invite, cseq: leg.localCSeq, leg: leg)
    else { return false }
    let hasBody = !session.offer.isNone || leg.makesOffer
    if hasBody, !writeOffer(leg, session) {
      remove(transaction)
      return false
    }
    leg.exchange = OfferAnswer()
    _ = leg.exchange.handle(.invite, from: .us, hasDescription: hasBody)
    outbox.datagrams.begin()
    writeRequestLine(leg, "INVITE")
    writeVia(transaction, into: &outbox.datagrams)
    writeDialog(leg, "INVITE", cseq: leg.localCSeq)
    writeContact(leg, into: &outbox.datagrams)
    writeIdentity(leg, session)
    writePreferredIdentity(leg, session)
    writeDiversions(leg, session)
    if identities != nil { writePassports(leg, session) }
    writeReferredBy(leg, session)
    for line in session.passed {
      outbox.datagrams.append(line)
      outbox.datagrams.append("\r\n")
    }
    if let challenge, let credentials = leg.credentials {
      writeCredentials(challenge, bytes, "INVITE", leg, credentials, hasBody: hasBody)
    }
    writeTimerRequest(leg, isRefresh: false)
    writeExtensions(leg, isOffering: hasBody, caller: session.caller)
    writeCapabilities(into: &outbox.datagrams)
    writeUserAgent()
    writeBody(present: hasBody, into: &outbox.datagrams)
    if hasBody { body.abandon() }
    if let stream = streamForLarge(leg, bytes: outbox.datagrams.position, session) {
      outbox.datagrams.abandon()
      remove(transaction)
      leg.localCSeq &-= 1
      leg.largeFrom = leg.listener
      leg.listener = stream
      counters.movedToStream &+= 1
      return sendInvite(leg, session, answering: challenge, of: bytes)
    }
    leg.inviteClient = transaction
    launch(transaction)
    return true
  }

  /// Which extensions the callee may use. A reliable response to an INVITE without an offer would have to make
  /// one, and ask for the answer in its PRACK: only a caller that acknowledges too can give it (RFC 3262 §5).
  private func writeExtensions(_ leg: Leg, isOffering: Bool, caller: Leg?) {
    let canAcknowledge = isOffering || caller?.abilities.contains(.reliable) == true
    let timer = leg.timer.policy.expires > 0
    switch leg.provisionals {
    case .supported where canAcknowledge, .required where canAcknowledge:
      outbox.datagrams.append(
        timer ? "Supported: 100rel, timer, replaces\r\n" : "Supported: 100rel, replaces\r\n")
      if leg.provisionals == .required { outbox.datagrams.append("Require: 100rel\r\n") }
    case .off, .supported, .required:
      outbox.datagrams.append(
        timer ? "Supported: timer, replaces\r\n" : "Supported: replaces\r\n")
    }
    if leg.earlyMedia == .authorized { outbox.datagrams.append("P-Early-Media: supported\r\n") }
  }

  /// The caller's offer with our address and the codecs that both sides allow; where it made none, and this side
  /// wants one, an offer of what we speak ourselves.
  private func writeOffer(_ leg: Leg, _ session: Session) -> Bool {
    if session.offer.isNone {
      return writeOffer(leg)
    }
    let bytes = blocks.bytes(session.offer)
    guard (try? SessionDescription.parse(bytes, into: &offered)) != nil else { return false }
    return relay(offered, bytes, from: session.caller, to: leg)
  }

  // MARK: Answers

  func inviteAnswered(_ transaction: ClientTransaction, _ message: borrowing Message) {
    guard let bytes = changedByRules(.inbound, message, transaction.leg),
      let changed = try? Message.parse(bytes.span.rawSpan, using: ruleIndex)
    else { return inviteAnsweredAsRead(transaction, message) }
    inviteAnsweredAsRead(transaction, changed)
  }

  private func inviteAnsweredAsRead(
    _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    guard let leg = transaction.leg else {
      // The leg is gone; a 2xx still wants its ACK, and one of another branch its BYE too.
      guard transaction.purpose == .invite, (200..<300).contains(message.status) else {
        return repeatAcknowledgement(transaction, message)
      }
      let key = tagKey(message)
      return key == transaction.acceptedTag
        ? repeatAcknowledgement(transaction, message) : divorce(transaction, message, key)
    }
    if transaction.purpose == .reInvite { return reInviteAnswered(leg, transaction, message) }
    if transaction.purpose == .join { return joinAnswered(leg, transaction, message) }
    if transaction.purpose == .refresh { return refreshAnswered(leg, transaction, message) }
    if transaction.purpose == .renewal { return renewalAnswered(leg, transaction, message) }
    if message.status < 200 {
      provisional(leg, transaction, message)
    } else if message.status < 300 {
      succeeded(leg, transaction, message)
    } else {
      failed(leg, transaction, message)
    }
  }

  func acceptsSDP(_ message: borrowing Message) -> Bool {
    message.contentType?.isSDP(in: message.bytes) ?? false
  }

  private func failed(_ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message) {
    leg.inviteClient = nil
    let status = message.status
    guard leg.state == .early, let session = leg.session, let branch = leg.branch else {
      return end(leg)
    }
    if status == 401 || status == 407, answersChallenge(leg, session, message) { return }
    if status == 422, raiseInterval(leg, message), sendInvite(leg, session) { return }
    if status == 488 || status == 606, offersAll(leg, session) {
      leg.sdpVersion &+= 1
      if sendInvite(leg, session) { return }
    }
    targetRefused(session, branch, transaction, message)
    end(leg)
    if (300..<400).contains(status), redirected(session, branch, message) { return }
    let isChallenge = status == 401 || status == 407
    // A PBX challenges its phone, not us (RFC 3261 §22.3).
    if isChallenge, session.phone != nil {
      session.challenge = lines(of: [.wwwAuthenticate, .proxyAuthenticate], in: message)
      return lost(session, branch, status, .authenticationRequired)
    }
    let shown = status.saysNothingToOthers ? 502 : status < 400 ? 480 : status
    var cause = isChallenge ? Cause.carrierRejected : Cause.of(sipStatus: status)
    // What the telephone network said is more than its gateway's status (RFC 6432).
    session.reason = message.releaseReason
    if !isChallenge, let told = Cause.told(session.reason) { cause = told }
    // Nobody has cancelled: the callee says 487 by itself.
    if cause == .cancelled { cause = .carrierRejected }
    lost(session, branch, shown, cause, said: status)
  }

  /// A second challenge for the same password only helps when the nonce was stale.
  private func answersChallenge(
    _ leg: Leg, _ session: Session, _ message: borrowing Message
  ) -> Bool {
    guard leg.credentials != nil, let challenge = DigestResponder.choose(message, realm: leg.realm),
      leg.challengesAnswered == 0 || (challenge.isStale && leg.challengesAnswered < 3)
    else { return false }
    leg.challengesAnswered += 1
    return sendInvite(leg, session, answering: challenge, of: message.bytes)
  }

  // MARK: 2xx

  private func succeeded(
    _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    let key = tagKey(message)
    if let accepted = transaction.acceptedTag {
      if accepted == key {
        counters.retransmissionsReceived &+= 1
        return repeatAcknowledgement(transaction, message)
      }
      return divorce(transaction, message, key)
    }
    transaction.acceptedTag = key
    leg.challengesAnswered = 0
    let fork = leg.session.map { self.fork(of: leg, $0, message) } ?? .max
    guard confirm(leg, message) else {
      // Without memory for the dialog nothing can be sent in it: the other side times out.
      tell(.internalFault("no memory for a dialog"), call: leg.call)
      if let session = leg.session { release(session, by: .system, .capacity) }
      return end(leg)
    }
    leg.state = .confirmed
    settle(leg, fork: fork)
    noteAbilities(leg, message)
    forgetRequest(transaction)
    guard let session = leg.session, let branch = leg.branch, session.state == .routing else {
      // Nobody wants it any more: a late answer, or one that crossed our CANCEL (§9.1).
      acknowledge(leg, transaction, withBody: false)
      return sendBye(leg)
    }
    targetAnswered(session, branch, transaction)
    timerAgreed(leg, message)
    noteCalleeID(session, message)
    connected(session, leg, transaction, message, fork: fork)
  }

  /// §12.1.2: the dialog is what the 2xx says; route set reversed, target from Contact.
  func confirm(_ leg: Leg, _ message: borrowing Message) -> Bool {
    guard let dialog = calledDialog(leg, message) else { return false }
    blocks.free(&leg.dialog.text)
    leg.dialog = dialog
    leg.destination = nextHop(leg)
    return true
  }

  /// The dialog that a response of the callee's begins; nil without memory for it.
  func calledDialog(_ leg: Leg, _ message: borrowing Message) -> DialogText? {
    let old = blocks.bytes(leg.text)
    var dialog = DialogText()
    body.begin()
    dialog.callID = write(old, leg.callID)
    dialog.local = write(old, leg.local)
    let to = message.first(.to) ?? .none
    dialog.remote = write(message.bytes, to)
    let tag = message.to?.tag ?? .none
    if message.first(.contact) != nil {
      dialog.target = writeTarget(message, fallback: leg.destination)
    } else {
      dialog.target = write(old, leg.target)
    }
    dialog.routes = writeRoutes(message, reversed: true)
    let stored = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let stored else { return nil }
    dialog.text = stored
    dialog.remoteTag = ByteRange(
      dialog.remote.start + max(tag.start - to.start, 0), Int(tag.count))
    return dialog
  }

  /// Where requests of the dialog go: the first route or the target when it names an address that can be
  /// meant, else where the peer was seen. A phone behind a NAT is always where it was seen.
  func nextHop(_ leg: Leg) -> SocketAddress {
    if leg.followsSource { return leg.source }
    let text = blocks.bytes(leg.text)
    var range = leg.target
    if !leg.routes.isEmpty {
      var list = CommaList(leg.routes)
      if let first = list.next(text), let route = NameAddr.parse(text, first) { range = route.uri }
    }
    guard let uri = SIPURI.parse(text, range), let ip = uri.hostAddress(in: text),
      ip.family == leg.source.ip.family, !ip.isUnspecified, !ip.isMulticast
    else { return leg.source }
    takeTransport(of: uri, text, leg)
    // A peer elsewhere can't mean our own machine, a link, or everybody.
    if ip.isLoopback && !leg.source.ip.isLoopback || ip.isLinkLocal && !leg.source.ip.isLinkLocal
      || ip == IPAddress(v4: .max)
    {
      return leg.source
    }
    // A private address behind a public source is what a NAT failed to rewrite.
    if ip != leg.source.ip, ip.isPrivate, !leg.source.ip.isPrivate { return leg.source }
    let address = SocketAddress(ip, uri.port ?? transport(leg.listener).defaultPort)
    return isOurs(address) ? leg.source : address
  }

  /// A URI that names its transport is gone to by that, where the peer's network has it. One that names none
  /// means UDP by the letter (§19.1.2); but whoever came by a connection is better reached the same way.
  private func takeTransport(of uri: SIPURI, _ text: RawSpan, _ leg: Leg) {
    guard let name = uri.param("transport", in: text) else { return }
    let wanted = Transport.parse(text.extracting(name))
    let network = configuration.network(ofListener: leg.listener)
    guard wanted != transport(leg.listener), !wanted.isWebSocket, let network,
      let listener = configuration.listener(
        ofNetwork: network, family: leg.source.ip.family, transport: wanted)
    else { return }
    leg.listener = listener
  }

  /// What tells the branches of a fork apart.
  func tagKey(_ message: borrowing Message) -> HashKey {
    hash.key(message.bytes, message.to?.tag ?? .none, seed: 0x300)
  }
}
