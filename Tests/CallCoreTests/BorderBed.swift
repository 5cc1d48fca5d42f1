import Base
import CallCore
import CryptoCore
import MediaControl
import Policy
import SIPCore
import SIPWire
import Simulation

/// A shard and whoever writes to it from anywhere, on a clock of its own.
final class BorderBed {
  let shard: Shard
  var now = Instant(nanoseconds: 1_000_000_000)
  private(set) var facts: [Fact] = []
  private(set) var orders: [BorderOrder] = []
  private(set) var lastAnswer: ShardAnswer?
  private let index = HeaderIndex()
  private var number = 0

  static let scanner = Scene.address(192, 0, 2, 66, port: 5_061)

  init(
    remembering memory: BorderMemory = BorderMemory(),
    _ change: (inout AdmissionLimits, inout Resources) -> Void = { _, _ in }
  ) throws {
    var resources = Scene.resources()
    let scene = Scene.settings()
    var settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: (0..<32).map { UInt8($0 * 5 + 1) },
      listeners: scene.listeners, mediaAddresses: scene.mediaAddresses)
    change(&settings.limits.admission, &resources)
    settings.remembered = memory
    let configuration = try Configuration(
      resources: resources, revision: 1,
      listeners: settings.listeners.map { ($0.name, $0.bound) },
      media: settings.mediaAddresses.map { ($0.name, $0.bound) })
    guard let shard = Shard(settings: settings, configuration: configuration, now: now) else {
      throw Problem.noShard
    }
    self.shard = shard
    collect()
  }

  enum Problem: Error { case noShard }

  @discardableResult
  private func collect() -> [[UInt8]] {
    var sent: [[UInt8]] = []
    for record in 0..<shard.outbox.datagrams.count {
      sent.append(Self.copy(record, of: shard.outbox.datagrams))
    }
    facts += shard.outbox.facts
    orders += shard.outbox.border
    lastAnswer = shard.outbox.answers.last?.answer ?? lastAnswer
    shard.outbox.removeAll()
    return sent
  }

  private static func copy(_ record: Int, of buffer: borrowing OutputBuffer) -> [UInt8] {
    let bytes = buffer.bytes(of: record)
    return bytes.array(ByteRange(0, bytes.byteCount))
  }

  /// What came back at once.
  @discardableResult
  func send(_ bytes: [UInt8], from source: SocketAddress, on listener: ListenerIndex = 0)
    -> [[UInt8]]
  {
    shard.receive(bytes.rawSpan, from: source, on: listener, at: now)
    return collect()
  }

  func pass(_ time: Interval) {
    now = now + time
    while shard.advance(to: now) {}
    collect()
  }

  func ask(_ query: ShardQuery) -> ShardAnswer? {
    shard.handle(.query(query, token: 1), at: now)
    collect()
    return lastAnswer
  }

  var bans: [Ban] {
    guard case .bans(let bans)? = ask(.bans) else { return [] }
    return bans
  }

  var counters: ShardCounters {
    guard case .counters(let counters)? = ask(.counters) else { return ShardCounters() }
    return counters
  }

  func banFacts() -> [Ban.Reason] {
    facts.compactMap { if case .banned(let ban) = $0.event { ban.reason } else { nil } }
  }

  // MARK: Requests

  static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  static func status(_ bytes: [UInt8]) -> Int {
    Int(text(bytes).dropFirst(8).prefix(3)) ?? 0
  }

  func request(
    _ method: String, user: String, from source: SocketAddress, lines: [String] = []
  ) -> [UInt8] {
    number += 1
    let uri = method == "REGISTER" ? "sip:trunk.example" : "sip:\(user)@trunk.example"
    return Array(
      """
      \(method) \(uri) SIP/2.0\r
      Via: SIP/2.0/UDP \(source);branch=z9hG4bK\(number);rport\r
      Max-Forwards: 70\r
      From: <sip:\(user)@trunk.example>;tag=f\(number)\r
      To: <sip:\(user)@trunk.example>\r
      Call-ID: c\(number)@\(source.ip)\r
      CSeq: 1 \(method)\r
      Contact: <sip:\(user)@\(source)>\r
      Expires: 3600\r
      \(lines.map { $0 + "\r\n" }.joined())Content-Length: 0\r
      \r

      """.utf8)
  }

  /// The Authorization that answers a challenge.
  func answer(_ challenge: [UInt8], user: String, password: String) -> String? {
    guard let message = try? Message.parse(challenge.rawSpan, using: index), message.status == 401,
      let chosen = DigestResponder.choose(message)
    else { return nil }
    var output = OutputBuffer(byteLimit: 4_096, recordLimit: 1)
    output.begin()
    let uri = Array("sip:trunk.example".utf8)
    DigestResponder.write(
      chosen, message.bytes, method: "REGISTER", uri: uri.rawSpan, username: user,
      password: password, cnonce: 7, context: DigestContext(.md5), into: &output)
    let bytes = output.openBytes
    return String(decoding: bytes.array(ByteRange(0, bytes.byteCount)), as: UTF8.self)
      .replacing("\r\n", with: "")
  }

  /// A REGISTER, its challenge, and the REGISTER with an answer: the last status, or 0 for silence.
  @discardableResult
  func register(
    _ user: String, password: String, from source: SocketAddress, on listener: ListenerIndex = 0
  ) -> Int {
    let first = send(request("REGISTER", user: user, from: source), from: source, on: listener)
    guard let challenge = first.first,
      let proof = answer(challenge, user: user, password: password)
    else { return first.first.map(Self.status) ?? 0 }
    let second = send(
      request("REGISTER", user: user, from: source, lines: [proof]), from: source, on: listener)
    return second.first.map(Self.status) ?? 0
  }
}
