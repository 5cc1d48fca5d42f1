import Base
import CallCore
import Foundation
import Operations
import Policy
import SIPCore
import Synchronization
import Testing

/// A server's answers without a server: what the router and the client do with them is under test.
private final class CannedOperations: ServerOperations {
  static let id = CallID(incarnation: 1_795_230_091_963, serial: 4)
  static let wall = WallTime { Int64($0.nanoseconds / 1_000_000) + 1_795_230_000_000 }
  let hungUp = Mutex<[CallID]>([])
  let filters = Mutex<[RecordFilter]>([])

  static var record: CallRecord {
    var record = CallRecord(id: id, tenant: "acme", setup: .zero)
    record.state = .answered
    record.from = "user:alice"
    record.to = "trunk:carrier-a"
    record.answer = .zero + .seconds(1)
    return record
  }

  func status() async throws -> StatusResource {
    StatusResource(
      version: "1", state: "running", started: Timestamp.text(0), uptimeSeconds: 1, processId: 2,
      revision: 3, listeners: [], media: [], socket: "s", store: "d", metrics: nil)
  }
  static var ban: BanResource {
    let network = IPNetwork(IPAddress(v4: 0xcb00_7109), prefixLength: 32)
    let ban = Ban(
      network, .scanner, "User-Agent friendly-scanner", since: .zero,
      until: .zero + .seconds(600))
    return BanResource(ban, wall: wall, now: .zero + .seconds(10))
  }
  func bans() async throws -> [BanResource] { [Self.ban] }
  func ban(_ order: BanOrderResource) async throws -> BanResource {
    guard order.network == "203.0.113.9" else {
      throw APIFailure(.conflict, "a trunk's", remedy: "Take it out.")
    }
    return Self.ban
  }
  func liftBan(of network: String) async throws -> BanResource {
    guard network == "203.0.113.9" else {
      throw APIFailure(.notFound, "not banned", remedy: "Look.")
    }
    return Self.ban
  }
  func certificates() async throws -> [CertificateResource] { [] }
  func reloadCertificates() async throws -> [CertificateResource] { [] }
  func numbers() async throws -> [NumberResource] { [] }
  func history(ofNumber number: String, tenant: String?) async throws -> [NumberEventResource] {
    []
  }
  func change(number: String, _ change: NumberChange) async throws -> NumberResource {
    throw APIFailure(.notFound, "there is none", remedy: "None.")
  }
  func reloadSettings() async throws -> ReloadResource {
    ReloadResource(before: [], after: [], needsRestart: [])
  }
  func rotatePassword(
    of user: String, tenant: String?, _ order: PasswordOrderResource
  ) async throws -> NewPasswordResource {
    NewPasswordResource(tenant: "acme", user: user, password: "new", previousPasswordUntil: nil)
  }
  func rotateStoreKey() async throws -> StoreKeyResource {
    StoreKeyResource(file: "store.db.key", identifier: "0123456789abcdef")
  }
  func metrics() async -> String { "demarc_build_info{version=\"1\"} 1\n" }
  func calls() async throws -> [CallResource] {
    [CallResource(Self.record, wall: Self.wall, now: .zero + .seconds(11))]
  }
  func call(_ id: CallID) async throws -> CallResource? {
    id == Self.id ? try await calls().first : nil
  }
  func ladder(_ id: CallID, includesText: Bool) async throws -> LadderResource? {
    guard id == Self.id else { return nil }
    let local = Base.SocketAddress(.loopbackV4, 5060)
    let remote = Base.SocketAddress(.loopbackV4, 5070)
    let message = TracedMessage(
      at: .zero, outgoing: false, leg: .a, local: local, remote: remote,
      bytes: Array("OPTIONS sip:x SIP/2.0\r\n\r\n".utf8))
    return LadderResource(
      call: id, traced: [message], record: Self.record, includesText: includesText, wall: Self.wall)
  }
  func record(_ id: CallID, _ order: RecordingOrderResource) async throws -> CallResource? {
    id == Self.id ? try await calls().first : nil
  }
  func recordings() async throws -> [RecordingFileResource] { [] }
  func recordingFile(_ name: String) async throws -> RecordingDownload? { nil }
  func deleteRecording(_ name: String) async throws -> DeletedRecordingResource? {
    name == "a-1-1" ? DeletedRecordingResource(name: name, deleted: Timestamp.text(0)) : nil
  }
  func hangUp(_ id: CallID) async throws -> Bool {
    hungUp.withLock { $0.append(id) }
    return id == Self.id
  }
  func records(_ filter: RecordFilter) async throws -> PageResource<CallResource> {
    filters.withLock { $0.append(filter) }
    return PageResource(items: [], nextCursor: "next")
  }
  func exportRecords(_ filter: RecordFilter, format: RecordFormat) async throws -> ExportBatch {
    if filter.cursor == "bad" {
      throw APIFailure(.badRequest, "the cursor is not one of ours", remedy: "Begin again.")
    }
    if filter.cursor == "cut" { throw CancellationError() }
    let round = filter.cursor.flatMap { Int($0) } ?? 0
    let next = filter.party == "trunk:cut" ? "cut" : round == 200 ? nil : "\(round + 1)"
    return ExportBatch(
      lines: Array(String(repeating: "\(round),0123456789\n", count: 1_000).utf8), nextCursor: next)
  }
  func purgeRecords(before: Int64) async throws -> Int { Int(before) }
  func resources(_ view: ResourceView) async throws -> [UInt8] {
    Array("{\"kind\":\"\(view.kind ?? "-")\",\"name\":\"\(view.name ?? "-")\"}".utf8)
  }
  func check(_ document: [UInt8]) async throws -> ApplyResource {
    throw APIFailure(
      .invalidResources, "1 problem", remedy: "Mend it.",
      problems: [
        APIFailure.Problem(
          path: "trunks[0].knd", line: 3, column: 5, message: "unknown key", suggestion: "kind",
          remedy: "Write kind.")
      ])
  }
  func apply(_ document: [UInt8]) async throws -> ApplyResource {
    ApplyResource(revision: 7, changed: true, counts: ["trunks": document.count])
  }
  func trunks() async throws -> [TrunkStateResource] {
    [TrunkStateResource(name: "a", tenant: "acme", kind: "carrier", network: "n")]
  }
  func registrations() async throws -> [RegistrationResource] { throw CancellationError() }
  func subscriptions() async throws -> [SubscriptionResource] {
    [
      SubscriptionResource(
        tenant: "acme", watcher: "bob", user: "alice", event: "dialog", seesCalls: false,
        source: "10.0.0.102:5060", listener: "inside", since: "2026-01-01T00:00:00.000Z",
        expires: "2026-01-01T00:10:00.000Z", expiresInSeconds: 600, notifies: 3)
    ]
  }
  func toll() async throws -> [TollAccountResource] {
    [
      TollAccountResource(
        TollStatus(
          tenant: "acme", account: "user:alice", isBlocked: true, alarms: 3, lastAlarm: .zero,
          reason: .calls), lastAlarm: "2026-08-01T00:00:00.000Z")
    ]
  }
  func order(
    _ action: TollOrderResource.Action, account: String, tenant: String?
  ) async throws -> TollOrderedResource {
    TollOrderedResource(
      tenant: tenant ?? "acme", account: account, action: action.rawValue, count: 3)
  }
  func mailboxes() async throws -> [MailboxResource] {
    [MailboxResource(tenant: "acme", user: "alice", new: 2, old: 1)]
  }
  func setMailbox(
    _ user: String, tenant: String?, _ counts: MailboxCounts
  ) async throws -> MailboxResource {
    MailboxResource(
      tenant: tenant ?? "", user: user, new: counts.summary.new, old: counts.summary.old)
  }
  func upstreamRegistrations() async throws -> [UpstreamRegistrationResource] {
    [
      UpstreamRegistrationResource(
        tenant: "acme", trunk: "a", registrar: "sip.example.net",
        addressOfRecord: "sip:acme@sip.example.net", state: "registered", registered: true,
        since: "2026-01-01T00:00:00.000Z")
    ]
  }
}

/// A listener on a socket of its own while `body` runs.
private func withServer(
  _ body: (APIClient, CannedOperations, String) async throws -> Void
) async throws {
  let folder =
    FileManager.default.temporaryDirectory.path + "/demarc-\(UUID().uuidString.prefix(8))"
  let path = "\(folder)/api.sock"
  let operations = CannedOperations()
  let log = LogSink(
    descriptor: -1, level: .error, formatter: LogFormatter(format: .text), clock: { 0 })
  let router = APIRouter(operations: operations, counters: APICounters())
  let server = APIServer(.unix(path: path), router: router.local(), log: log)
  try await server.start()
  do {
    // The server shares its threads with every test that runs beside this one.
    try await body(APIClient(socket: path, timeoutSeconds: 60), operations, path)
  } catch {
    await server.stop()
    throw error
  }
  await server.stop()
  #expect(!FileManager.default.fileExists(atPath: path))
  try FileManager.default.removeItem(atPath: folder)
}

private func decode<Value: Decodable>(_ type: Value.Type, _ reply: APIReply) throws -> Value {
  try JSONDecoder().decode(type, from: Data(reply.body))
}

@Suite(.timeLimit(.minutes(1))) struct APITests {
  @Test func callsCrossTheSocket() async throws {
    try await withServer { client, operations, path in
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
      #expect(mode as? Int == 0o600)
      let list = try await client.send(APIRequest(.get, "/v1/calls"))
      #expect(list.status == 200)
      let call = try #require(try decode(PageResource<CallResource>.self, list).items.first)
      #expect(call.id == "\(CannedOperations.id)")
      #expect(call.seconds == 10)
      #expect(call.setup == "2026-11-21T03:00:00.000Z")
      let one = try await client.send(APIRequest(.get, "/v1/calls/\(call.id)"))
      #expect(try decode(CallResource.self, one) == call)
      let end = try await client.send(APIRequest(.delete, "/v1/calls/\(call.id)"))
      #expect(end.status == 202)
      #expect(operations.hungUp.withLock { $0 } == [CannedOperations.id])
    }
  }

  @Test func aLadderIsDrawnWithTheNamesOfTheRecord() async throws {
    try await withServer { client, _, _ in
      let path = "/v1/calls/\(CannedOperations.id)/ladder"
      let reply = try await client.send(APIRequest(.get, path))
      let ladder = try decode(LadderResource.self, reply)
      #expect(ladder.participants == ["alice", "demarc"])
      #expect(ladder.messages.first?.text == nil)
      let whole = try await client.send(APIRequest(.get, path + "?messages=true"))
      #expect(
        try decode(LadderResource.self, whole).messages.first?.text?.hasPrefix("OPTIONS") == true)
      let text = try await client.send(APIRequest(.get, path + "?format=text"))
      #expect(String(decoding: text.body, as: UTF8.self).contains("── OPTIONS ───────▶"))
    }
  }

  @Test func watchersAndMailboxes() async throws {
    try await withServer { client, _, _ in
      let list = try await client.send(APIRequest(.get, "/v1/subscriptions"))
      let one = try decode(PageResource<SubscriptionResource>.self, list).items.first
      #expect(one?.watcher == "bob" && one?.event == "dialog")
      let mailboxes = try await client.send(APIRequest(.get, "/v1/mailboxes"))
      #expect(try decode(PageResource<MailboxResource>.self, mailboxes).items.first?.new == 2)
      let body = Array("{\"new\": 3, \"old\": 4}".utf8)
      let set = try await client.send(
        APIRequest(.put, "/v1/mailboxes/alice?tenant=acme", body: body))
      #expect(
        try decode(MailboxResource.self, set)
          == MailboxResource(tenant: "acme", user: "alice", new: 3, old: 4))
    }
  }

  @Test func bans() async throws {
    try await withServer { client, _, _ in
      let listed = try await client.send(APIRequest(.get, "/v1/bans"))
      let ban = try #require(decode(PageResource<BanResource>.self, listed).items.first)
      #expect(ban.network == "203.0.113.9" && ban.reason == "scanner" && ban.endsInSeconds == 590)
      let body = Array(#"{"network": "203.0.113.9", "seconds": 60}"#.utf8)
      let made = try await client.send(APIRequest(.post, "/v1/bans", body: body))
      #expect(try decode(BanResource.self, made).network == "203.0.113.9")
      let lifted = try await client.send(APIRequest(.delete, "/v1/bans/203.0.113.9"))
      #expect(try decode(BanResource.self, lifted).network == "203.0.113.9")
    }
  }

  @Test(arguments: [
    (APIRequest(.get, "/nothing"), 404, "not-found"),
    (APIRequest(.post, "/v1/calls"), 404, "not-found"),
    (APIRequest(.get, "/v1/calls/zzz"), 400, "bad-request"),
    (APIRequest(.get, "/v1/calls/000000001-9"), 404, "not-found"),
    (APIRequest(.get, "/v1/calls/000000001-9/ladder"), 404, "not-found"),
    (APIRequest(.get, "/v1/calls?limt=5"), 400, "bad-request"),
    (APIRequest(.get, "/v1/records?limit=0"), 400, "bad-request"),
    (APIRequest(.get, "/v1/records?limit=5&limit=6"), 400, "bad-request"),
    (APIRequest(.get, "/v1/records?since=yesterday"), 400, "bad-request"),
    (APIRequest(.get, "/v1/records?cause=bussy"), 400, "bad-request"),
    (APIRequest(.get, "/v1/records/export?format=xml"), 400, "bad-request"),
    (APIRequest(.get, "/v1/records/export?cursor=bad"), 400, "bad-request"),
    (APIRequest(.post, "/v1/records/purge", body: Array("{}".utf8)), 400, "bad-request"),
    (
      APIRequest(.put, "/v1/mailboxes/alice", body: Array("{\"new\": -1}".utf8)), 400,
      "bad-request"
    ),
    (APIRequest(.post, "/v1/bans", body: Array("{}".utf8)), 400, "bad-request"),
    (
      APIRequest(.post, "/v1/bans", body: Array(#"{"network": "10.0.0.0/4"}"#.utf8)), 400,
      "bad-request"
    ),
    (APIRequest(.delete, "/v1/bans/203.0.113.0%2F24"), 404, "not-found"),
    (APIRequest(.post, "/v1/resources:check"), 422, "invalid-resources"),
    (APIRequest(.get, "/v1/registrations"), 500, "internal-fault"),
  ])
  func refusalsSayWhyAndWhatToDo(request: APIRequest, status: Int, code: String) async throws {
    try await withServer { client, _, _ in
      let reply = try await client.send(request)
      #expect(reply.status == status)
      let failure = try decode(APIFailure.Body.self, reply).error
      #expect(failure.code.rawValue == code)
      #expect(!failure.message.isEmpty && !failure.remedy.isEmpty)
      #expect(failure.problems.count == (status == 422 ? 1 : 0))
    }
  }

  @Test func aBodyWithoutEndIsRefused() async throws {
    try await withServer { client, _, _ in
      let body = [UInt8](repeating: 32, count: 5 << 20)
      let reply = try await client.send(APIRequest(.post, "/v1/resources:apply", body: body))
      #expect(reply.status == 413)
      let code = try decode(APIFailure.Body.self, reply).error.code
      #expect(code == .tooLarge)
    }
  }

  @Test func filtersArriveAsTheyWereMeant() async throws {
    try await withServer { client, operations, _ in
      let query =
        "tenant=acme&since=2026-11-21&until=2026-11-22T00:00:00Z&party=trunk:a&number=%2B4930"
        + "&state=ended&cause=busy&limit=7&cursor=c"
      let reply = try await client.send(APIRequest(.get, "/v1/records?" + query))
      #expect(try decode(PageResource<CallResource>.self, reply).nextCursor == "next")
      let filter = try #require(operations.filters.withLock { $0.first })
      #expect(filter.tenant == "acme")
      #expect(filter.since == 1_795_219_200_000)
      #expect(filter.until == 1_795_305_600_000)
      #expect(filter.party == "trunk:a")
      #expect(filter.number == "+4930")
      #expect(filter.state == "ended")
      #expect(filter.cause == "busy")
      #expect(filter.limit == 7)
      #expect(filter.cursor == "c")
    }
  }

  @Test func anExportStreamsToItsEnd() async throws {
    try await withServer { client, _, _ in
      let count = Mutex(0)
      let reply = try await client.stream(APIRequest(.get, "/v1/records/export?format=jsonl")) {
        let lines = $0.count { $0 == 10 }
        count.withLock { $0 += lines }
      }
      #expect(reply.status == 200)
      #expect(count.withLock { $0 } == 201_000)
    }
  }

  /// Half an export must not look like a whole one.
  @Test func anExportThatFailsMidwayIsCutOff() async throws {
    try await withServer { client, _, _ in
      await #expect(throws: APIClientError.self) {
        _ = try await client.stream(APIRequest(.get, "/v1/records/export?party=trunk:cut")) { _ in }
      }
    }
  }

  @Test func resourcesAreFoundByKindAndName() async throws {
    try await withServer { client, _, _ in
      let whole = try await client.send(APIRequest(.get, "/v1/resources"))
      #expect(String(decoding: whole.body, as: UTF8.self) == "{\"kind\":\"-\",\"name\":\"-\"}\n")
      let one = try await client.send(APIRequest(.get, "/v1/resources/numbers/%2B4930"))
      #expect(
        String(decoding: one.body, as: UTF8.self) == "{\"kind\":\"numbers\",\"name\":\"+4930\"}\n")
      let apply = try await client.send(APIRequest(.post, "/v1/resources:apply", body: [1, 2, 3]))
      #expect(try decode(ApplyResource.self, apply).counts == ["trunks": 3])
    }
  }

  @Test func aSecondServerIsRefusedAndALeftSocketIsNot() async throws {
    try await withServer { client, operations, path in
      let log = LogSink(
        descriptor: -1, level: .error, formatter: LogFormatter(format: .text), clock: { 0 })
      let router = APIRouter(operations: operations, counters: APICounters())
      let second = APIServer(.unix(path: path), router: router.local(), log: log)
      await #expect(throws: APIFailure.self) { try await second.start() }
      let reply = try await client.send(APIRequest(.get, "/v1/status"))
      #expect(reply.status == 200)
    }
  }

  @Test func nobodyThereIsSaidWithARemedy() async throws {
    let client = APIClient(socket: "/tmp/demarc-nobody-\(UUID().uuidString)")
    let error = await #expect(throws: APIClientError.self) {
      _ = try await client.send(APIRequest(.get, "/v1/status"))
    }
    #expect(error?.description.contains("demarc run") == true)
    let long = APIClient(socket: "/" + String(repeating: "x", count: 200))
    await #expect(throws: APIClientError.self) {
      _ = try await long.send(APIRequest(.get, "/v1/status"))
    }
  }

  /// More than there are places for at once.
  @Test func aFloodOfQuestionsIsAnsweredInTurn() async throws {
    try await withServer { client, _, _ in
      let answered = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<300 {
          group.addTask { try await client.send(APIRequest(.get, "/v1/status")).status }
        }
        return try await group.reduce(0) { $0 + ($1 == 200 ? 1 : 0) }
      }
      #expect(answered == 300)
    }
  }

  @Test func metricsHaveAListenerOfTheirOwn() async throws {
    let log = LogSink(
      descriptor: -1, level: .error, formatter: LogFormatter(format: .text), clock: { 0 })
    let router = APIRouter(operations: CannedOperations(), counters: APICounters())
    let server = APIServer(
      .tcp(host: "127.0.0.1", port: 0), router: router.metricsOnly(), log: log)
    let port = try #require(try await server.start())
    let text = try #require(await plainGet(port: port, path: "/metrics"))
    #expect(text.contains("text/plain; version=0.0.4"))
    #expect(text.contains("demarc_build_info"))
    #expect(await plainGet(port: port, path: "/v1/calls")?.hasPrefix("HTTP/1.1 404") == true)
    await server.stop()
    #expect(await plainGet(port: port, path: "/metrics") == nil)
  }
}

@Suite(.timeLimit(.minutes(1))) struct ShardQueryTests {
  @Test func answersFindWhoeverAsked() async throws {
    let asked = Mutex<[UInt64]>([])
    let queries = ShardQueries { input in
      if case .query(_, let token) = input { asked.withLock { $0.append(token) } }
    }
    async let first = queries.ask(.calls)
    async let second = queries.ask(.trunks)
    while asked.withLock({ $0.count }) < 2 { try await Task.sleep(for: .milliseconds(1)) }
    let tokens = asked.withLock { $0 }
    queries.answer(tokens.map { (token: $0, answer: .calls([])) })
    queries.answer([(token: 99, answer: .calls([]))])
    for answer in try await [first, second] {
      guard case .calls(let calls) = answer else { throw CancellationError() }
      #expect(calls.isEmpty)
    }
  }

  @Test func aShardThatSaysNothingIsATimeout() async throws {
    let queries = ShardQueries(timeoutMilliseconds: 20) { _ in }
    let failure = await #expect(throws: APIFailure.self) { _ = try await queries.ask(.calls) }
    #expect(failure?.code == .timedOut)
  }
}
