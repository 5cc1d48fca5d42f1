import Base
import MediaControl
import RTPWire

// Application legs: frames on absolute deadlines, echo, and RTCP of our own.

extension Worker {
  /// A stall of the machine longer than this is not caught up packet by packet: the flow goes on from now,
  /// and its timestamps show the gap.
  static let longestCatchUp = Interval.milliseconds(100)

  mutating func startApplication(_ slot: Int, _ application: Application) {
    applications[slot] = application
    applications[slot].due = now
    if case .echo = application.kind { transports[slot].isEcho = true }
    if streams[slot].outgoing.canonicalName == 0 {
      streams[slot].outgoing = OutgoingStream(from: &random)
    }
    if application.isPaced { timers.arm(timer(.application, slot), at: now) }
    // The first report after about half the interval (RFC 3550 §6.2).
    timers.arm(timer(.report, slot), at: now + reportDelay(halves: 1))
  }

  mutating func stopApplication(_ slot: Int) {
    if applications[slot].isActive { converters[slot] = nil }
    applications[slot] = Application()
    transports[slot].isEcho = false
    endDigits(slot)
    timers.cancel(timer(.application, slot))
    timers.cancel(timer(.report, slot))
  }

  mutating func runApplication(_ slot: Int, due: Instant) {
    guard transports[slot].isOpen, !applications[slot].hasEnded else { return }
    if transports[slot].interlude == .waiting, !interludeBegins(slot) { return }
    let period = Interval.milliseconds(transports[slot].packetMilliseconds)
    guard transports[slot].hasRemote, transports[slot].remote.weSend,
      !transports[slot].target.isNowhere,
      transports[slot].remote.codec != .unknown || !applications[slot].isOptional
    else {
      // Nobody to speak to yet, or on hold: what has begun waits where it is.
      applications[slot].due = now + period
      timers.arm(timer(.application, slot), at: applications[slot].due)
      return
    }
    guard transports[slot].remote.codec != .unknown else {
      if transports[slot].hearsNotice { return noticeFailed(slot) }
      facts.append(.refused(transports[slot].id))
      counters.commandsRefused &+= 1
      stopApplication(slot)
      return
    }
    skipMissed(slot, period)
    if applications[slot].listeningIsOver(at: now) {
      applications[slot].speak(SpokenResult.clip(rating(slot)))
    }
    guard sendFrame(slot) else {
      applications[slot].end()
      if transports[slot].hearsNotice { return noticeHeard(slot) }
      facts.append(.applicationEnded(transports[slot].id))
      return
    }
    applications[slot].due = applications[slot].due + period
    timers.arm(timer(.application, slot), at: applications[slot].due)
  }

  private mutating func skipMissed(_ slot: Int, _ period: Interval) {
    let late = now - applications[slot].due
    guard late > Self.longestCatchUp else { return }
    let missed = late.nanoseconds / period.nanoseconds
    applications[slot].due = applications[slot].due + period * Int(missed)
    let milliseconds = Int(missed) * transports[slot].packetMilliseconds
    streams[slot].outgoing.timestamp &+= UInt32(truncatingIfNeeded: milliseconds * 8)
    converters[slot]?.pause(milliseconds: milliseconds)
  }

  /// False when the application has nothing more to say.
  private mutating func sendFrame(_ slot: Int) -> Bool {
    let remote = transports[slot].remote
    let samples = transports[slot].packetMilliseconds * 8
    let isLaw = remote.codec == .pcmu || remote.codec == .pcma
    // Who has begun that way goes on so: the time of what was left out is known there alone.
    if !isLaw || converters[slot] != nil || leavesPausesOut(slot) {
      return sendCoded(samples, slot)
    }
    guard applications[slot].fill(&buffer, count: samples, alaw: remote.codec == .pcma) else {
      return false
    }
    streams[slot].outgoing.sequence &+= 1
    streams[slot].outgoing.timestamp &+= UInt32(samples)
    let header = RTPHeader(
      payloadType: remote.payloadType, marker: applications[slot].isFirst,
      sequence: streams[slot].outgoing.sequence, timestamp: streams[slot].outgoing.timestamp,
      ssrc: streams[slot].outgoing.ssrc)
    buffer.write(header)
    applications[slot].isFirst = false
    sendOwn(RTPHeader.size + samples, payload: samples, slot)
    return true
  }

  /// Of what stands in the place of another side: what is said within a call of two has been promised to nobody, since
  /// what was answered there is for the flow that is relayed.
  private func leavesPausesOut(_ slot: Int) -> Bool {
    transports[slot].peer < 0 && applications[slot].hasPauses
      && suppressesSilence(of: transports[slot].remote.codec, slot)
  }

  /// In a codec other than G.711, in which clips and tones are kept, or with pauses left out.
  private mutating func sendCoded(_ samples: Int, _ slot: Int) -> Bool {
    let remote = transports[slot].remote
    let isA = remote.codec == .pcma
    guard applications[slot].fill(&buffer, count: samples, alaw: isA) else { return false }
    let to = SpeechFormats.Format(remote.codec, remote.payloadType)
    if converters[slot]?.to != to {
      converters[slot] = SpeechConverter(
        from: isA ? SpeechFormats.Format(.pcma, 8) : SpeechFormats.Format(.pcmu, 0), to: to,
        packetMilliseconds: remote.codec.packetMilliseconds(
          wanted: Int(remote.packetTime), longest: Int(remote.maxPacketTime)),
        timestamp: streams[slot].outgoing.timestamp
          &+ UInt32(truncatingIfNeeded: samples * Int(remote.codec.clockRate) / 8_000))
    }
    // Out of the table while it is used: it owns its memory, and a copy would be one too many.
    guard var converter = converters[slot].take() else { return false }
    let isSpared = leavesPausesOut(slot)
    if isSpared != (converter.suppressor != nil) {
      converter.suppressor = isSpared ? SilenceSuppressor() : nil
    }
    buffer.takeFrame(samples, &converter)
    applications[slot].isFirst = false
    sendMade(&converter, slot, isOurs: true)
    converters[slot] = converter
    return true
  }

  /// The caller's packet back to it, in a flow of our own: same codec, so payload, payload type and marker
  /// stay; order and gaps stay visible.
  mutating func echo(_ header: RTPHeader, _ length: Int, _ slot: Int) {
    guard transports[slot].remote.weSend, !transports[slot].target.isNowhere else {
      counters.unsendable &+= 1
      return
    }
    if transports[slot].facesOurselves, !transports[slot].echoAllowance.take(at: now) {
      counters.looped &+= 1
      return
    }
    let rate = Int(transports[slot].remote.clockRate)
    let gap = UInt32(truncatingIfNeeded: rate / 1_000 * transports[slot].packetMilliseconds)
    let mapped = streams[slot].outgoing.map(header, gap: gap)
    buffer.writeMapping(mapped)
    sendOwn(length, payload: Int(header.payload.count), slot)
  }

  mutating func sendOwn(_ length: Int, payload: Int, _ slot: Int) {
    guard let length = sealed(length, slot) else { return }
    guard buffer.send(length, from: ports.sockets[2 * slot], to: transports[slot].target) else {
      counters.sendFailures &+= 1
      return
    }
    transports[slot].sent &+= 1
    counters.applicationPackets &+= 1
    streams[slot].outgoing.count(octets: payload, wall: wall)
  }
}

extension Worker {
  /// Between half and one and a half of the interval, so that the reports of many legs spread
  /// (RFC 3550 §6.3.1); `halves` of it.
  mutating func reportDelay(halves: Int) -> Interval {
    let half = Int(settings.reportInterval.nanoseconds / 2)
    let spread = half / 2 + random.next(below: half + 1)
    return Interval(nanoseconds: Int64(spread)) * halves
  }

  /// The far end's flows end here, so that nobody else can report of them.
  private func makesReports(_ slot: Int) -> Bool {
    applications[slot].isActive || transports[slot].endsReports
  }

  mutating func sendReport(_ slot: Int) {
    guard transports[slot].isOpen, makesReports(slot) else { return }
    sendControl(slot, goodbye: false)
    timers.arm(timer(.report, slot), at: now + reportDelay(halves: 2))
  }

  /// BYE, when anything was sent before (§6.3.7).
  mutating func sayGoodbye(_ slot: Int) {
    guard makesReports(slot) else { return }
    let outgoing = streams[slot].outgoing
    if outgoing.packets > 0 || outgoing.reports > 0 { sendControl(slot, goodbye: true) }
  }

  private mutating func sendControl(_ slot: Int, goodbye: Bool) {
    guard !transports[slot].controlTarget.isNowhere else { return }
    let outgoing = streams[slot].outgoing
    let block = receptionBlock(slot)
    var info: RTCPSenderInfo?
    if outgoing.packets != outgoing.packetsAtReport {
      let current = senderInfo(slot)
      transports[slot].reportSent = ReportMark(middle: current.middle, wall: wall)
      info = current
    }
    let metrics = transports[slot].remote.wantsMetrics ? voipMetrics(slot) : nil
    let length = buffer.writeReport(
      ssrc: outgoing.ssrc, name: outgoing.canonicalName, info: info, block: block,
      metrics: metrics, goodbye: goodbye)
    streams[slot].outgoing.packetsAtReport = outgoing.packets
    streams[slot].outgoing.reports &+= 1
    guard let length = sealedControl(length, slot) else { return }
    let socket = ports.sockets[2 * slot + 1]
    if !buffer.send(length, from: socket, to: transports[slot].controlTarget) {
      counters.sendFailures &+= 1
    }
  }

  /// §6.4.1: the RTP timestamp is that of this moment, reckoned from the last packet.
  private func senderInfo(_ slot: Int) -> RTCPSenderInfo {
    let outgoing = streams[slot].outgoing
    let elapsed = wall > outgoing.wall ? min(wall - outgoing.wall, 3_600_000_000_000) : 0
    let ticks = elapsed / 1_000 &* UInt64(transports[slot].remote.clockRate) / 1_000_000
    return RTCPSenderInfo(
      ntp: ntpTime(unixNanoseconds: wall),
      timestamp: outgoing.timestamp &+ UInt32(truncatingIfNeeded: ticks),
      packets: outgoing.packets, octets: outgoing.octets)
  }

  /// What RFC 3611 §4.7 asks of who hears the far end. There is no playout here: what comes in time for the next packet is
  /// played, and nothing else is discarded.
  private func voipMetrics(_ slot: Int) -> VoIPMetrics? {
    let reception = streams[slot].reception
    guard reception.started, reception.expected > 0 else { return nil }
    let (bursts, rating) = (reception.burstFigures, rating(slot))
    let packet = Double(transports[slot].packetMilliseconds)
    var metrics = VoIPMetrics(ssrc: reception.ssrc)
    metrics.lossRate = UInt8(clamping: reception.lost &* 256 / reception.expected)
    metrics.burstDensity = UInt8(clamping: Int(bursts.burstDensity * 256))
    metrics.gapDensity = UInt8(clamping: Int(bursts.gapDensity * 256))
    metrics.burstDuration = UInt16(clamping: Int(bursts.burstPackets * packet))
    metrics.gapDuration = UInt16(clamping: Int(bursts.gapPackets * packet))
    metrics.roundTrip = UInt16(clamping: transports[slot].roundTrip / 1_000)
    metrics.endSystemDelay = UInt16(clamping: Int(packet))
    guard let factor = rating.rating else { return metrics }
    metrics.rFactor = UInt8(clamping: Int(factor + 0.5))
    metrics.mosConversational = UInt8(clamping: (Int(rating.mos) + 5) / 10)
    // Without what delay does to a conversation.
    var listening = rating
    listening.roundTrip = 0
    metrics.mosListening = UInt8(clamping: (Int(listening.mos) + 5) / 10)
    return metrics
  }

  private mutating func receptionBlock(_ slot: Int) -> RTCPReportBlock? {
    guard streams[slot].reception.started else { return nil }
    let heard = transports[slot].reportHeard
    let delay = heard.wall != 0 && wall > heard.wall ? (wall - heard.wall) / 1_000 : 0
    return streams[slot].reception.report(
      clockRate: transports[slot].remote.clockRate, lastSR: heard.wall == 0 ? 0 : heard.middle,
      delaySinceLastSR: UInt32(clamping: (delay << 16) / 1_000_000))
  }
}

extension PacketBuffer {
  fileprivate func takeFrame(_ count: Int, _ converter: inout SpeechConverter) {
    let frame = bytes(RTPHeader.size + count)
    converter.takeNext(frame.extracting(RTPHeader.size..<frame.byteCount))
  }

  mutating func write(_ header: RTPHeader) {
    var packet = mutableBytes(RTPHeader.size)
    header.write(to: &packet)
  }

  mutating func writeMapping(_ header: RTPHeader) {
    var packet = mutableBytes(RTPHeader.size)
    header.writeMapping(to: &packet)
  }

  /// SR or RR, SDES, and BYE at the end; returns the length.
  fileprivate mutating func writeReport(
    ssrc: UInt32, name: UInt64, info: RTCPSenderInfo?, block: RTCPReportBlock?,
    metrics: VoIPMetrics?, goodbye: Bool
  ) -> Int {
    var writer = RTCPWriter()
    var packet = mutableBytes(256)
    if let info {
      writer.senderReport(ssrc: ssrc, info: info, block: block, to: &packet)
    } else {
      writer.receiverReport(ssrc: ssrc, block: block, to: &packet)
    }
    writer.canonicalName(ssrc: ssrc, name: name, to: &packet)
    if let metrics { writer.extendedReport(ssrc: ssrc, metrics, to: &packet) }
    if goodbye { writer.bye(ssrc: ssrc, to: &packet) }
    return writer.count
  }
}
