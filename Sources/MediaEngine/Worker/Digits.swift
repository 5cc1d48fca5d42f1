import Base
import MediaControl
import RTPWire

// Digits that the other end of a bridge takes in another way than they come: telephone-events, tones in the speech, or
// INFO, which goes by the signalling (`MediaFact.digit`, `MediaCommand.digit`).
//
//     far end ──events──▶ EventReceiver ─┐                      ┌─▶ events ─▶ far end of the other side
//             ──speech──▶ ToneReceiver ──┼─▶ begin, end ─▶ DigitSender
//     signalling ──.digit──▶ ────────────┘        └─▶ .digit    └─▶ tones
//
// While a digit is being said its flow is ours: the speech of the other side is dropped, and goes on behind it in the
// same flow (`OutgoingStream.resume`). A far end that says its digits in two ways is heard in the first one.

/// What has to be done with what comes from a far end.
struct DigitHandling: OptionSet, Sendable {
  var rawValue: UInt8
  /// Its telephone-events are read and not relayed.
  static let events = DigitHandling(rawValue: 1)
  /// Its speech is listened to.
  static let tones = DigitHandling(rawValue: 2)
  /// It is not relayed: a digit is being said in its place.
  static let replaced = DigitHandling(rawValue: 4)
}

/// The digits of a transport, those that come and those that go; an object, because few convert any.
final class DigitEnd {
  var events = EventReceiver()
  var tones: ToneReceiver?
  var lastHeard = Instant.zero
  /// Digits that no sender's queue bounds: so many a second, and at once.
  var allowance = TokenBucket(rate: 25, burst: 32)

  var sender = DigitSender()
  var isSending = false
  var due = Instant.zero
  /// Where the flow is, and the event at hand.
  var position: UInt32 = 0
  var segments = EventSegments(at: 0)
  var tone: DTMFTone?
  var format: SpeechFormats.Format?
  var encoder: SpeechEncoder?
  var samples = [Int16](repeating: 0, count: 480)
  /// What we say may come back as an echo, and is no digit of the far end's.
  var echoUntil = Instant.zero
}

extension Worker {
  private static var echo: Interval { .milliseconds(300) }

  // MARK: What is to be done

  /// Looks after a change of either end how digits go between `slot` and what it is bridged with.
  mutating func noteDigits(_ slot: Int) {
    let peer = Int(transports[slot].peer)
    if peer >= 0 {
      let (near, far) = (transports[slot].remote, transports[peer].remote)
      noteDigits(from: slot, to: far.digits, far.event?.clock)
      noteDigits(from: peer, to: near.digits, near.event?.clock)
    } else if applications[slot].isActive {
      // An application takes them in any way.
      noteDigits(from: slot, to: .info, nil)
    }
  }

  mutating func heed(_ id: MediaTransportID) -> Bool {
    guard let slot = slots[id] else { return false }
    takeBack(slot)
    transports[slot].heedsDigits = true
    noteDigits(slot)
    offerPassage(slot)
    return true
  }

  /// `clock`: of the other side's events. Those of another clock are said anew.
  private mutating func noteDigits(
    from slot: Int, to other: DigitKind, _ clock: EventClock?
  ) {
    let near = transports[slot].remote
    let far = transports[slot].heedsDigits ? .info : other
    var handling = transports[slot].digits.intersection(.replaced)
    if let own = near.event?.clock,
      far == .tones || far == .info || far == .events && clock != own
    {
      handling.insert(.events)
    }
    if near.digits == .tones, far == .events || far == .info { handling.insert(.tones) }
    if !handling.contains(.tones) { digitEnds[slot]?.tones = nil }
    transports[slot].digits = handling
  }

  /// The bridge or the application is over, or the transport.
  mutating func endDigits(_ slot: Int) {
    transports[slot].digits = []
    guard digitEnds[slot] != nil else { return }
    timers.cancel(timer(.digits, slot))
    timers.cancel(timer(.digitWatch, slot))
    digitEnds[slot] = nil
  }

  private mutating func digitEnd(_ slot: Int) -> DigitEnd {
    if let end = digitEnds[slot] { return end }
    let end = DigitEnd()
    digitEnds[slot] = end
    return end
  }

  // MARK: What comes

  /// The packet of `slot` in the buffer is looked at; whether it may go on.
  mutating func passesDigits(_ header: RTPHeader, _ length: Int, _ slot: Int) -> Bool {
    let handling = transports[slot].digits
    if handling.contains(.events),
      let clock = transports[slot].remote.events.clock(of: header.payloadType)
    {
      receiveEvent(header, length, clock, slot)
      return false
    }
    if handling.contains(.tones) { listen(header, length, slot) }
    // Again, since a digit may have begun with it.
    guard transports[slot].digits.contains(.replaced) else { return true }
    counters.replacedByDigits &+= 1
    return false
  }

  private mutating func receiveEvent(
    _ header: RTPHeader, _ length: Int, _ clock: EventClock, _ slot: Int
  ) {
    guard let report = TelephoneEvent(buffer.bytes(length).extracting(header.payload)) else {
      transports[slot].malformed &+= 1
      counters.malformed &+= 1
      return
    }
    guard isBelieved(.events, slot) else { return }
    let end = digitEnd(slot)
    let steps = end.events.take(header, report, clockRate: clock.rate)
    end.lastHeard = now
    pass(steps, .events, of: slot)
  }

  private mutating func listen(_ header: RTPHeader, _ length: Int, _ slot: Int) {
    let end = digitEnd(slot)
    if end.tones?.format.payloadType != header.payloadType {
      // Comfort noise and what we do not speak has no tones.
      guard let format = transports[slot].remote.spoken(header.payloadType),
        let receiver = ToneReceiver(format)
      else { return }
      if let before = end.tones { pass(before.forget(), .tones, of: slot) }
      end.tones = receiver
    }
    guard let receiver = end.tones else { return }
    if end.isSending || now < end.echoUntil { return pass(receiver.forget(), .tones, of: slot) }
    let steps = receiver.take(buffer.bytes(length), header)
    end.lastHeard = now
    // An echo or an announcement is not disturbed by it.
    if receiver.isSuspicious, transports[slot].peer >= 0 {
      var packet = buffer.mutableBytes(length)
      receiver.silence(&packet, header)
    }
    pass(steps, .tones, of: slot)
  }

  /// The way in which its digits came first is its way.
  private mutating func isBelieved(_ kind: DigitKind, _ slot: Int) -> Bool {
    if transports[slot].saysDigits == .unknown { transports[slot].saysDigits = kind }
    return transports[slot].saysDigits == kind
  }

  private mutating func pass(_ steps: DigitSteps, _ kind: DigitKind, of slot: Int) {
    guard steps != .nothing else { return }
    if let digit = steps.ended { ended(digit, kind, of: slot) }
    if let event = steps.began { began(event, kind, of: slot) }
    if let digit = steps.endedAtOnce { ended(digit, kind, of: slot) }
  }

  private mutating func began(_ event: UInt8, _ kind: DigitKind, of slot: Int) {
    guard isBelieved(kind, slot) else { return }
    timers.arm(
      timer(.digitWatch, slot), at: now + .milliseconds(EventReceiver.patienceMilliseconds))
    let peer = Int(transports[slot].peer)
    guard peer >= 0, passes(slot, peer) else { return }
    say(peer) { $0.begin(event) }
  }

  /// Digits of `slot` go on by the media of `peer`.
  private func passes(_ slot: Int, _ peer: Int) -> Bool {
    !transports[slot].heedsDigits && transports[peer].remote.digits != .info
  }

  private mutating func ended(_ digit: HeardDigit, _ kind: DigitKind, of slot: Int) {
    guard isBelieved(kind, slot) else { return }
    let peer = Int(transports[slot].peer)
    if peer >= 0, passes(slot, peer) {
      digitEnds[peer]?.sender.end(milliseconds: Int(digit.milliseconds))
    }
    guard digitEnd(slot).allowance.take(at: now) else {
      counters.digitsRefused &+= 1
      return
    }
    facts.append(
      .digit(
        transports[slot].id,
        MediaDigit(event: digit.event, milliseconds: digit.milliseconds, kind: kind)))
  }

  /// A digit whose end is not said is over when nothing has come for a while.
  mutating func watchDigits(_ slot: Int) {
    guard transports[slot].isOpen, let end = digitEnds[slot],
      end.events.isActive || end.tones?.isActive == true
    else { return }
    let patience = Interval.milliseconds(EventReceiver.patienceMilliseconds)
    guard now - end.lastHeard >= patience else {
      timers.arm(timer(.digitWatch, slot), at: end.lastHeard + patience)
      return
    }
    if let digit = end.events.end() { ended(digit, .events, of: slot) }
    if let tones = end.tones { pass(tones.forget(), .tones, of: slot) }
  }

  // MARK: What goes

  /// A digit of the other side's that came by the signalling.
  mutating func say(_ id: MediaTransportID, _ digit: MediaDigit) -> Bool {
    guard let slot = slots[id] else { return false }
    let peer = Int(transports[slot].peer)
    guard peer >= 0, transports[slot].remote.digits != .info else {
      counters.digitsRefused &+= 1
      return true
    }
    guard transports[peer].heedsDigits || isBelieved(.info, peer) else { return true }
    say(slot) { $0.add(digit.event.exposed, milliseconds: Int(digit.milliseconds)) }
    return true
  }

  private mutating func say(_ slot: Int, _ change: (inout DigitSender) -> Bool) {
    let end = digitEnd(slot)
    guard change(&end.sender) else {
      counters.digitsRefused &+= 1
      return
    }
    counters.digitsConverted &+= 1
    guard !end.isSending else { return }
    end.isSending = true
    takeBack(slot)
    beginOwnFlow(slot)
    let peer = Int(transports[slot].peer)
    if peer >= 0 { transports[peer].digits.insert(.replaced) }
    end.position = streams[slot].outgoing.timestamp &+ ticksSinceLast(slot)
    end.due = now
    timers.arm(timer(.digits, slot), at: now)
  }

  /// Where in its flow `slot` is: behind the packet before, and by as much as time has gone on.
  private func ticksSinceLast(_ slot: Int) -> UInt32 {
    ticks(Int(silence(slot, atLeast: transports[slot].packetMilliseconds)), slot)
  }

  /// Of the clock of what `slot` is sent.
  private func ticks(_ milliseconds: Int, _ slot: Int) -> UInt32 {
    let rate = max(Int(transports[slot].remote.clockRate), 8_000)
    return UInt32(truncatingIfNeeded: milliseconds * rate / 1_000)
  }

  /// A packet time of the digit at hand.
  mutating func sayDigits(_ slot: Int) {
    guard transports[slot].isOpen, let end = digitEnds[slot], end.isSending else { return }
    let period = transports[slot].packetMilliseconds
    let form: DigitSender.Form = transports[slot].remote.digits == .events ? .events : .tones
    guard transports[slot].remote.weSend, !transports[slot].target.isNowhere else {
      // On hold: nobody waits for what was typed before.
      end.sender = DigitSender()
      return rest(slot, end)
    }
    guard let step = end.sender.next(form, packetMilliseconds: period) else {
      return rest(slot, end)
    }
    switch step {
    case .event(let event, let duration, let isFirst, let isEnd):
      if isFirst { end.segments = EventSegments(at: end.position) }
      sendEvent(event, milliseconds: duration, isFirst: isFirst, isEnd: isEnd, slot, end)
    case .tone(let event, let isFirst):
      if isFirst { end.tone = DTMFTone(event: event) }
      sendTone(slot, end, samples: period * 8)
    case .silence:
      end.tone = nil
      sendTone(slot, end, samples: period * 8)
    case .pause: break
    }
    end.position &+= ticks(period, slot)
    // A stall of the machine is not caught up packet by packet.
    let next = end.due + .milliseconds(period)
    end.due = now - next > Self.longestCatchUp ? now : next
    timers.arm(timer(.digits, slot), at: end.due)
  }

  /// The flow is the other side's again.
  private mutating func rest(_ slot: Int, _ end: DigitEnd) {
    end.isSending = false
    end.echoUntil = now + Self.echo
    end.encoder = nil
    end.format = nil
    let packet = ticks(transports[slot].packetMilliseconds, slot)
    streams[slot].outgoing.timestamp = end.position &- packet
    streams[slot].outgoing.wall = wall
    let peer = Int(transports[slot].peer)
    if peer >= 0 { transports[peer].digits.remove(.replaced) }
    offerPassage(slot)
  }

  private mutating func sendEvent(
    _ event: UInt8, milliseconds: Int, isFirst: Bool, isEnd: Bool, _ slot: Int, _ end: DigitEnd
  ) {
    guard let format = transports[slot].remote.event else { return }
    let duration = milliseconds * Int(format.clock.rate) / 1_000
    let full = Int(EventSegments.longest)
    // What is told of as whole is told of once before the next one begins (§2.5.1.3).
    while end.segments.begins(duration) {
      sendEvent(
        TelephoneEvent(event: event, end: false, volume: 10, duration: UInt16(full)),
        format.payloadType, isFirst: false, slot, end)
      end.segments.goOn()
    }
    sendEvent(
      TelephoneEvent(
        event: event, end: isEnd, volume: 10,
        duration: UInt16(clamping: duration - full * end.segments.count)),
      format.payloadType, isFirst: isFirst, slot, end)
  }

  private mutating func sendEvent(
    _ event: TelephoneEvent, _ type: UInt8, isFirst: Bool, _ slot: Int, _ end: DigitEnd
  ) {
    writeHeader(type, marker: isFirst, end.segments.timestamp, slot, end)
    var packet = buffer.mutableBytes(RTPHeader.size + 4)
    event.write(to: &packet, at: RTPHeader.size)
    sendOwn(RTPHeader.size + 4, payload: 4, slot)
  }

  private mutating func sendTone(_ slot: Int, _ end: DigitEnd, samples count: Int) {
    if end.format == nil {
      end.format = toneFormat(slot)
      end.encoder = end.format.flatMap { SpeechEncoder($0.codec, .narrow) }
    }
    guard let format = end.format, let encoder = end.encoder, count <= end.samples.count else {
      return
    }
    for i in 0..<count { end.samples[i] = end.tone?.next() ?? 0 }
    writeHeader(format.payloadType, marker: false, end.position, slot, end)
    let size = buffer.encode(end.samples, count, encoder)
    guard size > 0 else { return }
    sendOwn(RTPHeader.size + size, payload: size, slot)
  }

  /// What the far end hears at the moment, as far as we speak it.
  private func toneFormat(_ slot: Int) -> SpeechFormats.Format? {
    let remote = transports[slot].remote
    let peer = Int(transports[slot].peer)
    if peer >= 0, let converter = converters[peer] { return converter.to }
    if peer >= 0, let format = remote.spoken(streams[peer].reception.lastPayloadType) {
      return format
    }
    return remote.spoken(remote.payloadType) ?? remote.speech.best(isWide: false)
  }

  private mutating func writeHeader(
    _ payloadType: UInt8, marker: Bool, _ timestamp: UInt32, _ slot: Int, _ end: DigitEnd
  ) {
    streams[slot].outgoing.interrupt()
    streams[slot].outgoing.timestamp = end.position
    buffer.write(
      RTPHeader(
        payloadType: payloadType, marker: marker, sequence: streams[slot].outgoing.sequence,
        timestamp: timestamp, ssrc: streams[slot].outgoing.ssrc))
  }
}

extension RemoteMedia {
  /// The codec of this payload type, where we speak it.
  fileprivate func spoken(_ payloadType: UInt8) -> SpeechFormats.Format? {
    if let format = speech[payloadType: payloadType] { return format }
    guard payloadType == self.payloadType, codec != .unknown else { return nil }
    return SpeechFormats.Format(codec, payloadType)
  }
}

extension PacketBuffer {
  fileprivate mutating func encode(_ samples: [Int16], _ count: Int, _ encoder: SpeechEncoder)
    -> Int
  {
    var packet = mutableBytes(RTPHeader.size + SpeechEncoder.longest)
    return encoder.encode(samples, count: count, into: &packet, at: RTPHeader.size)
  }
}
