import ArgumentParser
import Foundation
import Operations

enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case table, json }

/// How to reach the server, for every command that asks it something.
struct ServerOptions: ParsableArguments {
  @Option(
    help: "The server's socket. (environment: DEMARC_SOCKET; default: as demarc.yaml here says)")
  var socket: String?

  @Option(help: "Seconds that the server may say nothing.")
  var timeout = 15

  /// Settings that cannot be read are the server's trouble, not that of a question to it.
  var client: APIClient {
    let settings = (try? SettingsFile(nil).read()) ?? ProcessSettings()
    return APIClient(socket: socket ?? settings.api.socket, timeoutSeconds: timeout)
  }
}

struct OutputOptions: ParsableArguments {
  @Option(name: .shortAndLong, help: "table, or json as the server answered it.")
  var output = OutputFormat.table

  /// The answer as JSON when that is wanted, otherwise what `view` makes of it.
  func show<Value: Decodable>(
    _ reply: APIReply, as type: Value.Type, view: (Value, Terminal) -> String
  ) throws {
    switch output {
    case .json: Console.write(reply.body)
    case .table:
      Console.print(view(try decode(type, from: reply), .standardOutput()))
    }
  }
}

extension OutputOptions {
  /// A list as a table, or what is said where nothing is in it.
  func list<Item: Codable & Hashable & Sendable>(
    _ reply: APIReply, none: String, view: ([Item]) -> Table
  ) throws {
    try show(reply, as: PageResource<Item>.self) { page, terminal in
      page.items.isEmpty ? none + "\n" : view(page.items).render(on: terminal)
    }
  }
}

func decode<Value: Decodable>(_ type: Value.Type, from reply: APIReply) throws -> Value {
  do {
    return try JSONDecoder().decode(type, from: Data(reply.body))
  } catch {
    throw CommandFailure(
      "the server's answer cannot be understood; it may be another version than this command "
        + "(\(Version.text)). Use the command that belongs to it.")
  }
}

extension APIClient {
  /// The answer to a request that succeeded; the server's refusal as an error otherwise.
  func ask(_ method: APIRequest.Method, _ path: String, body: [UInt8] = []) async throws -> APIReply
  {
    try checked(await send(APIRequest(method, path, body: body)))
  }

  func checked(_ reply: APIReply) throws -> APIReply {
    if (200..<300).contains(reply.status) { return reply }
    if let body = try? JSONDecoder().decode(APIFailure.Body.self, from: Data(reply.body)) {
      throw body.error
    }
    throw CommandFailure("the server answered \(reply.status) without a reason")
  }
}

/// `path?a=b&c=d`, with what a URL may not hold encoded; parameters without a value are left out.
func target(_ path: String, _ parameters: KeyValuePairs<String, String?> = [:]) -> String {
  let pairs = parameters.compactMap { key, value in value.map { "\(key)=\(encoded($0))" } }
  return pairs.isEmpty ? path : "\(path)?\(pairs.joined(separator: "&"))"
}

func encoded(_ text: String) -> String {
  let unreserved = CharacterSet(
    charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
  return text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
}
