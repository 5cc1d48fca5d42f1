import Base
import SIPWire
import Testing

/// A stream is cut as its datagrams would have been read, however it arrives.
@Suite struct StreamFramerTests {
  /// Feeds bytes as an edge does: what is consumed is dropped between the pieces.
  private struct Reader {
    var framer = StreamFramer()
    var buffer: [UInt8] = []
    var messages: [String] = []
    var pings = 0
    var problem: StreamProblem?

    mutating func feed(_ bytes: [UInt8]) {
      guard problem == nil else { return }
      buffer += bytes
      var cutting = framer
      let all = buffer
      do throws(StreamProblem) {
        loop: while true {
          switch try cutting.next(all.rawSpan) {
          case .message(let range):
            messages.append(String(decoding: all[range.start..<range.end], as: UTF8.self))
          case .ping: pings += 1
          case .incomplete: break loop
          }
        }
        buffer.removeFirst(cutting.consumed)
        cutting.drop()
        framer = cutting
      } catch {
        problem = error
      }
    }
  }

  private func read(_ text: String, pieces: Int) -> Reader {
    var reader = Reader()
    let bytes = Array(text.utf8)
    var at = 0
    while at < bytes.count {
      let end = min(at + pieces, bytes.count)
      reader.feed(Array(bytes[at..<end]))
      at = end
    }
    return reader
  }

  private static let start = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n"

  private static let first = start + "Content-Length: 5\r\n\r\nhello"
  private static let second = "SIP/2.0 200 OK\r\nl :\t0 \r\nX: y\r\n\r\n"
  private static let folded = start + "Content-Length:\r\n  3\r\nX: a\r\n b\r\n\r\nabc"
  private static let twice = start + "l: 2\r\nContent-Length: 2\r\n\r\nhi"

  @Test(arguments: [1, 2, 3, 7, 64, 10_000])
  func cutsWhateverTheyArriveIn(pieces: Int) {
    let all = [Self.first, Self.second, Self.folded, Self.twice, Self.first]
    let reader = read(all.joined(), pieces: pieces)
    #expect(reader.messages == all)
    #expect(reader.problem == nil && reader.buffer.isEmpty && reader.pings == 0)
  }

  @Test(arguments: [1, 2, 3, 5, 1_000])
  func findsKeepAlives(pieces: Int) {
    let text = "\r\n\r\n" + Self.first + "\r\n" + Self.second + "\r\n\r\n\r\n\r\n\n\r" + Self.first
    let reader = read(text, pieces: pieces)
    #expect(reader.messages == [Self.first, Self.second, Self.first])
    #expect(reader.pings == 3 && reader.problem == nil)
  }

  /// Nothing is left to wait for behind a keep-alive: no time runs against the peer.
  @Test func aKeepAliveIsConsumed() {
    var reader = read("\r\n", pieces: 1)
    #expect(reader.buffer.isEmpty && reader.pings == 0)
    reader.feed([0x0d, 0x0a])
    #expect(reader.buffer.isEmpty && reader.pings == 1)
  }

  @Test(arguments: [
    ("\u{16}\u{03}\u{01}", StreamProblem.Reason.notSIP, 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .notSIP, 400),
    ("hello there\r\n", .notSIP, 400),
    (StreamFramerTests.start + "X: y\nContent-Length: 0\r\n\r\n", .lineEnd, 400),
    (StreamFramerTests.start + "\r\n", .contentLength, 400),
    (StreamFramerTests.start + "Content-Length: -1\r\n\r\n", .contentLength, 400),
    (StreamFramerTests.start + "Content-Length: 4294967296\r\n\r\n", .contentLength, 400),
    (StreamFramerTests.start + "Content-Length: 18446744073709551617\r\n\r\n", .contentLength, 400),
    (StreamFramerTests.start + "Content-Length: 1\r\nl: 2\r\n\r\nab", .contentLength, 400),
    (StreamFramerTests.start + "Content-Length:\r\n\r\n", .contentLength, 400),
    (StreamFramerTests.start + "Content-Length: 65535\r\n\r\n", .messageTooLong, 513),
    (StreamFramerTests.start + "Content-Length: 4294967295\r\n\r\n", .messageTooLong, 513),
  ])
  func refuses(text: String, reason: StreamProblem.Reason, status: Int) {
    for pieces in [1, 5, 10_000] {
      let reader = read(text, pieces: pieces)
      #expect(reader.problem?.reason == reason, "\(text) in \(pieces)")
      #expect(reader.problem?.status == status)
      #expect(reader.messages.isEmpty)
    }
  }

  /// Heads without an end are refused at their limit, and not searched again with each byte.
  @Test func boundsTheHead() {
    var reader = Reader()
    reader.feed(Array(Self.start.utf8))
    let line = Array("X-Padding: 0123456789012345678901234567890123456789\r\n".utf8)
    var fed = Self.start.utf8.count
    while reader.problem == nil, fed < 100_000 {
      reader.feed(line)
      fed += line.count
    }
    #expect(reader.problem?.reason == .headersTooLong)
    #expect(fed <= SIPLimits.headerBytes + line.count)

    var long = Reader()
    long.feed(Array("OPTIONS sip:".utf8))
    long.feed([UInt8](repeating: 0x61, count: SIPLimits.headerBytes))
    #expect(long.problem?.reason == .headersTooLong)
  }

  /// The largest message that there may be, byte by byte, in time that grows with its length.
  @Test func takesTheLargest() {
    let head = Self.start + "Content-Length: 65000\r\n\r\n"
    var reader = Reader()
    reader.buffer.reserveCapacity(66_000)
    let body = [UInt8](repeating: 0x62, count: 65_000)
    for byte in Array(head.utf8) + body { reader.feed([byte]) }
    #expect(reader.messages.count == 1 && reader.problem == nil)
  }

  /// What `Message.parse` takes as a datagram comes out of a stream as the same bytes.
  @Test func agreesWithTheParser() throws {
    var random = RandomSource(seed: 5)
    let alphabet = Array("\r\n\r\n: \tlLcContent-Length0159;x".utf8)
    var agreed = 0
    for _ in 0..<20_000 {
      var bytes = Array(Self.first.utf8)
      for _ in 0...random.next(below: 3) {
        let at = random.next(below: bytes.count)
        switch random.next(below: 3) {
        case 0: bytes[at] = alphabet[random.next(below: alphabet.count)]
        case 1: bytes.insert(alphabet[random.next(below: alphabet.count)], at: at)
        default: bytes.remove(at: at)
        }
      }
      let index = HeaderIndex()
      guard let message = try? Message.parse(bytes.rawSpan, using: index),
        message.first(.contentLength) != nil
      else { continue }
      let start = bytes.firstIndex { $0 != 0x0d && $0 != 0x0a } ?? 0
      let end = message.body.end
      var framer = StreamFramer()
      var found: ByteRange?
      do throws(StreamProblem) {
        while found == nil {
          if case .message(let range) = try framer.next(bytes.rawSpan) { found = range }
        }
      } catch {
        Issue.record("\(error.reason) in \(String(decoding: bytes, as: UTF8.self))")
      }
      #expect(found?.start == start && found?.end == end)
      agreed += 1
    }
    #expect(agreed > 2_000)
  }
}
