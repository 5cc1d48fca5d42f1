import Base
import CG729
import COpus
import CSpanDSP
package import MediaControl
import RTPWire

/// Which codecs depend on what is installed.
package enum SpeechLibraries {
  /// bcg729, which is under the GPL 3: looked for at run time, and never linked.
  package static var hasG729: Bool { cg729_installed() == 1 }
}

/// Payloads of one codec to samples of 16 bits in a band. It has a memory of what went before where the codec has one, and
/// puts something in the place of what is lost.
@safe
package final class SpeechDecoder {
  /// A packet of more is none of speech: a quarter of a second of the wide band.
  package static let longest = 4_000

  @safe private enum Kind {
    case ulaw, alaw, linear
    case g722(OpaquePointer)
    case gsm(OpaquePointer)
    case g729(OpaquePointer)
    case opus(OpaquePointer)
  }

  private let codec: AudioCodec
  private let band: SpeechBand
  /// Of what the codec makes, before it is converted.
  private let own: SpeechBand
  private let kind: Kind
  /// What was decoded last, from its start.
  package private(set) var samples = [Int16](repeating: 0, count: longest)
  /// Of codecs that know no concealment of their own.
  private let concealment: UnsafeMutablePointer<plc_state_t>
  private var resampler: HalfBand?

  /// Nil: a codec that we do not speak, one whose library is not installed, or no memory.
  package init?(_ codec: AudioCodec, _ band: SpeechBand) {
    guard let concealment = unsafe plc_init(nil) else { return nil }
    guard let kind = Self.kind(codec, band) else {
      _ = unsafe plc_free(concealment)
      return nil
    }
    self.codec = codec
    self.band = band
    self.kind = kind
    unsafe self.concealment = concealment
    own = Self.own(codec, in: band)
    resampler = HalfBand(from: own, to: band, milliseconds: Self.longest / 16)
  }

  private static func own(_ codec: AudioCodec, in band: SpeechBand) -> SpeechBand {
    // Both halves of its band also for a narrow one: what its filters fold into the lower half, only the upper half
    // takes away again.
    codec == .g722 ? .wide : codec.own(in: band)
  }

  private static func kind(_ codec: AudioCodec, _ band: SpeechBand) -> Kind? {
    switch codec {
    case .pcmu: return .ulaw
    case .pcma: return .alaw
    case .l16, .l16Wide: return .linear
    case .g722:
      return unsafe g722_decode_init(nil, 64_000, 0).map { unsafe .g722($0) }
    case .gsm:
      return unsafe gsm0610_init(nil, Int32(GSM0610_PACKING_VOIP)).map { unsafe .gsm($0) }
    case .g729: return unsafe cg729_decoder_new().map { unsafe .g729($0) }
    case .opus:
      return unsafe opus_decoder_create(Int32(band.rawValue), 1, nil).map { unsafe .opus($0) }
    case .unknown: return nil
    }
  }

  deinit {
    _ = unsafe plc_free(concealment)
    switch kind {
    case .ulaw, .alaw, .linear: break
    case .g722(let state): _ = unsafe g722_decode_free(state)
    case .gsm(let state): _ = unsafe gsm0610_free(state)
    case .g729(let state): unsafe cg729_decoder_free(state)
    case .opus(let state): unsafe opus_decoder_destroy(state)
    }
  }

  /// Samples of the codec's own rate that the payload holds; nil: it is none of this codec's.
  private func count(_ payload: RawSpan) -> Int? {
    let bytes = payload.byteCount
    switch kind {
    case .ulaw, .alaw: return bytes
    case .linear: return bytes % 2 == 0 ? bytes / 2 : nil
    case .g722: return 2 * bytes
    case .gsm: return bytes % 33 == 0 ? bytes / 33 * 160 : nil
    // Frames of 10 bytes, and behind them one silence descriptor of 2 at most (RFC 3551 §4.5.6).
    case .g729: return bytes % 10 == 0 || bytes % 10 == 2 ? (bytes + 8) / 10 * 80 : nil
    case .opus(let state):
      guard bytes > 0 else { return 0 }
      let count: Int32 = unsafe payload.withUnsafeBytes { bytes in
        guard let first = unsafe bytes.bindMemory(to: UInt8.self).baseAddress else { return 0 }
        return unsafe opus_decoder_get_nb_samples(state, first, Int32(bytes.count))
      }
      return count > 0 ? Int(count) : nil
    }
  }

  /// How long the speech of a payload is, in units of the RTP clock; nil: it is none of this codec's. A silence descriptor
  /// of G.729 by itself has none (RFC 3551 §4.5.6).
  package static func duration(of payload: RawSpan, _ codec: AudioCodec) -> UInt32? {
    let bytes = payload.byteCount
    guard bytes > 0 else { return nil }
    switch codec {
    case .pcmu, .pcma, .g722: return UInt32(clamping: bytes)
    case .l16, .l16Wide: return bytes % 2 == 0 ? UInt32(clamping: bytes / 2) : nil
    case .gsm: return bytes % 33 == 0 ? UInt32(clamping: bytes / 33 * 160) : nil
    case .g729:
      return bytes % 10 == 0 || bytes % 10 == 2 ? UInt32(clamping: bytes / 10 * 80) : nil
    case .opus:
      let count: Int32 = unsafe payload.withUnsafeBytes { bytes in
        guard let first = unsafe bytes.bindMemory(to: UInt8.self).baseAddress else { return 0 }
        return unsafe opus_packet_get_nb_samples(first, Int32(bytes.count), 48_000)
      }
      return count > 0 ? UInt32(count) : nil
    case .unknown: return nil
    }
  }

  /// How many `samples` the payload makes; nil: it is none of this codec's.
  package func decode(_ payload: RawSpan) -> Int? {
    guard let count = count(payload), count <= Self.longest / 2 || resampler == nil,
      count <= Self.longest
    else { return nil }
    guard count > 0 else { return 0 }
    switch kind {
    case .ulaw: for i in 0..<count { samples[i] = G711.linear(ulaw: payload.byte(at: i)) }
    case .alaw: for i in 0..<count { samples[i] = G711.linear(alaw: payload.byte(at: i)) }
    case .linear:
      for i in 0..<count { samples[i] = Int16(bitPattern: payload.bigEndian16(at: 2 * i)) }
    case .g722, .gsm, .g729, .opus:
      guard unsafe payload.withUnsafeBytes({ unsafe decode($0, count) }) else { return nil }
    }
    if !concealsItself { _ = unsafe plc_rx(concealment, &samples, Int32(count)) }
    return resampler?.convert(&samples, count) ?? count
  }

  /// Of the codecs of others; false: it is none of theirs after all.
  private func decode(_ payload: UnsafeRawBufferPointer, _ count: Int) -> Bool {
    guard let bytes = unsafe payload.bindMemory(to: UInt8.self).baseAddress else { return false }
    let length = Int32(payload.count)
    switch kind {
    case .ulaw, .alaw, .linear: return false
    case .g722(let state):
      return unsafe g722_decode(state, &samples, bytes, length) == Int32(count)
    case .gsm(let state):
      return unsafe gsm0610_decode(state, &samples, bytes, length) == Int32(count)
    case .g729(let state):
      unsafe samples.withUnsafeMutableBufferPointer { samples in
        guard let base = samples.baseAddress else { return }
        for frame in 0..<count / 80 {
          let rest = payload.count - 10 * frame
          unsafe cg729_decode(
            state, bytes + 10 * frame, UInt8(min(rest, 10)), base + 80 * frame)
        }
      }
      return true
    case .opus(let state):
      return unsafe opus_decode(state, bytes, length, &samples, Int32(count), 0) == Int32(count)
    }
  }

  private var concealsItself: Bool {
    switch kind {
    case .ulaw, .alaw, .linear, .g722, .gsm: false
    case .g729, .opus: true
    }
  }

  /// Whether a packet says what was lost before it.
  package var recovers: Bool { codec == .opus }

  /// How many `samples` stand for so many milliseconds that were lost, by what the packet behind them says of them; it is
  /// decoded after that.
  package func recover(_ payload: RawSpan, milliseconds: Int) -> Int {
    guard case .opus(let state) = kind, payload.byteCount > 0 else {
      return conceal(milliseconds: milliseconds)
    }
    let count = min(milliseconds * band.perMillisecond, Self.longest)
    let made: Int32 = unsafe payload.withUnsafeBytes { bytes in
      guard let first = unsafe bytes.bindMemory(to: UInt8.self).baseAddress else { return 0 }
      return unsafe opus_decode(state, first, Int32(bytes.count), &samples, Int32(count), 1)
    }
    return made == Int32(count) ? count : conceal(milliseconds: milliseconds)
  }

  /// How many `samples` stand for so many milliseconds that were lost.
  package func conceal(milliseconds: Int) -> Int {
    let count = min(milliseconds * own.perMillisecond, Self.longest / 2)
    switch kind {
    case .ulaw, .alaw, .linear, .g722, .gsm:
      _ = unsafe plc_fillin(concealment, &samples, Int32(count))
    case .g729(let state):
      unsafe samples.withUnsafeMutableBufferPointer { samples in
        guard let base = samples.baseAddress else { return }
        for frame in 0..<count / 80 { unsafe cg729_decode(state, nil, 0, base + 80 * frame) }
      }
    case .opus(let state):
      // In steps that it makes (2.5 ms each, and 120 at most).
      _ = unsafe opus_decode(state, nil, 0, &samples, Int32(count), 0)
    }
    return resampler?.convert(&samples, count) ?? count
  }
}
