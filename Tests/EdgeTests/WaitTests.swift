import Base
import CallCore
import Edge
import Policy
import Synchronization
import Testing

/// The wait in a real socket, as the kernel's stamps tell it.
@Suite(.timeLimit(.minutes(1)))
struct WaitTests {
  private final class Heard: Sendable {
    let counters = Mutex<ShardCounters?>(nil)
    let waits = Mutex<[Interval]>([])
    /// How long each of the shard's facts holds its thread up.
    let pause = Mutex(Interval.zero)
  }

  private func start(_ heard: Heard) throws(EdgeError) -> UDPEdge {
    let settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: SystemRandom.bytes(32),
      listeners: [Listener(name: "l", bound: SocketAddress(.loopbackV4, 0))], mediaAddresses: [])
    return try UDPEdge(
      settings: settings, configuration: Configuration(),
      sinks: EdgeSinks(
        media: { _ in },
        facts: { facts in
          for case .overload(_, let wait) in facts.map(\.event) {
            heard.waits.withLock { $0.append(wait) }
          }
          let pause = heard.pause.withLock { $0 }
          if pause > .zero { pauseThread(pause) }
        },
        answer: { _, answer in
          if case .counters(let counters) = answer { heard.counters.withLock { $0 = counters } }
        }))
  }

  private func counters(_ edge: UDPEdge, _ heard: Heard) -> ShardCounters {
    heard.counters.withLock { $0 = nil }
    edge.post(.query(.counters, token: 1))
    let deadline = MonotonicClock.now + .seconds(10)
    while MonotonicClock.now < deadline {
      if let counters = heard.counters.withLock({ $0 }) { return counters }
      pauseThread(.milliseconds(1))
    }
    return ShardCounters()
  }

  /// A thread that cannot keep up is seen by what waits for it, and forgets it when it can again.
  @Test func aThreadThatIsBehindKnowsIt() throws {
    let heard = Heard()
    let edge = try start(heard)
    defer { edge.stop() }
    let peer = try Peer()
    let noise = Array("NOISE\r\n\r\n".utf8)
    // Each of these is a fact, and each fact takes 50 ms: more come meanwhile, so something always waits.
    heard.pause.withLock { $0 = .milliseconds(50) }
    for _ in 0..<100 {
      peer.send([noise], to: edge.addresses[0])
      pauseThread(.milliseconds(10))
    }
    let busy = counters(edge, heard)
    #expect(busy.standingWait > LoadMeter.target && busy.standingWait < .seconds(10))
    #expect(busy.refusedStrangers > 0 && busy.overloads == 1)
    heard.pause.withLock { $0 = .zero }
    let end = MonotonicClock.now
    while MonotonicClock.now - end < .seconds(8), counters(edge, heard).refusedStrangers > 0 {
      pauseThread(.milliseconds(50))
    }
    #expect(MonotonicClock.now - end <= .seconds(6))
    let waits = heard.waits.withLock { $0 }
    #expect(waits.count == 2 && waits[0] > LoadMeter.target && waits[1] < LoadMeter.target)
  }

  /// A thread that does nothing but this sees no wait, neither at rest nor by ticks.
  @Test func aThreadThatKeepsUpSeesNoWait() throws {
    let heard = Heard()
    let edge = try start(heard)
    defer { edge.stop() }
    let peer = try Peer()
    let noise = Array("NOISE\r\n\r\n".utf8)
    for _ in 0..<400 {
      peer.send([noise, noise, noise, noise], to: edge.addresses[0])
      pauseThread(.milliseconds(1))
    }
    let counters = counters(edge, heard)
    #expect(counters.messagesReceived == 1_600)
    #expect(counters.overloads == 0 && counters.refusedStrangers == 0)
  }
}
