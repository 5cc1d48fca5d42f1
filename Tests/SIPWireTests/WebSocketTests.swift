import Base
import SIPWire
import Testing

/// RFC 6455 §5 as a client's frames arrive, and RFC 7118's upgrade.
@Suite struct WebSocketTests {
  enum Seen: Equatable { case message(String), ping(String), pong, close(UInt16) }

  static func frame(
    _ opcode: UInt8, _ payload: [UInt8], final: Bool = true, masked: Bool = true, bits: UInt8 = 0
  ) -> [UInt8] {
    var bytes: [UInt8] = [(final ? 0x80 : 0) | bits | opcode]
    let mask: UInt8 = masked ? 0x80 : 0
    if payload.count < 126 {
      bytes.append(mask | UInt8(payload.count))
    } else if payload.count < 65_536 {
      bytes += [mask | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
    } else {
      bytes.append(mask | 127)
      bytes += stride(from: 56, through: 0, by: -8).map { UInt8(payload.count >> $0 & 255) }
    }
    guard masked else { return bytes + payload }
    let key: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]
    return bytes + key + payload.enumerated().map { $0.element ^ key[$0.offset & 3] }
  }

  private func read(_ bytes: [UInt8], pieces: Int) -> ([Seen], WebSocketProblem?) {
    var reader = WebSocketReader()
    var seen: [Seen] = []
    var start = 0
    while start < bytes.count {
      let piece = Array(bytes[start..<min(start + pieces, bytes.count)])
      start += piece.count
      var at = 0
      do throws(WebSocketProblem) {
        reading: while true {
          switch try reader.next(piece.rawSpan, at: &at) {
          case .more: break reading
          case .message: seen.append(.message(String(decoding: reader.message, as: UTF8.self)))
          case .ping: seen.append(.ping(String(decoding: reader.control, as: UTF8.self)))
          case .pong: seen.append(.pong)
          case .close(let code): seen.append(.close(code))
          }
        }
      } catch {
        return (seen, error)
      }
    }
    return (seen, nil)
  }

  /// §5.7's examples among them.
  @Test(arguments: [1, 2, 5, 1_000_000])
  func readsFrames(pieces: Int) {
    let long = String(repeating: "x", count: 300)
    let longest = String(repeating: "y", count: 65_535)
    let bytes =
      [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
      + Self.frame(1, Array("Hel".utf8), final: false) + Self.frame(9, Array("Hello".utf8))
      + Self.frame(0, Array("l".utf8), final: false) + Self.frame(0, Array("o".utf8))
      + Self.frame(2, Array(long.utf8)) + Self.frame(10, []) + Self.frame(1, Array(longest.utf8))
      + Self.frame(1, []) + Self.frame(8, [0x03, 0xe8])
    let (seen, problem) = read(bytes, pieces: pieces)
    #expect(problem == nil)
    #expect(
      seen == [
        .message("Hello"), .ping("Hello"), .message("Hello"), .message(long), .pong,
        .message(longest), .message(""), .close(1_000),
      ])
  }

  @Test func failsWhatBreaksTheProtocol() {
    let text = Array("INVITE".utf8)
    let cases: [(String, [UInt8], UInt16)] = [
      ("no mask", Self.frame(1, text, masked: false), 1002),
      ("reserved bit", Self.frame(1, text, bits: 0x40), 1002),
      ("reserved opcode", Self.frame(3, text), 1002),
      ("reserved control opcode", Self.frame(11, text), 1002),
      ("fragmented ping", Self.frame(9, text, final: false), 1002),
      ("long ping", Self.frame(9, [UInt8](repeating: 0, count: 126)), 1002),
      ("continuation of nothing", Self.frame(0, text), 1002),
      ("new message in another", Self.frame(1, text, final: false) + Self.frame(1, text), 1002),
      ("close of one octet", Self.frame(8, [3]), 1002),
      ("needlessly long length", [0x81, 0xfe, 0, 5, 1, 2, 3, 4], 1002),
      ("needlessly long length 64", [0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4], 1002),
      ("highest bit", [0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1002),
      ("too long", [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], 1009),
      (
        "too long in pieces",
        Self.frame(1, [UInt8](repeating: 0x61, count: 60_000), final: false)
          + Self.frame(0, [UInt8](repeating: 0x61, count: 6_000)), 1009
      ),
      ("text that is none", Self.frame(1, [0xff, 0xfe]), 1007),
    ]
    for (name, bytes, code) in cases {
      for pieces in [1, 1_000_000] {
        let (seen, problem) = read(bytes, pieces: pieces)
        #expect(problem?.code == code && seen.isEmpty, "\(name)")
      }
    }
    #expect(read(Self.frame(2, [0xff, 0xfe]), pieces: 1).1 == nil)
  }

  @Test func writesFramesWithoutAMask() {
    for (count, head) in [(5, [0x81, 5]), (126, [0x81, 126, 0, 126]), (300, [0x81, 126, 1, 44])] {
      var output: [UInt8] = []
      WebSocketWriter.header(.text, count: count, into: &output)
      #expect(output == head.map { UInt8($0) })
    }
    var long: [UInt8] = []
    WebSocketWriter.header(.text, count: 65_536, into: &long)
    #expect(long == [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0])
    var close: [UInt8] = []
    WebSocketWriter.close(1009, into: &close)
    #expect(close == [0x88, 2, 0x03, 0xf1])
  }

  private static let request = """
    GET /ws HTTP/1.1\r
    Host: sip-ws.example.com\r
    Upgrade: WebSocket\r
    Connection: keep-alive, Upgrade\r
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
    Origin: http://www.example.com\r
    Sec-WebSocket-Protocol: foo, sip\r
    Sec-WebSocket-Version: 13\r
    \r\n
    """

  private func parse(_ bytes: [UInt8]) throws(WebSocketUpgrade.Refusal) -> WebSocketUpgrade? {
    try WebSocketUpgrade.parse(bytes.rawSpan)
  }

  @Test func readsTheUpgrade() throws {
    let bytes = Array((Self.request + "rest").utf8)
    for count in 0..<(bytes.count - 4) {
      #expect(try parse(Array(bytes.prefix(count))) == nil)
    }
    let upgrade = try #require(try parse(bytes))
    #expect(upgrade.end == bytes.count - 4)
    let (key, origin) = (bytes.rawSpan.string(upgrade.key), bytes.rawSpan.string(upgrade.origin))
    #expect(key == "dGhlIHNhbXBsZSBub25jZQ==" && origin == "http://www.example.com")
    // §1.3's digest of the key and the magic.
    let digest: [UInt8] = [
      0xb3, 0x7a, 0x4f, 0x2c, 0xc0, 0x62, 0x4f, 0x16, 0x90, 0xf6, 0x46, 0x06, 0xcf, 0x38, 0x59,
      0x45,
      0xb2, 0xbe, 0xc4, 0xea,
    ]
    var answer: [UInt8] = []
    WebSocketUpgrade.write(acceptOf: digest.rawSpan, into: &answer)
    let text = String(decoding: answer, as: UTF8.self)
    #expect(text.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
    #expect(text.contains("\r\nSec-WebSocket-Protocol: sip\r\n"))
    #expect(text.hasSuffix("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"))
  }

  @Test(arguments: [
    ("GET /ws", "POST /ws", WebSocketUpgrade.Refusal.badRequest),
    ("HTTP/1.1", "HTTP/1.0", .badRequest),
    ("Upgrade: WebSocket\r\n", "", .upgradeRequired),
    ("keep-alive, Upgrade", "keep-alive", .upgradeRequired),
    ("Version: 13", "Version: 8", .upgradeRequired),
    ("foo, sip", "foo, sipx", .notSIP),
    ("dGhlIHNhbXBsZSBub25jZQ==", "short", .badRequest),
    ("Origin:", "Or igin", .badRequest),
  ])
  func refusesOthers(from: String, to: String, refusal: WebSocketUpgrade.Refusal) {
    let bytes = Array(Self.request.replacing(from, with: to).utf8)
    #expect(throws: refusal) { _ = try parse(bytes) }
    #expect("\(refusal.response)".hasSuffix("\r\n"))
  }

  @Test func boundsTheUpgrade() {
    let bytes = Array("GET / HTTP/1.1\r\nX: ".utf8) + [UInt8](repeating: 0x61, count: 9_000)
    #expect(throws: WebSocketUpgrade.Refusal.tooLong) {
      _ = try parse(bytes)
    }
  }
}
