/// What a listener at the end of a path would say of it: the E-model of ITU-T G.107 (06/2015), reduced
/// to what RTP tells:
///
///     R = 93.2 - Idd - Ie,eff        (all other parameters of table 2 at their defaults)
///
/// Echo is left out (Idte, Idle = 0), because RTP does not show it, and so is the advantage factor.
/// Codec figures are those of G.113 appendix I. For G.711 we take Ie = 0 and Bpl = 25.1, the values with
/// packet loss concealment (G.711 appendix I), because phones and gateways conceal; without it Bpl
/// would be 4.3.
package struct Quality: Hashable, Sendable {
  package static let maximumRating = 93.2

  /// Packets expected and of those lost; runs of consecutive losses (0: taken as random loss).
  package var expected: UInt64
  package var lost: UInt64
  package var lossRuns: UInt64
  /// RFC 3550 interarrival jitter, and the round trip if it is known, else 0. Microseconds.
  package var jitter: UInt32
  package var roundTrip: UInt32
  /// Milliseconds of speech in a packet.
  package var packetTime: UInt16
  package var codec: AudioCodec

  package init(
    expected: UInt64, lost: UInt64, lossRuns: UInt64 = 0, jitter: UInt32, roundTrip: UInt32 = 0,
    packetTime: UInt16 = 20, codec: AudioCodec
  ) {
    self.expected = expected
    self.lost = lost
    self.lossRuns = lossRuns
    self.jitter = jitter
    self.roundTrip = roundTrip
    self.packetTime = packetTime
    self.codec = codec
  }

  /// MOS-CQE in hundredths, 100...441; 0 when nothing was expected or the codec has no published model.
  package var mos: UInt16 {
    guard expected > 0, let rating else { return 0 }
    return UInt16(Quality.mos(rating: rating) * 100 + 0.5)
  }

  /// R, 0...93.2; nil where the codec has no published model.
  package var rating: Double? {
    guard let model = CodecModel(codec) else { return nil }
    let rating =
      Quality.maximumRating - Quality.delayImpairment(milliseconds: delay)
      - model.equipmentImpairment(lossPercent: lossPercent, burstRatio: burstRatio)
    return min(max(rating, 0), Quality.maximumRating)
  }

  package var lossPercent: Double {
    expected > 0 ? min(Double(lost) / Double(expected) * 100, 100) : 0
  }

  /// BurstR (G.107 §7.5): the mean length of the loss runs over what random loss of that rate would give.
  package var burstRatio: Double {
    guard lossRuns > 0, lost > lossRuns, lost < expected else { return 1 }
    let observed = Double(lost) / Double(lossRuns)
    let random = 1 / (1 - Double(lost) / Double(expected))
    return max(observed / random, 1)
  }

  /// Mouth to ear in milliseconds, estimated: half the round trip, a packet being filled, and a playout
  /// buffer of one packet or twice the jitter, whichever is more.
  package var delay: Double {
    let packet = Double(packetTime == 0 ? 20 : packetTime)
    return Double(roundTrip) / 2_000 + packet + max(packet, Double(jitter) / 500)
  }

  /// G.107 annex B.
  package static func mos(rating: Double) -> Double {
    if rating <= 0 { return 1 }
    if rating >= 100 { return 4.5 }
    return max(1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6, 1)
  }

  /// Idd (G.107 §7.4) for an absolute delay, from a table of the formula at steps of 25 ms and straight
  /// lines between them (never off by more than 0.14); constant above one second.
  package static func delayImpairment(milliseconds delay: Double) -> Double {
    guard delay > 100 else { return 0 }
    let position = (min(delay, 1_000) - 100) / 25
    let index = min(Int(position), delayTable.count - 2)
    let below = delayTable[index]
    return below + (delayTable[index + 1] - below) * (position - Double(index))
  }

  private static let delayTable: [Double] = [
    0, 0.005, 0.164, 1.035, 3.044, 5.854, 8.917, 11.925, 14.761, 17.39, 19.811, 22.033, 24.07,
    25.935, 27.643, 29.206, 30.636, 31.945, 33.144, 34.241, 35.247, 36.169, 37.014, 37.79, 38.503,
    39.159, 39.763, 40.319, 40.832, 41.307, 41.746, 42.152, 42.529, 42.879, 43.204, 43.507, 43.79,
  ]
}

/// Ie and Bpl of a codec (G.113 appendix I).
private struct CodecModel {
  var impairment: Double
  var robustness: Double

  init?(_ codec: AudioCodec) {
    switch codec {
    case .pcmu, .pcma: (impairment, robustness) = (0, 25.1)
    // G.729A with VAD.
    case .g729: (impairment, robustness) = (11, 19)
    // No model of narrow-band speech is published for these that tells of loss as well.
    case .g722, .gsm, .l16, .l16Wide, .opus, .unknown: return nil
    }
  }

  /// Ie,eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl) (G.107 §7.5).
  func equipmentImpairment(lossPercent: Double, burstRatio: Double) -> Double {
    impairment + (95 - impairment) * lossPercent / (lossPercent / burstRatio + robustness)
  }
}
