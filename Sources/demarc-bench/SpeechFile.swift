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
///   - suppresses: silence is left out, and comfort noise heard in its place; to standard error goes how much that was.
func speechFile(
  from: AudioCodec, to: AudioCodec, loss: Double, seed: UInt64, suppresses: Bool
) {
  let input = FileHandle.standardInput.readDataToEndOfFile()
  let said: [Int16] = stride(from: 0, to: input.count - 1, by: 2).map { i in
    Int16(bitPattern: UInt16(input[i]) | UInt16(input[i + 1]) << 8)
  }
  guard let path = SpeechPath(from: from, to: to, suppresses: suppresses) else {
    fail("\(from) or \(to) is not installed")
  }
  var random = RandomSource(seed: seed)
  var heard: [Int16] = []
  for start in stride(from: 0, to: said.count - 319, by: 320) {
    let isLost = Double(random.next(below: 1_000_000)) < loss * 10_000
    let packet = path.pass(Array(said[start..<start + 320]), isLost: isLost)
    if let held = path.takeReplaced(), held.count <= heard.count {
      heard.replaceSubrange(heard.count - held.count..<heard.count, with: held)
    }
    heard += packet
  }
  var output = Data(capacity: heard.count * 2)
  for sample in heard {
    let word = UInt16(bitPattern: sample)
    output.append(UInt8(word & 0xff))
    output.append(UInt8(word >> 8))
  }
  FileHandle.standardOutput.write(output)
  if suppresses {
    let told = "\(path.left) packets of \(path.left + path.sent) left out\n"
    FileHandle.standardError.write(Data(told.utf8))
  }
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

  private var noise = ComfortNoise()
  private let ears = SpeechDecoder(.l16, .wide)
  /// Packets that were sent, and that were not.
  private(set) var sent = 0
  private(set) var left = 0

  init?(from: AudioCodec, to: AudioCodec, suppresses: Bool) {
    guard let encoder = SpeechEncoder(from, .wide), let decoder = SpeechDecoder(to, .wide),
      var converter = SpeechConverter(
        from: SpeechFormats.Format(from, 96), to: SpeechFormats.Format(to, 97),
        packetMilliseconds: 20, timestamp: 0)
    else { return nil }
    if suppresses { converter.suppressor = SilenceSuppressor() }
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
      switch made.kind {
      case .speech:
        sent += 1
        let count = decoder.decode(raw.bytes.extracting(0..<made.size)) ?? 0
        heard += decoder.samples[0..<count]
      case .held:
        // It stands in the place of noise that has been heard: a far end with a buffer hears it instead.
        (sent, left) = (sent + 1, left - 1)
        let count = decoder.decode(raw.bytes.extracting(0..<made.size)) ?? 0
        replaced = Array(decoder.samples[0..<count])
      case .noise:
        sent += 1
        noise.take(raw.bytes.extracting(0..<made.size), isWide: false)
        heard += hissing()
      case .nothing:
        left += 1
        heard += hissing()
      }
    }
    return heard
  }

  /// What stands in the place of the packet before.
  private(set) var replaced: [Int16]?

  func takeReplaced() -> [Int16]? {
    defer { replaced = nil }
    return replaced
  }

  /// A packet of noise in the narrow band.
  private func hissing() -> [Int16] {
    let payload = (0..<160).flatMap { _ -> [UInt8] in
      let sample = UInt16(bitPattern: noise.next())
      return [UInt8(sample >> 8), UInt8(sample & 0xff)]
    }
    let count = ears?.decode(payload.rawSpan) ?? 0
    return ears.map { Array($0.samples[0..<count]) } ?? []
  }
}
