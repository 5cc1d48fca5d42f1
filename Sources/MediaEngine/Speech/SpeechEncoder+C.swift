import Base
import CG729
import COpus
import CSpanDSP
package import MediaControl
import RTPWire

/// Samples of 16 bits in a band to payloads of one codec.
@safe
package final class SpeechEncoder {
  /// The longest payload that is made: 60 ms of linear samples in the wide band.
  package static let longest = 60 * 16 * 2

  @safe private enum Kind {
    case ulaw, alaw, linear
    case g722(OpaquePointer)
    case gsm(OpaquePointer)
    case g729(OpaquePointer)
    case opus(OpaquePointer)
  }

  private let kind: Kind
  private var expectedLoss = 0
  private var resampler: HalfBand?
  private var samples = [Int16](repeating: 0, count: 60 * 16)
  private var payload = [UInt8](repeating: 0, count: longest)

  /// Nil: a codec that we do not speak, one whose library is not installed, or no memory.
  package init?(_ codec: AudioCodec, _ band: SpeechBand) {
    guard let kind = Self.kind(codec, band) else { return nil }
    self.kind = kind
    resampler = HalfBand(from: band, to: codec.own(in: band), milliseconds: 60)
  }

  private static func kind(_ codec: AudioCodec, _ band: SpeechBand) -> Kind? {
    switch codec {
    case .pcmu: return .ulaw
    case .pcma: return .alaw
    case .l16, .l16Wide: return .linear
    case .g722:
      let rate = band == .wide ? 0 : Int32(G722_SAMPLE_RATE_8000)
      return unsafe g722_encode_init(nil, 64_000, rate).map { unsafe .g722($0) }
    case .gsm:
      return unsafe gsm0610_init(nil, Int32(GSM0610_PACKING_VOIP)).map { unsafe .gsm($0) }
    case .g729: return unsafe cg729_encoder_new().map { unsafe .g729($0) }
    case .opus:
      guard
        let state = unsafe opus_encoder_create(
          Int32(band.rawValue), 1, OPUS_APPLICATION_VOIP, nil)
      else { return nil }
      // What a call in mono is worth (RFC 7587 §3.1.1: 16 to 20 kbit/s of the wide band), with what a lost packet
      // costs least.
      _ = unsafe copus_set(state, OPUS_SET_BITRATE_REQUEST, 24_000)
      _ = unsafe copus_set(state, OPUS_SET_COMPLEXITY_REQUEST, 5)
      _ = unsafe copus_set(state, OPUS_SET_SIGNAL_REQUEST, OPUS_SIGNAL_VOICE)
      return unsafe .opus(state)
    case .unknown: return nil
    }
  }

  deinit {
    switch kind {
    case .ulaw, .alaw, .linear: break
    case .g722(let state): _ = unsafe g722_encode_free(state)
    case .gsm(let state): _ = unsafe gsm0610_free(state)
    case .g729(let state): unsafe cg729_encoder_free(state)
    case .opus(let state): unsafe opus_encoder_destroy(state)
    }
  }

  /// The far end says what part of the packets it does not get, in per cent: each says something of the one before it
  /// then, as much as that is worth.
  package func expectLoss(percent: Int) {
    guard case .opus(let state) = kind else { return }
    // It falls more slowly than it rises.
    let percent = min(max(percent, expectedLoss * 3 / 4), 30)
    guard percent != expectedLoss else { return }
    expectedLoss = percent
    _ = unsafe copus_set(state, OPUS_SET_INBAND_FEC_REQUEST, percent > 0 ? 1 : 0)
    _ = unsafe copus_set(state, OPUS_SET_PACKET_LOSS_PERC_REQUEST, Int32(percent))
  }

  /// The payload of the first `count` of `speech`, whole frames of the codec, written to `packet` from `offset` on; how
  /// many bytes that are. 0: none could be made.
  package func encode(
    _ speech: [Int16], count: Int, into packet: inout MutableRawSpan, at offset: Int
  ) -> Int {
    guard count <= samples.count, count <= speech.count else { return 0 }
    for i in 0..<count { samples[i] = speech[i] }
    let count = resampler?.convert(&samples, count) ?? count
    let size = encode(count)
    guard size > 0, offset + size <= packet.byteCount else { return 0 }
    for i in 0..<size {
      packet.storeBytes(of: payload[i], toByteOffset: offset + i, as: UInt8.self)
    }
    return size
  }

  private func encode(_ count: Int) -> Int {
    switch kind {
    case .ulaw:
      for i in 0..<count { payload[i] = G711.ulaw(linear: samples[i]) }
      return count
    case .alaw:
      for i in 0..<count { payload[i] = G711.alaw(linear: samples[i]) }
      return count
    case .linear:
      for i in 0..<count {
        let word = UInt16(bitPattern: samples[i])
        payload[2 * i] = UInt8(word >> 8)
        payload[2 * i + 1] = UInt8(word & 0xff)
      }
      return 2 * count
    case .g722(let state):
      return Int(unsafe g722_encode(state, &payload, samples, Int32(count)))
    case .gsm(let state):
      return Int(unsafe gsm0610_encode(state, &payload, samples, Int32(count)))
    case .g729(let state):
      for frame in 0..<count / 80 { unsafe encode(frame: frame, state) }
      return count / 80 * 10
    case .opus(let state):
      return max(
        Int(unsafe opus_encode(state, samples, Int32(count), &payload, Int32(Self.longest))), 0)
    }
  }

  private func encode(frame: Int, _ state: OpaquePointer) {
    unsafe samples.withUnsafeBufferPointer { samples in
      unsafe payload.withUnsafeMutableBufferPointer { payload in
        guard let from = samples.baseAddress, let to = payload.baseAddress else { return }
        unsafe cg729_encode(state, from + 80 * frame, to + 10 * frame)
      }
    }
  }
}
