import Base
import Edge
import Testing

/// A socket of the test's own on loopback, with what a peer does.
final class Peer {
  let socket: UDPSocket
  let receiver: ReceiveBatch
  let sender: SendBatch

  init(_ ip: IPAddress = .loopbackV4) throws {
    socket = try UDPSocket(
      listener: "test", bound: SocketAddress(ip, 0), receiveBuffer: 8 << 20, sendBuffer: 1 << 20)
    receiver = try ReceiveBatch()
    sender = try SendBatch()
  }

  var address: SocketAddress { socket.local }

  /// Sends the datagrams in as few calls as they need; how many the socket took.
  @discardableResult
  func send(_ datagrams: [[UInt8]], to: SocketAddress) -> Int {
    var buffer = OutputBuffer(byteLimit: 8 << 20, recordLimit: 4_096)
    for datagram in datagrams {
      buffer.begin()
      buffer.append(datagram)
      _ = buffer.commit(to: to, listener: 0)
    }
    var done = 0
    while done < buffer.count {
      let sent = sender.send(buffer, from: done, count: buffer.count - done, through: socket) {
        _, code in Issue.record("not sent: errno \(code)")
      }
      guard sent > 0 else { break }
      done += sent
    }
    return done
  }

  /// What arrives until there are `count` datagrams or ten seconds have gone by.
  func receive(_ count: Int) -> [(bytes: [UInt8], source: SocketAddress)] {
    let receiver = receiver
    var arrived: [(bytes: [UInt8], source: SocketAddress)] = []
    let deadline = MonotonicClock.now + .seconds(10)
    while arrived.count < count, MonotonicClock.now < deadline {
      let n = receiver.receive(from: socket)
      for i in 0..<max(n, 0) {
        let span = receiver.bytes(i)
        let bytes = span.array(ByteRange(0, span.byteCount))
        if let source = receiver.source(i) { arrived.append((bytes, source)) }
      }
      if n <= 0 { pauseThread(.milliseconds(1)) }
    }
    return arrived
  }
}

@Suite struct SocketTests {
  @Test(arguments: [IPAddress.loopbackV4, .loopbackV6])
  func echo(ip: IPAddress) throws {
    let a = try Peer(ip)
    let b = try Peer(ip)
    #expect(a.address.port != 0 && a.address.ip == ip)
    // More than two batches, of every size up to the largest that IPv4 carries.
    let sizes = [0, 1, 15, 16, 1_472, 1_473, 9_000, 65_507] + (0..<70).map { $0 * 13 }
    let datagrams = sizes.map { size in (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) } }
    #expect(a.send(datagrams, to: b.address) == datagrams.count)
    let arrived = b.receive(datagrams.count)
    #expect(arrived.map(\.bytes) == datagrams)
    #expect(arrived.allSatisfy { $0.source == a.address })
    b.send(arrived.map(\.bytes), to: a.address)
    #expect(a.receive(datagrams.count).map(\.bytes) == datagrams)
  }

  @Test(arguments: [IPAddress.loopbackV4, .loopbackV6])
  func nobodyThere(ip: IPAddress) throws {
    let a = try Peer(ip)
    let gone = try Peer(ip).address
    a.send([[1, 2, 3]], to: gone)
    var failure: (destination: SocketAddress?, code: Int32)?
    let deadline = MonotonicClock.now + .seconds(10)
    while failure == nil, MonotonicClock.now < deadline {
      failure = a.socket.nextFailure()
      if failure == nil { pauseThread(.milliseconds(1)) }
    }
    #expect(failure?.destination == gone && failure?.code == 111)
    #expect(a.socket.nextFailure() == nil)
    // A pending error does not cost the next datagram.
    a.send([[4]], to: gone)
    pauseThread(.milliseconds(1))
    let b = try Peer(ip)
    #expect(a.send([[5], [6]], to: b.address) == 2)
    #expect(b.receive(2).map(\.bytes) == [[5], [6]])
  }

  /// A destination of the other family is refused by the call itself, and the rest of the batch leaves.
  @Test func oneBadDestination() throws {
    let a = try Peer()
    let b = try Peer()
    var buffer = OutputBuffer(byteLimit: 4_096, recordLimit: 8)
    for destination in [b.address, SocketAddress(.loopbackV6, 9), b.address] {
      buffer.begin()
      buffer.append([7])
      _ = buffer.commit(to: destination, listener: 0)
    }
    var refused: [SocketAddress] = []
    let done = a.sender.send(buffer, from: 0, count: 3, through: a.socket) { destination, _ in
      refused.append(destination)
    }
    #expect(done == 3 && refused == [SocketAddress(.loopbackV6, 9)])
    #expect(b.receive(2).count == 2)
  }

  @Test func errorsSayWhatToDo() throws {
    let taken = try Peer().socket
    func problem(_ address: SocketAddress) -> String {
      do throws(EdgeError) {
        _ = try UDPSocket(listener: "public", bound: address, receiveBuffer: 0, sendBuffer: 0)
        return "bound"
      } catch {
        return error.description
      }
    }
    let inUse = problem(taken.local)
    #expect(inUse.contains("\"public\" on \(taken.local)"))
    #expect(inUse.contains("ss -ltunp 'sport = :\(taken.local.port)'"))
    let absent = try #require(IPAddress("192.0.2.77"))
    #expect(problem(SocketAddress(absent, 0)).contains("no interface"))
    for code: Int32 in [13, 97, 24, 12] {
      let error = EdgeError.listener(name: "x", address: taken.local, code: code)
      #expect(error.description.count > 40)
    }
  }
}

@Suite struct WallClockTests {
  @Test func mapsBothWays() {
    let anchor = WallClock(
      at: Instant(nanoseconds: 50_000_000_000), nanosecondsSince1970: 1_700_000_000_123_456_789)
    #expect(anchor.milliseconds(at: Instant(nanoseconds: 50_000_000_000)) == 1_700_000_000_123)
    #expect(anchor.milliseconds(at: Instant(nanoseconds: 49_000_000_000)) == 1_699_999_999_123)
    let later = Instant(nanoseconds: 50_000_000_000) + .seconds(3_600)
    #expect(anchor.milliseconds(at: later) == 1_700_003_600_123)
    let stamp = anchor.instant(milliseconds: 1_700_003_600_124)
    #expect(anchor.milliseconds(at: stamp) == 1_700_003_600_124)
    #expect(anchor.instant(milliseconds: 0) == .zero)
    #expect(anchor.instant(milliseconds: .max) > later)
    let now = WallClock.now.milliseconds(at: MonotonicClock.now)
    #expect(now > 1_700_000_000_000 && now < 10_000_000_000_000)
  }

  @Test func process() {
    #expect(ProcessUsage.residentBytes > 1 << 20)
    #expect(ProcessUsage.cpuTime > .zero)
    #expect(SystemRandom.bytes(-1).isEmpty && SystemRandom.bytes(1_000).count == 1_000)
    #expect(SystemRandom.bytes(16) != SystemRandom.bytes(16) && SystemRandom.word != 0)
  }
}
