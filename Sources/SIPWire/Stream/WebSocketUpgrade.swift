package import Base

/// The HTTP request that turns a connection into a WebSocket that speaks SIP (RFC 6455 §4.2, RFC 7118 §4).
package struct WebSocketUpgrade: Hashable, Sendable {
  /// What a refused request is answered with before the connection is closed.
  package enum Refusal: Error, Hashable, Sendable {
    /// Not an HTTP/1.1 request, or one without the fields of an upgrade.
    case badRequest
    /// A page was asked for, or another version of the protocol.
    case upgradeRequired
    /// The subprotocol "sip" was not offered (RFC 7118 §4).
    case notSIP
    /// The page that opens the connection is of an origin that is not allowed.
    case originForbidden
    case tooLong

    package var response: StaticString {
      switch self {
      case .badRequest: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
      case .upgradeRequired:
        """
        HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
        Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n
        """
      case .notSIP:
        """
        HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
        Content-Length: 28\r\n\r\nThe subprotocol must be sip\r\n
        """
      case .originForbidden:
        "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
      case .tooLong:
        "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
      }
    }
  }

  package static let limit = 8_192
  /// §1.3: what the key is hashed with.
  package static let magic: StaticString = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

  /// Of Sec-WebSocket-Key, for the digest that proves that it was read.
  package var key: ByteRange
  package var origin: ByteRange
  /// The first octet after the request.
  package var end: Int

  /// Nil while the request is not whole.
  package static func parse(_ bytes: RawSpan) throws(Refusal) -> WebSocketUpgrade? {
    guard let end = headEnd(bytes) else {
      guard bytes.byteCount < limit else { throw .tooLong }
      return nil
    }
    let lineEnd = bytes.find(0x0a, from: 0, to: end)
    let line = bytes.slice(0, lineEnd &- 1)
    guard line.hasPrefix("GET ", at: 0), line.byteCount > 13,
      line.hasPrefix(" HTTP/1.1", at: line.byteCount &- 9)
    else { throw .badRequest }
    var fields = Fields()
    var at = lineEnd &+ 1
    while at < end &- 2 {
      let next = bytes.find(0x0a, from: at, to: end)
      try fields.take(bytes, ByteRange(from: at, to: next &- 1))
      at = next &+ 1
    }
    return try fields.judge(bytes, end)
  }

  /// The answer up to the digest's text: what follows is `writeAccept`.
  package static func write(acceptOf digest: RawSpan, into output: inout [UInt8]) {
    let head: StaticString = """
      HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Accept: 
      """
    output.append(contentsOf: head.description.utf8)
    appendBase64(digest, into: &output)
    output.append(contentsOf: [0x0d, 0x0a, 0x0d, 0x0a])
  }

  private static func headEnd(_ bytes: RawSpan) -> Int? {
    var at = 0
    while true {
      let lf = bytes.find(0x0a, from: at, to: min(bytes.byteCount, limit))
      guard lf < min(bytes.byteCount, limit) else { return nil }
      if bytes.byte(at: lf &+ 1) == 0x0d, bytes.byte(at: lf &+ 2) == 0x0a { return lf &+ 3 }
      at = lf &+ 1
    }
  }

  private struct Fields {
    var isUpgrade = false
    var isConnection = false
    var version: Bool?
    var offersSIP = false
    var key = ByteRange.none
    var origin = ByteRange.none

    mutating func take(_ bytes: RawSpan, _ line: ByteRange) throws(Refusal) {
      let colon = bytes.find(UInt8(ascii: ":"), from: line.start, to: line.end)
      let name = ByteRange(from: line.start, to: colon)
      guard colon < line.end, !name.isEmpty, bytes.consists(name, of: .token) else {
        throw .badRequest
      }
      let value = bytes.trimmed(colon &+ 1, line.end)
      if bytes.matches(name, "upgrade") {
        isUpgrade = isUpgrade || lists(bytes, value, "websocket")
      } else if bytes.matches(name, "connection") {
        isConnection = isConnection || lists(bytes, value, "upgrade")
      } else if bytes.matches(name, "sec-websocket-version") {
        version = bytes.equals(value, "13")
      } else if bytes.matches(name, "sec-websocket-protocol") {
        offersSIP = offersSIP || lists(bytes, value, "sip")
      } else if bytes.matches(name, "sec-websocket-key") {
        guard key.isEmpty else { throw .badRequest }
        key = value
      } else if bytes.matches(name, "origin") {
        origin = value
      }
    }

    func judge(_ bytes: RawSpan, _ end: Int) throws(Refusal) -> WebSocketUpgrade {
      guard isUpgrade, isConnection, version == true else { throw .upgradeRequired }
      // §4.2.1: 16 octets in base64.
      guard key.count == 24, bytes.byte(at: key.end &- 1) == UInt8(ascii: "=") else {
        throw .badRequest
      }
      guard offersSIP else { throw .notSIP }
      return WebSocketUpgrade(key: key, origin: origin, end: end)
    }

    private func lists(_ bytes: RawSpan, _ value: ByteRange, _ wanted: StaticString) -> Bool {
      var at = value.start
      while at < value.end {
        let comma = bytes.find(UInt8(ascii: ","), from: at, to: value.end)
        if bytes.matches(bytes.trimmed(at, comma), wanted) { return true }
        at = comma &+ 1
      }
      return false
    }
  }

  private static func appendBase64(_ bytes: RawSpan, into output: inout [UInt8]) {
    let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    let digits = Array(alphabet.description.utf8)
    var at = 0
    while at < bytes.byteCount {
      let group =
        UInt32(bytes.byte(at: at)) << 16 | UInt32(bytes.byte(at: at &+ 1)) << 8
        | UInt32(bytes.byte(at: at &+ 2))
      for (index, shift) in [18, 12, 6, 0].enumerated() {
        let isPadding = at &+ index > bytes.byteCount
        output.append(isPadding ? UInt8(ascii: "=") : digits[Int(group >> UInt32(shift) & 63)])
      }
      at &+= 3
    }
  }
}
