import Base
import MediaControl
import RTPWire

// Speech that the other end of a bridge would not understand, or in packets that are too long for it. What leaves is a
// flow of our own then, and so RTCP ends here: either side has reports of ours, about what we heard and what we send.

extension Worker {
  /// Looks after a change of either end whether packets of `slot` and of what it is bridged with have to be converted.
  mutating func noteConversions(_ slot: Int) {
    let peer = Int(transports[slot].peer)
    guard peer >= 0 else { return }
    for (from, to) in [(slot, peer), (peer, slot)] {
      let (near, far) = (transports[from].remote.speech, transports[to].remote.speech)
      transports[from].converts =
        !far.isEmpty
        && (near.common(with: far) != near || transports[to].remote.maxPacketTime != 0
          || transports[to].remote.treatment.contains(.even))
      // A codec that is no longer the right one is not waited for.
      if let converter = converters[from],
        conversion(of: converter.from.payloadType, from, to).map({
          $0.from != converter.from || $0.to != converter.to
        }) ?? true || packetMilliseconds(converter.to.codec, to) != converter.packetMilliseconds
      {
        endPlayout(from)
        converters[from] = nil
      }
    }
  }

  mutating func endConversion(_ slot: Int) {
    transports[slot].converts = false
    endPlayout(slot)
    timers.cancel(timer(.noise, slot))
    converters[slot] = nil
    if transports[slot].endsReports {
      transports[slot].endsReports = false
      timers.cancel(timer(.report, slot))
    }
  }

  private func packetMilliseconds(_ codec: AudioCodec, _ slot: Int) -> Int {
    let remote = transports[slot].remote
    return codec.packetMilliseconds(
      wanted: Int(remote.packetTime), longest: Int(remote.maxPacketTime))
  }

  /// What a packet of `source` has to become for the far end of `slot`; nil: it goes as it is. Where its codec may stay
  /// it may still be too long, which only a look at it shows.
  func conversion(
    of payloadType: UInt8, _ source: Int, _ slot: Int
  ) -> (from: SpeechFormats.Format, to: SpeechFormats.Format)? {
    let (near, far) = (transports[source].remote.speech, transports[slot].remote.speech)
    if let conversion = near.conversion(of: payloadType, for: far) { return conversion }
    let remote = transports[slot].remote
    guard remote.maxPacketTime != 0 || remote.treatment.contains(.even),
      let from = near[payloadType: payloadType],
      let to = far[from.codec]
    else { return nil }
    return (from, to)
  }

  /// Takes the packet of `source` in the buffer for the far end of `slot`, where it has to be converted, and sends what
  /// comes of it. False: it is to go as it is.
  mutating func convert(_ header: RTPHeader, _ length: Int, of source: Int, for slot: Int) -> Bool {
    if keep(header, length, of: source, for: slot) { return true }
    if converters[source]?.from.payloadType != header.payloadType {
      guard let conversion = conversion(of: header.payloadType, source, slot) else {
        return passBeside(header, length, of: source, for: slot)
      }
      if conversion.from.codec == conversion.to.codec, !isTooLong(header, conversion.from, slot) {
        return false
      }
      begin(conversion, of: source, for: slot)
    }
    // Out of the table while it is used: it owns its memory, and a copy would be one too many.
    guard var converter = converters[source].take() else {
      counters.unconvertible &+= 1
      return true
    }
    switch buffer.take(header, &converter) {
    case .taken: sendMade(&converter, slot, isOurs: false)
    case .late: counters.convertedLate &+= 1
    case .unusable: counters.unconvertible &+= 1
    }
    converters[source] = converter
    if converter.isSilent { beginNoise(source) }
    return true
  }

  private func isTooLong(_ header: RTPHeader, _ format: SpeechFormats.Format, _ slot: Int) -> Bool {
    let longest = Int(transports[slot].remote.maxPacketTime)
    return longest != 0
      && format.codec.milliseconds(inBytes: Int(header.payload.count)) > longest
  }

  mutating func begin(
    _ conversion: (from: SpeechFormats.Format, to: SpeechFormats.Format), of source: Int,
    for slot: Int
  ) {
    for end in [source, slot] where !transports[end].endsReports {
      beginOwnFlow(end)
      transports[end].endsReports = true
      timers.arm(timer(.report, end), at: now + reportDelay(halves: 1))
    }
    let milliseconds = packetMilliseconds(conversion.to.codec, slot)
    let gap = silence(slot, atLeast: milliseconds) &* UInt64(conversion.to.codec.clockRate) / 1_000
    converters[source] = SpeechConverter(
      from: conversion.from, to: conversion.to, packetMilliseconds: milliseconds,
      timestamp: streams[slot].outgoing.timestamp &+ UInt32(truncatingIfNeeded: gap))
    if suppressesSilence(of: conversion.to.codec, slot) {
      converters[source]?.suppressor = SilenceSuppressor()
    }
  }

  /// G.729 and Opus have ways of their own, and comfort noise has a clock of 8 kHz (RFC 3389 §4).
  func suppressesSilence(of codec: AudioCodec, _ slot: Int) -> Bool {
    guard transports[slot].remote.treatment.isSuperset(of: [.comfortNoise, .suppressed]) else {
      return false
    }
    switch codec {
    case .pcmu, .pcma, .g722, .gsm, .l16: return true
    case .l16Wide, .g729, .opus, .unknown: return false
    }
  }

  /// `isOurs`: an application has spoken it. `most`: packets.
  mutating func sendMade(
    _ converter: inout SpeechConverter, _ slot: Int, isOurs: Bool, most: Int = .max
  ) {
    var count = 0
    while count < most, let made = buffer.make(&converter) {
      if made.kind != .held { count += 1 }
      if made.kind == .nothing {
        counters.suppressed &+= 1
        continue
      }
      guard made.size > 0 else {
        counters.unconvertible &+= 1
        continue
      }
      // A digit has been said in its place, and somewhat longer.
      guard Int32(bitPattern: made.timestamp &- streams[slot].outgoing.timestamp) > 0 else {
        counters.replacedByDigits &+= 1
        continue
      }
      streams[slot].outgoing.sequence &+= 1
      streams[slot].outgoing.timestamp = made.timestamp
      streams[slot].outgoing.isMapped = false
      buffer.write(
        RTPHeader(
          payloadType: made.kind == .noise ? 13 : converter.to.payloadType, marker: made.marker,
          sequence: streams[slot].outgoing.sequence, timestamp: made.timestamp,
          ssrc: streams[slot].outgoing.ssrc))
      if isOurs {
        sendOwn(RTPHeader.size + made.size, payload: made.size, slot)
        continue
      }
      streams[slot].outgoing.count(octets: made.size, wall: wall)
      counters.converted &+= 1
      guard let length = sealed(RTPHeader.size + made.size, slot) else { continue }
      send(length, slot: slot)
    }
  }

  /// A digit, or another packet that is no speech of ours, in the midst of a flow that we make: at its place in the time
  /// of that flow. False: no such flow has begun.
  private mutating func passBeside(
    _ header: RTPHeader, _ length: Int, of source: Int, for slot: Int
  ) -> Bool {
    guard converters[source] != nil, let timestamp = converters[source]?.time(beside: header) else {
      return false
    }
    if header.payloadType == 13, !takesNoise(source, slot) {
      hush(header, length, source)
      return true
    }
    passBeside(header, length, at: timestamp, of: source, for: slot)
    return true
  }

  mutating func passBeside(
    _ header: RTPHeader, _ length: Int, at timestamp: UInt32, of source: Int, for slot: Int
  ) {
    if transports[source].isRenamed { rename(header, of: source) }
    var mapped = header
    streams[slot].outgoing.sequence &+= 1
    streams[slot].outgoing.isMapped = false
    mapped.sequence = streams[slot].outgoing.sequence
    mapped.timestamp = timestamp
    mapped.ssrc = streams[slot].outgoing.ssrc
    buffer.writeMapping(mapped)
    streams[slot].outgoing.count(octets: Int(header.payload.count), wall: wall)
    guard let length = sealed(length, slot) else { return }
    send(length, slot: slot)
  }
}

extension AudioCodec {
  /// How long the speech is that so many bytes of it hold; 0 where only a decoder can tell.
  fileprivate func milliseconds(inBytes count: Int) -> Int {
    switch self {
    case .pcmu, .pcma, .g722: count / 8
    case .l16: count / 16
    case .l16Wide: count / 32
    case .gsm: count / 33 * 20
    case .g729: count / 10 * 10
    case .opus, .unknown: 0
    }
  }
}

extension PacketBuffer {
  fileprivate func take(_ header: RTPHeader, _ converter: inout SpeechConverter)
    -> SpeechConverter.Taken
  {
    converter.take(header, bytes(header.payload.end).extracting(header.payload))
  }

  mutating func make(_ converter: inout SpeechConverter) -> SpeechConverter.Made? {
    var packet = mutableBytes(RTPHeader.size + SpeechEncoder.longest)
    return converter.next(into: &packet, at: RTPHeader.size)
  }
}
