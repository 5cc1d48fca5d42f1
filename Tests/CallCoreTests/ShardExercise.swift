import Base
import CallCore
import MediaControl
import Policy
import SIPWire
import Simulation

/// A shard under a script of bytes: the fuzz target `shard` and the tests that replay its files share it.
///
/// A script is records, separated by the octet 0x1e. A record's first octet says what it does, the second
/// who does it (one of `peers`), the rest is its text:
///
///     d  a datagram as it stands
///     r  a response to the last request that the shard sent to this peer: a status, then header fields and
///        a body, put behind the Via, From, To, Call-ID and CSeq of the request
///     q  a request in the dialog of the last message sent to this peer: a method and what follows it
///     i  an INVITE to the Contact of the last request that the shard sent to this peer, and what follows it
///     a  the last request of this peer again, with an answer to the last challenge
///     t  time passes: so many milliseconds
///     m  a fact of the media plane about a transport
///     c  an input of the edge: drain, hang up, unreachable, queries, configuration, the store's pause, that
///        messages have waited for two seconds, that some were dropped
///
/// `+` in place of header fields stands for a Contact and SDP, nothing for a Contact. The store and the
/// media plane answer at once. At the end everybody falls silent, calls that still are up are hung up by
/// the operator, and then nothing may be left of them.
struct ShardExercise {
  static let separator: UInt8 = 0x1e
  static let maxRecords = 64

  /// Two phones, the PBX, two carriers, and a stranger.
  static let peers: [(address: SocketAddress, listener: ListenerIndex)] = [
    (Scene.address(10, 0, 0, 101), 0), (Scene.address(10, 0, 0, 102), 0),
    (Scene.address(10, 0, 0, 20), 0), (Scene.address(198, 51, 100, 10), 1),
    (Scene.address(198, 51, 100, 20), 1), (Scene.address(192, 0, 2, 66, port: 4_444), 1),
  ]
  private static let users = ["alice", "bob"]

  private static let listeners = Scene.settings().listeners
  private static let media = Scene.settings().mediaAddresses.map {
    MediaAddress(name: $0.name, bound: $0.bound, ports: 30_000...30_019)
  }
  private static let resources = {
    var resources = Scene.resources()
    resources.trunks[0].overloadControl = true
    resources.users[0].pickup = ["bob"]
    resources.trunks[2].passing = RegistrationPassing(domain: "pbx.example")
    return resources
  }()
  private static let configuration = try? Configuration(
    resources: resources, revision: 1, listeners: listeners.map { ($0.name, $0.bound) },
    media: media.map { ($0.name, $0.bound) })

  private let shard: Shard
  private let configuration: Configuration
  private var now = Instant(nanoseconds: 1_000_000_000)
  private var writers: [ScriptWriter]
  private var transports: [MediaTransportID] = []
  private var calls: [CallID] = []
  private var counters = ShardCounters()
  private var isStoreStalled = false
  /// The script took the configuration away, began to drain, or had the media plane refuse something.
  private var isUndisturbed = true
  private var lastFact: UInt64 = 0
  private var attempted: Set<CallID> = []
  private var ended: [CallID: Int] = [:]
  private var problem: String?

  /// What is wrong after the script, or nil.
  static func run(_ script: RawSpan) -> String? {
    guard var exercise = ShardExercise() else { return "no shard" }
    exercise.play(script)
    exercise.rest()
    return exercise.problem
  }

  private init?() {
    guard let configuration = Self.configuration else { return nil }
    self.configuration = configuration
    var settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: Array(0..<32), listeners: Self.listeners,
      mediaAddresses: Self.media)
    settings.limits.sessions = 16
    settings.limits.transactions = 256
    settings.limits.bindings = 16
    settings.limits.blockBytes = 4 << 20
    settings.limits.traceBytes = 1 << 16
    settings.limits.outputDatagrams = 64
    settings.limits.timersPerAdvance = 50
    settings.limits.admission.sources = 64
    settings.limits.admission.blocks = 64
    settings.limits.admission.accounts = 64
    guard let shard = Shard(settings: settings, configuration: configuration, now: now) else {
      return nil
    }
    self.shard = shard
    writers = Self.peers.indices.map {
      ScriptWriter(address: Self.peers[$0].address, user: Self.users.dropFirst($0).first)
    }
    for (i, address) in Self.media.enumerated() {
      input(.media(.ready(address: UInt16(i), ports: address.ports, failed: [])))
    }
  }

  private mutating func fail(_ text: String) {
    if problem == nil { problem = text }
  }

  // MARK: The script

  private mutating func play(_ script: RawSpan) {
    var at = 0
    for _ in 0..<Self.maxRecords where at < script.byteCount {
      let end = script.firstIndex(of: Self.separator, from: at) ?? script.byteCount
      record(script.slice(at, end))
      at = end + 1
    }
  }

  private mutating func record(_ record: RawSpan) {
    guard record.byteCount >= 2 else { return }
    let peer = Int(record.byte(at: 1)) % Self.peers.count
    let text = record.array(ByteRange(from: 2, to: record.byteCount))
    switch record.byte(at: 0) {
    case UInt8(ascii: "d"): send(text, peer)
    case UInt8(ascii: "r"): if let bytes = writers[peer].response(text) { send(bytes, peer) }
    case UInt8(ascii: "q"): if let bytes = writers[peer].request(text) { send(bytes, peer) }
    case UInt8(ascii: "i"): if let bytes = writers[peer].invitation(text) { send(bytes, peer) }
    case UInt8(ascii: "a"): if let bytes = writers[peer].authorized() { send(bytes, peer) }
    case UInt8(ascii: "t"):
      let digits = text.prefix { $0.isASCIIDigit }.prefix(5)
      pass(.milliseconds(digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }))
    case UInt8(ascii: "m"): mediaFact(text.first ?? 0, Int(text.dropFirst().first ?? 0))
    case UInt8(ascii: "c"): edgeInput(text.first ?? 0, peer)
    default: break
    }
  }

  private mutating func send(_ bytes: [UInt8], _ peer: Int) {
    // What UDP carries at most.
    let datagram = Array(bytes.prefix(65_507))
    writers[peer].sent(datagram)
    let (address, listener) = Self.peers[peer]
    shard.receive(datagram.rawSpan, from: address, on: listener, at: now)
    drain()
  }

  private mutating func input(_ input: ShardInput) {
    shard.handle(input, at: now)
    drain()
  }

  private mutating func mediaFact(_ kind: UInt8, _ which: Int) {
    guard !transports.isEmpty else { return }
    let id = transports[which % transports.count]
    switch kind {
    case UInt8(ascii: "l"): input(.media(.latched(id, Self.peers[which % 6].address, at: now)))
    case UInt8(ascii: "s"): input(.media(.silent(id, last: now)))
    case UInt8(ascii: "e"): input(.media(.applicationEnded(id)))
    case UInt8(ascii: "o"): input(.media(.opened(id)))
    case UInt8(ascii: "q"): input(.media(.quality(id, StreamQuality())))
    case UInt8(ascii: "r"):
      isUndisturbed = false
      input(.media(.refused(id)))
    case UInt8(ascii: "c"): input(.media(.closed(id)))
    default: break
    }
  }

  private mutating func edgeInput(_ kind: UInt8, _ peer: Int) {
    switch kind {
    case UInt8(ascii: "d"):
      isUndisturbed = false
      input(.drain)
    case UInt8(ascii: "h"): hangUpAll()
    case UInt8(ascii: "u"): input(.unreachable(Self.peers[peer].address))
    case UInt8(ascii: "q"):
      for query in [ShardQuery.calls, .registrations, .trunks, .counters] { ask(query) }
      for id in calls {
        ask(.call(id))
        ask(.ladder(id))
      }
    case UInt8(ascii: "k"): input(.configuration(configuration))
    case UInt8(ascii: "e"):
      isUndisturbed = false
      input(.configuration(Configuration()))
    case UInt8(ascii: "w"):
      for _ in 0..<20 {
        pass(.milliseconds(100))
        shard.waited(.milliseconds(200), on: Self.peers[peer].listener, at: now)
        drain()
      }
    case UInt8(ascii: "o"):
      shard.kernelDropped(at: now)
      drain()
    case UInt8(ascii: "s"):
      isStoreStalled.toggle()
      drain()
    default: break
    }
  }

  private mutating func ask(_ query: ShardQuery) { input(.query(query, token: 7)) }

  private mutating func hangUpAll() {
    ask(.calls)
    for id in calls { input(.hangUp(id)) }
  }

  /// Fires what is due until then.
  private mutating func pass(_ interval: Interval) {
    let end = now + interval
    var budget = 50_000
    while let deadline = shard.nextDeadline, deadline <= end, budget > 0 {
      now = max(now, deadline)
      budget -= 1
      _ = shard.advance(to: now)
      drain()
    }
    if budget == 0 { fail("timers without end") }
    now = max(now, end)
  }

  // MARK: What comes out

  private mutating func drain() {
    var rounds = 0
    repeat {
      rounds += 1
      let outbox = shard.outbox
      let facts = outbox.facts
      let commands = outbox.media
      let answers = outbox.answers
      let datagrams = Self.copies(outbox.datagrams)
      outbox.removeAll()
      for (bytes, destination) in datagrams { received(bytes.rawSpan, destination) }
      for (_, answer) in answers { take(answer) }
      for fact in facts { take(fact) }
      for command in commands { carryOut(command) }
      if !isStoreStalled { shard.handle(.durable(upTo: lastFact), at: now) }
    } while !shard.outbox.isEmpty && rounds < 1_000
    if rounds == 1_000 { fail("output without end") }
  }

  private static func copies(_ buffer: borrowing OutputBuffer) -> [([UInt8], SocketAddress)] {
    var copies: [([UInt8], SocketAddress)] = []
    for i in 0..<buffer.count {
      let bytes = buffer.bytes(of: i)
      copies.append((bytes.array(ByteRange(0, bytes.byteCount)), buffer.destination(of: i)))
    }
    return copies
  }

  /// Whatever the shard sends can be read strictly, and says what its length is.
  private mutating func received(_ bytes: RawSpan, _ destination: SocketAddress) {
    let index = HeaderIndex()
    do throws(SIPParseError) {
      let message = try Message.parse(bytes, using: index)
      if message.contentLength != Int(message.body.count) { fail("Content-Length") }
      if message.body.end != bytes.byteCount { fail("octets behind the body") }
      if message.isRequest, let defect = message.defect() {
        fail("\(defect.phrase) in \(bytes.displayText)")
      }
    } catch {
      fail("\(error) in \(bytes.displayText)")
    }
    let exact = Self.peers.firstIndex { $0.address == destination }
    let near = exact ?? Self.peers.firstIndex { $0.address.ip == destination.ip }
    if let near { writers[near].received(bytes) }
  }

  private mutating func take(_ answer: ShardAnswer) {
    if case .calls(let records) = answer { calls = records.map(\.id) }
    if case .counters(let now) = answer { counters = now }
  }

  private mutating func take(_ fact: Fact) {
    if fact.sequence <= lastFact { fail("facts out of order") }
    lastFact = max(lastFact, fact.sequence)
    switch fact.event {
    case .callAttempted(let record):
      if !attempted.insert(record.id).inserted { fail("attempted twice") }
    case .callEnded(let record): ended[record.id, default: 0] += 1
    case .internalFault(let text): if isUndisturbed { fail("internal fault: \(text)") }
    default: break
    }
  }

  private mutating func carryOut(_ command: MediaCommand) {
    switch command {
    case .open(let id, _):
      transports.append(id)
      shard.handle(.media(.opened(id)), at: now)
    case .measure(let id): shard.handle(.media(.quality(id, StreamQuality())), at: now)
    case .close(let id):
      shard.handle(.media(.quality(id, StreamQuality())), at: now)
      shard.handle(.media(.closed(id)), at: now)
    case .record(_, let order):
      shard.handle(.media(.recording(order.id, .started(wall: 0))), at: now)
    case .stopRecording(let id, let end):
      shard.handle(.media(.recording(id, .ended(RecordingResult(end)))), at: now)
    case .remote, .bridge, .play, .interpose, .heed, .number, .watch, .examine, .digit,
      .moveRecording,
      .pauseRecording:
      break
    }
  }

  // MARK: The end

  /// The next request is answered as if nothing had been, and nothing of the script is left.
  private mutating func rest() {
    if isUndisturbed { ping() }
    isStoreStalled = false
    drain()
    pass(.seconds(40))
    hangUpAll()
    pass(.seconds(700))
    ask(.counters)
    let left = [
      ("sessions", counters.sessions), ("transactions", counters.transactions),
      ("ports", counters.portsLeased),
      ("timers", counters.timers - counters.bindings - counters.subscriptions),
      ("unconfirmed facts", counters.unconfirmedFacts),
    ]
    for (name, count) in left where count != 0 { fail("\(count) \(name) left") }
    for id in attempted where ended[id] != 1 { fail("\(ended[id] ?? 0) records of one call") }
    if ended.count != attempted.count { fail("a record without a call") }
    if counters.callsAttempted != counters.callsEnded { fail("counted calls don't end") }
    // Targets that are being asked hold on to what asks them; without them a lost object is a leak.
    input(.configuration(Configuration()))
    pass(.seconds(40))
  }

  private mutating func ping() {
    let text = """
      OPTIONS sip:trunk.example SIP/2.0\r
      Via: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKping\(now.nanoseconds)\r
      From: <sip:ping@example.com>;tag=ping\r
      To: <sip:trunk.example>\r
      Call-ID: ping-\(now.nanoseconds)\r
      CSeq: 1 OPTIONS\r
      \r\n
      """
    send(Array(text.utf8), 3)
    let answer = writers[3].lastResponse
    if !answer.starts(with: Array("SIP/2.0 200 ".utf8)) {
      fail("the next OPTIONS gets \(answer.rawSpan.displayText)")
    }
  }
}
