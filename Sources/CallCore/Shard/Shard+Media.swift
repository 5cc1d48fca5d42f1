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
    if case .trunk(let trunk) = caller {
      leg.codecs = session.configuration.trunks[trunk].codecs
      leg.wideLatching = session.configuration.trunks[trunk].wideLatching
      leg.credentials = session.configuration.trunks[trunk].credentials
    }
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
    session.offerLines = offered.media.count
    return true
  }

  func refuseBeforeRecord(_ session: Session, _ cause: Cause, status: Int? = nil) {
    tell(.callAttempted(session.record), call: session.id)
    release(session, by: .system, cause, status: status)
  }

  /// One port pair of the leg's network, or false when none is left.
  func takePort(_ leg: Leg) -> Bool {
    guard leg.media == nil else { return true }
    let family = leg.destination.ip.family
    for address in mediaAddresses(leg, family: family) {
      guard leaves(address, forEmergencies: leg), let local = ports.lease(address: address, at: now)
      else { continue }
      let transport = MediaTransportID(raw: leg.handle.packed)
      leg.media = LegMedia(transport: transport, local: local)
      leg.sdpSession = random.next() >> 2
      leg.sdpVersion = 1
      outbox.media.append(.open(transport, local))
      return true
    }
    return false
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
  /// no audio line that can be anchored.
  func describes(_ message: borrowing Message, _ leg: Leg) -> Bool {
    guard let remote = readDescription(message, leg) else { return false }
    follow(remote, leg)
    return true
  }

  /// Reads the body into `offered`; nil, and nothing in `offered`, when it can't be used.
  func readDescription(_ message: borrowing Message, _ leg: Leg) -> RemoteMedia? {
    do throws(SDPParseError) {
      try SessionDescription.parse(message.bytes.extracting(message.body), into: &offered)
    } catch {
      offered = SessionDescription()
      return nil
    }
    return remoteMedia(offered, message.bytes.extracting(message.body), leg)
  }

  /// What `sdp`, read from `bytes`, comes to; nil, and the cause at the leg, where that is nothing.
  func remoteMedia(_ sdp: SessionDescription, _ bytes: RawSpan, _ leg: Leg) -> RemoteMedia? {
    leg.protection.refusal = nil
    guard let line = sdp.firstAudio, let rtp = sdp.rtpAddress(of: line) else {
      leg.protection.refusal = refusalWithoutAudio(sdp, leg)
      return nil
    }
    let formats = sdp.formats(of: line)
    guard let speech = formats.first(where: { $0.encoding.isSpeech }) else { return nil }
    // Speech goes to one place: an address that means many is nobody's.
    guard !rtp.ip.isMulticast, rtp.ip != IPAddress(v4: .max) else { return nil }
    let description = sdp.media[line]
    let onHold = rtp.ip.isUnspecified
    let security: MediaSecurity?
    do throws(Cause) {
      security = try self.security(sdp, bytes, line: line, leg)
    } catch {
      leg.protection.refusal = error
      return nil
    }
    return RemoteMedia(
      rtp: rtp, rtcp: rtcpAddress(sdp, line, rtp),
      signallingSource: leg.source.ip, latch: leg.wideLatching ? .window : .signalled,
      weSend: description.direction.receives && !onHold, weReceive: description.direction.sends,
      codec: speech.encoding == .pcmu ? .pcmu : speech.encoding == .pcma ? .pcma : .unknown,
      payloadType: speech.payloadType, clockRate: speech.clockRate,
      packetTime: description.packetTime,
      telephoneEvent: formats.first { $0.encoding == .telephoneEvent }?.payloadType ?? 255,
      security: security)
  }

  /// RFC 5761 §5.1.1: a=rtcp-mux is an offer that we do not take up, so RTCP has a port of its own.
  private func rtcpAddress(
    _ sdp: SessionDescription, _ line: Int, _ rtp: SocketAddress
  ) -> SocketAddress {
    let next = SocketAddress(rtp.ip, rtp.port &+ 1)
    guard !sdp.media[line].hasRTCPMux || sdp.media[line].rtcpPort != nil else { return next }
    return sdp.rtcpAddress(of: line) ?? next
  }

  /// `.remote` when something changed; the same transport, port and counters whatever it was.
  func follow(_ remote: RemoteMedia, _ leg: Leg) {
    guard let media = leg.media, !leg.mediaClosing, media.remote != remote else { return }
    leg.media?.remote = remote
    outbox.media.append(.remote(media.transport, remote))
  }

  // MARK: Writing ours

  /// Which codecs may pass between the two legs: what both allow; nil when that is nothing.
  func codecs(_ a: [String], _ b: [String]) -> CodecFilter? {
    if a.isEmpty { return CodecFilter(b) }
    if b.isEmpty { return CodecFilter(a) }
    let common = a.filter { name in b.contains { $0.lowercased() == name.lowercased() } }
    return common.isEmpty ? nil : CodecFilter(common)
  }

  /// Writes what one side described as ours for the other side into `body`. False: nothing that carries
  /// speech would be left.
  func relay(
    _ sdp: SessionDescription, _ bytes: RawSpan, to leg: Leg, codecs: CodecFilter
  ) -> Bool {
    guard let line = sdp.firstAudio, let media = leg.media,
      SDPWriter.keepsSpeech(sdp, of: bytes, line: line, codecs: codecs),
      case .some(let protection) = ownProtection(leg)
    else { return false }
    var direction: SDPDirection?
    if sdp.rtpAddress(of: line)?.ip.isUnspecified == true {
      // RFC 3264 §8.4: the old way to hold. Our own address is not 0.0.0.0, so the direction says it.
      direction = SDPDirection(sends: sdp.media[line].direction.sends, receives: false)
    }
    body.begin()
    SDPWriter.write(
      sdp, of: bytes, as: sdpSession(leg),
      lines: SDPLines(
        line: line, port: media.local.port, direction: direction, protection: protection),
      codecs: codecs, into: &body)
    return !body.isOverflowing
  }

  /// An offer of all that we speak ourselves.
  func writeOffer(_ leg: Leg) -> Bool {
    guard let media = leg.media, case .some(let protection) = ownProtection(leg) else {
      return false
    }
    body.begin()
    SDPWriter.offer(
      as: sdpSession(leg), port: media.local.port, protection: protection, into: &body)
    return !body.isOverflowing
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

  /// An answer must have as many m-lines as its offer (RFC 3264 §6); a callee that left some out has
  /// rejected them.
  func completeAnswer(_ offer: Block, lines: Int) {
    let answered = offered.media.count
    guard !offer.isNone, answered < lines else { return }
    let text = blocks.bytes(offer)
    guard (try? SessionDescription.parse(text, into: &offered)) != nil else { return }
    SDPWriter.reject(offered, of: text, from: answered, into: &body)
  }

  /// The o= and c= of our description to a leg. Its version counts up with each new offer or answer
  /// (RFC 3264 §8), not when the same one is sent in a 183 and again in the 200.
  func sdpSession(_ leg: Leg) -> SDPSession {
    SDPSession(id: leg.sdpSession, version: leg.sdpVersion, address: mediaAddress(leg))
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

  // MARK: Silence

  /// Both sides are watched while both are expected to speak; on hold nobody is (MED-4, RELIABILITY C7).
  func watchSilence(_ session: Session) {
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
    examine(leg, isTwoWay)
  }

  // MARK: Reports

  func mediaReported(_ fact: MediaFact) {
    switch fact {
    case .ready(let address, let range, let failed):
      _ = ports.add(address: Int(address), ports: range, except: failed)
    case .opened: break
    case .refused(let transport):
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
    case .evidence(let transport, let evidence):
      if let leg = leg(transport) { examined(leg, evidence) }
    case .silent(let transport, last: _):
      guard let leg = leg(transport), let session = leg.session, session.state == .answered else {
        return
      }
      tell(.mediaSilent(leg.side), call: leg.call)
      release(session, by: .system, .mediaTimeout)
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
    case .applicationEnded(let transport):
      guard let leg = leg(transport), let session = leg.session, session.state == .answered else {
        return
      }
      release(session, by: .callee, .normalClearing)
    case .closed(let transport):
      guard let leg = leg(transport) else { return }
      leg.media?.closed = true
      if let session = leg.session, session.state == .released { closed(leg, session) }
      removeIfDone(leg)
    }
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
  }
}
