import Base
import CLinux
import CallCore
import Foundation
import MediaControl
import Policy
import Simulation

// A whole call in the engine alone: 7 messages in, 7 out, SDP both ways, records, media commands and
// facts, timers until nothing is left.
//
//     PBX                     engine                   carrier
//      │ ── INVITE ───────────▶ │                         │
//      │ ◀── 100 ────────────── │ (record durable)        │
//      │                        │ ── INVITE ────────────▶ │
//      │                        │ ◀── 100, 180, 200 ───── │
//      │ ◀── 180, 200 ───────── │ ── ACK ───────────────▶ │
//      │ ── ACK, BYE ─────────▶ │ ── BYE ───────────────▶ │
//      │ ◀── 200 ────────────── │ ◀── 200 ─────────────── │
//
// The peers' messages depend on tokens that the engine makes. They are made once, with an engine of the
// same secret, and written down; what is measured is a fresh engine that is fed from the recording.

/// Everything that goes into an engine, in order.
struct EngineRecording {
  enum Step {
    case datagram([UInt8], from: SocketAddress, on: ListenerIndex, at: Instant)
    case input(ShardInput, at: Instant)
    case advance(to: Instant)
  }
  var steps: [Step] = []
  var calls = 0
}

/// The trunk of the measurement: a PBX that is known by its address, one carrier, no limits.
struct EngineBed {
  static let pbx = Scene.address(10, 0, 0, 20)
  static let carrier = Scene.address(198, 51, 100, 10)

  /// `ladders`: whether messages are kept for them; their ring has a size of its own.
  static func shard(ladders: Bool) -> Shard {
    var resources = Scene.resources()
    resources.trunks.removeAll { $0.name == "south" }
    resources.routes[0].carriers = [RouteCarrier(trunk: "north")]
    // Its calls are domestic ones.
    var owned = Number(number: "+441632960100", tenant: "acme", destinations: [])
    owned.state = .available
    resources.numbers.append(owned)
    let media = [
      MediaAddress(name: "inside", bound: Scene.inside.ip, ports: 10_000...60_001),
      MediaAddress(name: "outside", bound: Scene.outside.ip, ports: 10_000...60_001),
    ]
    var settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: (0..<32).map { UInt8($0 * 7 + 3) },
      listeners: [
        Listener(name: "inside", bound: Scene.inside),
        Listener(name: "outside", bound: Scene.outside),
      ], mediaAddresses: media)
    if !ladders { settings.limits.traceBytes = 1 << 10 }
    // Time stands still while it is measured.
    settings.limits.admission.sourceRate = 1_000_000
    settings.limits.admission.blockRate = 1_000_000
    settings.limits.admission.networkRate = 1_000_000
    do {
      let configuration = try Configuration(
        resources: resources, revision: 1,
        listeners: settings.listeners.map { ($0.name, $0.bound) },
        media: media.map { ($0.name, $0.bound) })
      guard let shard = Shard(settings: settings, configuration: configuration, now: start) else {
        fail("the engine does not start")
      }
      for (index, address) in media.enumerated() {
        shard.handle(
          .media(.ready(address: UInt16(index), ports: address.ports, failed: [])), at: start)
      }
      shard.outbox.removeAll()
      return shard
    } catch {
      fail("the configuration of the engine bench: \(error)")
    }
  }

  static let start = Instant(nanoseconds: 1_000_000_000)
}

/// Plays both peers and writes down what they send.
struct EngineRecorder {
  private let shard: Shard
  private var recording = EngineRecording()
  private var now = EngineBed.start
  private var lastFact: UInt64 = 0
  private var made = 0

  private struct Call {
    var number: Int
    var invite: AgentMessage?
    var answer: AgentMessage?
    var acknowledged: AgentMessage?
  }

  init(ladders: Bool) { shard = EngineBed.shard(ladders: ladders) }

  /// `calls` in groups of 100 that are in the same state; `hangUp`: until the last timer is gone.
  static func record(calls: Int, hangUp: Bool, ladders: Bool) -> EngineRecording {
    var recorder = EngineRecorder(ladders: ladders)
    for _ in 0..<(calls / 100) { recorder.group(100, hangUp: hangUp) }
    recorder.pass(.seconds(70))
    recorder.recording.calls = recorder.made
    return recorder.recording
  }

  private mutating func group(_ size: Int, hangUp: Bool) {
    var calls = (0..<size).map { Call(number: made + $0) }
    made += size
    for call in calls { send(invite(call), fromCarrier: false) }
    input(.durable(upTo: lastFact))
    for message in taken where message.isRequest && message.method == .invite {
      guard let index = Int(message.user(nil).dropFirst(3)) else { continue }
      calls[index - 1_000_000 - calls[0].number].invite = message
    }
    taken = []
    for (status, wait) in [(100, 5), (180, 900), (200, 2_000)] {
      pass(.milliseconds(wait))
      for call in calls {
        if let invite = call.invite { send(answer(invite, status), fromCarrier: true) }
      }
      if status < 200 { taken = [] }
    }
    for message in taken where !message.isRequest && message.status == 200 {
      if let index = Int(message.callID.dropFirst(5)) {
        calls[index - calls[0].number].answer = message
      }
    }
    for call in calls {
      if let answer = call.answer { send(request("ACK", call, answer), fromCarrier: false) }
    }
    taken = []
    guard hangUp else { return }
    pass(.seconds(10))
    for call in calls {
      if let answer = call.answer { send(request("BYE", call, answer), fromCarrier: false) }
    }
    for message in taken where message.isRequest && message.method == .bye {
      send(answer(message, 200), fromCarrier: true)
    }
    taken = []
  }

  // MARK: Into the engine

  private var taken: [AgentMessage] = []

  private mutating func send(_ bytes: [UInt8], fromCarrier: Bool) {
    let from = fromCarrier ? EngineBed.carrier : EngineBed.pbx
    recording.steps.append(.datagram(bytes, from: from, on: fromCarrier ? 1 : 0, at: now))
    shard.receive(bytes.rawSpan, from: from, on: fromCarrier ? 1 : 0, at: now)
    drain()
  }

  private mutating func input(_ input: ShardInput) {
    recording.steps.append(.input(input, at: now))
    shard.handle(input, at: now)
    drain()
  }

  private mutating func pass(_ interval: Interval) {
    now = now + interval
    recording.steps.append(.advance(to: now))
    while shard.advance(to: now) { drain() }
    drain()
  }

  private mutating func drain() {
    taken += messages(shard.outbox.datagrams)
    if let fact = shard.outbox.facts.last { lastFact = fact.sequence }
    let commands = shard.outbox.media
    shard.outbox.removeAll()
    for command in commands {
      switch command {
      case .open(let id, _): input(.media(.opened(id)))
      case .remote(let id, let remote): input(.media(.latched(id, remote.rtp, at: now)))
      case .close(let id):
        input(.media(.quality(id, StreamQuality())))
        input(.media(.closed(id)))
      case .bridge, .play, .interpose, .heed, .number, .watch, .examine, .digit, .measure, .record,
        .moveRecording,
        .pauseRecording, .stopRecording:
        break
      }
    }
  }

  private func messages(_ buffer: borrowing OutputBuffer) -> [AgentMessage] {
    (0..<buffer.count).compactMap { record in
      let span = buffer.bytes(of: record)
      return try? AgentMessage((0..<span.byteCount).map { span.byte(at: $0) })
    }
  }

  // MARK: The peers' messages

  private static func sdp(_ host: String) -> String {
    "v=0\r\no=- 3913247712 1 IN IP4 \(host)\r\ns=-\r\nc=IN IP4 \(host)\r\nt=0 0\r\n"
      + "m=audio 40376 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
      + "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
  }

  private func finish(_ head: String, _ sdp: String?) -> [UInt8] {
    let type = sdp == nil ? "" : "Content-Type: application/sdp\r\n"
    return Array(
      (head + type + "Content-Length: \(sdp?.utf8.count ?? 0)\r\n\r\n" + (sdp ?? "")).utf8)
  }

  private func invite(_ call: Call) -> [UInt8] {
    let number = "+44\(1_000_000 + call.number)"
    return finish(
      "INVITE sip:\(number)@10.0.0.1:5060;user=phone SIP/2.0\r\n"
        + "Via: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bK-524287-1---i\(call.number);rport\r\n"
        + "Max-Forwards: 70\r\nContact: <sip:+15557654321@10.0.0.20:5060;transport=udp>\r\n"
        + "To: <sip:\(number)@trunk.example>\r\n"
        + "From: \"Alice Example\" <sip:+15557654321@trunk.example>;tag=8f2b\(call.number)\r\n"
        + "Call-ID: bench\(call.number)\r\nCSeq: 1 INVITE\r\n"
        + "Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO\r\n"
        + "Supported: replaces, timer, 100rel\r\nUser-Agent: ExamplePBX/18.2.1\r\n",
      EngineRecorder.sdp("10.0.0.20"))
  }

  private func answer(_ request: AgentMessage, _ status: Int) -> [UInt8] {
    let to = request.value(.to) ?? ""
    let tagged = status == 100 || !request.toTag.isEmpty ? to : to + ";tag=carrier\(request.cseq)"
    let phrase = status == 100 ? "Trying" : status == 180 ? "Ringing" : "OK"
    let isAnswer = status == 200 && request.method == .invite
    return finish(
      "SIP/2.0 \(status) \(phrase)\r\nVia: \(request.value(.via) ?? "")\r\n"
        + "From: \(request.value(.from) ?? "")\r\nTo: \(tagged)\r\nCall-ID: \(request.callID)\r\n"
        + "CSeq: \(request.cseq) \(request.methodText)\r\n"
        + "Contact: <sip:198.51.100.10:5060>\r\nServer: ExampleCarrier/4.0\r\n",
      isAnswer ? EngineRecorder.sdp("198.51.100.10") : nil)
  }

  private func request(_ method: String, _ call: Call, _ answer: AgentMessage) -> [UInt8] {
    finish(
      "\(method) \(answer.uri(.contact) ?? "") SIP/2.0\r\n"
        + "Via: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bK-524287-1---\(method)\(call.number);rport\r\n"
        + "Max-Forwards: 70\r\nTo: \(answer.value(.to) ?? "")\r\nFrom: \(answer.value(.from) ?? "")\r\n"
        + "Call-ID: \(answer.callID)\r\nCSeq: \(method == "ACK" ? 1 : 2) \(method)\r\n"
        + "User-Agent: ExamplePBX/18.2.1\r\n", nil)
  }
}

extension EngineRecording {
  /// Feeds a fresh engine; its effects are thrown away, as an edge would carry them off.
  @inline(never)
  func replay(into shard: Shard) {
    for step in steps {
      switch step {
      case .datagram(let bytes, let from, let listener, let at):
        shard.receive(bytes.rawSpan, from: from, on: listener, at: at)
      case .input(let input, let at):
        shard.handle(input, at: at)
      case .advance(let at):
        while shard.advance(to: at) { shard.outbox.removeAll() }
      }
      shard.outbox.removeAll()
    }
  }
}

private let callsPerReplay = 1_000

/// `repeat engine_call N`: N calls (in hundreds below a thousand, else in thousands), for callgrind.
func engineWorkload(_ name: String) -> ((Int) -> Void)? {
  return { count in
    let calls = min(max(count / 100 * 100, 100), callsPerReplay)
    let recording = EngineRecorder.record(calls: calls, hangUp: true, ladders: true)
    for _ in 0..<max(1, count / calls) {
      recording.replay(into: EngineBed.shard(ladders: true))
    }
  }
}

func engineBench(into results: inout BenchResults) {
  let recording = EngineRecorder.record(calls: callsPerReplay, hangUp: true, ladders: true)
  verify(recording)
  var times: [Double] = []
  var mallocs: Double?
  for _ in 0..<9 {
    let shard = EngineBed.shard(ladders: true)
    let before = mallocCount()
    let start = threadNanoseconds()
    recording.replay(into: shard)
    times.append(Double(threadNanoseconds() - start) / Double(callsPerReplay) / 1_000)
    if let before, let after = mallocCount() {
      mallocs = Double(after - before) / Double(callsPerReplay)
    }
  }
  times.sort()
  results.record("engine_call_us", times[0], "µs")
  results.record("engine_call_median_us", times[times.count / 2], "µs")
  if let mallocs { results.record("engine_call_mallocs", mallocs, "mallocs") }
  results.record("established_call_bytes", establishedCallBytes(), "bytes")
}

/// The recording is of whole calls: each was answered, hung up, and left nothing.
private func verify(_ recording: EngineRecording) {
  let shard = EngineBed.shard(ladders: true)
  recording.replay(into: shard)
  shard.handle(.query(.counters, token: 1), at: EngineBed.start + .seconds(100_000))
  guard case .counters(let counters)? = shard.outbox.answers.first?.answer else {
    fail("the engine does not answer")
  }
  let sent = Int(counters.messagesSent) - Int(counters.retransmissionsSent)
  guard Int(counters.callsAnswered) == recording.calls, Int(counters.callsEnded) == recording.calls,
    sent == 7 * recording.calls, counters.sessions == 0, counters.transactions == 0
  else { fail("the engine bench is not of whole calls: \(counters)") }
}

/// Heap in use for each of 10 000 answered calls whose INVITE transactions are over; the ring of messages
/// for ladders apart.
private func establishedCallBytes() -> Double {
  let calls = 10_000
  let recording = EngineRecorder.record(calls: calls, hangUp: false, ladders: false)
  let shard = EngineBed.shard(ladders: false)
  // Neither may be given back between the two looks.
  let used = withExtendedLifetime((recording, shard)) {
    let before = heapBytes()
    recording.replay(into: shard)
    return heapBytes() - before
  }
  shard.handle(.query(.counters, token: 1), at: EngineBed.start + .seconds(100_000))
  guard case .counters(let counters)? = shard.outbox.answers.first?.answer,
    counters.sessions == calls, counters.transactions == 0
  else { fail("the calls are not all established") }
  return Double(used) / Double(calls)
}

private func heapBytes() -> Int { Int(clinux_heap_bytes()) }
