import Base
import Foundation
import MediaControl
import MediaEngine
import Testing

/// Speech through our codecs, bit by bit as codecs of others make it (scripts/codec_vectors.py says which, and why).
@Suite struct SpeechVectorTests {
  private func file(_ name: String) throws -> [UInt8] {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return Array(try Data(contentsOf: root.appending(path: "Golden/speech/\(name)")))
  }

  private func samples(_ name: String) throws -> [Int16] {
    let bytes = try file(name)
    return stride(from: 0, to: bytes.count - 1, by: 2).map {
      Int16(bitPattern: UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8)
    }
  }

  private func encoded(_ speech: [Int16], _ codec: AudioCodec, _ band: SpeechBand) throws
    -> [UInt8]
  {
    let encoder = try #require(SpeechEncoder(codec, band))
    let size = 20 * band.perMillisecond
    var bytes = [UInt8](repeating: 0, count: SpeechEncoder.longest)
    var made: [UInt8] = []
    for start in stride(from: 0, to: speech.count - size + 1, by: size) {
      var elements = bytes.mutableSpan
      var packet = unsafe elements.mutableBytes
      let count = encoder.encode(
        Array(speech[start..<start + size]), count: size, into: &packet, at: 0)
      for i in 0..<count { made.append(packet.bytes.byte(at: i)) }
    }
    return made
  }

  private func decoded(_ payload: [UInt8], packet: Int, _ codec: AudioCodec, _ band: SpeechBand)
    throws -> [Int16]
  {
    let decoder = try #require(SpeechDecoder(codec, band))
    var made: [Int16] = []
    for start in stride(from: 0, to: payload.count - packet + 1, by: packet) {
      let piece = Array(payload[start..<start + packet])
      guard let count = decoder.decode(piece.rawSpan) else { continue }
      made += decoder.samples[0..<count]
    }
    return made
  }

  /// Where they differ first; nil: nowhere, and nothing is missing.
  private func difference<Value: Equatable>(_ made: [Value], _ told: [Value]) -> Int? {
    guard made.count == told.count else { return min(made.count, told.count) }
    return made.indices.first { made[$0] != told[$0] }
  }

  /// GSM 06.10 as libgsm has it.
  @Test func gsm() throws {
    let (speech, payload) = (try samples("narrow.s16"), try file("narrow.gsm"))
    #expect(payload.count > 2_000)
    #expect(difference(try encoded(speech, .gsm, .narrow), payload) == nil)
    let made = try decoded(payload, packet: 33, .gsm, .narrow)
    #expect(difference(made, try samples("narrow.gsm.s16")) == nil)
  }

  /// G.722 at 64 kbit/s as FFmpeg has it.
  @Test func g722() throws {
    let (speech, payload) = (try samples("wide.s16"), try file("wide.g722"))
    #expect(payload.count > 10_000)
    #expect(difference(try encoded(speech, .g722, .wide), payload) == nil)
    let made = try decoded(payload, packet: 160, .g722, .wide)
    #expect(difference(made, try samples("wide.g722.s16")) == nil)
  }
}
