import Base
import MediaControl
import RTPWire

extension Worker {
  /// Everything in the mailbox. False when the worker is to end.
  mutating func handleMailbox() -> Bool {
    let (table, stopping) = mailbox.collect(into: &commands)
    if let table { announcements = table }
    for command in commands { handle(command) }
    counters.commands &+= UInt64(commands.count)
    commands.removeAll(keepingCapacity: true)
    return !stopping
  }

  private mutating func handle(_ command: MediaCommand) {
    let done: Bool
    switch command {
    case .record(let id, let order): return record(id, order)
    case .moveRecording(let recording, let id, let channel):
      return moveRecording(recording, id, channel)
    case .pauseRecording(let recording, let isPaused): return pauseRecording(recording, isPaused)
    case .stopRecording(let recording, let end): return stopRecording(recording, end)
    default: done = handleTransport(command)
    }
    if !done {
      counters.commandsRefused &+= 1
      facts += command.refusal
    }
  }

  /// False where it cannot be done.
  private mutating func handleTransport(_ command: MediaCommand) -> Bool {
    switch command {
    case .open(let id, let media): open(id, media)
    case .remote(let id, let remote): setRemote(id, remote)
    case .bridge(let a, let b): bridge(a, b)
    case .play(let id, let application): play(id, application)
    case .interpose(let id, let application): interpose(id, application)
    case .watch(let id, let milliseconds): watch(id, milliseconds)
    case .examine(let id, let milliseconds): examine(id, milliseconds)
    case .digit(let id, let digit): say(id, digit)
    case .heed(let id): heed(id)
    case .number(let id, let numbers): number(id, numbers)
    case .measure(let id): measure(id)
    case .close(let id): close(id)
    case .record, .moveRecording, .pauseRecording, .stopRecording: true
    }
  }

  private mutating func open(_ id: MediaTransportID, _ media: LocalMedia) -> Bool {
    guard slots[id] == nil, let slot = ports.slot(of: media) ?? ports.bindEarly(media),
      !transports[slot].isOpen
    else { return false }
    let (rtp, rtcp) = (ports.sockets[2 * slot], ports.sockets[2 * slot + 1])
    transports[slot] = Transport()
    handshakes[slot] = nil
    streams[slot] = RTPStream()
    applications[slot] = Application()
    transports[slot].id = id
    transports[slot].isOpen = true
    transports[slot].watchStart = now
    guard watch(slot), MediaSocket.unmute(rtp), MediaSocket.unmute(rtcp) else {
      shut(slot)
      return false
    }
    dropsBefore[slot] = MediaSocket.drops(rtp)
    slots[id] = slot
    facts.append(.opened(id))
    return true
  }

  private mutating func setRemote(_ id: MediaTransportID, _ remote: RemoteMedia) -> Bool {
    guard let slot = slots[id] else { return false }
    takeBack(slot)
    guard secure(slot, remote) else { return false }
    let before = transports[slot].remote
    if transports[slot].hasRemote, before.rtp != remote.rtp { renewHandshakes(slot) }
    let isElsewhere = before.rtp != remote.rtp || before.signallingSource != remote.signallingSource
    if !transports[slot].hasRemote || isElsewhere {
      transports[slot].latch = SourceLatch()
      transports[slot].controlLatch = SourceLatch()
      transports[slot].saysDigits = .unknown
    } else if before.rtcp != remote.rtcp {
      transports[slot].controlLatch = SourceLatch()
    }
    transports[slot].remote = remote
    transports[slot].remote.security = nil
    transports[slot].hasRemote = true
    noteConversions(slot)
    noteDigits(slot)
    aim(slot)
    followHandshakes(slot)
    offerPassage(slot)
    return true
  }

  private mutating func bridge(_ a: MediaTransportID, _ b: MediaTransportID) -> Bool {
    guard a != b, let first = slots[a], let second = slots[b] else { return false }
    if transports[first].peer == Int32(second) { return true }
    for slot in [first, second] {
      unbridge(slot)
      stopApplication(slot)
      let hasFlow = streams[slot].outgoing.canonicalName != 0 && transports[slot].sent > 0
      transports[slot].isRenumbered =
        (hasFlow || transports[slot].isProtected) && transports[slot].remote.proto != .rtpAsSent
    }
    transports[first].peer = Int32(second)
    transports[second].peer = Int32(first)
    noteConversions(first)
    followRecording(first)
    followRecording(second)
    noteDigits(first)
    offerPassage(first)
    driveHandshakes(first)
    driveHandshakes(second)
    return true
  }

  private mutating func play(_ id: MediaTransportID, _ application: MediaApplication) -> Bool {
    guard let slot = slots[id] else { return false }
    guard let prepared = Application(application, announcements, settings) else { return false }
    unbridge(slot)
    stopApplication(slot)
    startApplication(slot, prepared)
    driveHandshakes(slot)
    noteDigits(slot)
    return true
  }

  private mutating func watch(_ id: MediaTransportID, _ milliseconds: UInt32) -> Bool {
    guard let slot = slots[id] else { return false }
    transports[slot].watchMilliseconds = milliseconds
    transports[slot].watchStart = now
    hastenHandshakes(slot)
    if milliseconds == 0 {
      timers.cancel(timer(.watch, slot))
    } else {
      timers.arm(timer(.watch, slot), at: now + .milliseconds(Int(milliseconds)))
    }
    return true
  }

  private mutating func measure(_ id: MediaTransportID) -> Bool {
    guard let slot = slots[id] else { return false }
    readPassages(slot)
    facts.append(.quality(id, quality(slot)))
    return true
  }

  private mutating func close(_ id: MediaTransportID) -> Bool {
    guard let slot = slots[id] else { return false }
    takeBack(slot)
    facts.append(.quality(id, quality(slot)))
    facts.append(.closed(id))
    leaveRecording(slot)
    sayGoodbye(slot)
    endHandshakes(slot)
    unbridge(slot)
    stopApplication(slot)
    timers.cancel(timer(.watch, slot))
    timers.cancel(timer(.examine, slot))
    // The kernel's counter wraps, so only differences mean anything.
    let drops = MediaSocket.drops(ports.sockets[2 * slot])
    counters.kernelDropped &+= UInt64(drops &- dropsBefore[slot])
    shut(slot)
    slots[id] = nil
    return true
  }

  private mutating func watch(_ slot: Int) -> Bool {
    if isWatched[slot] { return true }
    isWatched[slot] =
      poller.add(ports.sockets[2 * slot], token: UInt64(2 * slot))
      && poller.add(ports.sockets[2 * slot + 1], token: UInt64(2 * slot + 1))
    return isWatched[slot]
  }

  private mutating func shut(_ slot: Int) {
    let address = ports.address(ofSlot: slot)
    MediaSocket.mute(ports.sockets[2 * slot], own: address)
    MediaSocket.mute(ports.sockets[2 * slot + 1], own: SocketAddress(address.ip, address.port + 1))
    transports[slot].isOpen = false
    protections[slot] = nil
    controlProtections[slot] = nil
    handshakes[slot] = nil
    timers.cancel(timer(.handshake, slot))
    endDigits(slot)
    endNumbers(slot)
  }

  private mutating func unbridge(_ slot: Int) {
    let peer = Int(transports[slot].peer)
    guard peer >= 0 else { return }
    endInterlude(slot)
    endInterlude(peer)
    takeBack(slot)
    keepFlow(slot, of: peer)
    keepFlow(peer, of: slot)
    transports[slot].peer = -1
    transports[peer].peer = -1
    endConversion(slot)
    endConversion(peer)
    followRecording(slot)
    followRecording(peer)
    endDigits(slot)
    endDigits(peer)
    endNumbers(slot)
    endNumbers(peer)
  }

  /// What the far end of `slot` has heard from that of `peer` is the flow that it knows from now on, whoever feeds it.
  mutating func keepFlow(_ slot: Int, of peer: Int) {
    let reception = streams[peer].reception
    guard transports[slot].sent > 0, streams[slot].outgoing.canonicalName == 0, reception.started
    else { return }
    streams[slot].outgoing = OutgoingStream(from: &random)
    streams[slot].outgoing.ssrc = reception.ssrc
    streams[slot].outgoing.sequence = reception.highestSequence
    streams[slot].outgoing.timestamp = reception.lastTimestamp
    streams[slot].outgoing.wall = wall
  }

  /// The watch is looked at when its time would be over; packets in between only move what it sees then.
  mutating func checkSilence(_ slot: Int) {
    let period = Interval.milliseconds(Int(transports[slot].watchMilliseconds))
    guard transports[slot].isOpen, period > .zero else { return }
    readPassages(slot)
    let last = transports[slot].lastHeard
    let since = max(last, transports[slot].watchStart)
    if now - since >= period {
      facts.append(.silent(transports[slot].id, last: last))
      transports[slot].watchStart = now
      timers.arm(timer(.watch, slot), at: now + period)
    } else {
      timers.arm(timer(.watch, slot), at: since + period)
    }
  }

  func quality(_ slot: Int) -> StreamQuality {
    let transport = transports[slot]
    let reception = streams[slot].reception
    var quality = StreamQuality()
    quality.packets = reception.packets &+ transport.datagrams
    quality.octets = reception.octets
    quality.lost = reception.lost
    quality.duplicates = reception.duplicates
    quality.reordered = reception.reordered
    quality.jitter = reception.jitter
    quality.maxJitter = reception.maxJitter
    quality.mos = rating(slot).mos
    quality.payloadType = reception.lastPayloadType
    quality.ssrc = reception.ssrc
    quality.refused = transport.refused
    quality.malformed = transport.malformed
    quality.unauthentic = transport.unauthentic
    quality.replayed = transport.replayed
    quality.sent = transport.sent
    quality.rtcpPackets = transport.controlPackets
    quality.remoteFractionLost = transport.remoteFractionLost
    quality.remoteJitter = transport.remoteJitter
    quality.roundTrip = transport.roundTrip
    quality.remoteMOS = transport.remoteMOS
    quality.sentSSRC = transport.sent > 0 ? sentSource(slot) : 0
    quality.first = transport.firstMedia
    quality.last = transport.lastMedia
    return quality
  }

  func rating(_ slot: Int) -> Quality {
    let reception = streams[slot].reception
    return Quality(
      expected: reception.expected, lost: reception.lost, lossRuns: reception.lossRuns,
      jitter: reception.jitter, roundTrip: transports[slot].roundTrip,
      packetTime: transports[slot].remote.packetTime, codec: transports[slot].remote.codec)
  }
}
