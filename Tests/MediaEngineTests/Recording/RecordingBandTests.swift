import Base
import Foundation
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// How much of a voice is in a recording: what the better of both sides has, as it was at the beginning.
@Suite(.serialized) struct RecordingBandTests {
  /// Somebody who says two tones at once, in one codec or another, packet by packet.
  private struct Speaker {
    var codec: AudioCodec
    var tones: [Double]
    let ssrc: UInt32
    private let encoder: SpeechEncoder
    private let band: SpeechBand
    private var number = 0
    private let first: Int

    init(_ codec: AudioCodec, _ tones: [Double], ssrc: UInt32, from first: Int = 0) throws {
      (self.codec, self.tones, self.ssrc, self.first) = (codec, tones, ssrc, first)
      band = codec.isWide ? .wide : .narrow
      encoder = try #require(SpeechEncoder(codec, band))
    }

    static func payloadType(_ codec: AudioCodec) -> UInt8 {
      switch codec {
      case .pcmu: 0
      case .pcma: 8
      case .g722: 9
      case .opus: 111
      default: 97
      }
    }

    static func remote(_ peer: Peer, _ codec: AudioCodec) -> RemoteMedia {
      var remote = RemoteMedia(peer.address, codec: codec)
      remote.payloadType = payloadType(codec)
      remote.clockRate = codec.clockRate
      remote.speech = SpeechFormats(SpeechFormats.Format(codec, payloadType(codec)))
      return remote
    }

    mutating func packet() -> [UInt8] {
      let rate = band.rawValue
      let samples = (0..<rate / 50).map { i in
        let time = Double(number * (rate / 50) + i) / Double(rate)
        return Int16(tones.reduce(0) { $0 + 6_000 * sin(2 * .pi * $1 * time) })
      }
      number += 1
      var bytes = rtp(number + first, ssrc: ssrc, payloadType: Self.payloadType(codec))
      let timestamp = UInt32(number + first) * codec.clockRate / 50
      for i in 0..<4 { bytes[4 + i] = UInt8(truncatingIfNeeded: timestamp >> UInt32(24 - 8 * i)) }
      bytes.removeLast(160)
      var payload = [UInt8](repeating: 0, count: SpeechEncoder.longest)
      let count = encode(samples, into: &payload)
      return bytes + payload.prefix(count)
    }

    private func encode(_ samples: [Int16], into payload: inout [UInt8]) -> Int {
      var elements = payload.mutableSpan
      var raw = unsafe elements.mutableBytes
      return encoder.encode(samples, count: samples.count, into: &raw, at: 0)
    }
  }

  /// Two who talk in a call that is recorded from its first packet on.
  private struct RecordedCall {
    let start: (wall: Int64, rate: UInt16)
    private let folder = RecordedFolder()
    private let order: RecordingOrder
    private let rig: Rig
    private let (alice, bob): (Peer, Peer)
    private let (a, b): (End, End)
    private var (one, other): (Speaker, Speaker)

    init(_ one: Speaker, _ other: Speaker, _ format: RecordingFormat = .wav) throws {
      (self.one, self.other) = (one, other)
      order = .test(1, format)
      rig = try Rig(settings: folder.settings)
      (alice, bob) = (try Peer(), try Peer())
      (a, b) = try rig.bridge(
        Speaker.remote(alice, one.codec), Speaker.remote(bob, other.codec))
      rig.plane.submit([.record(a.id, order)])
      start = try #require(rig.log.recordingStart(1))
    }

    mutating func say(_ packets: Int) {
      for _ in 0..<packets {
        alice.send(one.packet(), to: a.media)
        bob.send(other.packet(), to: b.media)
        usleep(20_000)
      }
    }

    /// Both go on in other codecs.
    mutating func change(_ one: Speaker, _ other: Speaker) {
      rig.plane.submit([
        .remote(a.id, Speaker.remote(alice, one.codec)),
        .remote(b.id, Speaker.remote(bob, other.codec)),
      ])
      rig.measure(b)
      (self.one, self.other) = (one, other)
    }

    func end() throws -> RecordingResult {
      rig.plane.submit([.stopRecording(order.id, .released)])
      return try #require(rig.log.recordingResult(1))
    }

    func bytes() throws -> [UInt8] {
      try folder.bytes(order.fileName(milliseconds: start.wall))
    }
  }

  /// How much of the power, in decibels, lies at a frequency: in windows of 20 ms, so that a packet that came late does
  /// no harm, and of the loud ones alone.
  private func share(_ samples: some Collection<Int16>, _ hertz: Double, rate: Int) -> Double {
    let (all, window) = (samples.map(Double.init), rate / 50)
    var (found, whole) = (1e-9, 1e-9)
    for start in stride(from: 0, to: all.count - window, by: window) {
      let part = all[start..<start + window]
      let power = part.reduce(0) { $0 + $1 * $1 }
      guard power > 1e6 * Double(window) else { continue }
      let step = 2 * Double.pi * hertz / Double(rate)
      var (cosine, sine) = (0.0, 0.0)
      for (index, sample) in part.enumerated() {
        cosine += sample * cos(step * Double(index))
        sine += sample * sin(step * Double(index))
      }
      found += 2 * (cosine * cosine + sine * sine) / Double(window)
      whole += power
    }
    return whole > 1 ? 10 * log10(found / whole) : -200
  }

  /// 6 kHz, which no line of 3.4 kHz has, is in the file of a call in a wide codec, beside a side that has none of it.
  @Test(arguments: [AudioCodec.g722, .opus, .l16Wide]) func wideSpeech(codec: AudioCodec) throws {
    var call = try RecordedCall(
      Speaker(codec, [1_000, 6_000], ssrc: 1), Speaker(.pcmu, [600, 1_700], ssrc: 2))
    #expect(call.start.rate == 16_000)
    call.say(60)
    let result = try call.end()
    let file = try StereoSamples(call.bytes())
    #expect(file.rate == 16_000 && result.unreadPackets == 0)
    #expect(abs(file.left.count / 16 - Int(result.milliseconds)) <= 1)
    #expect((1_100...1_900).contains(result.milliseconds), "\(result.milliseconds) ms")
    // Two tones of one loudness: 3 dB below the whole each.
    let (low, high) = (share(file.left, 1_000, rate: 16_000), share(file.left, 6_000, rate: 16_000))
    #expect(low > -5 && high > -7, "\(codec): \(low) and \(high) dB")
    let narrow = [600, 1_700].map { share(file.right, $0, rate: 16_000) }
    #expect(narrow.allSatisfy { $0 > -4.5 }, "\(narrow) dB")
    // What doubling the rate mirrors at 4 kHz is not there: 6.3 and 7.4 kHz.
    let mirrored = [7_400, 6_300].map { share(file.right, $0, rate: 16_000) }
    #expect(mirrored.allSatisfy { $0 < -30 }, "\(mirrored) dB")
  }

  /// A call that was narrow when it began to be recorded has a file of 8 kHz, whatever comes later; nothing of what that
  /// has no room for is folded into it.
  @Test func narrowStaysNarrow() throws {
    var call = try RecordedCall(
      Speaker(.pcmu, [1_000], ssrc: 1), Speaker(.pcmu, [600], ssrc: 2))
    #expect(call.start.rate == 8_000)
    call.say(40)
    call.change(
      try Speaker(.g722, [1_000, 6_000], ssrc: 1, from: 40),
      try Speaker(.g722, [600], ssrc: 2, from: 40))
    call.say(40)
    _ = try call.end()
    let file = try StereoSamples(call.bytes())
    #expect(file.rate == 8_000)
    let half = file.left.count / 2
    for (part, samples) in [file.left[..<half], file.left[half...]].enumerated() {
      let (kept, folded) = (share(samples, 1_000, rate: 8_000), share(samples, 2_000, rate: 8_000))
      #expect(kept > -1 && folded < -25, "\(part): \(kept) and \(folded) dB")
    }
    #expect(share(file.right, 600, rate: 8_000) > -1)
  }

  /// And one that was wide keeps 16 kHz, with what becomes narrow at its own pitch and pace.
  @Test func wideStaysWide() throws {
    var call = try RecordedCall(
      Speaker(.g722, [1_000, 6_000], ssrc: 1), Speaker(.g722, [600], ssrc: 2))
    #expect(call.start.rate == 16_000)
    call.say(40)
    call.change(
      try Speaker(.pcma, [1_000], ssrc: 1, from: 40), try Speaker(.pcma, [600], ssrc: 2, from: 40))
    call.say(40)
    let result = try call.end()
    #expect((1_500...2_400).contains(result.milliseconds), "\(result.milliseconds) ms")
    let file = try StereoSamples(call.bytes())
    #expect(abs(file.left.count / 16 - Int(result.milliseconds)) <= 1)
    let half = file.left.count / 2
    let (first, second) = (file.left[..<half], file.left[half...])
    #expect(share(first, 6_000, rate: 16_000) > -7)
    let (kept, mirrored) = (share(second, 1_000, rate: 16_000), share(second, 7_000, rate: 16_000))
    #expect(kept > -1.5 && mirrored < -25, "\(kept) and \(mirrored) dB")
    #expect(share(file.right, 600, rate: 16_000) > -1)
  }

  /// Ogg says in its head what was encoded, and in its last page how long it is (RFC 7845 §5.1, §4).
  @Test func wideInOgg() throws {
    var call = try RecordedCall(
      Speaker(.pcmu, [1_000], ssrc: 1), Speaker(.g722, [600, 6_000], ssrc: 2), .opus)
    call.say(40)
    let result = try call.end()
    let bytes = try call.bytes()
    #expect(call.start.rate == 16_000 && bytes[28..<36].elementsEqual("OpusHead".utf8))
    #expect(bytes[40..<44].reversed().reduce(0) { $0 << 8 | Int($1) } == 16_000)
    var (offset, last) = (0, OggPage?.none)
    while offset < bytes.count {
      let page = try #require(OggPage(bytes[offset...]), "at \(offset)")
      (last, offset) = (page, offset + page.size)
    }
    let preSkip = UInt64(bytes[38]) | UInt64(bytes[39]) << 8
    #expect(last?.granule == preSkip + result.milliseconds * 48)
    #expect((700...1_400).contains(result.milliseconds), "\(result.milliseconds) ms")
  }
}
