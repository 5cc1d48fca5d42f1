internal import Base

/// A whole response of HTTP/1.1 (RFC 9112), as far as a file that is fetched needs it.
package struct HTTPResponse: Hashable, Sendable {
  package var status: Int
  package var body: [UInt8]
  /// Seconds that it may be kept (RFC 9111 §5.2.2); nil: it does not say.
  package var maxAge: Int?

  /// Nil for what is no response, and for one that was cut.
  package init?(_ bytes: [UInt8]) {
    guard let end = Self.endOfHead(bytes) else { return nil }
    let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
    let words = (lines.first ?? "").split(separator: " ")
    guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1].utf8.count == 3,
      let status = Int(words[1])
    else { return nil }
    self.status = status
    var fields: [String: String] = [:]
    for line in lines.dropFirst().prefix(100) {
      guard let colon = line.firstIndex(of: ":") else { return nil }
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      fields[line[..<colon].lowercased()] = String(value)
    }
    let rest = Array(bytes[min(end + 4, bytes.count)...])
    if fields["transfer-encoding"]?.lowercased() == "chunked" {
      guard let whole = Self.joined(rest) else { return nil }
      body = whole
    } else if let length = fields["content-length"] {
      guard let count = Int(length), count >= 0, count <= rest.count else { return nil }
      body = Array(rest.prefix(count))
    } else {
      body = rest
    }
    maxAge = fields["cache-control"].flatMap(Self.maxAge)
  }

  private static func endOfHead(_ bytes: [UInt8]) -> Int? {
    let mark: [UInt8] = [13, 10, 13, 10]
    guard bytes.count >= 4 else { return nil }
    return (0...(bytes.count - 4)).first { bytes[$0..<($0 + 4)].elementsEqual(mark) }
  }

  private static func maxAge(_ text: String) -> Int? {
    let words = text.lowercased().split(separator: ",").map { $0.drop { $0 == " " } }
    if words.contains(where: { $0 == "no-store" || $0 == "no-cache" }) { return 0 }
    guard let word = words.first(where: { $0.hasPrefix("max-age=") }) else { return nil }
    return Int(word.dropFirst("max-age=".count)).map { max($0, 0) }
  }

  /// RFC 9112 §7.1.
  private static func joined(_ bytes: [UInt8]) -> [UInt8]? {
    var body: [UInt8] = []
    var at = 0
    while true {
      var size = 0
      var digits = 0
      while at < bytes.count, let digit = bytes[at].hexDigitValue {
        size = size << 4 | Int(digit)
        digits += 1
        at += 1
        guard digits <= 6 else { return nil }
      }
      guard digits > 0, let line = bytes[at...].firstIndex(of: 10) else { return nil }
      at = line + 1
      if size == 0 { return body }
      guard at + size + 2 <= bytes.count else { return nil }
      body += bytes[at..<(at + size)]
      at += size + 2
    }
  }
}
