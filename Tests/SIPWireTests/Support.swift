import Base
import Foundation
import SIPWire
import Testing

/// Parses and hands the message to `body`; a message that is refused fails the test.
func parsed<R>(_ text: String, _ body: (borrowing Message) throws -> R) throws -> R {
  try parsed(bytes: Array(text.utf8), body)
}

func parsed<R>(bytes: [UInt8], _ body: (borrowing Message) throws -> R) throws -> R {
  let index = HeaderIndex()
  let message = try Message.parse(bytes.rawSpan, using: index)
  return try body(message)
}

func parseError(_ text: String) -> SIPParseError? { parseError(bytes: Array(text.utf8)) }

func parseError(bytes: [UInt8]) -> SIPParseError? {
  do throws(SIPParseError) {
    _ = try Message.parse(bytes.rawSpan, using: HeaderIndex())
    return nil
  } catch {
    return error
  }
}

/// A request whose header fields are fit, with `fields` (each ended by CRLF) between them.
func request(_ fields: String = "", line: String = "OPTIONS sip:bob@example.com SIP/2.0") -> String
{
  """
  \(line)\r
  Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds\r
  Max-Forwards: 70\r
  \(fields)To: Bob <sip:bob@example.com>\r
  From: Alice <sip:alice@example.com>;tag=1928301774\r
  Call-ID: a84b4c76e66710@192.0.2.1\r
  CSeq: 314159 OPTIONS\r
  \r\n
  """
}

extension Message {
  func text(_ range: ByteRange) -> String { String(decoding: bytes.array(range), as: UTF8.self) }
  func text(_ range: ByteRange?) -> String? { range.map { text($0) } }

  func list(_ id: HeaderID) -> [String] {
    var found: [String] = []
    var walk = values(of: id)
    while let value = walk.next(bytes) { found.append(text(value)) }
    return found
  }
}

/// Files beside the sources: `Fuzz/seeds/sip_datagram/rfc4475-wsinv` and the like.
enum Files {
  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func read(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: root.appendingPathComponent(path)))
  }

  /// The plain files of a folder, by name; none where there is no folder.
  static func names(in folder: String) -> [String] {
    let found = try? FileManager.default.contentsOfDirectory(
      atPath: root.appendingPathComponent(folder).path)
    return (found ?? []).filter { !$0.hasPrefix(".") }.sorted()
  }
}

/// An offset of the text, for expectations about errors.
func offset(of part: String, in text: String) -> Int {
  guard let range = text.range(of: part) else { return -1 }
  return text.utf8.distance(from: text.startIndex, to: range.lowerBound)
}

/// `#require` for values out of spans, which its macro cannot take.
func unwrap<T>(_ value: T?, _ location: SourceLocation = #_sourceLocation) throws -> T {
  try #require(value, sourceLocation: location)
}
