import Base
import MediaControl
import RTPWire

// The life of an RTP packet (and below, of an RTCP packet): valid? from the far end? counted; passed on.
// Until the source is known to be the far end's, nothing but `refused` and `malformed` is counted.

extension Worker {
  mutating func receiveMedia(_ slot: Int) {
    guard let arrival = buffer.receive(from: ports.sockets[2 * slot]) else { return }
    if !transports[slot].isOpen {
      // The command that opens it was posted before its socket could hear anything.
      _ = handleMailbox()
      guard transports[slot].isOpen else { return }
    }
    counters.received &+= 1
    if transports[slot].isProtected { return receiveProtected(arrival, slot) }
    if transports[slot].remote.proto == .udptl { return receiveDatagram(arrival, slot) }
    guard let header = RTPHeader(buffer.bytes(arrival.length)) else {
      if keepEarlyHello(arrival, slot, control: false) { return }
      transports[slot].malformed &+= 1
      counters.malformed &+= 1
      return
    }
    guard admitMedia(arrival.source, header, slot) else { return }
    if transports[slot].passage == .kernel { recall(slot) }
    take(header, arrival.length, arrival.stamp, slot)
  }

  /// A packet of the far end's in the buffer.
  mutating func take(_ header: RTPHeader, _ length: Int, _ stamp: UInt64, _ slot: Int) {
    self.stamp = stamp
    transports[slot].lastHeard = now
    transports[slot].lastMedia = now
    if transports[slot].firstMedia == .zero { transports[slot].firstMedia = now }
    let header = transports[slot].isRenamed ? understood(header, slot) : header
    let rate = transports[slot].clockRate(header.payloadType)
    streams[slot].reception.receive(
      header, arrival: stamp == 0 ? wall : stamp, clockRate: rate)
    if transports[slot].recorder >= 0 { noteSpeech(header, stamp, slot) }
    if transports[slot].saysDigits == .unknown,
      transports[slot].remote.isEvent(header.payloadType)
    {
      transports[slot].saysDigits = .events
    }
    let peer = Int(transports[slot].peer)
    if peer >= 0 {
      if transports[slot].facesOurselves, transports[peer].facesOurselves { return dropLooped() }
      if transports[peer].hearsNotice { return }
      if transports[peer].interlude == .playing { breakInterlude(peer) }
      forwardMedia(header, length, of: slot, to: peer)
      if transports[slot].passage == .offered { handOver(header, length, slot) }
      return
    }
    let isHeard = !transports[slot].digits.isEmpty
    if isHeard, !passesDigits(header, length, slot), !transports[slot].isEcho { return }
    if transports[slot].isEcho {
      echo(header, length, slot)
    } else if !applications[slot].isActive {
      counters.unbridged &+= 1
    }
  }

  /// UDPTL goes on as it came, to an end that speaks it too: while the two sides change over, one still speaks RTP.
  private mutating func receiveDatagram(_ arrival: Arrival, _ slot: Int) {
    guard admitMedia(arrival.source, nil, slot) else { return }
    transports[slot].datagrams &+= 1
    transports[slot].lastHeard = now
    transports[slot].lastMedia = now
    if transports[slot].firstMedia == .zero { transports[slot].firstMedia = now }
    let peer = Int(transports[slot].peer)
    guard peer >= 0 else {
      counters.unbridged &+= 1
      return
    }
    if transports[slot].facesOurselves, transports[peer].facesOurselves { return dropLooped() }
    guard transports[peer].remote.proto == .udptl, transports[peer].remote.weSend,
      !transports[peer].isProtected, !transports[peer].target.isNowhere
    else {
      counters.unsendable &+= 1
      return
    }
    send(arrival.length, slot: peer)
  }

  /// Whether the packet is the far end's, learning where that is (`SourceLatch`).
  private mutating func admitMedia(
    _ source: SocketAddress, _ header: RTPHeader?, _ slot: Int
  ) -> Bool {
    guard transports[slot].hasRemote else { return refuse(source, slot) }
    guard transports[slot].remote.weReceive else {
      counters.unwanted &+= 1
      return false
    }
    if transports[slot].latch.state != .fixed, source != transports[slot].remote.rtp,
      destinations.isOwn(source)
    {
      return refuse(source, slot)
    }
    let verdict = transports[slot].latch.admit(
      source, media: transports[slot].remote.rtp,
      signalling: transports[slot].remote.signallingSource, policy: transports[slot].remote.latch)
    switch verdict {
    case .accepted: return true
    case .refused:
      if let header, follow(source, header, slot) { return true }
      return refuse(source, slot)
    case .latched:
      aim(slot)
      offerPassage(slot)
      facts.append(.latched(transports[slot].id, source, at: now))
      return true
    case .displaced:
      move(slot, to: source)
      return true
    }
  }

  private mutating func refuse(_ source: SocketAddress, _ slot: Int) -> Bool {
    transports[slot].refusedSource = source
    return refuse(slot)
  }

  private mutating func refuse(_ slot: Int) -> Bool {
    transports[slot].refused &+= 1
    counters.refused &+= 1
    return false
  }

  fileprivate mutating func dropLooped() { counters.looped &+= 1 }

  /// Sends the packet in the buffer to the far end of `slot`, as it came or in the flow that is known there.
  private mutating func forwardMedia(
    _ header: RTPHeader, _ length: Int, of source: Int, to slot: Int
  ) {
    guard transports[slot].remote.weSend, transports[slot].remote.proto != .udptl,
      !transports[slot].target.isNowhere
    else {
      counters.unsendable &+= 1
      return
    }
    if !transports[source].digits.isEmpty, !passesDigits(header, length, source) { return }
    if transports[source].converts, convert(header, length, of: source, for: slot) { return }
    if transports[slot].isRenumbered, !renumber(header, slot) { return }
    if transports[source].isRenamed { rename(header, of: source) }
    guard let length = sealed(length, slot) else { return }
    send(length, slot: slot)
  }

  /// The packet in the buffer.
  mutating func send(_ length: Int, slot: Int) {
    if buffer.send(length, from: ports.sockets[2 * slot], to: transports[slot].target) {
      transports[slot].sent &+= 1
      counters.relayed &+= 1
    } else {
      counters.sendFailures &+= 1
    }
  }

  /// False: it has no place in the flow any more.
  private mutating func renumber(_ header: RTPHeader, _ slot: Int) -> Bool {
    // A change of source shows how long nothing was heard, and at least as a packet.
    let rate = UInt64(transports[slot].clockRate(header.payloadType))
    let packet = transports[slot].packetMilliseconds
    let gap = silence(slot, atLeast: packet) &* rate / 1_000
    let least = UInt32(truncatingIfNeeded: UInt64(packet) &* rate / 1_000)
    guard streams[slot].outgoing.resume(header, least: least) else {
      counters.replacedByDigits &+= 1
      return false
    }
    let mapped = streams[slot].outgoing.map(header, gap: UInt32(truncatingIfNeeded: gap))
    buffer.writeMapping(mapped)
    streams[slot].outgoing.count(octets: Int(header.payload.count), wall: wall)
    return true
  }

  /// Milliseconds since the far end of `slot` was sent anything, if it was.
  func silence(_ slot: Int, atLeast milliseconds: Int) -> UInt64 {
    streams[slot].outgoing.silence(at: wall, atLeast: UInt64(milliseconds))
  }

  /// Works out anew where packets for the far end of `slot` go.
  mutating func aim(_ slot: Int) {
    let remote = transports[slot].remote
    let latch = transports[slot].latch
    let control = transports[slot].controlLatch
    let address = latch.state == .open ? remote.rtp : latch.address
    transports[slot].facesOurselves = destinations.isOwn(address)
    transports[slot].target = target(address, slot)
    transports[slot].controlTarget =
      target(control.state == .open ? remote.rtcp : control.address, slot)
  }

  private func target(_ address: SocketAddress, _ slot: Int) -> SendTarget {
    let allowed = destinations.allows(
      address, from: ports.boundAddress(ofSlot: slot),
      signalling: transports[slot].remote.signallingSource)
    return allowed && address != ports.address(ofSlot: slot) ? SendTarget(address) : SendTarget()
  }
}

extension Worker {
  /// No compound is longer than a packet on the wire; walking 64 kB for a stranger would be a gift.
  private static var largestControl: Int { 1_500 }

  /// RTCP is read by us and passed on without its texts, which name the sender: its SSRCs are those of the
  /// packets, as whoever hears them knows them.
  /// It flows in every direction of the session, on hold as well (RFC 3264 §5.1).
  mutating func receiveControl(_ slot: Int) {
    guard var arrival = buffer.receive(from: ports.sockets[2 * slot + 1]) else { return }
    guard transports[slot].isOpen else { return }
    counters.controlReceived &+= 1
    let isProtected = transports[slot].isProtected
    if isHandshake(arrival, slot) { return receiveHandshake(arrival, slot, control: true) }
    guard arrival.length <= Self.largestControl,
      isProtected || RTCPReader.isValid(buffer.bytes(arrival.length))
    else {
      if keepEarlyHello(arrival, slot, control: true) { return }
      transports[slot].malformed &+= 1
      counters.malformed &+= 1
      return
    }
    if isProtected {
      guard let length = openControl(arrival, slot) else { return }
      arrival.length = length
    } else if !admitControl(arrival.source, slot) {
      return
    }
    transports[slot].lastHeard = now
    transports[slot].controlPackets &+= 1
    readControl(arrival, slot)
    let peer = Int(transports[slot].peer)
    guard peer >= 0, !transports[slot].endsReports else { return }
    if transports[slot].facesOurselves, transports[peer].facesOurselves { return dropLooped() }
    guard !transports[peer].controlTarget.isNowhere else {
      counters.unsendable &+= 1
      return
    }
    let sent = transports[peer].isRenumbered ? streams[peer].outgoing.mapping : nil
    let heard = transports[slot].isRenumbered ? streams[slot].outgoing.mapping : nil
    if sent != nil || heard != nil { buffer.renumber(arrival.length, sent: sent, heard: heard) }
    buffer.hideTexts(arrival.length)
    guard let length = sealedControl(arrival.length, peer) else { return }
    let socket = ports.sockets[2 * peer + 1]
    if buffer.send(length, from: socket, to: transports[peer].controlTarget) {
      counters.controlRelayed &+= 1
    } else {
      counters.sendFailures &+= 1
    }
  }

  /// A latch of its own, without a window: who may be learnt is whoever SDP or signalling named, or the
  /// address that RTP has proven.
  private mutating func admitControl(_ source: SocketAddress, _ slot: Int) -> Bool {
    guard transports[slot].hasRemote else { return refuse(slot) }
    if transports[slot].controlLatch.state != .fixed, source != transports[slot].remote.rtcp,
      destinations.isOwn(source)
    {
      return refuse(slot)
    }
    let media = transports[slot].latch
    let proven = media.state == .fixed && media.address.ip == source.ip
    let named = transports[slot].remote.rtcp
    let verdict = transports[slot].controlLatch.admit(
      source, media: proven ? SocketAddress(source.ip, named.port) : named,
      signalling: transports[slot].remote.signallingSource, policy: .signalled)
    switch verdict {
    case .accepted: return true
    case .refused: return refuse(slot)
    case .displaced, .latched:
      transports[slot].controlLatch.move(to: source)
      aim(slot)
      return true
    }
  }

  /// What the far end of `slot` knows the flow by that it gets.
  func sentSource(_ slot: Int) -> UInt32 {
    let peer = Int(transports[slot].peer)
    return peer >= 0 && !transports[slot].isRenumbered
      ? streams[peer].reception.ssrc : streams[slot].outgoing.ssrc
  }

  private mutating func readControl(_ arrival: Arrival, _ slot: Int) {
    let time = arrival.stamp == 0 ? wall : arrival.stamp
    let peer = Int(transports[slot].peer)
    let sentSource = sentSource(slot)
    var reader = RTCPReader()
    while let packet = reader.next(in: buffer.bytes(arrival.length)) {
      if let info = packet.senderInfo(in: buffer.bytes(arrival.length)) {
        let mark = ReportMark(middle: info.middle, wall: time)
        transports[slot].reportHeard = mark
        if peer >= 0, !transports[slot].endsReports {
          transports[peer].reportSent = ReportMark(middle: info.middle, wall: wall)
        }
      }
      var index = 0
      while let block = packet.reportBlock(index, in: buffer.bytes(arrival.length)) {
        // What the far end says of the flow that we send it; other sources are not ours to report.
        if block.ssrc == sentSource { note(block, at: time, slot) }
        index += 1
      }
      if let metrics = packet.voipMetrics(of: sentSource, in: buffer.bytes(arrival.length)),
        (10...50).contains(metrics.mosConversational)
      {
        transports[slot].remoteMOS = UInt16(metrics.mosConversational) * 10
      }
    }
  }

  private mutating func note(_ block: RTCPReportBlock, at time: UInt64, _ slot: Int) {
    let rate = UInt64(max(transports[slot].remote.clockRate, 1))
    transports[slot].remoteFractionLost = block.fractionLost
    expectLoss(slot)
    transports[slot].remoteJitter = UInt32(clamping: UInt64(block.jitter) &* 1_000_000 / rate)
    // Round trip between us and the far end, also for an SR that we only passed on: from when it left us.
    let sent = transports[slot].reportSent
    guard sent.wall != 0, sent.middle == block.lastSR, time >= sent.wall else { return }
    let held = UInt64(block.delaySinceLastSR) &* 1_000_000 >> 16
    let elapsed = (time - sent.wall) / 1_000
    if elapsed >= held { transports[slot].roundTrip = UInt32(clamping: elapsed - held) }
  }
}

extension PacketBuffer {
  fileprivate mutating func renumber(_ length: Int, sent: RTPMapping?, heard: RTPMapping?) {
    var compound = mutableBytes(length)
    RTCPReader.renumber(in: &compound, sent: sent, heard: heard)
  }

  fileprivate mutating func hideTexts(_ length: Int) {
    var compound = mutableBytes(length)
    RTCPReader.hideTexts(in: &compound)
  }
}
