import Base
import MediaControl
import RTPWire

// Speech that a far end wants evenly (`SpeechTreatment.even`): packets of the other side wait in a jitter buffer, and leave
// by a timer of ours through a converter, which also conceals what is missing.
//
//     packet ─▶ JitterBuffer ─▶ │ timer of a packet's length │ ─▶ SpeechConverter ─▶ packet of ours

extension Worker {
  /// What would lose by being decoded and encoded once more goes as it comes.
  private func isKept(_ from: AudioCodec, _ to: AudioCodec) -> Bool {
    guard from == to else { return true }
    switch to {
    case .pcmu, .pcma, .g722, .l16, .l16Wide: return true
    case .g729, .gsm, .opus, .unknown: return false
    }
  }

  /// Takes the packet of `source` in the buffer, where the far end of `slot` wants it evenly. False: it does not, or not
  /// this one.
  mutating func keep(
    _ header: RTPHeader, _ length: Int, of source: Int, for slot: Int
  ) -> Bool {
    guard transports[slot].remote.treatment.contains(.even) else { return false }
    guard let speech = conversion(of: header.payloadType, source, slot) else {
      return passBesidePlayout(header, length, of: source, for: slot)
    }
    guard isKept(speech.from.codec, speech.to.codec) else { return false }
    if playouts[source] == nil || converters[source]?.from != speech.from {
      endPlayout(source)
      begin(speech, of: source, for: slot)
      playouts[source] = playout(speech.from.codec, converters[source])
    }
    guard let playout = playouts[source] else {
      counters.unconvertible &+= 1
      return true
    }
    guard
      let duration = SpeechDecoder.duration(
        of: buffer.bytes(length).extracting(header.payload), speech.from.codec)
    else {
      counters.unconvertible &+= 1
      return true
    }
    let taken = playout.buffer.take(
      header, duration: duration, buffer.bytes(length).extracting(header.payload), at: arrival)
    if taken == .unusable { counters.unconvertible &+= 1 }
    if !playout.isTicking { resume(playout, source) }
    return true
  }

  private func playout(_ codec: AudioCodec, _ converter: SpeechConverter?) -> SpeechPlayout? {
    guard let converter else { return nil }
    let packet = codec.clockRate / 1_000 * UInt32(converter.packetMilliseconds)
    return SpeechPlayout(
      JitterBuffer(
        clockRate: codec.clockRate, packet: packet, longestPayload: codec.longestPayload),
      packetMilliseconds: converter.packetMilliseconds)
  }

  /// When the packet in the buffer came, by the clock that timers have.
  private var arrival: Instant {
    let age = stamp == 0 ? 0 : min(wall &- min(stamp, wall), 1_000_000_000)
    return Instant(nanoseconds: now.nanoseconds &- min(age, now.nanoseconds))
  }

  /// The clock begins again where there is something to say.
  private mutating func resume(_ playout: SpeechPlayout, _ source: Int) {
    let due = now + playout.buffer.untilDue(at: now)
    if playout.due != .zero {
      converters[source]?.pause(milliseconds: (due - playout.due).milliseconds)
    }
    playout.due = due
    playout.isTicking = true
    timers.arm(timer(.playout, source), at: due)
  }

  /// Digits go at once, and the speech that waits does not go on over them: it is theirs as well.
  private mutating func passBesidePlayout(
    _ header: RTPHeader, _ length: Int, of source: Int, for slot: Int
  ) -> Bool {
    guard let playout = playouts[source], converters[source] != nil else { return false }
    guard header.payloadType != 13 else {
      _ = playout.buffer.take(
        header, duration: 0, buffer.bytes(length).extracting(header.payload), at: arrival)
      if !playout.isTicking { resume(playout, source) }
      return true
    }
    playout.buffer.pass(header, at: arrival)
    if !playout.isTicking, playout.due < now {
      converters[source]?.pause(milliseconds: (now - playout.due).milliseconds)
      playout.due = now
    }
    let position = converters[source]?.position ?? 0
    let timestamp = playout.time(ofDigit: header, now: position)
    passBeside(header, length, at: timestamp, of: source, for: slot)
    return true
  }

  mutating func endPlayout(_ source: Int) {
    guard playouts[source] != nil else { return }
    playouts[source] = nil
    converters[source] = nil
    timers.cancel(timer(.playout, source))
  }

  /// One packet's time has come.
  mutating func runPlayout(_ source: Int) {
    let slot = Int(transports[source].peer)
    guard let playout = playouts[source], slot >= 0, transports[slot].remote.weSend,
      !transports[slot].target.isNowhere, var converter = converters[source].take()
    else { return endPlayout(source) }
    skipMissed(playout, &converter)
    let isTicking = fill(&converter, playout)
    if transports[source].digits.contains(.replaced) {
      // A digit is being said in its place.
      while buffer.make(&converter) != nil { counters.replacedByDigits &+= 1 }
    } else {
      sendMade(&converter, slot, isOurs: false, most: 1)
    }
    converters[source] = converter
    count(playout)
    playout.isTicking = isTicking
    guard isTicking else { return }
    playout.due = playout.due + playout.period
    timers.arm(timer(.playout, source), at: playout.due)
  }

  private mutating func skipMissed(_ playout: SpeechPlayout, _ converter: inout SpeechConverter) {
    let late = now - playout.due
    guard late > Self.longestCatchUp else { return }
    let missed = Int(late.nanoseconds / playout.period.nanoseconds)
    playout.due = playout.due + playout.period * missed
    converter.pause(milliseconds: missed * converter.packetMilliseconds)
  }

  /// Whatever is to be played now; false: nothing is, and nothing waits.
  private mutating func fill(
    _ converter: inout SpeechConverter, _ playout: SpeechPlayout
  ) -> Bool {
    let clock = max(converter.from.codec.clockRate / 1_000, 1)
    for _ in 0..<JitterBuffer.places where converter.isShort {
      switch playout.buffer.next(at: playout.due) {
      // What G.729 has for it is of its own.
      case .packet(let place, _)
      where playout.buffer.isSilence(place) && converter.from.codec != .g729:
        playout.buffer.withPayload(place) { converter.hush($0) }
      case .packet(let place, let surplus):
        let played = playout.buffer.withPayload(place) { converter.play($0, surplus: surplus) }
        switch played {
        case .played: break
        case .leftOut: playout.buffer.leftOut(at: playout.due)
        case .unusable:
          counters.unconvertible &+= 1
          converter.conceal(milliseconds: converter.packetMilliseconds)
        }
      case .lost(let duration, let next?):
        playout.buffer.withPayload(next) {
          converter.conceal(milliseconds: Int(duration / clock), before: $0)
        }
      case .lost(let duration, nil), .hold(let duration):
        converter.conceal(milliseconds: Int(duration / clock))
      case .pause where converter.isSilent:
        converter.addNoise(milliseconds: converter.packetMilliseconds)
      case .pause:
        if converter.finishPacket() { return true }
        if playout.buffer.count == 0 { return false }
        converter.pause(milliseconds: converter.packetMilliseconds)
        return true
      }
    }
    return true
  }

  private mutating func count(_ playout: SpeechPlayout) {
    let (now, before) = (playout.buffer.counters, playout.told)
    guard now != before else { return }
    counters.playoutLate &+= now.late &- before.late
    counters.playoutConcealed &+= now.lost &+ now.held &- before.lost &- before.held
    counters.playoutLeftOut &+= now.leftOut &- before.leftOut
    playout.told = now
  }
}

extension AudioCodec {
  /// Bytes, of 60 ms of it and a little more; of Opus what a packet in an Ethernet frame has room for.
  fileprivate var longestPayload: Int {
    switch self {
    case .pcmu, .pcma, .g722, .unknown: 640
    case .l16: 1_280
    case .l16Wide, .opus: 1_440
    case .gsm, .g729: 160
    }
  }
}
