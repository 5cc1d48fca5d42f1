import Base
import Foundation
import MediaControl
import MediaEngine
import RTPWire

/// Speech through a conversion, for whoever rates it (scripts/speech_quality.py): samples of 16 bits and 16 kHz from
/// standard input, coded by `from` in packets of 20 ms, of which some are lost, converted to `to`, decoded again, and
/// written to standard output at 16 kHz.
///
/// - Parameters:
///   - loss: per cent of the packets, each by itself.
///   - seed: which ones.
func speechFile(from: AudioCodec, to: AudioCodec, loss: Double, seed: UInt64) {
  let input = FileHandle.standardInput.readDataToEndOfFile()
  let said: [Int16] = stride(from: 0, to: input.count - 1, by: 2).map { i in
    Int16(bitPattern: UInt16(input[i]) | UInt16(input[i + 1]) << 8)
  }
  guard let path = SpeechPath(from: from, to: to) else { fail("\(from) or \(to) is not installed") }
  var random = RandomSource(seed: seed)
  var heard: [Int16] = []
  for start in stride(from: 0, to: said.count - 319, by: 320) {
    let isLost = Double(random.next(below: 1_000_000)) < loss * 10_000
    heard += path.pass(Array(said[start..<start + 320]), isLost: isLost)
  }
  var output = Data(capacity: heard.count * 2)
  for sample in heard {
    let word = UInt16(bitPattern: sample)
    output.append(UInt8(word & 0xff))
    output.append(UInt8(word >> 8))
  }
  FileHandle.standardOutput.write(output)
}

/// What a name of the command line stands for.
func codec(named name: String) -> AudioCodec {
  let all: [String: AudioCodec] = [
    "PCMU": .pcmu, "PCMA": .pcma, "G722": .g722, "GSM": .gsm, "G729": .g729, "opus": .opus,
    "L16": .l16, "L16-16000": .l16Wide,
  ]
  guard let codec = all[name] else { fail("no such codec: \(name); \(all.keys.sorted())") }
  return codec
}

/// A phone, Demarc and another phone.
private final class SpeechPath {
  private let encoder: SpeechEncoder
  private let decoder: SpeechDecoder
  private var converter: SpeechConverter
  private let from: AudioCodec
  private var number = 0
  private var packet = [UInt8](repeating: 0, count: SpeechEncoder.longest)

  init?(from: AudioCodec, to: AudioCodec) {
    guard let encoder = SpeechEncoder(from, .wide), let decoder = SpeechDecoder(to, .wide),
      let converter = SpeechConverter(
        from: SpeechFormats.Format(from, 96), to: SpeechFormats.Format(to, 97),
        packetMilliseconds: 20, timestamp: 0)
    else { return nil }
    self.encoder = encoder
    self.decoder = decoder
    self.converter = converter
    self.from = from
  }

  func pass(_ speech: [Int16], isLost: Bool) -> [Int16] {
    var elements = packet.mutableSpan
    var raw = unsafe elements.mutableBytes
    let size = encoder.encode(speech, count: speech.count, into: &raw, at: 0)
    let header = RTPHeader(
      payloadType: 96, marker: false, sequence: UInt16(truncatingIfNeeded: number),
      timestamp: UInt32(truncatingIfNeeded: number * Int(from.clockRate) / 50), ssrc: 1)
    number += 1
    if isLost { return [] }
    _ = converter.take(header, raw.bytes.extracting(0..<size))
    var heard: [Int16] = []
    while let made = converter.next(into: &raw, at: 0) {
      let count = decoder.decode(raw.bytes.extracting(0..<made.size)) ?? 0
      heard += decoder.samples[0..<count]
    }
    return heard
  }
}
