import MediaControl
import RTPWire

// Speech that the other end of a bridge would not understand.

extension Worker {
  /// Looks after a change of either end whether packets of `slot` and of what it is bridged with have to be converted.
  mutating func noteConversions(_ slot: Int) {
    let peer = Int(transports[slot].peer)
    guard peer >= 0 else { return }
    for (from, to) in [(slot, peer), (peer, slot)] {
      let (near, far) = (transports[from].remote.speech, transports[to].remote.speech)
      transports[from].converts = !far.isEmpty && near.common(with: far) != near
      // A codec that is no longer the right one is not waited for.
      if let converter = converters[from],
        near.conversion(of: converter.from.payloadType, for: far).map({
          $0.from != converter.from || $0.to != converter.to
        }) ?? true
      {
        converters[from] = nil
      }
    }
  }

  mutating func endConversion(_ slot: Int) {
    transports[slot].converts = false
    converters[slot] = nil
  }

  /// The packet of `slot` in the buffer as `peer` understands it, and its length; nil: it says nothing.
  mutating func converted(_ header: RTPHeader, _ length: Int, of slot: Int, for peer: Int) -> Int? {
    if converters[slot]?.from.payloadType != header.payloadType {
      guard
        let conversion = transports[slot].remote.speech.conversion(
          of: header.payloadType, for: transports[peer].remote.speech)
      else { return length }
      converters[slot] = SpeechConverter(from: conversion.from, to: conversion.to)
    }
    guard let converter = converters[slot], let length = buffer.convert(header, converter) else {
      counters.unconvertible &+= 1
      return nil
    }
    counters.converted &+= 1
    return length
  }
}

extension PacketBuffer {
  fileprivate mutating func convert(_ header: RTPHeader, _ converter: SpeechConverter) -> Int? {
    var packet = mutableBytes(Self.capacity)
    return converter.convert(&packet, header)
  }
}
