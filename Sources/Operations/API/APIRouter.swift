import Base
import CallCore
import Foundation
package import Hummingbird
import Logging
import NIOCore
import SIPCore

/// Paths to operations. Everything answers JSON, errors included, but for the texts that say otherwise.
package struct APIRouter: Sendable {
  package static let bodyLimit = 4 << 20

  private let operations: any ServerOperations
  private let counters: APICounters

  package init(operations: any ServerOperations, counters: APICounters) {
    self.operations = operations
    self.counters = counters
  }

  /// All of the API, for the Unix socket.
  package func local() -> Router<BasicRequestContext> {
    let router = Router(context: BasicRequestContext.self)
    router.middlewares.add(APIErrors(counters: counters))
    router.get("v1/status") { request, _ in
      _ = try Self.query(request)
      return try Self.json(await operations.status())
    }
    addCalls(router)
    addRecords(router)
    addRecordings(router)
    addResources(router)
    addNumbers(router)
    router.get("v1/trunks") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.trunks()))
    }
    router.get("v1/registrations") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.registrations()))
    }
    router.get("v1/registrations/upstream") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.upstreamRegistrations()))
    }
    addWatching(router)
    addToll(router)
    addBans(router)
    router.get("v1/certificates") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.certificates()))
    }
    router.post("v1/certificates:reload") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.reloadCertificates()))
    }
    router.post("v1/settings:reload") { request, _ in
      _ = try Self.query(request)
      return try Self.json(await operations.reloadSettings())
    }
    router.post("v1/users/{user}/password") { request, context in
      let query = try Self.query(request, allowed: ["tenant"])
      let body = Data(try await Self.body(request))
      guard let order = try? JSONDecoder().decode(PasswordOrderResource.self, from: body),
        order.isUsable
      else {
        throw APIFailure(
          .badRequest, "the body does not say for how long the present password is good",
          remedy: #"Send {"overlapSeconds": 86400}, half a year at most, or {}."#)
      }
      return try Self.json(
        await operations.rotatePassword(
          of: Self.parameter("user", context) ?? "", tenant: query.text("tenant"), order))
    }
    router.post("v1/secrets:rotate-key") { request, _ in
      _ = try Self.query(request)
      return try Self.json(await operations.rotateStoreKey())
    }
    addMetrics(router)
    return router
  }

  /// What the TCP listener for scrapers has: the metrics and nothing else.
  package func metricsOnly() -> Router<BasicRequestContext> {
    let router = Router(context: BasicRequestContext.self)
    router.middlewares.add(APIErrors(counters: counters))
    addMetrics(router)
    return router
  }

  private func addMetrics(_ router: Router<BasicRequestContext>) {
    router.get("metrics") { _, _ in
      Self.text(await operations.metrics(), type: MetricsText.mediaType)
    }
  }

  private func addToll(_ router: Router<BasicRequestContext>) {
    router.get("v1/toll") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.toll()))
    }
    router.post("v1/toll/{account}") { request, context in
      let query = try Self.query(request, allowed: ["tenant"])
      let body = Data(try await Self.body(request))
      guard let order = try? JSONDecoder().decode(TollOrderResource.self, from: body) else {
        throw APIFailure(
          .badRequest, "the body does not say what to do",
          remedy: #"Send {"action": "unblock"} or {"action": "hangup"}."#)
      }
      return try Self.json(
        await operations.order(
          order.action, account: Self.parameter("account", context) ?? "",
          tenant: query.text("tenant")))
    }
  }

  private func addWatching(_ router: Router<BasicRequestContext>) {
    router.get("v1/subscriptions") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.subscriptions()))
    }
    router.get("v1/mailboxes") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.mailboxes()))
    }
    router.put("v1/mailboxes/{user}") { request, context in
      let query = try Self.query(request, allowed: ["tenant"])
      let body = Data(try await Self.body(request))
      guard let counts = try? JSONDecoder().decode(MailboxCounts.self, from: body), counts.isUsable
      else {
        throw APIFailure(
          .badRequest, "the body does not say how many messages wait",
          remedy: #"Send {"new": 2, "old": 1}; no count is negative or above 1000000."#)
      }
      return try Self.json(
        await operations.setMailbox(
          Self.parameter("user", context) ?? "", tenant: query.text("tenant"), counts))
    }
  }

  private func addBans(_ router: Router<BasicRequestContext>) {
    router.get("v1/bans") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.bans()))
    }
    router.post("v1/bans") { request, _ in
      _ = try Self.query(request)
      let body = Data(try await Self.body(request))
      guard let order = try? JSONDecoder().decode(BanOrderResource.self, from: body), order.isUsable
      else {
        throw APIFailure(
          .badRequest, "the body does not say whom to ban",
          remedy: #"Send {"network": "203.0.113.9", "reason": "why", "seconds": 3600}."#)
      }
      return try Self.json(await operations.ban(order))
    }
    router.delete("v1/bans/{network}") { request, context in
      _ = try Self.query(request)
      return try Self.json(await operations.liftBan(of: Self.parameter("network", context) ?? ""))
    }
  }

  private func addCalls(_ router: Router<BasicRequestContext>) {
    router.get("v1/calls") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.calls()))
    }
    router.get("v1/calls/{id}") { request, context in
      _ = try Self.query(request)
      let id = try Self.callID(context)
      guard let call = try await operations.call(id) else { throw Self.unknown(id) }
      return try Self.json(call)
    }
    router.get("v1/calls/{id}/ladder") { request, context in
      let query = try Self.query(request, allowed: ["messages", "format"])
      let format = try query.choice("format", among: ["json", "text"])
      let id = try Self.callID(context)
      let includesText = try query.flag("messages")
      guard let ladder = try await operations.ladder(id, includesText: includesText) else {
        throw APIFailure(
          .notFound, "no messages of the call \(id) are kept",
          remedy: "They are kept for recent calls only; `demarc cdrs` lists the records of all.")
      }
      return format == "text"
        ? Self.text(ladder.ladder.render() + "\n", type: "text/plain; charset=utf-8")
        : try Self.json(ladder)
    }
    router.delete("v1/calls/{id}") { request, context in
      _ = try Self.query(request)
      let id = try Self.callID(context)
      guard try await operations.hangUp(id) else { throw Self.unknown(id) }
      return try Self.json(HangUpResource(id: "\(id)", state: "ending"), status: .accepted)
    }
  }

  private func addRecords(_ router: Router<BasicRequestContext>) {
    router.get("v1/records") { request, _ in
      let filter = try RecordFilter(Self.query(request, allowed: RecordFilter.parameters))
      return try Self.json(await operations.records(filter))
    }
    router.get("v1/records/export") { request, _ in
      let query = try Self.query(request, allowed: RecordFilter.parameters + ["format"])
      let name = try query.choice("format", among: RecordFormat.allCases.map(\.rawValue))
      let format = name.flatMap(RecordFormat.init(rawValue:)) ?? .csv
      return try await Self.stream(operations, RecordFilter(query), format)
    }
    router.post("v1/records/purge") { request, _ in
      _ = try Self.query(request)
      struct Purge: Decodable { var before: String }
      guard let purge = try? JSONDecoder().decode(Purge.self, from: Data(await Self.body(request))),
        let before = Timestamp.milliseconds(purge.before)
      else {
        throw APIFailure(
          .badRequest, "the body does not say before when",
          remedy: #"Send {"before": "2026-08-01T00:00:00Z"}."#)
      }
      let purged = try await operations.purgeRecords(before: before)
      return try Self.json(PurgeResource(purged: purged, before: Timestamp.text(before)))
    }
  }

  private func addRecordings(_ router: Router<BasicRequestContext>) {
    router.post("v1/calls/{id}/recording") { request, context in
      _ = try Self.query(request)
      let id = try Self.callID(context)
      let body = Data(try await Self.body(request))
      guard let order = try? JSONDecoder().decode(RecordingOrderResource.self, from: body) else {
        throw APIFailure(
          .badRequest, "the body does not say what to do with the recording",
          remedy: #"Send {"action": "start"}, or pause, resume or stop."#)
      }
      guard let call = try await operations.record(id, order) else { throw Self.unknown(id) }
      return try Self.json(call)
    }
    router.get("v1/recordings") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.recordings()))
    }
    router.get("v1/recordings/{name}") { request, context in
      _ = try Self.query(request)
      let name = Self.parameter("name", context) ?? ""
      guard let download = try await operations.recordingFile(name) else {
        throw Self.unknownRecording(name)
      }
      return try await Self.stream(download)
    }
    router.delete("v1/recordings/{name}") { request, context in
      _ = try Self.query(request)
      let name = Self.parameter("name", context) ?? ""
      guard let deleted = try await operations.deleteRecording(name) else {
        throw Self.unknownRecording(name)
      }
      return try Self.json(deleted)
    }
  }

  private static func unknownRecording(_ name: String) -> APIFailure {
    APIFailure(
      .notFound, "there is no recording \(name)",
      remedy: "`demarc recordings` lists those whose files are there.")
  }

  /// What cannot be read is an error before the status is said.
  private static func stream(_ download: RecordingDownload) async throws -> Response {
    let first = try await download.piece(at: 0)
    let body = ResponseBody { writer in
      var piece = first
      var offset: UInt64 = 0
      while let bytes = piece {
        offset += UInt64(bytes.readableBytes)
        try await writer.write(bytes)
        piece = try await download.piece(at: offset)
      }
      try await writer.finish(nil)
    }
    return Response(
      status: .ok, headers: [.contentType: download.mediaType, .cacheControl: "no-store"],
      body: body)
  }

  private func addResources(_ router: Router<BasicRequestContext>) {
    for path: RouterPath in ["v1/resources", "v1/resources/{kind}", "v1/resources/{kind}/{name}"] {
      router.get(path) { request, context in
        let query = try Self.query(request, allowed: ["tenant", "format"])
        let name = try query.choice("format", among: ResourceView.Format.allCases.map(\.rawValue))
        let format = name.flatMap(ResourceView.Format.init(rawValue:)) ?? .json
        let text = try await operations.resources(
          ResourceView(
            kind: Self.parameter("kind", context), name: Self.parameter("name", context),
            tenant: query.text("tenant"), format: format))
        return format == .json
          ? Self.json(bytes: text)
          : Self.text(String(decoding: text, as: UTF8.self), type: "application/yaml")
      }
    }
    router.post("v1/resources:check") { request, _ in
      _ = try Self.query(request)
      return try Self.json(await operations.check(Self.body(request)))
    }
    router.post("v1/resources:apply") { request, _ in
      _ = try Self.query(request)
      return try Self.json(await operations.apply(Self.body(request)))
    }
  }
}

extension APIRouter {
  private func addNumbers(_ router: Router<BasicRequestContext>) {
    router.get("v1/numbers") { request, _ in
      _ = try Self.query(request)
      return try Self.json(PageResource(items: await operations.numbers()))
    }
    router.get("v1/numbers/{number}/history") { request, context in
      let query = try Self.query(request, allowed: ["tenant"])
      let number = Self.parameter("number", context) ?? ""
      return try Self.json(
        PageResource(
          items: await operations.history(ofNumber: number, tenant: query.text("tenant"))))
    }
    router.post("v1/numbers/{number}") { request, context in
      _ = try Self.query(request)
      let number = Self.parameter("number", context) ?? ""
      let body = Data(try await Self.body(request))
      guard let change = try? JSONDecoder().decode(NumberChange.self, from: body) else {
        throw APIFailure(
          .badRequest, "the body is no change of a number",
          remedy: #"Send {"to": {"trunk": "pbx"}} or {"state": "suspended"}."#)
      }
      return try Self.json(await operations.change(number: number, change))
    }
  }

  private static func query(
    _ request: Request, allowed: [String] = []
  ) throws -> QueryParameters {
    let pairs = request.uri.queryParameters.map { (key: String($0.key), value: String($0.value)) }
    return try QueryParameters(pairs, allowed: allowed)
  }

  private static func parameter(_ name: String, _ context: BasicRequestContext) -> String? {
    context.parameters.get(name)?.removingPercentEncoding
  }

  private static func callID(_ context: BasicRequestContext) throws -> CallID {
    let text = parameter("id", context) ?? ""
    guard let id = CallID(text) else {
      throw APIFailure(
        .badRequest, "`\(text)` is no call's name",
        remedy: "Names look like 1p8x2k7ab-4; `demarc calls` and `demarc cdrs` list them.")
    }
    return id
  }

  private static func unknown(_ id: CallID) -> APIFailure {
    APIFailure(
      .notFound, "there is no call \(id)",
      remedy: "`demarc calls` lists the calls that live, `demarc cdrs` the records of all.")
  }

  private static func body(_ request: Request) async throws -> [UInt8] {
    let buffer = try await request.body.collect(upTo: bodyLimit)
    return Array(buffer.readableBytesView)
  }

  static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return try json(bytes: Array(encoder.encode(value)), status: status)
  }

  private static func json(
    bytes: [UInt8], status: HTTPResponse.Status = .ok
  ) -> Response {
    Response(
      status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"],
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes + [10])))
  }

  private static func text(_ text: String, type: String) -> Response {
    Response(
      status: .ok, headers: [.contentType: type, .cacheControl: "no-store"],
      body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }

  /// The first lines are fetched before the status is said: what is wrong with the question is an error
  /// then. A fault after that cuts the connection off, so that no half of an export looks like one.
  private static func stream(
    _ operations: any ServerOperations, _ filter: RecordFilter, _ format: RecordFormat
  ) async throws -> Response {
    let first = try await operations.exportRecords(filter, format: format)
    let body = ResponseBody { writer in
      var chunk = first
      try await writer.write(ByteBuffer(bytes: chunk.lines))
      while let cursor = chunk.nextCursor {
        var next = filter
        next.cursor = cursor
        chunk = try await operations.exportRecords(next, format: format)
        try await writer.write(ByteBuffer(bytes: chunk.lines))
      }
      try await writer.finish(nil)
    }
    return Response(
      status: .ok, headers: [.contentType: format.mediaType, .cacheControl: "no-store"], body: body)
  }
}

/// Whatever goes wrong becomes the typed error body, and every request is counted.
struct APIErrors: RouterMiddleware {
  typealias Context = BasicRequestContext
  private static let methods: Set<String> = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]

  let counters: APICounters

  func handle(
    _ request: Request, context: BasicRequestContext,
    next: @concurrent (Request, BasicRequestContext) async throws -> Response
  ) async throws -> Response {
    let response = try await answer(request, context: context, next: next)
    let method = request.method.rawValue
    counters.count(
      method: Self.methods.contains(method) ? method : "other",
      route: context.endpointPath ?? "unmatched", status: Int(response.status.code))
    return response
  }

  private func answer(
    _ request: Request, context: BasicRequestContext,
    next: @concurrent (Request, BasicRequestContext) async throws -> Response
  ) async throws -> Response {
    do {
      return try await next(request, context)
    } catch {
      let failure = failure(for: error, request)
      if failure.code == .internalFault {
        context.logger.error("a request failed", metadata: ["error": "\(error)"])
      }
      return try APIRouter.json(
        APIFailure.Body(error: failure), status: HTTPResponse.Status(code: failure.code.status))
    }
  }

  private func failure(for error: any Error, _ request: Request) -> APIFailure {
    switch error {
    case let failure as APIFailure: failure
    case is NIOTooManyBytesError:
      APIFailure(
        .tooLarge, "the body is larger than \(APIRouter.bodyLimit >> 20) MB",
        remedy: "Split the document, or raise it as a wish: nothing needs this much yet.")
    case let error as HTTPError where error.status == .notFound:
      APIFailure(
        .notFound, "there is nothing at \(request.method.rawValue) \(request.uri.path)",
        remedy: "docs/api.md lists what there is.")
    default:
      APIFailure(
        .internalFault, "the request could not be done because of a fault in Demarc",
        remedy: "The log has the reason; please report it.")
    }
  }
}
