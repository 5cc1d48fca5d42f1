package import MediaControl

/// How many samples a second stand for speech between a decoder and an encoder.
package enum SpeechBand: Int, Sendable {
  case narrow = 8_000
  case wide = 16_000

  /// No more than both have.
  package static func between(_ from: AudioCodec, _ to: AudioCodec) -> SpeechBand {
    from.isWide && to.isWide ? .wide : .narrow
  }

  package var perMillisecond: Int { rawValue / 1_000 }
}

extension AudioCodec {
  /// What the codec's own samples come in, on the other side of whoever converts rates, where a call has `band`. One
  /// that can have either has the call's.
  func own(in band: SpeechBand) -> SpeechBand {
    switch self {
    case .pcmu, .pcma, .l16, .gsm, .g729: .narrow
    case .l16Wide: .wide
    case .g722, .opus, .unknown: band
    }
  }

  /// Whole frames of so many milliseconds make a packet.
  var frameMilliseconds: Int {
    switch self {
    case .pcmu, .pcma, .g722, .l16, .l16Wide, .unknown: 1
    case .g729, .opus: 10
    case .gsm: 20
    }
  }

  /// Milliseconds in a packet for one who asks for `wanted` (0: not said) and takes no more than `longest` (0: not
  /// said): from 10 to 60, in whole frames.
  func packetMilliseconds(wanted: Int, longest: Int) -> Int {
    var time = wanted == 0 ? 20 : wanted
    if longest > 0 { time = min(time, longest) }
    time = min(max(time, 10), 60)
    // Of Opus there are frames of 10, 20, 40 and 60 ms (RFC 6716 §2.1.4), and we put one in a packet.
    if self == .opus { return time >= 60 ? 60 : time >= 40 ? 40 : time >= 20 ? 20 : 10 }
    return max(time / frameMilliseconds, 1) * frameMilliseconds
  }
}
