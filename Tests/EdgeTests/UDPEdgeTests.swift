import Base
import CallCore
import Edge
import Policy
import Synchronization
import Testing

/// The real shard behind real sockets on loopback.
@Suite(.timeLimit(.minutes(1)))
struct UDPEdgeTests {
  final class Heard: Sendable {
    let answers = Mutex<[UInt64: ShardCounters]>([:])
    let facts = Mutex<[Fact]>([])
  }

  func start(_ ips: [IPAddress], heard: Heard = Heard()) throws(EdgeError) -> UDPEdge {
    let listeners = ips.enumerated().map { index, ip in
      Listener(name: "l\(index)", bound: SocketAddress(ip, 0))
    }
    let settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: SystemRandom.bytes(32), listeners: listeners,
      mediaAddresses: [])
    return try UDPEdge(
      settings: settings, configuration: Configuration(),
      sinks: EdgeSinks(
        media: { _ in },
        facts: { facts in heard.facts.withLock { $0 += facts } },
        answer: { token, answer in
          if case .counters(let counters) = answer {
            heard.answers.withLock { $0[token] = counters }
          }
        }))
  }

  func options(_ peer: Peer, to edge: SocketAddress, number: Int) -> [UInt8] {
    Array(
      """
      OPTIONS sip:\(edge) SIP/2.0\r
      Via: SIP/2.0/UDP \(peer.address);branch=z9hG4bK\(number);rport\r
      Max-Forwards: 70\r
      From: <sip:test@\(peer.address)>;tag=a\(number)\r
      To: <sip:\(edge)>\r
      Call-ID: \(number)@test\r
      CSeq: \(number) OPTIONS\r
      Content-Length: 0\r
      \r\n
      """.utf8)
  }

  func counters(_ edge: UDPEdge, _ heard: Heard, token: UInt64) -> ShardCounters? {
    guard edge.post(.query(.counters, token: token)) else { return nil }
    let deadline = MonotonicClock.now + .seconds(10)
    while MonotonicClock.now < deadline {
      if let found = heard.answers.withLock({ $0[token] }) { return found }
      pauseThread(.milliseconds(1))
    }
    return nil
  }

  @Test func answersOnEveryListener() throws {
    let heard = Heard()
    let edge = try start([.loopbackV4, .loopbackV6], heard: heard)
    defer { edge.stop() }
    #expect(edge.addresses.count == 2 && edge.addresses.allSatisfy { $0.port != 0 })
    var number = 0
    for address in edge.addresses {
      let peer = try Peer(address.ip)
      // More than the loop reads in one batch.
      let requests = (0..<100).map { _ in
        number += 1
        return options(peer, to: address, number: number)
      }
      peer.send(requests, to: address)
      let responses = peer.receive(100)
      #expect(responses.count == 100)
      #expect(responses.allSatisfy { $0.source == address })
      #expect(
        responses.allSatisfy { String(decoding: $0.bytes, as: UTF8.self).hasPrefix("SIP/2.0 ") })
    }
    let reading = edge.counters.reading
    #expect(reading.datagramsReceived == 200 && reading.datagramsSent == 200)
    #expect(reading.bytesReceived > 200 * 200)
    #expect(counters(edge, heard, token: 7)?.messagesReceived == 200)
  }

  /// Thousands of requests a second, one by one: all are answered, and the loop turns once a tick instead of
  /// once a datagram. An input that comes by itself is not lost meanwhile.
  @Test func loadIsTakenByTicks() throws {
    let heard = Heard()
    let edge = try start([.loopbackV4], heard: heard)
    defer { edge.stop() }
    let peer = try Peer()
    let begin = MonotonicClock.now
    var sent = 0
    while MonotonicClock.now - begin < .seconds(1) {
      let due = Int((MonotonicClock.now - begin).nanoseconds / 200_000)
      while sent < due {
        sent += 1
        peer.send([options(peer, to: edge.addresses[0], number: sent)], to: edge.addresses[0])
      }
      pauseThread(.microseconds(100))
    }
    #expect(peer.receive(sent).count == sent)
    #expect(counters(edge, heard, token: 3)?.messagesReceived == UInt64(sent))
    let ticks = (MonotonicClock.now - begin).nanoseconds / TickPacer.tick.nanoseconds
    // A window passes before the loop knows that it is busy, and may be full of turns.
    let window = UInt64(sent / 5)
    #expect(edge.counters.reading.wakeups < UInt64(ticks) + window + 50)
  }

  @Test func badInputDisturbsNobody() throws {
    let heard = Heard()
    let edge = try start([.loopbackV4], heard: heard)
    defer { edge.stop() }
    let address = edge.addresses[0]
    let peer = try Peer()
    var random = RandomSource(seed: 11)
    let valid = options(peer, to: address, number: 1)
    var noise: [[UInt8]] = [[], [0], [0, 0, 0, 0], Array("\r\n\r\n".utf8)]
    noise.append([UInt8](repeating: 0x41, count: 65_507))
    for _ in 0..<300 {
      var copy = valid
      for _ in 0...random.next(below: 4) {
        copy[random.next(below: copy.count)] = UInt8(truncatingIfNeeded: random.next())
      }
      noise.append(Array(copy.prefix(random.next(below: copy.count + 1))))
    }
    peer.send(noise, to: address)
    let after = try Peer()
    after.send([options(after, to: address, number: 99)], to: address)
    #expect(after.receive(1).count == 1)
    #expect(counters(edge, heard, token: 1) != nil)
  }

  /// The peer is gone before the answer: the kernel's word of it reaches the shard, and the next peer is
  /// served.
  @Test func unreachablePeer() throws {
    let heard = Heard()
    let edge = try start([.loopbackV4], heard: heard)
    defer { edge.stop() }
    let address = edge.addresses[0]
    let deadline = MonotonicClock.now + .seconds(5)
    var number = 0
    while edge.counters.reading.unreachable == 0, MonotonicClock.now < deadline {
      number += 1
      let gone = try Peer()
      let request = options(gone, to: address, number: number)
      // Answered to the Via's address, at which nobody listens any more.
      let closed = try Peer().address
      let text = String(decoding: request, as: UTF8.self)
        .replacing("\(gone.address);branch", with: "\(closed);branch")
        .replacing(";rport", with: "")
      gone.send([Array(text.utf8)], to: address)
      pauseThread(.milliseconds(20))
    }
    #expect(edge.counters.reading.unreachable > 0)
    let peer = try Peer()
    peer.send([options(peer, to: address, number: 1_000)], to: address)
    #expect(peer.receive(1).count == 1)
  }

  @Test func stops() throws {
    let heard = Heard()
    let edge = try start([.loopbackV4], heard: heard)
    let address = edge.addresses[0]
    edge.stop()
    edge.stop()
    #expect(!edge.post(.drain))
    // The port is free again.
    _ = try UDPSocket(listener: "again", bound: address, receiveBuffer: 0, sendBuffer: 0)
  }

  @Test func refusesABadStart() throws {
    var settings = ShardSettings(
      incarnation: 1, secret: [1, 2, 3],
      listeners: [Listener(name: "a", bound: SocketAddress(.loopbackV4, 0))], mediaAddresses: [])
    let sinks = EdgeSinks(media: { _ in }, facts: { _ in }, answer: { _, _ in })
    #expect(throws: EdgeError.self) {
      _ = try UDPEdge(settings: settings, configuration: Configuration(), sinks: sinks)
    }
    let taken = try Peer()
    settings.secret = SystemRandom.bytes(32)
    settings.listeners[0].bound = taken.address
    #expect(throws: EdgeError.listener(name: "a", address: taken.address, code: 98)) {
      _ = try UDPEdge(settings: settings, configuration: Configuration(), sinks: sinks)
    }
  }

  /// An idle shard sleeps: few wake-ups in a quiet while.
  @Test func idleIsIdle() throws {
    let edge = try start([.loopbackV4])
    defer { edge.stop() }
    let before = edge.counters.reading.wakeups
    pauseThread(.milliseconds(300))
    #expect(edge.counters.reading.wakeups - before < 5)
  }
}
