import COpus

/// Two sides of a call to packets of Opus in stereo, 20 ms each.
@safe
final class StereoOpusEncoder {
  let band: SpeechBand
  /// Samples of each side in a packet.
  var frames: Int { 20 * band.perMillisecond }
  /// Below some 32 kbit/s libopus begins to mix the channels, and who said what would be lost. For audio and not for voice
  /// it keeps the waves (correlation 0.99 of speech, against 0.96).
  private static func bitRate(_ band: SpeechBand) -> Int32 {
    switch band {
    case .narrow: 48_000
    case .wide: 64_000
    }
  }

  private let state: OpaquePointer
  private var samples: [Int16]
  private(set) var payload = [UInt8](repeating: 0, count: 1_275)

  /// Nil: no memory.
  init?(_ band: SpeechBand) {
    guard
      let state = unsafe opus_encoder_create(Int32(band.rawValue), 2, OPUS_APPLICATION_AUDIO, nil)
    else { return nil }
    unsafe self.state = state
    self.band = band
    samples = Array(repeating: 0, count: 40 * band.perMillisecond)
    _ = unsafe copus_set(state, OPUS_SET_BITRATE_REQUEST, Self.bitRate(band))
    // The least work: at this rate more of it changes nothing that could be measured.
    _ = unsafe copus_set(state, OPUS_SET_COMPLEXITY_REQUEST, 0)
  }

  deinit { unsafe opus_encoder_destroy(state) }

  /// Samples of 48 kHz that a decoder has to leave out at the beginning (RFC 7845 §4.2).
  var preSkip: Int {
    Int(unsafe copus_get(state, OPUS_GET_LOOKAHEAD_REQUEST)) * 48_000 / band.rawValue
  }

  /// How many bytes of `payload` the packet of the next `frames` of `block`, from `start` on, has; samples beyond its end
  /// are silent.
  func encode(_ block: [Int16], from start: Int) -> Int {
    for i in 0..<samples.count {
      let at = start + i
      samples[i] = at < block.count ? block[at] : 0
    }
    let size = unsafe opus_encode(
      state, samples, Int32(frames), &payload, Int32(payload.count))
    return Int(max(size, 0))
  }
}
