import Base
import CLinux

/// Sends `streams` flows of 50 packets a second, spread over the ticks.
struct RelayGenerator {
  private static let tick: UInt64 = 1_000_000

  let address: SocketAddress
  let flows: RTPFlows
  private let streams: Int

  init?(streams: Int) {
    self.streams = streams
    address = SocketAddress(.loopbackV4, 9_998)
    guard let flows = RTPFlows(address, expecting: streams * 50 * 3) else { return nil }
    self.flows = flows
  }

  /// Sends for so long, and waits for what is under way.
  func run(milliseconds: Int) {
    var due = clmedia_monotonic()
    var owed = 0
    for _ in 0..<milliseconds {
      owed += streams * 50
      while owed >= 1_000 {
        flows.sendNext()
        owed -= 1_000
      }
      flows.drain()
      due += Self.tick
      clmedia_sleep_until(due)
    }
    flows.settle(times: 20, every: 2_000_000)
  }
}
