import Base
import CSpanDSP
import MediaControl
import RTPWire

/// One direction of a codec: bytes of an RTP payload to samples of 8 kHz and 16 bits, or back. It has a memory of what
/// went before where the codec has one.
@safe
final class SpeechDecoder {
  @safe private enum Kind {
    case ulaw, alaw
    case g722(OpaquePointer)
    case gsm(OpaquePointer)
  }

  private let kind: Kind

  /// Nil: a codec that we do not speak, or no memory.
  init?(_ codec: AudioCodec) {
    switch codec {
    case .pcmu: kind = .ulaw
    case .pcma: kind = .alaw
    case .g722:
      // The lower half of its band, which is what the other codecs have.
      guard
        let state = unsafe g722_decode_init(nil, 64_000, Int32(G722_SAMPLE_RATE_8000))
      else { return nil }
      kind = unsafe .g722(state)
    case .gsm:
      guard let state = unsafe gsm0610_init(nil, Int32(GSM0610_PACKING_VOIP)) else { return nil }
      kind = unsafe .gsm(state)
    case .unknown: return nil
    }
  }

  deinit {
    switch kind {
    case .ulaw, .alaw: break
    case .g722(let state): _ = unsafe g722_decode_free(state)
    case .gsm(let state): _ = unsafe gsm0610_free(state)
    }
  }

  /// How many samples the bytes make; nil: they are no whole frames.
  static func samples(_ bytes: Int, of codec: AudioCodec) -> Int? {
    switch codec {
    case .pcmu, .pcma, .g722: bytes
    case .gsm: bytes % 33 == 0 ? bytes / 33 * 160 : nil
    case .unknown: nil
    }
  }

  /// Writes `samples(of:)` samples over the start of `samples`, which must have the room.
  func decode(_ bytes: RawSpan, into samples: inout [Int16]) {
    let count = bytes.byteCount
    switch kind {
    case .ulaw: for i in 0..<count { samples[i] = G711.linear(ulaw: bytes.byte(at: i)) }
    case .alaw: for i in 0..<count { samples[i] = G711.linear(alaw: bytes.byte(at: i)) }
    case .g722(let state):
      unsafe bytes.withUnsafeBytes { bytes in
        _ = unsafe g722_decode(
          state, &samples, bytes.bindMemory(to: UInt8.self).baseAddress, Int32(count))
      }
    case .gsm(let state):
      unsafe bytes.withUnsafeBytes { bytes in
        _ = unsafe gsm0610_decode(
          state, &samples, bytes.bindMemory(to: UInt8.self).baseAddress, Int32(count))
      }
    }
  }
}

@safe
final class SpeechEncoder {
  @safe private enum Kind {
    case ulaw, alaw
    case g722(OpaquePointer)
    case gsm(OpaquePointer)
  }

  private let kind: Kind

  init?(_ codec: AudioCodec) {
    switch codec {
    case .pcmu: kind = .ulaw
    case .pcma: kind = .alaw
    case .g722:
      guard
        let state = unsafe g722_encode_init(nil, 64_000, Int32(G722_SAMPLE_RATE_8000))
      else { return nil }
      kind = unsafe .g722(state)
    case .gsm:
      guard let state = unsafe gsm0610_init(nil, Int32(GSM0610_PACKING_VOIP)) else { return nil }
      kind = unsafe .gsm(state)
    case .unknown: return nil
    }
  }

  deinit {
    switch kind {
    case .ulaw, .alaw: break
    case .g722(let state): _ = unsafe g722_encode_free(state)
    case .gsm(let state): _ = unsafe gsm0610_free(state)
    }
  }

  /// How many bytes so many samples make; nil: they are no whole frames.
  static func bytes(_ samples: Int, of codec: AudioCodec) -> Int? {
    switch codec {
    case .pcmu, .pcma, .g722: samples
    case .gsm: samples % 160 == 0 ? samples / 160 * 33 : nil
    case .unknown: nil
    }
  }

  /// Writes `bytes(of:)` bytes to `out` from `offset` on, where it must have the room.
  func encode(_ samples: [Int16], count: Int, into out: inout MutableRawSpan, at offset: Int) {
    switch kind {
    case .ulaw:
      for i in 0..<count {
        out.storeBytes(of: G711.ulaw(linear: samples[i]), toByteOffset: offset &+ i, as: UInt8.self)
      }
    case .alaw:
      for i in 0..<count {
        out.storeBytes(of: G711.alaw(linear: samples[i]), toByteOffset: offset &+ i, as: UInt8.self)
      }
    case .g722(let state):
      unsafe out.withUnsafeMutableBytes { bytes in
        _ = unsafe g722_encode(
          state, bytes.bindMemory(to: UInt8.self).baseAddress?.advanced(by: offset), samples,
          Int32(count))
      }
    case .gsm(let state):
      unsafe out.withUnsafeMutableBytes { bytes in
        _ = unsafe gsm0610_encode(
          state, bytes.bindMemory(to: UInt8.self).baseAddress?.advanced(by: offset), samples,
          Int32(count))
      }
    }
  }
}
