import Base
import CallCore
import Edge
import Policy
import SIPWire
import Synchronization
import Testing

/// Connections to the real shard, on loopback.
@Suite(.timeLimit(.minutes(1)))
struct StreamEdgeTests {
  /// A peer that writes what it likes and reads until it is satisfied.
  final class Client {
    private let socket: StreamSocket
    private var chunk = [UInt8](repeating: 0, count: 65_536)
    var received: [UInt8] = []
    var isClosed = false

    init(_ address: SocketAddress) throws {
      socket = try #require(StreamSocket(from: address.ip, to: address))
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
      var start = 0
      let deadline = MonotonicClock.now + .seconds(5)
      while start < bytes.count, MonotonicClock.now < deadline {
        let sent = socket.write(bytes.rawSpan.slice(start, bytes.count))
        if sent > 0 { start += sent } else { pauseThread(.milliseconds(1)) }
      }
    }

    var text: String { String(decoding: received, as: UTF8.self) }

    /// Reads until the condition holds; false after some seconds.
    func wait(seconds: Int = 10, _ condition: (Client) -> Bool) -> Bool {
      let deadline = MonotonicClock.now + .seconds(seconds)
      while !condition(self), MonotonicClock.now < deadline {
        let count = socket.read(into: &chunk)
        if count > 0 {
          received += chunk[..<count]
        } else if count == 0 {
          isClosed = true
          return condition(self)
        } else {
          pauseThread(.milliseconds(1))
        }
      }
      return condition(self)
    }

    func answers(_ count: Int) -> Bool {
      wait { $0.text.components(of: "SIP/2.0 ") == count }
    }
  }

  private func start(
    _ transports: [Transport] = [.tcp], _ change: (inout StreamSettings) -> Void = { _ in }
  ) throws(EdgeError) -> UDPEdge {
    let listeners = transports.enumerated().map { index, transport in
      Listener(
        name: "l\(index)", bound: SocketAddress(.loopbackV4, 0), transport: transport)
    }
    let settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: SystemRandom.bytes(32), listeners: listeners,
      mediaAddresses: [])
    var streams = StreamSettings()
    change(&streams)
    return try UDPEdge(
      settings: settings, configuration: Configuration(), streams: streams,
      sinks: EdgeSinks(media: { _ in }, facts: { _ in }, answer: { _, _ in }))
  }

  private func options(_ number: Int, body: String = "") -> String {
    """
    OPTIONS sip:demarc SIP/2.0\r
    Via: SIP/2.0/TCP 127.0.0.1:5999;branch=z9hG4bK\(number)\r
    Max-Forwards: 70\r
    From: <sip:test@localhost>;tag=a\(number)\r
    To: <sip:demarc>\r
    Call-ID: \(number)@test\r
    CSeq: \(number) OPTIONS\r
    Content-Length: \(body.utf8.count)\r
    \r
    \(body)
    """
  }

  /// Whether the counters come to say so; they are published by the edge's thread, after the wire has seen
  /// what they count.
  private func comes(
    _ edge: UDPEdge, _ condition: (StreamCounters.Reading) -> Bool
  ) -> Bool {
    let deadline = MonotonicClock.now + .seconds(5)
    while MonotonicClock.now < deadline {
      if condition(edge.streamCounters) { return true }
      pauseThread(.milliseconds(2))
    }
    return false
  }

  private func ended(_ edge: UDPEdge, _ end: StreamEnd) -> Bool {
    comes(edge) { $0.ended[end] ?? 0 > 0 }
  }

  @Test func answersWholeDrippedAndPipelined() throws {
    let edge = try start()
    defer { edge.stop() }
    let client = try Client(edge.addresses[0])
    client.send(options(1) + options(2, body: "v=0\r\n\r\n") + options(3))
    #expect(client.answers(3))
    for byte in options(4).utf8 { client.send([byte]) }
    #expect(client.answers(4))
    client.send("\r\n\r\n" + options(5))
    #expect(client.answers(5))
    // The answer to the keep-alive goes before what came behind it.
    #expect(client.text.contains("\r\n\r\n\r\nSIP/2.0 200"))
    let order = client.text.split(separator: "\r\n").filter { $0.hasPrefix("CSeq: ") }
    #expect(order == (1...5).map { "CSeq: \($0) OPTIONS" })
    #expect(comes(edge) { $0.messagesReceived == 5 && $0.keepAlives == 1 })
    #expect(edge.streamCounters.connections == 1)
  }

  @Test func theLargestMessageAndTheOneBeyond() throws {
    let edge = try start()
    defer { edge.stop() }
    let large = try Client(edge.addresses[0])
    let other = try Client(edge.addresses[0])
    large.send(options(1, body: String(repeating: "x", count: 65_000)))
    other.send(options(2))
    #expect(other.answers(1) && large.answers(1))
    large.send(options(3, body: String(repeating: "x", count: 65_536)))
    #expect(large.answers(2))
    #expect(large.text.contains("SIP/2.0 513 "))
    #expect(large.wait { $0.isClosed })
    #expect(ended(edge, .messageTooLong))
    other.send(options(4))
    #expect(other.answers(2))
  }

  @Test func closesWhatIsNoSIP() throws {
    let edge = try start()
    defer { edge.stop() }
    for (text, end) in [
      ("\u{16}\u{3}\u{1}", StreamEnd.notSIP), ("GET / HTTP/1.1\r\n\r\n", .notSIP),
      (options(1).replacing("Content-Length: 0\r\n", with: ""), .contentLength),
      (options(1).replacing("70\r\n", with: "70\n"), .lineEnd),
    ] {
      let client = try Client(edge.addresses[0])
      client.send(text)
      #expect(client.wait { $0.isClosed }, "\(text)")
      #expect(ended(edge, end))
      if end != .notSIP { #expect(client.text.hasPrefix("SIP/2.0 400 ")) }
    }
    #expect(comes(edge) { $0.connections == 0 })
  }

  @Test func boundsConnectionsAndTheirTime() throws {
    let edge = try start {
      $0.limits.connectionsPerSource = 3
      $0.limits.messageTime = .milliseconds(300)
      $0.limits.idleTime = .milliseconds(600)
    }
    defer { edge.stop() }
    let address = edge.addresses[0]
    let silent = try Client(address)
    let slow = try Client(address)
    let good = try Client(address)
    slow.send("OPTIONS sip:")
    good.send(options(1))
    #expect(good.answers(1))
    let beyond = try Client(address)
    #expect(beyond.wait { $0.isClosed })
    #expect(ended(edge, .tooManyOfSource))
    #expect(silent.wait { $0.isClosed } && slow.wait { $0.isClosed })
    #expect(ended(edge, .firstMessageTimeout))
    #expect(!good.isClosed)
    #expect(good.wait { $0.isClosed })
    #expect(ended(edge, .idle))
    // What they held is free again.
    let after = try Client(address)
    after.send(options(2))
    #expect(after.answers(1))
  }

  /// The source of many that say nothing is banned: what it has open is closed, and nothing more is accepted, until the
  /// ban is lifted.
  @Test func whoseConnectionsSayNothingIsBanned() throws {
    let edge = try start { $0.limits.messageTime = .milliseconds(500) }
    defer { edge.stop() }
    let address = edge.addresses[0]
    let good = try Client(address)
    good.send(options(1))
    #expect(good.answers(1))
    let silent = try (0..<9).map { _ in try Client(address) }
    #expect(silent.allSatisfy { $0.wait { $0.isClosed } })
    #expect(good.wait { $0.isClosed })
    #expect(ended(edge, .banned))
    let next = try Client(address)
    #expect(next.wait { $0.isClosed } && next.received.isEmpty)
    #expect(comes(edge) { $0.connections == 0 })
    edge.post(.query(.liftBan(IPNetwork(.loopbackV4, prefixLength: 32)), token: 1))
    pauseThread(.milliseconds(200))
    let after = try Client(address)
    after.send(options(2))
    #expect(after.answers(1))
  }

  @Test func closesASlowReader() throws {
    let edge = try start { $0.limits.outputBytes = 65_536 }
    defer { edge.stop() }
    let client = try Client(edge.addresses[0])
    // Far more than the kernel keeps for both sides, and never a byte read.
    let batch = (0..<200).map { options($0) }.joined()
    let other = try Client(edge.addresses[0])
    for _ in 0..<400 where edge.streamCounters.ended[.slowReader] == nil { client.send(batch) }
    #expect(ended(edge, .slowReader))
    other.send(options(1))
    #expect(other.answers(1))
  }

  @Test func upgradesToAWebSocket() throws {
    let edge = try start([.ws]) { $0.origins["l0"] = ["https://phone.example"] }
    defer { edge.stop() }
    let request = """
      GET / HTTP/1.1\r
      Host: a\r
      Upgrade: websocket\r
      Connection: Upgrade\r
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
      Sec-WebSocket-Protocol: sip\r
      Sec-WebSocket-Version: 13\r
      Origin: https://phone.example\r
      \r\n
      """
    let stranger = try Client(edge.addresses[0])
    stranger.send(request.replacing("phone.example", with: "evil.example"))
    #expect(stranger.wait { $0.isClosed })
    #expect(stranger.text.hasPrefix("HTTP/1.1 403 "))

    let client = try Client(edge.addresses[0])
    client.send(request)
    #expect(client.wait { $0.text.hasSuffix("\r\n\r\n") })
    #expect(client.text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    client.received = []
    let text = Array(options(1).replacing("SIP/2.0/TCP", with: "SIP/2.0/WS").utf8)
    client.send(masked(1, Array(text[..<40]), final: false))
    client.send(masked(9, Array("here?".utf8)))
    client.send(masked(0, Array(text[40...])))
    #expect(client.answers(1))
    #expect(client.received.starts(with: [0x8a, 5] + Array("here?".utf8)))
    #expect(client.received[7] == 0x81 && client.received[8] == 126)
    client.send(masked(2, [0x0d, 0x0a, 0x0d, 0x0a]))
    client.send(masked(8, [3, 0xe8]))
    #expect(client.wait { $0.isClosed })
    #expect(client.received.suffix(8) == [0x81, 2, 0x0d, 0x0a, 0x88, 2, 3, 0xe8])
    #expect(ended(edge, .upgradeRefused))
  }

  private func masked(_ opcode: UInt8, _ payload: [UInt8], final: Bool = true) -> [UInt8] {
    var bytes: [UInt8] = [(final ? 0x80 : 0) | opcode]
    if payload.count < 126 {
      bytes.append(0x80 | UInt8(payload.count))
    } else {
      bytes += [0xfe, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
    }
    let key: [UInt8] = [1, 2, 3, 4]
    return bytes + key + payload.enumerated().map { $0.element ^ key[$0.offset & 3] }
  }

  @Test func needsACertificateForTLS() {
    #expect(throws: EdgeError.self) { _ = try start([.tls]) }
    #expect {
      _ = try start([.tls]) {
        $0.certificates["l0"] = TLSListenerSettings(
          identity: TLSIdentity(certificate: "/nowhere.pem", key: "/nowhere.key"))
      }
    } throws: {
      "\($0)".contains("/nowhere.pem") && "\($0)".contains("PEM")
    }
  }

  /// UDP and TCP may have the same port, and a taken one is named with its remedy.
  @Test func sharesAPortWithDatagrams() throws {
    let edge = try start([.udp])
    defer { edge.stop() }
    let taken = edge.addresses[0]
    func listen() throws(EdgeError) -> UDPEdge {
      try UDPEdge(
        settings: ShardSettings(
          incarnation: 1, secret: SystemRandom.bytes(32),
          listeners: [Listener(name: "tcp", bound: taken, transport: .tcp)], mediaAddresses: []),
        configuration: Configuration(),
        sinks: EdgeSinks(media: { _ in }, facts: { _ in }, answer: { _, _ in }))
    }
    let stream = try listen()
    defer { stream.stop() }
    #expect(throws: EdgeError.listener(name: "tcp", address: taken, code: 98)) { _ = try listen() }
  }
}

extension String {
  /// How often a text occurs.
  fileprivate func components(of text: String) -> Int { ranges(of: text).count }
}
