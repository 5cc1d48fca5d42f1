import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// The leg that we call: its INVITE, what it answers, and the dialog that comes of it (RFC 3261 §13.2).

extension Shard {
  /// Calls a target for a session, or says what is lacking for it.
  func invite(_ session: Session, _ branch: Branch, _ target: CallTarget) -> Cause? {
    guard let caller = session.caller else { return .internalFault }
    let leg = Leg(
      side: .b, isOurs: true, call: session.id, destination: target.address,
      listener: target.listener, network: target.network)
    guard let handle = legs.insert(leg) else { return .capacity }
    leg.handle = handle
    leg.session = session
    leg.branch = branch
    branch.leg = leg
    leg.trunk = target.trunk
    leg.rules = target.trunk.flatMap { session.configuration.rules(ofTrunk: $0) }
    leg.followsSource = target.followsSource
    leg.security = target.security
    leg.codecs = target.codecs
    leg.wideLatching = target.wideLatching
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
    leg.maxForwards = max(caller.maxForwards - 1, 0)
    leg.silence = target.silence
    session.reason = ReleaseReason()
    guard takePort(leg) else { return .portsExhausted }
    let called = branch.strand.hop?.calledNumber ?? session.record.calledNumber
    guard keepCalledDialog(leg, session, target, called: called) else { return .capacity }
    if session.callee == nil { hear(session, leg) }
    return sendInvite(leg, session) ? nil : .mediaUnacceptable
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
      outbox.datagrams.append(timer ? "Supported: 100rel, timer\r\n" : "Supported: 100rel\r\n")
      if leg.provisionals == .required { outbox.datagrams.append("Require: 100rel\r\n") }
    case .off, .supported, .required:
      if timer { outbox.datagrams.append("Supported: timer\r\n") }
    }
    if leg.earlyMedia == .authorized { outbox.datagrams.append("P-Early-Media: supported\r\n") }
  }

  /// The caller's offer with our address and the codecs that both sides allow; where it made none, and this side
  /// wants one, an offer of what we speak ourselves.
  private func writeOffer(_ leg: Leg, _ session: Session) -> Bool {
    if session.offer.isNone {
      guard let media = leg.media else { return false }
      body.begin()
      SDPWriter.offer(as: sdpSession(leg), port: media.local.port, into: &body)
      return !body.isOverflowing
    }
    let bytes = blocks.bytes(session.offer)
    guard (try? SessionDescription.parse(bytes, into: &offered)) != nil,
      let codecs = codecs(session.caller?.codecs ?? [], leg.codecs)
    else { return false }
    return relay(offered, bytes, to: leg, codecs: codecs)
  }

  // MARK: What our requests repeat

  func writeRequestLine(_ leg: Leg, _ method: StaticString) {
    let text = blocks.bytes(leg.text)
    outbox.datagrams.append(method)
    outbox.datagrams.append(" ")
    outbox.datagrams.append(text, leg.target)
    outbox.datagrams.append(" SIP/2.0\r\n")
  }

  /// Max-Forwards, From, To, Call-ID, CSeq and Route (§8.1.1, §12.2.1.1).
  func writeDialog(_ leg: Leg, _ method: StaticString, cseq: UInt32) {
    let text = blocks.bytes(leg.text)
    outbox.datagrams.append("Max-Forwards: ")
    outbox.datagrams.append(decimal: leg.isOurs && leg.state == .early ? leg.maxForwards : 70)
    outbox.datagrams.append("\r\nFrom: ")
    outbox.datagrams.append(text, leg.local)
    outbox.datagrams.append(";tag=")
    mint.write(
      OwnerToken(kind: .tag, fork: leg.isOurs ? 0 : leg.fork, owner: leg.tagHandle),
      into: &outbox.datagrams)
    outbox.datagrams.append("\r\nTo: ")
    outbox.datagrams.append(text, leg.remote)
    outbox.datagrams.append("\r\nCall-ID: ")
    outbox.datagrams.append(text, leg.callID)
    outbox.datagrams.append("\r\nCSeq: ")
    outbox.datagrams.append(decimal: Int(cseq))
    outbox.datagrams.append(" ")
    outbox.datagrams.append(method)
    outbox.datagrams.append("\r\n")
    writeSessionID(leg, into: &outbox.datagrams)
    if !leg.routes.isEmpty {
      outbox.datagrams.append("Route: ")
      outbox.datagrams.append(text, leg.routes)
      outbox.datagrams.append("\r\n")
    }
  }

  func writeContact(_ leg: Leg, into output: inout OutputBuffer) {
    output.append("Contact: <sip:")
    writeOurAddress(leg.listener, into: &output)
    output.append(transport(leg.listener).parameter)
    output.append(">\r\n")
  }

  func writeOurAddress(_ listener: ListenerIndex, into output: inout OutputBuffer) {
    guard addressTexts.indices.contains(Int(listener)) else { return }
    output.append(addressTexts[Int(listener)])
  }

  func writeUserAgent() {
    outbox.datagrams.append(userAgentLine)
  }

  /// What SIP names for a listener: the advertised address of its network, else the bound one.
  func ourAddress(_ listener: ListenerIndex) -> SocketAddress {
    guard settings.listeners.indices.contains(Int(listener)) else {
      return SocketAddress(.anyV4, 0)
    }
    let bound = settings.listeners[Int(listener)].bound
    if let network = configuration.network(ofListener: listener),
      let advertised = configuration.networks[network].advertisedSignalling,
      advertised.family == bound.ip.family
    {
      return SocketAddress(advertised, bound.port)
    }
    return bound
  }

  func writeCredentials(
    _ challenge: DigestResponder.Challenge, _ bytes: RawSpan, _ method: StaticString, _ leg: Leg,
    _ credentials: Credentials, hasBody: Bool = false
  ) {
    let text = blocks.bytes(leg.text)
    let drawn = random.next()
    let context = digest.context(challenge.algorithm)
    guard hasBody, challenge.quality == .authInt else {
      return DigestResponder.write(
        challenge, bytes, method: method, uri: text.extracting(leg.target),
        username: credentials.username, password: credentials.password, cnonce: drawn,
        context: context, into: &outbox.datagrams)
    }
    let copy = body.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) }
    DigestResponder.write(
      challenge, bytes, method: method, uri: text.extracting(leg.target),
      username: credentials.username, password: credentials.password, cnonce: drawn,
      body: copy.rawSpan, context: context, into: &outbox.datagrams)
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
    if transaction.purpose == .refresh { return refreshAnswered(leg, transaction, message) }
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
    targetRefused(session, branch, transaction, message)
    end(leg)
    if (300..<400).contains(status), redirected(session, branch, message) { return }
    let isChallenge = status == 401 || status == 407
    // A peer's challenge or redirection means nothing to the caller; the rest it may know.
    let shown = isChallenge ? 502 : status < 400 ? 480 : status
    var cause = isChallenge ? Cause.carrierRejected : Cause.of(sipStatus: status)
    // What the telephone network said is more than its gateway's status (RFC 6432).
    session.reason = message.releaseReason
    if !isChallenge, let told = Cause.told(session.reason) { cause = told }
    // Nobody has cancelled: the callee says 487 by itself.
    if cause == .cancelled { cause = .carrierRejected }
    lost(session, branch, shown, cause)
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
  private func confirm(_ leg: Leg, _ message: borrowing Message) -> Bool {
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
    return settings.listeners.contains { $0.bound == address } ? leg.source : address
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

  /// Another branch of a fork answered too: it is acknowledged and ended at once (§13.2.2.4).
  private func divorce(
    _ transaction: ClientTransaction, _ message: borrowing Message, _ key: HashKey
  ) {
    let isKnown = transaction.divorcedTags.contains(key) || transaction.divorcedTags.count >= 8
    if !isKnown {
      transaction.divorcedTags.append(key)
      _ = hasEnded(message)
    }
    endStranger(
      message, cseq: transaction.cseq, destination: transaction.destination,
      listener: transaction.listener, serial: transaction.serial, withBye: !isKnown)
  }

  /// A 2xx to an INVITE of ours whose transaction is long over: the last copy of an INVITE that nobody
  /// wanted any more found a phone after all. Our sealed branch proves that we asked. False: it was not us.
  func endsLateAnswer(
    _ message: borrowing Message, _ via: Via, _ cseq: CSeq, _ arrival: Arrival
  ) -> Bool {
    guard cseq.method == .invite, (200..<300).contains(message.status),
      ownBranch(message, via) != nil, !isOfLivingDialog(message)
    else { return false }
    endStranger(
      message, cseq: cseq.number, destination: arrival.source, listener: arrival.listener,
      serial: 0, withBye: !hasEnded(message))
    return true
  }

  /// Each copy of such an answer is acknowledged; a BYE is due on the first. True: it was not the first.
  private func hasEnded(_ message: borrowing Message) -> Bool {
    let key = hash.extend(tagKey(message), message.bytes.extracting(message.callID))
    if lateAnswers.contains(key) { return true }
    if lateAnswers.count == 16 { lateAnswers.removeFirst() }
    lateAnswers.append(key)
    return false
  }

  /// A late copy of the answer that the dialog began with, or of one to a re-INVITE.
  private func isOfLivingDialog(_ message: borrowing Message) -> Bool {
    guard let from = message.from, let to = message.to,
      let owner = mint.read(message.bytes.extracting(from.tag)), let leg = leg(owner.owner)
    else { return false }
    let text = blocks.bytes(leg.text)
    return text.extracting(leg.remoteTag).equals(message.bytes.extracting(to.tag))
  }

  /// ACK, and BYE, for a dialog that has no leg. All of it is in the 2xx.
  private func endStranger(
    _ message: borrowing Message, cseq: UInt32, destination: SocketAddress,
    listener: ListenerIndex, serial: UInt64, withBye: Bool
  ) {
    guard let from = message.from, let value = message.first(.from),
      let owner = mint.read(message.bytes.extracting(from.tag)), owner.kind == .tag
    else { return }
    let other = Leg(
      side: .b, isOurs: true, call: CallID(incarnation: settings.incarnation, serial: serial),
      destination: destination, listener: listener,
      network: configuration.network(ofListener: listener) ?? 0)
    // Nobody has a connection made to where such a stray answer says.
    other.followsSource = isReliable(listener)
    guard let handle = legs.insert(other) else { return }
    other.handle = handle
    other.tagOwner = owner.owner
    // Above whatever the dialog used if it had a leg once; gaps are allowed (§12.2.1.1).
    other.localCSeq = cseq &+ 100
    body.begin()
    other.callID = write(message.bytes, message.callID)
    // We wrote this From ourselves: our tag ends it.
    other.local = write(
      message.bytes, ByteRange(from: value.start, to: max(from.tag.start - 5, value.start)))
    other.target = writeTarget(message, fallback: destination)
    let stored = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let stored else { return end(other) }
    other.text = stored
    guard confirm(other, message) else { return end(other) }
    other.state = .confirmed
    writeAcknowledgement(other, cseq: cseq, withBody: false)
    send(to: other.destination, other.listener, serial: serial, side: other.side)
    if withBye { sendBye(other) } else { end(other) }
  }

  // MARK: ACK for a 2xx (§13.2.2.4)

  /// Sends the ACK and keeps it: it answers every repetition of the 2xx for as long as the transaction lives.
  func acknowledge(_ leg: Leg, _ transaction: ClientTransaction, withBody: Bool) {
    guard !leg.text.isNone else { return }
    writeAcknowledgement(leg, cseq: transaction.cseq, withBody: withBody)
    blocks.free(&transaction.acknowledgement)
    if clients.isLive(transaction.handle) { transaction.acknowledgement = keepOpenRecord() }
    transaction.acknowledgeTo = leg.destination
    secure(leg)
    send(
      to: leg.destination, leg.listener, connectPort: connectPort(leg), serial: leg.call.serial,
      side: leg.side)
  }

  private func writeAcknowledgement(_ leg: Leg, cseq: UInt32, withBody: Bool) {
    outbox.datagrams.begin()
    writeRequestLine(leg, "ACK")
    // An ACK for a 2xx is answered by nobody: its branch need only be unlike any other.
    writeViaStart(leg.listener, into: &outbox.datagrams)
    outbox.datagrams.append(hex: random.next(), digits: 16)
    outbox.datagrams.append(hex: random.next(), digits: 16)
    outbox.datagrams.append("\r\n")
    writeDialog(leg, "ACK", cseq: cseq)
    writeBody(present: withBody, into: &outbox.datagrams)
    changeByRules(leg, .ack, status: 0)
  }

  func repeatAcknowledgement(
    _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    guard message.status >= 200, message.status < 300, !transaction.acknowledgement.isNone,
      let destination = transaction.acknowledgeTo
    else { return }
    resend(
      transaction.acknowledgement, to: destination, transaction.listener,
      serial: transaction.serial, side: transaction.side)
  }
}
