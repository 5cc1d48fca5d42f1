import CallCore
import Foundation
import Hummingbird
import NIOCore

/// A request as routes read it. What cannot be read is an `APIFailure` that says so.
struct RoutedRequest: Sendable {
  static let bodyLimit = 4 << 20

  let query: QueryParameters
  private let parameters: Parameters
  private let content: RequestBody

  /// - Parameter allowed: the names that its query may have.
  init(
    _ request: Request, _ context: BasicRequestContext, allowed: [String]
  ) throws(APIFailure) {
    let pairs = request.uri.queryParameters.map { (key: String($0.key), value: String($0.value)) }
    query = try QueryParameters(pairs, allowed: allowed)
    parameters = context.parameters
    content = request.body
  }

  /// Of the path; nil: its route has none of that name.
  func optional(_ name: String) -> String? { parameters.get(name)?.removingPercentEncoding }

  subscript(_ name: String) -> String { optional(name) ?? "" }

  func callID() throws(APIFailure) -> CallID {
    let text = self["id"]
    guard let id = CallID(text) else {
      throw APIFailure(
        .badRequest, "`\(text)` is no call's name",
        remedy: "Names look like 1p8x2k7ab-4; `demarc calls` and `demarc cdrs` list them.")
    }
    return id
  }

  func body() async throws -> [UInt8] {
    let buffer = try await content.collect(upTo: Self.bodyLimit)
    return Array(buffer.readableBytesView)
  }

  /// What the body asks for, in JSON.
  ///
  /// - Parameters:
  ///   - missing: what the body does not say where it cannot be read or `read` makes nothing of it.
  ///   - remedy: one that could be.
  func body<Order: Decodable, Value>(
    _ missing: String, remedy: String, _ read: (Order) -> Value?
  ) async throws -> Value {
    let data = Data(try await body())
    guard let value = (try? JSONDecoder().decode(Order.self, from: data)).flatMap(read) else {
      throw APIFailure(.badRequest, "the body \(missing)", remedy: remedy)
    }
    return value
  }

  func body<Order: Decodable>(_ missing: String, remedy: String) async throws -> Order {
    try await body(missing, remedy: remedy) { (order: Order) in order }
  }
}

extension Router where Context == BasicRequestContext {
  /// A route whose requests may have those names in their query.
  func route(
    _ method: HTTPRequest.Method, _ path: RouterPath, allowed: [String] = [],
    _ answer: @escaping @Sendable (RoutedRequest) async throws -> Response
  ) {
    on(path, method: method) { request, context in
      try await answer(RoutedRequest(request, context, allowed: allowed))
    }
  }

  /// One that is answered in JSON.
  func json(
    _ method: HTTPRequest.Method, _ path: RouterPath, allowed: [String] = [],
    _ answer: @escaping @Sendable (RoutedRequest) async throws -> some Encodable & Sendable
  ) {
    route(method, path, allowed: allowed) { try .json(await answer($0)) }
  }

  /// One that is answered by a list, and takes no more than its path.
  func list<Item: Codable & Hashable & Sendable>(
    _ path: RouterPath, _ method: HTTPRequest.Method = .get,
    _ items: @escaping @Sendable () async throws -> [Item]
  ) {
    json(method, path) { _ in PageResource(items: try await items()) }
  }
}

extension Response {
  static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return try json(bytes: Array(encoder.encode(value)), status: status)
  }

  static func json(bytes: [UInt8], status: HTTPResponse.Status = .ok) -> Response {
    make(
      "application/json", ResponseBody(byteBuffer: ByteBuffer(bytes: bytes + [10])), status: status)
  }

  static func text(_ text: String, type: String) -> Response {
    make(type, ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }

  private static func make(
    _ type: String, _ body: ResponseBody, status: HTTPResponse.Status = .ok
  ) -> Response {
    Response(
      status: status, headers: [.contentType: type, .cacheControl: "no-store"], body: body)
  }

  /// What cannot be read is an error before the status is said.
  static func stream(_ download: RecordingDownload) async throws -> Response {
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
    return make(download.mediaType, body)
  }

  /// The first lines are fetched before the status is said: what is wrong with the question is an error
  /// then. A fault after that cuts the connection off, so that no half of an export looks like one.
  static func stream(
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
    return make(format.mediaType, body)
  }
}
