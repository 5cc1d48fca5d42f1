import Base
import CallCore
import Foundation
import GRDB
import MediaControl
import Operations
import Synchronization
import Testing

/// A whole server on loopback, with a folder of its own; ended and removed after `body`.
struct ServerRig: Sendable {
  static let document = """
    tenants:
      - name: acme
    networks:
      - name: inside
        listeners: [udp]
        media: [media]
    trunks:
      - name: pbx
        kind: pbx
        sources: [127.0.0.1]
        maxCalls: 5
        credentials: {username: acme, password: very-secret}
    applications:
      - name: tone
        kind: milliwatt
    numbers:
      - number: "+441632960100"
        destinations:
          - application: tone
    """
  private static let nextPort = Atomic<Int>(0)

  let server: DemarcServer
  let client: APIClient
  let folder: String
  let settings: ServerSettings

  static func with(
    document: String? = ServerRig.document, in folder: String? = nil,
    drainTime: Interval = .milliseconds(300), _ body: (ServerRig) async throws -> Void
  ) async throws {
    let kept = folder != nil
    let folder =
      folder ?? FileManager.default.temporaryDirectory.path
      + "/demarc-\(UUID().uuidString.prefix(8))"
    let round = nextPort.wrappingAdd(40, ordering: .relaxed).oldValue
    let base = UInt16(36_000 + Int(getpid()) % 100 * 40 + round)
    var settings = ServerSettings(
      listeners: [Listener(name: "udp", bound: SocketAddress(.loopbackV4, 0))],
      media: [MediaAddress(name: "media", bound: .loopbackV4, ports: base...(base + 39))],
      store: "\(folder)/demarc.db", socket: "\(folder)/demarc.sock",
      metrics: SocketAddress(.loopbackV4, 0))
    settings.drainTime = drainTime
    let log = LogSink(
      descriptor: -1, level: .debug, formatter: LogFormatter(format: .json), clock: { 0 })
    let server = try await DemarcServer.start(
      settings, document: document.map { Array($0.utf8) }, log: log)
    let rig = ServerRig(
      server: server, client: APIClient(socket: settings.socket), folder: folder,
      settings: settings)
    do {
      try await body(rig)
    } catch {
      _ = await server.end()
      throw error
    }
    _ = await server.end()
    if !kept { try FileManager.default.removeItem(atPath: folder) }
  }

  func get<Value: Decodable>(_ path: String, as type: Value.Type) async throws -> Value {
    let reply = try await client.send(APIRequest(.get, path))
    return try JSONDecoder().decode(type, from: Data(reply.body))
  }

  func peer() throws -> UDPPeer {
    try #require(UDPPeer(server: server.addresses[0].bound.port))
  }

  /// Polls until it holds, for a few seconds.
  func eventually(_ condition: () async throws -> Bool) async throws {
    for _ in 0..<200 {
      if try await condition() { return }
      try await Task.sleep(for: .milliseconds(20))
    }
    Issue.record("it never came to be")
  }
}

final class Flag: Sendable {
  private let state = Atomic(false)
  var isSet: Bool { state.load(ordering: .acquiring) }
  func set() { state.store(true, ordering: .releasing) }
}

/// A caller's side of one call, by hand.
struct HandCall: Sendable {
  let peer: UDPPeer
  let id = UUID().uuidString
  let server: UInt16

  init(_ rig: ServerRig) throws {
    peer = try rig.peer()
    server = rig.server.addresses[0].bound.port
  }

  private func request(_ method: String, cseq: Int, to: String, extra: String, body: String)
    -> String
  {
    """
    \(method) sip:+441632960100@127.0.0.1:\(server) SIP/2.0\r
    Via: SIP/2.0/UDP 127.0.0.1:\(peer.port);branch=z9hG4bK\(id)\(cseq)\(method == "ACK" ? "a" : "")\r
    Max-Forwards: 70\r
    From: <sip:+441632960999@127.0.0.1>;tag=x\r
    To: \(to)\r
    Call-ID: \(id)\r
    CSeq: \(cseq) \(method)\r
    Contact: <sip:caller@127.0.0.1:\(peer.port)>\r
    \(extra)Content-Length: \(body.utf8.count)\r
    \r
    \(body)
    """
  }

  func invite() {
    let body = """
      v=0\r
      o=- 1 1 IN IP4 127.0.0.1\r
      s=-\r
      c=IN IP4 127.0.0.1\r
      t=0 0\r
      m=audio 40000 RTP/AVP 0\r
      a=rtpmap:0 PCMU/8000\r

      """
    peer.send(
      request(
        "INVITE", cseq: 1, to: "<sip:+441632960100@127.0.0.1>",
        extra: "Content-Type: application/sdp\r\n", body: body))
  }

  /// INVITE, 200, ACK; the answer.
  func connect() async throws -> String {
    invite()
    let answer = try #require(await peer.receive("SIP/2.0 200"))
    peer.send(
      request("ACK", cseq: 1, to: try #require(header("To", of: answer)), extra: "", body: ""))
    return answer
  }

  func hangUp(_ answer: String) async throws {
    peer.send(
      request("BYE", cseq: 2, to: try #require(header("To", of: answer)), extra: "", body: ""))
    _ = try #require(await peer.receive("SIP/2.0 200"))
  }

  /// Waits for the BYE of the far end and answers it.
  func answerBye() async throws {
    let bye = try #require(await peer.receive("BYE"))
    let kept = ["Via", "From", "To", "Call-ID", "CSeq"].map { name in
      "\(name): \(header(name, of: bye) ?? "")\r\n"
    }
    peer.send("SIP/2.0 200 OK\r\n\(kept.joined())Content-Length: 0\r\n\r\n")
  }
}

@Suite(.timeLimit(.minutes(1)), .serialized) struct ServerTests {
  @Test func aCallIsSeenByEveryView() async throws {
    try await ServerRig.with { rig in
      let call = try HandCall(rig)
      let answer = try await call.connect()
      let live = try await rig.get("/v1/calls", as: PageResource<CallResource>.self)
      let resource = try #require(live.items.first)
      #expect(live.items.count == 1)
      #expect(resource.state == "answered")
      #expect(resource.from == "trunk:pbx")
      #expect(resource.to == "application:tone")
      #expect(resource.sipCallId == call.id)
      let trunks = try await rig.get("/v1/trunks", as: PageResource<TrunkStateResource>.self)
      #expect(trunks.items.first?.calls == 1)
      #expect(trunks.items.first?.maxCalls == 5)
      try await call.hangUp(answer)

      try await rig.eventually {
        try await rig.get("/v1/calls", as: PageResource<CallResource>.self).items.isEmpty
      }
      let ended = try await rig.get("/v1/calls/\(resource.id)", as: CallResource.self)
      #expect(ended.state == "ended")
      #expect(ended.releasedBy == "caller")
      #expect(ended.cause == "normal-clearing")
      #expect(ended.codec == "PCMU/8000")
      #expect(ended.attempts.count == 1)
      try await rig.eventually {
        try await rig.get("/v1/records?state=ended", as: PageResource<CallResource>.self).items
          .count == 1
      }
      let stored = try #require(
        try await rig.get("/v1/records", as: PageResource<CallResource>.self).items.first)
      #expect(stored.id == resource.id)
      #expect(stored.cause == "normal-clearing")

      let ladder = try await rig.get("/v1/calls/\(resource.id)/ladder", as: LadderResource.self)
      #expect(ladder.participants == ["pbx", "demarc"])
      let labels = ladder.messages.map(\.label)
      #expect(labels.first == "INVITE (SDP)")
      #expect(labels.contains("200 OK (SDP)"))
      #expect(labels.last == "200 OK (BYE)")

      let metrics = try #require(rig.server.metricsAddress)
      let page = try #require(await plainGet(port: Int(metrics.port), path: "/metrics"))
      #expect(page.contains("\ndemarc_calls_attempted_total 1\n"))
      #expect(page.contains("\ndemarc_calls_answered_total 1\n"))
      #expect(
        page.contains("\ndemarc_calls_ended_total{cause=\"normal-clearing\",by=\"caller\"} 1\n"))
      #expect(page.contains("\ndemarc_trunk_attempts_total{tenant=\"acme\",trunk=\"pbx\"} 1\n"))
      #expect(page.contains("\ndemarc_calls_active 0\n"))
    }
  }

  /// They are asked for every few seconds, and a store may have many millions of records.
  @Test func metricsReadNoRecords() async throws {
    try await ServerRig.with { rig in
      let store = try DatabaseQueue(path: rig.settings.store)
      try await store.write { db in
        try db.execute(sql: "ALTER TABLE call_record RENAME TO somewhere_else")
      }
      try store.close()
      let page = await rig.server.metrics()
      #expect(page.contains("\ndemarc_store_bytes "))
      #expect(!page.contains("\ndemarc_store_bytes 0\n"))
    }
  }

  @Test func anOperatorEndsACallAndTheDrainTheOthers() async throws {
    try await ServerRig.with { rig in
      let first = try HandCall(rig)
      _ = try await first.connect()
      let id = try #require(
        try await rig.get("/v1/calls", as: PageResource<CallResource>.self).items.first
      ).id
      let reply = try await rig.client.send(APIRequest(.delete, "/v1/calls/\(id)"))
      #expect(reply.status == 202)
      try await first.answerBye()
      let second = try HandCall(rig)
      _ = try await second.connect()
      async let answered: Void = second.answerBye()
      let ending = await rig.server.end()
      try await answered
      #expect(ending.hungUp == 1)
      #expect(ending.recordsKept)
    }
  }

  /// The second order: what has an hour to end is hung up now, and new calls were refused meanwhile.
  @Test func aSecondOrderHurriesTheEnd() async throws {
    try await ServerRig.with(drainTime: .seconds(3_600)) { rig in
      let call = try HandCall(rig)
      _ = try await call.connect()
      let hurry = Flag()
      async let ending = rig.server.end(hurry: { hurry.isSet })
      try await rig.eventually {
        try await rig.get("/v1/status", as: StatusResource.self).state == "draining"
      }
      let late = try HandCall(rig)
      late.invite()
      let refusal = await late.peer.receive("SIP/2.0 503")
      #expect(refusal != nil)
      hurry.set()
      try await call.answerBye()
      let outcome = await ending
      #expect(outcome.hungUp == 1 && outcome.recordsKept)
    }
  }

  @Test func resourcesAreAppliedWholeOrNotAtAll() async throws {
    try await ServerRig.with(document: nil) { rig in
      let empty = try await rig.get("/v1/status", as: StatusResource.self)
      #expect(empty.revision == 0)
      let broken = ServerRig.document.replacing("kind: pbx", with: "kimd: pbx")
      let refused = try await rig.client.send(
        APIRequest(.post, "/v1/resources:apply", body: Array(broken.utf8)))
      #expect(refused.status == 422)
      let failure = try JSONDecoder().decode(APIFailure.Body.self, from: Data(refused.body)).error
      let problem = try #require(failure.problems.first { $0.suggestion == "kind" })
      #expect(problem.line == 9)
      let applied = try await rig.client.send(
        APIRequest(.post, "/v1/resources:apply", body: Array(ServerRig.document.utf8)))
      #expect(applied.status == 200)
      let outcome = try JSONDecoder().decode(ApplyResource.self, from: Data(applied.body))
      #expect(outcome.revision == 1)
      #expect(outcome.counts["trunks"] == 1)
      let again = try await rig.client.send(
        APIRequest(.post, "/v1/resources:apply", body: Array(ServerRig.document.utf8)))
      let same = try JSONDecoder().decode(ApplyResource.self, from: Data(again.body))
      #expect(!same.changed && same.revision == 1)
      // Calls are routed by it at once.
      let call = try HandCall(rig)
      try await call.hangUp(try await call.connect())
      // Nothing that is shown has the password.
      for path in ["/v1/resources", "/v1/resources/trunks", "/v1/resources/trunks/pbx?format=yaml"]
      {
        let reply = try await rig.client.send(APIRequest(.get, path))
        let text = String(decoding: reply.body, as: UTF8.self)
        #expect(reply.status == 200)
        #expect(text.contains("pbx"))
        #expect(!text.contains("very-secret"))
      }
      let unknown = try await rig.client.send(APIRequest(.get, "/v1/resources/trunkz"))
      #expect(String(decoding: unknown.body, as: UTF8.self).contains("`trunks`"))
    }
  }

  /// DID-1: a number is moved while calls run, and its life can be read.
  @Test func numbersAreMovedOneByOne() async throws {
    try await ServerRig.with { rig in
      let path = "/v1/numbers/%2B441632960100"
      func change(_ body: String) async throws -> APIReply {
        try await rig.client.send(APIRequest(.post, path, body: Array(body.utf8)))
      }
      func state() async throws -> [String] {
        let page = try await rig.get("/v1/numbers", as: PageResource<NumberResource>.self)
        return page.items.map { "\($0.tenant) \($0.state) \($0.leadsTo)" }
      }
      #expect(try await state() == [#"acme assigned ["application tone"]"#])
      #expect(try await change(#"{"state": "suspended"}"#).status == 200)
      #expect(try await state() == [#"acme suspended ["application tone"]"#])
      #expect(try await change(#"{"state": "available"}"#).status == 200)
      #expect(try await state() == ["acme available []"])
      // It cannot be resumed: it has nowhere to lead.
      #expect(try await change(#"{"state": "assigned"}"#).status == 422)
      #expect(try await change(#"{"to": {"trunk": "pbx", "user": "x"}}"#).status == 400)
      #expect(try await change(#"{"to": {"application": "tune"}}"#).status == 422)
      #expect(try await change(#"{"state": "lost"}"#).status == 400)
      #expect(try await state() == ["acme available []"])
      #expect(try await change(#"{"to": {"application": "tone"}}"#).status == 200)
      let history = try await rig.get(
        "\(path)/history", as: PageResource<NumberEventResource>.self)
      #expect(history.items.map(\.revision) == [1, 2, 3, 4])
      #expect(
        history.items.map(\.became?.state) == ["assigned", "suspended", "available", "assigned"])
      let unknown = try await rig.client.send(APIRequest(.get, "/v1/numbers/123/history"))
      #expect(unknown.status == 404)
      let call = try HandCall(rig)
      try await call.hangUp(try await call.connect())
    }
  }

  @Test func aRestartKeepsResourcesAndRecords() async throws {
    let folder =
      FileManager.default.temporaryDirectory.path + "/demarc-\(UUID().uuidString.prefix(8))"
    try await ServerRig.with(in: folder) { rig in
      let call = try HandCall(rig)
      try await call.hangUp(try await call.connect())
    }
    try await ServerRig.with(document: nil, in: folder) { rig in
      let status = try await rig.get("/v1/status", as: StatusResource.self)
      #expect(status.revision == 1)
      let records = try await rig.get("/v1/records", as: PageResource<CallResource>.self)
      #expect(records.items.count == 1)
      let exported = try await rig.client.send(APIRequest(.get, "/v1/records/export?format=csv"))
      #expect(exported.body.count { $0 == 10 } == 2)
      let purge = #"{"before":"2999-01-01"}"#
      let purged = try await rig.client.send(
        APIRequest(.post, "/v1/records/purge", body: Array(purge.utf8)))
      #expect(try JSONDecoder().decode(PurgeResource.self, from: Data(purged.body)).purged == 1)
    }
    try FileManager.default.removeItem(atPath: folder)
  }

  /// A listener was renamed, and the resources with it: both come in one start.
  @Test func resourcesThatFitNoMoreAreReplacedAtTheStart() async throws {
    let folder =
      FileManager.default.temporaryDirectory.path + "/demarc-\(UUID().uuidString.prefix(8))"
    try await ServerRig.with(in: folder) { _ in }
    let store = "\(folder)/demarc.db"
    let log = LogSink(
      descriptor: -1, level: .error, formatter: LogFormatter(format: .text), clock: { 0 })
    let renamed = ServerSettings(
      listeners: [Listener(name: "outside", bound: SocketAddress(.loopbackV4, 0))],
      media: [MediaAddress(name: "media", bound: .loopbackV4, ports: 35_900...35_939)],
      store: store, socket: "\(folder)/demarc.sock")
    let failure = await #expect(throws: APIFailure.self) {
      _ = try await DemarcServer.start(renamed, log: log)
    }
    #expect(failure?.problems.first?.message.contains("`udp`") == true)
    let document = ServerRig.document.replacing("listeners: [udp]", with: "listeners: [outside]")
    let server = try await DemarcServer.start(renamed, document: Array(document.utf8), log: log)
    #expect(server.revision == 2)
    _ = await server.end()
    try FileManager.default.removeItem(atPath: folder)
  }

  /// What fails half-way leaves nothing behind: the next start has the store, the ports and the socket.
  @Test func aStartThatFailsLeavesNothingBehind() async throws {
    let folder =
      FileManager.default.temporaryDirectory.path + "/demarc-\(UUID().uuidString.prefix(8))"
    let log = LogSink(
      descriptor: -1, level: .error, formatter: LogFormatter(format: .text), clock: { 0 })
    try await ServerRig.with { other in
      var settings = other.settings
      settings.store = "\(folder)/demarc.db"
      settings.media[0].ports = 35_940...35_979
      // The other's socket, then its metrics port, then its listener.
      await #expect(throws: APIFailure.self) {
        _ = try await DemarcServer.start(settings, log: log)
      }
      settings.socket = "\(folder)/demarc.sock"
      settings.metrics = other.server.metricsAddress
      await #expect(throws: APIFailure.self) {
        _ = try await DemarcServer.start(settings, log: log)
      }
      settings.metrics = nil
      settings.listeners = other.server.addresses
      await #expect(throws: (any Error).self) {
        _ = try await DemarcServer.start(settings, log: log)
      }
      settings.listeners = other.settings.listeners
      let server = try await DemarcServer.start(
        settings, document: Array(ServerRig.document.utf8), log: log)
      let busy = settings
      await #expect(throws: (any Error).self) {
        _ = try await DemarcServer.start(busy, log: log)
      }
      _ = await server.end()
    }
    try FileManager.default.removeItem(atPath: folder)
  }
}
