/// Codecs that this process can speak itself; everything else is relayed without being understood.
package enum AudioCodec: UInt8, Sendable, CaseIterable {
  case unknown, pcmu, pcma, g722, gsm
  /// Linear samples of 16 bits (RFC 3551 §4.5.11), mono, at 8 and at 16 kHz.
  case l16, l16Wide
  case g729, opus

  /// Of RTP's time stamps, in Hz. G.722's says 8 000 though it has 16 000 samples (RFC 3551 §4.5.2), and Opus always
  /// 48 000 (RFC 7587 §4.1).
  package var clockRate: UInt32 {
    switch self {
    case .unknown: 0
    case .pcmu, .pcma, .g722, .gsm, .l16, .g729: 8_000
    case .l16Wide: 16_000
    case .opus: 48_000
    }
  }

  /// Has more of a voice than a telephone line of 3.4 kHz.
  package var isWide: Bool { self == .g722 || self == .l16Wide || self == .opus }

  /// In what order we name those that an offer has not, by whether that has a wide band. Linear samples come last: they
  /// are as good as they are large.
  package static func preferred(isWide: Bool) -> [AudioCodec] { isWide ? wideFirst : narrowFirst }

  private static let narrowFirst: [AudioCodec] = [
    .pcmu, .pcma, .g722, .opus, .g729, .gsm, .l16, .l16Wide,
  ]
  private static let wideFirst: [AudioCodec] = [
    .opus, .g722, .pcmu, .pcma, .g729, .gsm, .l16Wide, .l16,
  ]

  /// What it does to speech, the least first: G.711 takes nothing away from that of a telephone and costs nothing, G.729
  /// and GSM are heard. What carries a wide band goes before it where the other side has one too.
  func cost(isWide: Bool) -> Int {
    switch self {
    case .l16Wide: isWide ? 0 : 4
    case .opus: isWide ? 1 : 6
    case .g722: isWide ? 2 : 5
    case .pcmu, .pcma: 3
    case .l16: 3
    case .g729: 7
    case .gsm: 8
    case .unknown: 9
    }
  }
}
