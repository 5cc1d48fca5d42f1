import Base
import CallCore
import Simulation

// What it costs to refuse a new call for load: reading the INVITE, finding out who sends it, the 503, and the ACK
// for it. A shard that is told of long waits refuses all strangers and nineteen of twenty known callers; of
// those, the ones that it lets in are left out of the measurement.

private struct RefusalBed {
  let shard = EngineBed.shard(ladders: false)
  private var now = EngineBed.start

  /// Until no more is refused than is refused now.
  mutating func press() {
    for _ in 0..<600 {
      now = now + .milliseconds(10)
      shard.waited(.milliseconds(200), on: 0, at: now)
      shard.outbox.removeAll()
    }
  }

  private static func message(_ method: String, _ number: Int) -> [UInt8] {
    Array(
      ("\(method) sip:+44\(1_000_000 + number)@10.0.0.1:5060;user=phone SIP/2.0\r\n"
        + "Via: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bK-524287-1---r\(number);rport\r\n"
        + "Max-Forwards: 70\r\nContact: <sip:+15557654321@10.0.0.20:5060;transport=udp>\r\n"
        + "To: <sip:+44\(1_000_000 + number)@trunk.example>\(method == "ACK" ? ";tag=x" : "")\r\n"
        + "From: \"Alice Example\" <sip:+15557654321@trunk.example>;tag=8f2b\(number)\r\n"
        + "Call-ID: refused\(number)\r\nCSeq: 1 \(method)\r\n"
        + "Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO\r\n"
        + "Supported: replaces, timer, 100rel\r\nUser-Agent: ExamplePBX/18.2.1\r\n"
        + "Content-Length: 0\r\n\r\n").utf8)
  }

  private func refused() -> UInt64 {
    shard.handle(.query(.counters, token: 1), at: now)
    defer { shard.outbox.removeAll() }
    guard case .counters(let counters)? = shard.outbox.answers.first?.answer else { return 0 }
    return counters.refused["overload"] ?? 0
  }

  /// INVITEs that are refused, each with its ACK.
  func requests(
    _ count: Int, from source: (Int) -> SocketAddress
  ) -> [(invite: [UInt8], ack: [UInt8])] {
    (0..<count).compactMap { number in
      let invite = Self.message("INVITE", number)
      let before = refused()
      shard.receive(invite.rawSpan, from: source(number), on: 0, at: now)
      shard.outbox.removeAll()
      return refused() > before ? (invite, Self.message("ACK", number)) : nil
    }
  }

  /// Nanoseconds for each.
  func feed(
    _ requests: [(invite: [UInt8], ack: [UInt8])], from source: (Int) -> SocketAddress
  ) -> Double {
    let start = threadNanoseconds()
    for (number, request) in requests.enumerated() {
      let source = source(number)
      shard.receive(request.invite.rawSpan, from: source, on: 0, at: now)
      shard.receive(request.ack.rawSpan, from: source, on: 0, at: now)
      shard.outbox.removeAll()
    }
    return Double(threadNanoseconds() - start) / Double(max(requests.count, 1))
  }
}

func overloadBench(into results: inout BenchResults) {
  // Strangers are many: one who calls a thousand numbers would not be refused for load.
  let strangers = { (number: Int) in
    SocketAddress(IPAddress(v4: 0x0a10_0000 + UInt32(number)), 5060)
  }
  for (name, source) in [("stranger", strangers), ("known", { _ in EngineBed.pbx })] {
    var bed = RefusalBed()
    bed.press()
    let requests = bed.requests(1_000, from: source)
    guard requests.count >= 900 else { fail("only \(requests.count) of 1000 were refused") }
    let times = (0..<9).map { _ in bed.feed(requests, from: source) }.sorted()
    results.record("overload_refusal_\(name)_us", times[0] / 1_000, "µs")
  }
}
