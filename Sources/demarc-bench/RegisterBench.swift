import Base
import CLinux
import CallCore
import CryptoCore
import Foundation
import MediaControl
import Policy
import SIPCore
import SIPWire
import Simulation

// The avalanche after an outage: every phone of a large installation registers again within a short time.
// Each REGISTER bears the right answer to a challenge of the engine's, made beforehand; what is measured is the
// engine that checks it, keeps the binding and answers.

private let userCount = 100_000
private let contactsEach = 1

/// 100 000 users with a phone each.
struct RegisterBed {
  let shard: Shard
  private let configuration: Configuration
  private let index = HeaderIndex()
  private var now = EngineBed.start
  private(set) var accepted = 0

  init() {
    var resources = Scene.resources()
    resources.numbers = []
    resources.users = (0..<userCount).map { number -> User in
      var user = User(
        name: "user\(number)", tenant: "acme", network: "office", extension: "\(100_000 + number)",
        password: "secret-\(number)")
      user.maxContacts = contactsEach
      return user
    }
    var settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: (0..<32).map { UInt8($0 * 7 + 3) },
      listeners: [
        Listener(name: "inside", bound: Scene.inside),
        Listener(name: "outside", bound: Scene.outside),
      ],
      mediaAddresses: [
        MediaAddress(name: "inside", bound: Scene.inside.ip, ports: 10_000...10_001),
        MediaAddress(name: "outside", bound: Scene.outside.ip, ports: 10_000...10_001),
      ])
    settings.limits.traceBytes = 1 << 10
    // All of them come in one instant.
    settings.limits.admission.networkRate = 1_000_000
    settings.limits.transactions = 400_000
    do {
      configuration = try Configuration(
        resources: resources, revision: 1,
        listeners: settings.listeners.map { ($0.name, $0.bound) },
        media: settings.mediaAddresses.map { ($0.name, $0.bound) })
    } catch {
      fail("the configuration of the register bench: \(error)")
    }
    guard let shard = Shard(settings: settings, configuration: configuration, now: now) else {
      fail("the engine does not start")
    }
    self.shard = shard
    shard.outbox.removeAll()
  }

  /// A phone's address: two phones of one household share none.
  private func source(_ phone: Int) -> SocketAddress {
    SocketAddress(IPAddress(v4: 0x0a10_0000 + UInt32(phone)), 5060)
  }

  private func register(_ phone: Int, cseq: Int, authorization: String = "") -> [UInt8] {
    let user = "user\(phone / contactsEach)"
    let host = "\(source(phone))"
    return Array(
      """
      REGISTER sip:trunk.example SIP/2.0\r
      Via: SIP/2.0/UDP \(host);branch=z9hG4bK\(phone)x\(cseq);rport\r
      Max-Forwards: 70\r
      From: <sip:\(user)@trunk.example>;tag=f\(phone)\r
      To: <sip:\(user)@trunk.example>\r
      Call-ID: call-\(phone)\r
      CSeq: \(cseq) REGISTER\r
      Contact: <sip:\(user)@\(host)>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-\(phone)>"\r
      User-Agent: Phone/1.0\r
      Expires: 3600\r
      \(authorization)Content-Length: 0\r
      \r

      """.utf8)
  }

  /// Makes the answered request of every phone: each gets its challenge from the engine.
  mutating func answered(_ phones: Range<Int>, cseq: Int) -> [[UInt8]] {
    var requests: [[UInt8]] = []
    let context = DigestContext(.md5)
    for phone in phones {
      let first = register(phone, cseq: cseq)
      shard.receive(first.rawSpan, from: source(phone), on: 0, at: now)
      requests.append(register(phone, cseq: cseq + 1, authorization: answer(phone, context)))
      shard.outbox.removeAll()
    }
    return requests
  }

  private func copy(of buffer: borrowing OutputBuffer) -> [UInt8] {
    let bytes = buffer.bytes(of: 0)
    return bytes.array(ByteRange(0, bytes.byteCount))
  }

  private func answer(_ phone: Int, _ context: DigestContext) -> String {
    let sent = shard.outbox.datagrams.count == 1 ? copy(of: shard.outbox.datagrams) : []
    guard let message = try? Message.parse(sent.rawSpan, using: index), message.status == 401,
      let challenge = DigestResponder.choose(message)
    else { fail("no challenge") }
    var output = OutputBuffer(byteLimit: 4_096, recordLimit: 1)
    output.begin()
    let uri = Array("sip:trunk.example".utf8)
    let user = phone / contactsEach
    DigestResponder.write(
      challenge, message.bytes, method: "REGISTER", uri: uri.rawSpan, username: "user\(user)",
      password: "secret-\(user)", cnonce: UInt64(phone), context: context, into: &output)
    return output.openBytes.displayText.replacing("\u{FFFD}", with: "")
      .trimmingCharacters(in: .newlines) + "\r\n"
  }

  /// Feeds the requests, one each 10 µs of the engine's time, with the edge's drain after each 32.
  mutating func feed(_ requests: [[UInt8]], first: Int) {
    for (i, request) in requests.enumerated() {
      now = now + .microseconds(10)
      shard.receive(request.rawSpan, from: source(first + i), on: 0, at: now)
      if i % 32 == 31 {
        shard.outbox.removeAll()
        if shard.nextDeadline.map({ $0 <= now }) ?? false { _ = shard.advance(to: now) }
      }
    }
    shard.outbox.removeAll()
  }

  /// Transactions and their timers go; the bindings' hour is not over.
  mutating func rest() {
    now = now + .seconds(40)
    while shard.advance(to: now) { shard.outbox.removeAll() }
    shard.outbox.removeAll()
  }

  func counters() -> ShardCounters {
    shard.handle(.query(.counters, token: 1), at: now)
    defer { shard.outbox.removeAll() }
    guard case .counters(let counters)? = shard.outbox.answers.first?.answer else {
      fail("the engine does not answer")
    }
    return counters
  }
}

func registerBench(into results: inout BenchResults) {
  let phones = userCount * contactsEach
  var bed = RegisterBed()
  let before = Int(clinux_heap_bytes())
  var spent: [UInt64] = []
  // The first time, and the avalanche: all of them again.
  for round in 0..<2 {
    var nanoseconds: UInt64 = 0
    for first in stride(from: 0, to: phones, by: 10_000) {
      let requests = bed.answered(first..<(first + 10_000), cseq: round * 10 + 1)
      let start = threadNanoseconds()
      bed.feed(requests, first: first)
      nanoseconds += threadNanoseconds() - start
      bed.rest()
    }
    spent.append(nanoseconds)
    let counters = bed.counters()
    guard counters.bindings == phones else {
      fail("\(counters.bindings) of \(phones) phones are registered in round \(round): \(counters)")
    }
  }
  let heap = Int(clinux_heap_bytes()) - before
  let each = Double(spent[1]) / Double(phones) / 1_000
  results.record("register_first_us", Double(spent[0]) / Double(phones) / 1_000, "µs")
  results.record("register_again_us", each, "µs")
  results.record("register_per_second", 1e6 / each, "requests/s")
  results.record("binding_bytes", Double(heap) / Double(phones), "bytes")
}
