import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// Where SDP becomes media commands: both sides only ever see a port of ours, so media is always anchored.

extension Shard {
  // MARK: The first offer

  /// Reads the caller's offer, takes a port for its side and keeps the text for the hops to come. False: the
  /// call has been released with the reason.
  func takeOffer(_ session: Session, _ message: borrowing Message, _ caller: CallerKind) -> Bool {
    guard let leg = session.caller else { return false }
    if case .user(let user) = caller { leg.codecs = session.configuration.users[user].codecs }
    if case .trunk(let trunk) = caller {
      leg.codecs = session.configuration.trunks[trunk].codecs
      leg.wideLatching = session.configuration.trunks[trunk].wideLatching
    }
    // It has no credentials: whoever calls us and challenges our BYE wants a response for a call of its own to somebody
    // who takes our password (CVE-2021-41158).
    guard takePort(leg) else {
      refuseBeforeRecord(session, .portsExhausted)
      return false
    }
    _ = leg.exchange.handle(.invite, from: .them, hasDescription: !message.body.isEmpty)
    guard !message.body.isEmpty else { return true }
    guard describes(message, leg) else {
      refuseBeforeRecord(
        session, leg.protection.refusal ?? .mediaUnacceptable,
        status: offered.media.isEmpty ? 400 : 488)
      return false
    }
    guard let stored = blocks.store(message.bytes.extracting(message.body)) else {
      refuseBeforeRecord(session, .capacity)
      return false
    }
    session.offer = stored
    session.offerLines = UInt8(clamping: offered.media.count)
    session.offerSpeech = leg.media?.remote?.speech ?? SpeechFormats()
    return true
  }

  func refuseBeforeRecord(_ session: Session, _ cause: Cause, status: Int? = nil) {
    tell(.callAttempted(session.record), call: session.id)
    release(session, by: .system, cause, status: status)
  }

  /// One port pair of the leg's network, or false when none is left.
  func takePort(_ leg: Leg) -> Bool {
    guard leg.media == nil else { return true }
    guard let local = leasePorts(leg) else { return false }
    let transport = MediaTransportID(raw: leg.handle.packed)
    leg.media = LegMedia(transport: transport, local: local)
    leg.sdpSession = random.next() >> 2
    leg.sdpVersion = 1
    outbox.media.append(.open(transport, local))
    return true
  }

  func leasePorts(_ leg: Leg) -> LocalMedia? {
    for address in mediaAddresses(leg, family: leg.destination.ip.family)
    where leaves(address, forEmergencies: leg) {
      if let local = ports.lease(address: address, at: now) { return local }
    }
    return nil
  }

  /// Ordinary calls leave two pairs alone for each emergency call that has a place.
  private func leaves(_ address: UInt16, forEmergencies leg: Leg) -> Bool {
    let reserve = configuration.emergencyReserve
    guard reserve > 0, leg.session?.emergency == nil else { return true }
    return ports.free(address: address) > 2 * reserve
  }

  private func mediaAddresses(_ leg: Leg, family: IPAddress.Family) -> [UInt16] {
    let configuration = leg.session?.configuration ?? configuration
    let same = configuration.mediaAddresses(ofNetwork: leg.network, family: family)
    return same.isEmpty ? configuration.mediaAddresses(ofNetwork: leg.network) : same
  }

  // MARK: Reading a peer's SDP

  /// Reads the body into `offered` and tells the media plane where the leg's far end is. False when there is
  /// no line that can be anchored; `orNone`: an answer that rejects all of them will do.
  func describes(_ message: borrowing Message, _ leg: Leg, orNone: Bool = false) -> Bool {
    guard let remote = readDescription(message, leg, orNone: orNone) else { return false }
    leg.media?.answered = nil
    leg.media?.answeredEvents = nil
    follow(remote, leg)
    return true
  }

  /// Reads the body into `offered`; nil, and nothing in `offered`, when it can't be used.
  func readDescription(
    _ message: borrowing Message, _ leg: Leg, orNone: Bool = false
  ) -> RemoteStreams? {
    do throws(SDPParseError) {
      try SessionDescription.parse(message.bytes.extracting(message.body), into: &offered)
    } catch {
      offered = SessionDescription()
      return nil
    }
    return remoteMedia(offered, message.bytes.extracting(message.body), leg, orNone: orNone)
  }

  /// What `sdp`, read from `bytes`, comes to; nil, and the cause at the leg, where that is nothing.
  func remoteMedia(
    _ sdp: SessionDescription, _ bytes: RawSpan, _ leg: Leg, orNone: Bool = false
  ) -> RemoteStreams? {
    leg.protection.refusal = nil
    guard let line = mainLine(sdp, leg) else {
      let further = furtherRemotes(sdp, bytes, beside: nil, nil, leg)
      let isOver = orNone && !sdp.media.isEmpty && sdp.media.allSatisfy { $0.port == 0 }
      // Something beside speech cannot begin a call, but it may be what is left of one.
      guard isOver || (!further.isEmpty && leg.media?.remote != nil) else {
        leg.protection.refusal = refusalWithoutAudio(sdp, leg)
        return nil
      }
      return RemoteStreams(main: nil, further: further)
    }
    let main = sdp.media[line].isFax ? fax(sdp, line: line, leg) : speech(sdp, bytes, line, leg)
    guard let main else { return nil }
    let further = furtherRemotes(sdp, bytes, beside: line, main, leg)
    return RemoteStreams(main: main, further: further)
  }

  private func speech(
    _ sdp: SessionDescription, _ bytes: RawSpan, _ line: Int, _ leg: Leg
  ) -> RemoteMedia? {
    let formats = sdp.formats(of: line)
    guard let rtp = sdp.rtpAddress(of: line), rtp.ip.isOnePlace,
      let speech = formats.first(where: { $0.encoding.isSpeech })
    else { return nil }
    let description = sdp.media[line]
    let onHold = rtp.ip.isUnspecified
    let security: MediaSecurity?
    do throws(Cause) {
      security = try self.security(sdp, bytes, line: line, leg)
    } catch {
      leg.protection.refusal = error
      return nil
    }
    var remote = RemoteMedia(
      rtp: rtp, rtcp: rtcpAddress(sdp, line, rtp),
      signallingSource: leg.source.ip, latch: leg.wideLatching ? .window : .signalled,
      weSend: description.direction.receives && !onHold, weReceive: description.direction.sends,
      codec: speaks(speech.codec) ? speech.codec : .unknown,
      payloadType: speech.payloadType, clockRate: speech.clockRate,
      packetTime: description.packetTime,
      maxPacketTime: UInt8(clamping: description.maxPacketTime),
      telephoneEvent: 255,
      security: security,
      speech: leg.transcodes ? ownFormats(sdp, bytes, of: line, leg) : SpeechFormats())
    remote.events = EventFormats(formats, beside: speech.clockRate)
    remote.wantsMetrics = description.wantsVoIPMetrics
    remote.treatment = leg.treatment.union(abilities(formats, bytes))
    return remote
  }

  /// RFC 5761 §5.1.1: a=rtcp-mux is an offer that we do not take up, so RTCP has a port of its own.
  func rtcpAddress(
    _ sdp: SessionDescription, _ line: Int, _ rtp: SocketAddress
  ) -> SocketAddress {
    let next = SocketAddress(rtp.ip, rtp.port &+ 1)
    guard !sdp.media[line].hasRTCPMux || sdp.media[line].rtcpPort != nil else { return next }
    return sdp.rtcpAddress(of: line) ?? next
  }

  /// The leg's streams are what its peer's description has come to.
  func follow(_ remote: RemoteStreams, _ leg: Leg) {
    if let main = remote.main {
      if main.proto == .rtp { leg.events = main.events }
      follow(main, leg)
    } else if var nothing = leg.media?.remote {
      nothing.weSend = false
      nothing.weReceive = false
      follow(nothing, leg)
    }
    follow(remote.further, leg)
  }

  /// `.remote` when something changed; the same transport, port and counters whatever it was.
  func follow(_ described: RemoteMedia, _ leg: Leg) {
    guard let media = leg.media, !leg.mediaClosing else { return }
    var remote = media.answered.map(described.left) ?? described
    if let events = media.answeredEvents { remote.events = EventFormats(events) }
    remote.digits = digitKind(leg, remote)
    guard media.remote != remote else { return }
    leg.media?.remote = remote
    outbox.media.append(.remote(media.transport, remote))
  }

  // MARK: Writing ours

  /// Which codecs may pass between the two legs: what both allow; nil when that is nothing.
  func codecs(_ one: Leg?, _ other: Leg) -> CodecFilter? {
    let (a, b) = (one?.codecs ?? [], other.codecs)
    if a.isEmpty { return CodecFilter(b) }
    if b.isEmpty { return CodecFilter(a) }
    let common = a.filter { name in b.contains { $0.lowercased() == name.lowercased() } }
    if common.isEmpty { return mayConvert(one, other) ? CodecFilter.none : nil }
    return CodecFilter(common)
  }

  /// Writes what `source` described as ours for `leg` into `body`, where it answers `offer` if that side has made one;
  /// `codec`: that one alone. False: nothing that could be agreed to would be left.
  func relay(
    _ sdp: SessionDescription, _ bytes: RawSpan, from source: Leg?, to leg: Leg,
    codec: String? = nil, answering offer: OpenOffer? = nil
  ) -> Bool {
    var speech = SDPSpeech()
    if let offer {
      speech = speechAnswer(sdp, bytes, from: source, to: leg, offer)
    } else {
      speech = speechOffer(sdp, bytes, from: source, to: leg)
    }
    if codec != nil { speech = SDPSpeech() }
    return relay(
      sdp, bytes, from: source, to: leg, codec: codec, speech: speech, answering: offer)
  }

  func relay(
    _ sdp: SessionDescription, _ bytes: RawSpan, from source: Leg?, to leg: Leg,
    codec: String? = nil, speech: SDPSpeech, answering offer: OpenOffer? = nil
  ) -> Bool {
    guard let codecs = codec.map({ CodecFilter([$0]) }) ?? codecs(source, leg),
      let lines = lines(
        sdp, bytes, from: source, to: leg, codecs: codecs, speech: speech, answering: offer)
    else { return false }
    return write(sdp, bytes, lines, for: leg, codecs: codecs, answering: offer)
  }

  /// The same with `lines` as they are to be. False: it is too long.
  func write(
    _ sdp: SessionDescription, _ bytes: RawSpan, _ lines: SDPLines, for leg: Leg,
    codecs: CodecFilter, others: CodecFilter = .all, answering offer: OpenOffer? = nil
  ) -> Bool {
    let before = offer?.text ?? leg.description
    var count = offer?.lines ?? 0
    if count == 0 { count = lineCount(before) }
    body.begin()
    SDPWriter.write(
      sdp, of: bytes, as: sdpSession(leg), lines: lines, codecs: codecs, others: others,
      count: offer != nil && count > 0 ? count : .max, into: &body)
    if count > sdp.media.count { reject(before, from: sdp.media.count) }
    return isSaid(leg)
  }

  /// Writes what may be our last description again: where it says something else it has another version (RFC 3264 §8).
  /// Of several early dialogs each has a session of its own, and it is not known in which the last one was told.
  func saysAgain(_ leg: Leg, _ writes: () -> Bool) -> Bool {
    let before = leg.said
    guard writes() else { return false }
    if leg.said == before, leg.early.count < 2 { return true }
    body.abandon()
    leg.sdpVersion &+= 1
    return writes()
  }

  /// `body` has our description for the leg. False: it is too long.
  func isSaid(_ leg: Leg) -> Bool {
    guard !body.isOverflowing else { return false }
    leg.said = UInt32(truncatingIfNeeded: body.withOpenBytes { hash.key($0) }.low)
    return true
  }

  func lineCount(_ text: Block) -> Int {
    guard !text.isNone else { return 0 }
    let isRead = (try? SessionDescription.parse(blocks.bytes(text), into: &known)) != nil
    return isRead ? known.media.count : 0
  }

  /// An answer must have as many m-lines as its offer (RFC 3264 §6), and an offer no fewer than there were before
  /// (§8): those of `text` from `line` on are rejected.
  private func reject(_ text: Block, from line: Int) {
    let bytes = blocks.bytes(text)
    guard (try? SessionDescription.parse(bytes, into: &known)) != nil else { return }
    SDPWriter.reject(known, of: bytes, from: line, into: &body)
  }

  /// An offer of all that we speak ourselves.
  func writeOffer(_ leg: Leg) -> Bool {
    guard let media = leg.media, case .some(let protection) = ownProtection(leg) else {
      return false
    }
    body.begin()
    SDPWriter.offer(
      as: sdpSession(leg), port: media.local.port, protection: protection, into: &body)
    if lineCount(leg.description) > 1 { reject(leg.description, from: 1) }
    return isSaid(leg)
  }

  /// How a description of ours is protected, the inner nil: not at all; nil: it cannot be written, and the cause is at
  /// the leg.
  func ownProtection(_ leg: Leg) -> SDPProtection?? {
    do throws(Cause) {
      return .some(try protection(for: leg))
    } catch {
      leg.protection.refusal = error
      return nil
    }
  }

  /// The o= and c= of our description to a leg. Its version counts up with each new offer or answer
  /// (RFC 3264 §8), not when the same one is sent in a 183 and again in the 200.
  func sdpSession(_ leg: Leg) -> SDPSession {
    SDPSession(id: leg.sdpSession, version: UInt64(leg.sdpVersion), address: mediaAddress(leg))
  }

  /// What SDP names for a leg: the advertised address of its network, else the bound one.
  func mediaAddress(_ leg: Leg) -> IPAddress {
    guard let media = leg.media,
      settings.mediaAddresses.indices.contains(Int(media.local.address))
    else { return .anyV4 }
    let bound = settings.mediaAddresses[Int(media.local.address)].bound
    let configuration = leg.session?.configuration ?? configuration
    if configuration.networks.indices.contains(leg.network),
      let advertised = configuration.networks[leg.network].advertisedMedia,
      advertised.family == bound.family
    {
      return advertised
    }
    return bound
  }

  // MARK: What has been agreed

  /// What both sides have said is in force: their lines are joined, and each side is watched.
  func mediaAgreed(_ session: Session) {
    let (one, other) = session.speakers
    connectFurther(session, one, other)
    speechAgreed(session, one, other)
    digitsAgreed(one, other)
    numbersAgreed(session, one, other)
    watchSilence(session)
    followHold(one, other)
    watchCodes(one, other)
    followRecording(session)
  }

  /// Both sides are watched while both are expected to speak; on hold nobody is (MED-4, RELIABILITY C7).
  private func watchSilence(_ session: Session) {
    let (one, other) = session.speakers
    func isOpen(_ leg: Leg?) -> Bool {
      guard let remote = leg?.media?.remote else { return session.application != nil }
      return remote.weSend && remote.weReceive
    }
    let isTwoWay = isOpen(one) && isOpen(other)
    watchSilence(one, isTwoWay)
    watchSilence(other, isTwoWay)
  }

  private func watchSilence(_ leg: Leg?, _ isTwoWay: Bool) {
    guard let leg, let media = leg.media, !leg.mediaClosing else { return }
    outbox.media.append(
      .watch(media.transport, silenceMilliseconds: isTwoWay ? leg.silence : 0))
    examine(leg, isTwoWay && media.remote?.proto != .udptl)
  }

  // MARK: Reports

  func mediaReported(_ fact: MediaFact) {
    switch fact {
    case .ready(let address, let range, let failed):
      _ = ports.add(address: Int(address), ports: range, except: failed)
    case .opened: break
    case .refused(let transport):
      if FurtherStreams.isName(transport) {
        tell(.internalFault("the media plane refused a port of a further stream"))
        return
      }
      guard let leg = leg(transport) else { return }
      // A port that the system took from us, or a command for a transport that has just gone.
      guard leg.media?.closed == false, let session = leg.session else { return }
      leg.media?.closed = true
      if session.state == .released {
        closed(leg, session)
      } else {
        tell(.internalFault("the media plane refused a port"), call: session.id)
        release(session, by: .system, .internalFault)
      }
    case .latched(let transport, let address, at: _):
      guard let leg = leg(transport) else { return }
      tell(.mediaLatched(leg.side, address), call: leg.call)
      heardAfterAll(leg)
    case .handshake(let transport, let outcome):
      if let leg = leg(transport) { handshakeEnded(leg, outcome) }
    case .evidence(let transport, let evidence):
      if let leg = leg(transport) { examined(leg, evidence) }
    case .digit(let transport, let digit):
      if let leg = leg(transport) { digitSaid(leg, digit) }
    case .silent(let transport, last: _):
      guard let leg = leg(transport), let session = leg.session, session.state == .answered else {
        return
      }
      tell(.mediaSilent(leg.side), call: leg.call)
      if leg.media?.remote?.proto == .udptl, !areBothSilent(session, leg) { return }
      if !releaseUnrenewed(session) { release(session, by: .system, .mediaTimeout) }
    case .quality(let transport, let quality):
      guard let leg = leg(transport), let session = leg.session else { return }
      // Counters are since the start: of a callee that still rings they come again when it has answered.
      if leg === session.caller {
        session.record.fromCaller = quality
        noteRefused(quality, from: "caller", session)
      } else if leg === session.callee {
        session.record.fromCallee = quality
        noteRefused(quality, from: "callee", session)
      }
      if !qualityWatches.isEmpty { qualityMeasured(session, leg, quality) }
    case .applicationEnded(let transport):
      guard let leg = leg(transport), let session = leg.session, session.state == .answered else {
        return
      }
      release(session, by: .callee, .normalClearing)
    case .recording(let id, let event): recordingReported(id, event)
    case .closed(let transport):
      guard let leg = leg(transport) else { return }
      leg.media?.closed = true
      if let session = leg.session, session.state == .released { closed(leg, session) }
      removeIfDone(leg)
    }
  }

  /// Of a fax one side says nothing for minutes. Two silences of this one in a row, and one of the other between them,
  /// mean that for the time of a whole watch nobody has said anything.
  private func areBothSilent(_ session: Session, _ leg: Leg) -> Bool {
    let before = leg.silentAt
    leg.silentAt = now
    guard before != .zero, let other = session.other(leg) else { return false }
    let isInARow = now - before <= .milliseconds(Int(leg.silence)) + .seconds(1)
    return isInARow && other.silentAt >= before
  }

  private func closed(_ leg: Leg, _ session: Session) {
    if mediaIsClosed(session) { finish(session) }
  }

  private func leg(_ transport: MediaTransportID) -> Leg? {
    let found = leg(SlabHandle(packed: transport.raw))
    return found?.media == nil ? nil : found
  }

  /// Stops the leg's stream and gives its port back; quarantine keeps it from being used at once.
  func closeMedia(_ leg: Leg) {
    guard let media = leg.media, !leg.mediaClosing else { return }
    leg.mediaClosing = true
    outbox.media.append(.close(media.transport))
    _ = ports.release(media.local, at: now)
    closeFurther(leg)
  }
}
