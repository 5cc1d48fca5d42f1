import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// Which m-lines of a call pass beside speech: each is anchored at a port pair of its own, in its place in the
// descriptions of both sides. A fax in the place of speech goes where the speech went.

extension Shard {
  func streams(of caller: CallerKind, _ configuration: Configuration) -> SDPStreams {
    switch caller {
    case .phone: .all
    case .user(let user): configuration.users[user].streams
    case .trunk(let trunk): configuration.trunks[trunk].streams
    }
  }

  func transcodes(_ caller: CallerKind, _ configuration: Configuration) -> Bool {
    switch caller {
    case .phone: true
    case .user(let user): configuration.users[user].transcode
    case .trunk(let trunk): configuration.trunks[trunk].transcode
    }
  }

  // MARK: Which line is what

  /// The m-line that `Leg.media` carries: of speech, or where there is none a fax that has no transport of its own.
  func mainLine(_ sdp: SessionDescription, _ leg: Leg) -> Int? {
    if let line = sdp.firstAudio { return line }
    guard leg.streams.contains(SDPStreams(.fax)) else { return nil }
    return sdp.media.indices.first {
      sdp.media[$0].isFax && sdp.media[$0].port != 0 && leg.further?[$0]?.media == nil
    }
  }

  /// The lines that may pass beside the main one.
  private func furtherLines(
    _ sdp: SessionDescription, beside main: Int?, _ leg: Leg, _ other: Leg? = nil
  ) -> [Int] {
    guard sdp.media.count > 1 else { return [] }
    let allowed = leg.streams.intersection(other?.streams ?? .all)
    return sdp.media.indices.filter { line in
      guard line != main, sdp.media[line].port != 0, let stream = sdp.media[line].stream,
        stream != .speech, allowed.contains(SDPStreams(stream))
      else { return false }
      return stream != .fax || carriesPlain(leg) && other.map(carriesPlain) ?? true
    }
  }

  /// What has no keys does not go where there are any. A call for help goes all the same.
  func carriesPlain(_ leg: Leg) -> Bool {
    leg.media?.remote?.security == nil && !requiresProtection(leg)
  }

  // MARK: Reading

  func fax(_ sdp: SessionDescription, line: Int, _ leg: Leg) -> RemoteMedia? {
    guard carriesPlain(leg) else {
      leg.protection.refusal = .srtpRequired
      return nil
    }
    leg.protection.speech.answerPlain()
    return further(sdp, line: line, leg)
  }

  func furtherRemotes(
    _ sdp: SessionDescription, _ bytes: RawSpan, beside main: Int?, _ speech: RemoteMedia?,
    _ leg: Leg
  ) -> [(line: Int, remote: RemoteMedia)] {
    var found: [(line: Int, remote: RemoteMedia)] = []
    for line in furtherLines(sdp, beside: main, leg) {
      guard var remote = further(sdp, line: line, leg),
        case .some(let security) = furtherSecurity(sdp, bytes, line: line, beside: speech, leg)
      else { continue }
      remote.security = security
      found.append((line, remote))
    }
    return found
  }

  private func further(_ sdp: SessionDescription, line: Int, _ leg: Leg) -> RemoteMedia? {
    guard let rtp = sdp.rtpAddress(of: line), rtp.ip.isOnePlace else { return nil }
    let description = sdp.media[line]
    let format = sdp.formats(of: line).first
    return RemoteMedia(
      rtp: rtp, rtcp: rtcpAddress(sdp, line, rtp), signallingSource: leg.source.ip,
      latch: leg.wideLatching ? .window : .signalled,
      weSend: description.direction.receives && !rtp.ip.isUnspecified,
      weReceive: description.direction.sends, codec: .unknown,
      payloadType: format?.payloadType ?? 255, clockRate: format?.clockRate ?? 0, packetTime: 0,
      telephoneEvent: 255, proto: description.isFax ? .udptl : .rtpAsSent)
  }

  /// What the peer says of its further lines. Those that it says nothing of any more are over.
  func follow(_ remotes: [(line: Int, remote: RemoteMedia)], _ leg: Leg) {
    guard leg.further != nil || !remotes.isEmpty, !leg.mediaClosing else { return }
    let further = leg.further ?? FurtherStreams()
    leg.further = further
    close(further.remove { stream in !remotes.contains { $0.line == stream.line } })
    for (line, remote) in remotes {
      var stream = further[line] ?? FurtherStreams.Stream(line: line)
      let isNew = stream.remote != remote
      stream.remote = remote
      further[line] = stream
      if isNew, let media = stream.media { outbox.media.append(.remote(media.transport, remote)) }
    }
  }

  // MARK: Writing

  /// How the lines of `sdp`, which came from `source`, pass to `leg`, where they answer `offer` if it made one; nil:
  /// nothing that could be agreed to is left. `direction` is for the main line; nil: as it stands.
  func lines(
    _ sdp: SessionDescription, _ bytes: RawSpan, from source: Leg?, to leg: Leg,
    codecs: CodecFilter, speech: SDPSpeech, answering offer: OpenOffer? = nil,
    direction: SDPDirection? = nil
  ) -> SDPLines? {
    guard let media = leg.media else { return nil }
    var lines = SDPLines()
    lines.speech = speech
    let main = mainLine(sdp, leg)
    if let main {
      // RFC 3264 §6: what is answered is what was offered in that line.
      if let offer, offer.mayBeFax || sdp.media[main].isFax,
        !offers(offer, sdp.media[main].stream, at: main)
      {
        return nil
      }
      if sdp.media[main].isFax {
        guard carriesPlain(leg) else { return nil }
      } else {
        guard
          speech.isOfItsOwn
            || SDPWriter.keepsSpeech(sdp, of: bytes, line: main, codecs: codecs),
          case .some(let protection) = ownProtection(leg)
        else { return nil }
        lines.protection = protection
        // Who speaks DTLS says so with feedback, whatever it has of that; who does not often refuses the name.
        lines.dropsFeedback =
          offer == nil && sdp.media[main].transport.isDTLS && protection?.handshake == nil
        lines.speech.events = events(
          sdp, bytes, main, codecs, speech, from: source, to: leg, answering: offer)
        lines.speech.hasComfortNoise =
          offer != nil && answersNoise(sdp.formats(of: main), speech, leg)
      }
      lines[main] = SDPLines.Line(
        port: media.local.port,
        direction: direction ?? musicDirection(sdp, main, from: source, to: leg, offer != nil)
          ?? heldDirection(sdp, main))
    }
    let hasFurther =
      sdp.media.count > 1 && addFurther(sdp, beside: main, from: source, to: leg, offer, &lines)
    guard main != nil || hasFurther || sdp.media.allSatisfy({ $0.port == 0 }) else { return nil }
    return lines
  }

  /// The lines beside `main`; apart, since few descriptions have any. False: there are none.
  @inline(never)
  private func addFurther(
    _ sdp: SessionDescription, beside main: Int?, from source: Leg?, to leg: Leg,
    _ offer: OpenOffer?, _ lines: inout SDPLines
  ) -> Bool {
    var isAny = false
    for line in furtherLines(sdp, beside: main, leg, source) {
      if let offer, !offers(offer, sdp.media[line].stream, at: line) { continue }
      let media = sdp.media[line]
      guard media.isFax || hasTaken(line, source, leg),
        case .some(let protection) = ownProtection(
          leg, line, media, beside: main.map { sdp.media[$0].isFax ? nil : lines.protection }),
        let port = furtherPort(leg, line)
      else { continue }
      lines[line] = SDPLines.Line(port: port, direction: heldDirection(sdp, line))
      let dropsFeedback = offer == nil && media.transport.isDTLS && protection?.handshake == nil
      if protection != nil || dropsFeedback {
        lines.protect(line, by: protection, dropsFeedback: dropsFeedback)
      }
      isAny = true
    }
    return isAny
  }

  /// RFC 3264 §8.4: the old way to hold. Our own address is not 0.0.0.0, so the direction says it.
  private func heldDirection(_ sdp: SessionDescription, _ line: Int) -> SDPDirection? {
    guard sdp.rtpAddress(of: line)?.ip.isUnspecified == true else { return nil }
    return SDPDirection(sends: sdp.media[line].direction.sends, receives: false)
  }

  /// Where somebody has answered with more than the leg has offered, the rest is nobody's.
  private func offers(_ offer: OpenOffer, _ stream: SDPStream?, at line: Int) -> Bool {
    guard (try? SessionDescription.parse(blocks.bytes(offer.text), into: &known)) != nil,
      known.media.indices.contains(line)
    else { return false }
    return known.media[line].port != 0 && known.media[line].stream == stream
  }

  /// Our port for a further line of the leg: the one that it has, or a new one; nil where there is none to be had.
  private func furtherPort(_ leg: Leg, _ line: Int) -> UInt16? {
    let further = leg.further ?? FurtherStreams()
    leg.further = further
    var stream = further[line] ?? FurtherStreams.Stream(line: line)
    if let media = stream.media { return media.local.port }
    guard !leg.mediaClosing, further[line] != nil || further.streams.count < FurtherStreams.limit,
      let transport = further.nextTransport(of: leg), let local = leasePorts(leg)
    else { return nil }
    outbox.media.append(.open(transport, local))
    if let remote = stream.remote { outbox.media.append(.remote(transport, remote)) }
    stream.media = LegMedia(transport: transport, local: local)
    further[line] = stream
    return local.port
  }

  // MARK: What has been agreed

  /// Bridges the lines that both sides have now.
  func connectFurther(_ session: Session, _ one: Leg?, _ other: Leg?) {
    guard let one, let other, let mine = one.further, let theirs = other.further else { return }
    for stream in mine.streams {
      guard var far = theirs[stream.line], let a = stream.media, let b = far.media,
        stream.remote != nil, far.remote != nil,
        stream.peer != b.transport || far.peer != a.transport
      else { continue }
      outbox.media.append(.bridge(a.transport, b.transport))
      var near = stream
      near.peer = b.transport
      far.peer = a.transport
      mine[stream.line] = near
      theirs[stream.line] = far
    }
  }

  /// Our offer was refused: what it alone has brought is over.
  func dropUnanswered(_ leg: Leg) {
    guard let further = leg.further else { return }
    close(further.remove { $0.remote == nil })
  }

  /// What the other side has not taken was answered with port 0: a line that was there is over.
  func dropRefused(_ leg: Leg, by other: Leg) {
    guard let further = leg.further else { return }
    close(
      further.remove {
        $0.remote?.proto == .rtpAsSent && other.further?[$0.line]?.remote == nil
      })
  }

  func closeFurther(_ leg: Leg) {
    guard let further = leg.further else { return }
    close(further.remove { _ in true })
  }

  private func close(_ streams: [FurtherStreams.Stream]) {
    for media in streams.compactMap(\.media) {
      outbox.media.append(.close(media.transport))
      _ = ports.release(media.local, at: now)
    }
  }

  /// Says in the call's record what has passed beside speech, once each.
  func noteStreams(_ session: Session, _ sdp: SessionDescription) {
    for media in sdp.media where media.port != 0 {
      switch media.stream {
      case .fax: noteOnce("fax by T.38", session)
      case .video: noteOnce("with video", session)
      case .text: noteOnce("with text", session)
      case .application: noteOnce("with an application stream", session)
      case .speech, nil: break
      }
    }
  }

  func noteOnce(_ text: String, _ session: Session) {
    if !session.record.notes.contains(text) { note(text, session) }
  }
}

extension IPAddress {
  /// Media goes to one place: an address that means many is nobody's.
  var isOnePlace: Bool { !isMulticast && self != IPAddress(v4: .max) }
}
