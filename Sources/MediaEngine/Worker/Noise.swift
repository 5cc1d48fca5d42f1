import Base
import MediaControl
import RTPWire

// Silence of a flow that is converted. Who suppresses it sends a word of what it sounds like, by comfort noise (RFC 3389) or
// in the codec (annex B of G.729, discontinuous Opus), and then little or nothing. To a far end that has not named comfort
// noise that would be a dead line, so noise is made for it, packet by packet, until somebody speaks.

extension Worker {
  /// Comfort noise of 8 kHz (RFC 3389 §4) is nothing to who has another clock, or has not named it.
  func takesNoise(_ source: Int, _ slot: Int) -> Bool {
    transports[slot].remote.treatment.contains(.comfortNoise)
      && transports[source].remote.clockRate == transports[slot].remote.clockRate
  }

  /// The packet of `source` in the buffer is comfort noise.
  mutating func hush(_ header: RTPHeader, _ length: Int, _ source: Int) {
    guard var converter = converters[source].take() else { return }
    buffer.hush(header, &converter)
    converters[source] = converter
    beginNoise(source)
  }

  mutating func beginNoise(_ source: Int) {
    let timer = timer(.noise, source)
    guard !timers.isArmed(timer), let converter = converters[source] else { return }
    timers.arm(timer, at: now + .milliseconds(converter.packetMilliseconds))
  }

  mutating func sayNoise(_ source: Int, due: Instant) {
    let slot = Int(transports[source].peer)
    guard playouts[source] == nil, slot >= 0, transports[slot].remote.weSend,
      !transports[slot].target.isNowhere, !transports[slot].hearsNotice,
      var converter = converters[source].take()
    else { return }
    if converter.isSilent {
      if !transports[source].digits.contains(.replaced) {
        converter.addNoise(milliseconds: converter.packetMilliseconds)
        sendMade(&converter, slot, isOurs: false)
      }
      let next = due + .milliseconds(converter.packetMilliseconds)
      timers.arm(timer(.noise, source), at: now - due > Self.longestCatchUp ? now : next)
    }
    converters[source] = converter
  }

  /// The far end has said how much of our speech it does not get.
  mutating func expectLoss(_ slot: Int) {
    let peer = Int(transports[slot].peer)
    guard peer >= 0, transports[slot].remote.treatment.contains(.repeated) else { return }
    converters[peer]?.expectLoss(
      percent: (Int(transports[slot].remoteFractionLost) * 100 + 255) / 256)
  }
}

extension PacketBuffer {
  fileprivate func hush(_ header: RTPHeader, _ converter: inout SpeechConverter) {
    converter.hush(bytes(header.payload.end).extracting(header.payload))
  }
}
