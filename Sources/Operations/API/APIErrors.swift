import Hummingbird
import Logging
import NIOCore

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
      return try Response.json(
        APIFailure.Body(error: failure), status: HTTPResponse.Status(code: failure.code.status))
    }
  }

  private func failure(for error: any Error, _ request: Request) -> APIFailure {
    switch error {
    case let failure as APIFailure: failure
    case is NIOTooManyBytesError:
      APIFailure(
        .tooLarge, "the body is larger than \(RoutedRequest.bodyLimit >> 20) MB",
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
