import Base
import Foundation
import MediaControl
import MediaEngine
import RTPWire

/// What a call costs whose caller speaks PCMU and whose callee another codec: both ways, packets of 20 ms, without the
/// sockets. Beside it what the codec alone costs for the same speech, so that the difference is ours.
func speechBench(into results: inout BenchResults) {
  let codecs: [(AudioCodec, String)] = [
    (.pcma, "pcma"), (.g722, "g722"), (.opus, "opus"), (.g729, "g729"), (.gsm, "gsm"),
    (.l16Wide, "l16"),
  ]
  for (codec, name) in codecs {
    guard let call = ConvertedCall(codec), let library = CodecAlone(codec) else {
      print("speech: \(name) is not installed")
      continue
    }
    let whole = measure(rounds: 5, iterations: 500) { call.run($0) }
    let alone = measure(rounds: 5, iterations: 500) { library.run($0) }
    // Nanoseconds for 20 ms of a call, in per cent of these.
    results.record("transcode_\(name)_call_percent", whole.least / 20e6 * 100, "%")
    results.record("transcode_\(name)_library_percent", alone.least / 20e6 * 100, "%")
    if let mallocs = whole.mallocs {
      results.record("transcode_\(name)_packet_mallocs", mallocs / 2, "1")
    }
  }
}

/// Something like a voice: pulses of 120 Hz through two resonances, louder and softer four times a second.
func voice(_ seconds: Int) -> [Int16] {
  var (a1, a2, b1, b2) = (0.0, 0.0, 0.0, 0.0)
  return (0..<seconds * 8_000).map { i in
    let time = Double(i) / 8_000
    let pulse = (time * 120).truncatingRemainder(dividingBy: 1) < 0.02 ? 1.0 : 0
    let low = pulse + 1.78 * a1 - 0.94 * a2
    (a2, a1) = (a1, low)
    let high = pulse + 0.5 * b1 - 0.9 * b2
    (b2, b1) = (b1, high)
    let loudness = 0.5 + 0.5 * sin(2 * .pi * 4 * time)
    return Int16(max(-32_000, min(32_000, 1_500 * loudness * (low + high))))
  }
}

private final class ConvertedCall {
  private var there: SpeechConverter
  private var back: SpeechConverter
  private let frames: [[UInt8]]
  private var packet = [UInt8](repeating: 0, count: RTPHeader.size + SpeechEncoder.longest)
  private var number = 0

  init?(_ codec: AudioCodec) {
    let (law, other) = (SpeechFormats.Format(.pcmu, 0), SpeechFormats.Format(codec, 96))
    guard
      let there = SpeechConverter(from: law, to: other, packetMilliseconds: 20, timestamp: 0),
      let back = SpeechConverter(from: other, to: law, packetMilliseconds: 20, timestamp: 0)
    else { return nil }
    self.there = there
    self.back = back
    let speech = voice(4)
    frames = stride(from: 0, to: speech.count, by: 160).map { start in
      speech[start..<start + 160].map(G711.ulaw)
    }
  }

  /// 20 ms of both ways.
  func run(_ count: Int) {
    for _ in 0..<count {
      var elements = packet.mutableSpan
      var raw = unsafe elements.mutableBytes
      number += 1
      var header = RTPHeader(
        payloadType: 0, marker: false, sequence: UInt16(truncatingIfNeeded: number),
        timestamp: UInt32(truncatingIfNeeded: number * 160), ssrc: 1)
      let frame = frames[number % frames.count]
      _ = there.take(header, frame.rawSpan)
      guard let made = there.next(into: &raw, at: RTPHeader.size) else { continue }
      header.timestamp = made.timestamp
      _ = back.take(
        header, raw.bytes.extracting(RTPHeader.size..<RTPHeader.size + made.size))
      _ = back.next(into: &raw, at: RTPHeader.size)
    }
  }
}

private final class CodecAlone {
  private let encoder: SpeechEncoder
  private let decoder: SpeechDecoder
  private let frames: [[Int16]]
  private var payload = [UInt8](repeating: 0, count: SpeechEncoder.longest)
  private var number = 0

  init?(_ codec: AudioCodec) {
    guard let encoder = SpeechEncoder(codec, .narrow), let decoder = SpeechDecoder(codec, .narrow)
    else { return nil }
    self.encoder = encoder
    self.decoder = decoder
    let speech = voice(4)
    frames = stride(from: 0, to: speech.count, by: 160).map { Array(speech[$0..<$0 + 160]) }
  }

  func run(_ count: Int) {
    for _ in 0..<count {
      number += 1
      var elements = payload.mutableSpan
      var raw = unsafe elements.mutableBytes
      let size = encoder.encode(
        frames[number % frames.count], count: 160, into: &raw, at: 0)
      _ = decoder.decode(raw.bytes.extracting(0..<size))
    }
  }
}
