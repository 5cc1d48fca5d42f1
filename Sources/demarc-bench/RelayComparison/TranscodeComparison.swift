import Base
import CLinux
import MediaControl
import MediaEngine
import RTPWire

/// What a call costs whose caller speaks PCMU and whose callee another codec, sockets and all: by this program's media plane
/// and by rtpengine, in rounds, on the same generator, which says the same speech. Counted as relays are
/// (`relayComparisonBench`), less what the generator costs when it sends to itself; in per cent of a core a call, both ways.
///
/// rtpengine is asked for Opus at 24 kbit/s as well; its complexity cannot be said there, and it encodes two channels.
func transcodeComparisonBench(into results: inout BenchResults) {
  let before = clkernel_namespace_new()
  guard before >= 0 else { return print("transcode comparison: not measured; it needs root") }
  defer {
    _ = clkernel_namespace_enter(before)
    clinux_close(before)
  }
  guard Subprocess.run("/bin/sh", ["-c", "ip link set lo up"]) == 0 else {
    return print("transcode comparison: not measured; no loopback")
  }
  for codec in [ComparedCodec.pcma, .g722, .opus] { compare(codec, &results) }
}

private let calls = 20
private let rounds = 3

private func compare(_ codec: ComparedCodec, _ results: inout BenchResults) {
  guard let speech = codec.speech else { return print("no speech of \(codec.name)") }
  var percents: [RelayPath: [Double]] = [:]
  var shares: [RelayPath: [Double]] = [:]
  for _ in 0..<rounds {
    guard let direct = TranscodeRun.measure(.direct, codec, speech) else {
      return print("no generator")
    }
    for path in [RelayPath.userspace, .rtpengine] {
      guard let run = TranscodeRun.measure(path, codec, speech) else { continue }
      // A hundred packets a second, and a second of a core is a hundred per cent.
      let microseconds = run.packetMicroseconds - direct.packetMicroseconds
      percents[path, default: []].append(microseconds * 100 / 1e6 * 100)
      shares[path, default: []].append(run.arrived)
    }
  }
  for path in [RelayPath.userspace, .rtpengine] {
    guard let percent = percents[path] else {
      print("transcode by \(path.rawValue), \(codec.name): not measured")
      continue
    }
    let name = "transcode_\(path.rawValue)_\(codec.name)"
    results.record("\(name)_call_percent", median(percent), "%")
    results.record("\(name)_arrived", median(shares[path] ?? []), "1")
  }
}

/// What PCMU is turned into.
enum ComparedCodec {
  case pcma, g722, opus

  var name: String {
    switch self {
    case .pcma: "pcma"
    case .g722: "g722"
    case .opus: "opus"
    }
  }

  var codec: AudioCodec {
    switch self {
    case .pcma: .pcma
    case .g722: .g722
    case .opus: .opus
    }
  }

  var payloadType: UInt8 {
    switch self {
    case .pcma: 8
    case .g722: 9
    case .opus: 96
    }
  }

  /// The value of rtpmap.
  var map: String {
    switch self {
    case .pcma: "PCMA/8000"
    case .g722: "G722/8000"
    case .opus: "opus/48000/2"
    }
  }

  /// With the bit rate, where the codec has a choice.
  var rtpengineName: String {
    switch self {
    case .pcma: "PCMA"
    case .g722: "G722"
    case .opus: "opus/48000/2/24000"
    }
  }

  /// Of the caller and of the callee.
  var speech: [FlowSpeech]? {
    guard let encoder = SpeechEncoder(codec, .narrow) else { return nil }
    let samples = voice(4)
    var law: [[UInt8]] = []
    var other: [[UInt8]] = []
    var payload = [UInt8](repeating: 0, count: SpeechEncoder.longest)
    for start in stride(from: 0, to: samples.count, by: 160) {
      let frame = Array(samples[start..<start + 160])
      law.append(frame.map(G711.ulaw))
      var elements = payload.mutableSpan
      var raw = unsafe elements.mutableBytes
      let size = encoder.encode(frame, count: 160, into: &raw, at: 0)
      guard size > 0 else { return nil }
      other.append((0..<size).map { raw.bytes.byte(at: $0) })
    }
    return [
      FlowSpeech(payloadType: 0, ticks: 160, frames: law),
      FlowSpeech(payloadType: payloadType, ticks: Int(codec.clockRate) / 50, frames: other),
    ]
  }
}

private struct TranscodeRun {
  var packetMicroseconds: Double
  /// Of what was sent, the part that came.
  var arrived: Double

  /// Two seconds, after as much time to get going.
  static func measure(
    _ path: RelayPath, _ codec: ComparedCodec, _ speech: [FlowSpeech]
  ) -> TranscodeRun? {
    guard let generator = RelayGenerator(streams: 2 * calls),
      let relay = Relay.make(path, 2 * calls, farEnd: generator.address, codec: codec)
    else { return nil }
    defer { relay.stop() }
    generator.flows.targets = relay.targets
    generator.flows.speech = speech
    generator.run(milliseconds: 1_500)
    generator.flows.reset()
    let before = relay.cpu &+ SoftirqThreads.cpu &+ clinux_thread_time()
    generator.run(milliseconds: 2_000)
    let after = relay.cpu &+ SoftirqThreads.cpu &+ clinux_thread_time()
    guard generator.flows.arrived > 0, generator.flows.sent > 0 else { return nil }
    let nanoseconds = Double(Int64(bitPattern: after &- before))
    return TranscodeRun(
      packetMicroseconds: nanoseconds / Double(generator.flows.sent) / 1_000,
      arrived: Double(generator.flows.arrived) / Double(generator.flows.sent))
  }
}
