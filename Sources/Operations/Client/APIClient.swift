import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// Why the command got no answer from a server.
package enum APIClientError: Error, Hashable, Sendable {
  /// Nothing listens on the socket.
  case notReachable(socket: String)
  /// The socket belongs to somebody else.
  case notPermitted(socket: String)
  case socketPathTooLong(String)
  case timedOut(seconds: Int)
  /// The connection ended before the answer did.
  case cutOff
  case answerTooLarge
  case connection(String)
}

extension APIClientError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notReachable(let socket):
      "no Demarc answers on \(socket). Start it with `demarc run`, or name its socket with "
        + "--socket PATH or DEMARC_SOCKET."
    case .notPermitted(let socket):
      "\(socket) may not be opened by this user. Use the user that Demarc runs as, or sudo."
    case .socketPathTooLong(let socket):
      "the socket's path has more than 107 bytes, which the system does not allow: \(socket)"
    case .timedOut(let seconds):
      "Demarc did not answer within \(seconds) s. Look at its log; `--timeout` waits longer."
    case .cutOff: "the connection to Demarc ended in the middle of its answer. Look at its log."
    case .answerTooLarge: "the answer is larger than 64 MB. Narrow the query, or use an export."
    case .connection(let reason): "the connection to Demarc failed: \(reason)"
    }
  }
}

package struct APIRequest: Hashable, Sendable {
  package enum Method: String, Sendable {
    case get = "GET"
    case post = "POST"
    case put = "PUT"
    case delete = "DELETE"
  }

  package var method: Method
  /// With the query, percent-encoded.
  package var target: String
  package var body: [UInt8]
  package var contentType: String

  package init(
    _ method: Method, _ target: String, body: [UInt8] = [],
    contentType: String = "application/json"
  ) {
    self.method = method
    self.target = target
    self.body = body
    self.contentType = contentType
  }
}

package struct APIReply: Hashable, Sendable {
  package var status: Int
  package var body: [UInt8]

  package init(status: Int, body: [UInt8]) {
    self.status = status
    self.body = body
  }
}

/// HTTP/1.1 over the server's Unix socket: one connection a request, everything bounded.
package struct APIClient: Sendable {
  package static let answerLimit = 64 << 20

  package let socket: String
  /// How long the server may say nothing.
  package let timeoutSeconds: Int

  package init(socket: String, timeoutSeconds: Int = 15) {
    self.socket = socket
    self.timeoutSeconds = max(1, timeoutSeconds)
  }

  /// The whole answer, whatever its status.
  package func send(_ request: APIRequest) async throws -> APIReply {
    let collected = BodyCollector(limit: Self.answerLimit)
    let status = try await exchange(request) { _, chunk in try collected.append(chunk) }
    return APIReply(status: status, body: collected.take())
  }

  /// Hands a successful answer on as it arrives; an unsuccessful one is returned whole.
  package func stream(
    _ request: APIRequest, to consume: @Sendable ([UInt8]) async throws -> Void
  ) async throws -> APIReply {
    let collected = BodyCollector(limit: Self.answerLimit)
    let status = try await exchange(request) { status, chunk in
      if status == 200 { try await consume(chunk) } else { try collected.append(chunk) }
    }
    return APIReply(status: status, body: collected.take())
  }

  /// Whether anybody listens on the socket.
  package func isAnswered() async -> Bool {
    guard let channel = try? await connect() else { return false }
    try? await channel.executeThenClose { _, _ in }
    return true
  }

  private func exchange(
    _ request: APIRequest, onBody: (_ status: Int, _ chunk: [UInt8]) async throws -> Void
  ) async throws -> Int {
    let channel = try await connect()
    do {
      return try await channel.executeThenClose { inbound, outbound in
        do {
          try await write(request, to: outbound)
        } catch is ChannelError {
          // The server answered and closed before it had all of the request: the answer says why.
        }
        return try await read(inbound, onBody: onBody)
      }
    } catch let error as APIClientError {
      throw error
    } catch let error as IOError {
      throw APIClientError.connection("\(error)")
    } catch let error as ChannelError {
      throw APIClientError.connection("\(error)")
    } catch let error as HTTPParserError {
      throw APIClientError.connection("\(error)")
    }
  }

  private typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

  /// A server that is asked by many at once has a full queue for a moment: then this asks again.
  private func connect() async throws -> Connection {
    guard socket.utf8.count < 108 else { throw APIClientError.socketPathTooLong(socket) }
    let deadline = ContinuousClock.now + .seconds(timeoutSeconds)
    while ContinuousClock.now < deadline {
      if let connection = try await connectOnce() { return connection }
      try await Task.sleep(for: .milliseconds(20))
    }
    throw APIClientError.timedOut(seconds: timeoutSeconds)
  }

  /// Nil: the server's queue is full.
  private func connectOnce() async throws -> Connection? {
    let seconds = timeoutSeconds
    do {
      return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(.seconds(Int64(seconds)))
        .connect(unixDomainSocketPath: socket) { channel in
          channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(IdleStateHandler(readTimeout: .seconds(Int64(seconds))))
            try pipeline.addHandler(SilenceHandler(seconds: seconds))
            try pipeline.addHTTPClientHandlers()
            return try Connection(wrappingChannelSynchronously: channel)
          }
        }
    } catch let error as IOError {
      switch error.errnoCode {
      case EAGAIN: return nil
      case ENOENT, ECONNREFUSED: throw APIClientError.notReachable(socket: socket)
      case EACCES, EPERM: throw APIClientError.notPermitted(socket: socket)
      default: throw APIClientError.connection("\(error)")
      }
    } catch is ChannelError {
      throw APIClientError.notReachable(socket: socket)
    }
  }

  private func write(
    _ request: APIRequest, to outbound: NIOAsyncChannelOutboundWriter<HTTPClientRequestPart>
  ) async throws {
    var headers = HTTPHeaders()
    headers.add(name: "Host", value: "demarc")
    headers.add(name: "Connection", value: "close")
    if !request.body.isEmpty || request.method == .post {
      headers.add(name: "Content-Type", value: request.contentType)
      headers.add(name: "Content-Length", value: String(request.body.count))
    }
    let head = HTTPRequestHead(
      version: .http1_1, method: HTTPMethod(rawValue: request.method.rawValue),
      uri: request.target, headers: headers)
    var parts: [HTTPClientRequestPart] = [.head(head)]
    if !request.body.isEmpty {
      parts.append(.body(.byteBuffer(ByteBuffer(bytes: request.body))))
    }
    try await outbound.write(contentsOf: parts + [.end(nil)])
  }

  private func read(
    _ inbound: NIOAsyncChannelInboundStream<HTTPClientResponsePart>,
    onBody: (_ status: Int, _ chunk: [UInt8]) async throws -> Void
  ) async throws -> Int {
    var status: Int?
    for try await part in inbound {
      switch part {
      case .head(let head): status = Int(head.status.code)
      case .body(let buffer): try await onBody(status ?? 0, Array(buffer.readableBytesView))
      case .end:
        guard let status else { throw APIClientError.cutOff }
        return status
      }
    }
    throw APIClientError.cutOff
  }
}

/// Ends a connection on which nothing arrived for too long.
private final class SilenceHandler: ChannelInboundHandler {
  typealias InboundIn = NIOAny
  private let seconds: Int

  init(seconds: Int) { self.seconds = seconds }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent {
      context.fireErrorCaught(APIClientError.timedOut(seconds: seconds))
      context.close(promise: nil)
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }
}

/// Used by one task at a time.
private final class BodyCollector {
  private var bytes: [UInt8] = []
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  func append(_ chunk: [UInt8]) throws(APIClientError) {
    guard bytes.count + chunk.count <= limit else { throw .answerTooLarge }
    bytes += chunk
  }

  func take() -> [UInt8] { bytes }
}
