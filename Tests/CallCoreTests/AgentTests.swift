import Base
import CallCore
import Policy
import Simulation
import Testing

/// The agents among themselves, without the engine: what judges it must be right first.
@Suite struct AgentTests {
  static let left = SocketAddress(IPAddress(v4: 0x0a00_0001), 5060)
  static let right = SocketAddress(IPAddress(v4: 0x0a00_0002), 5060)

  static func pair(seed: UInt64 = 1, _ link: LinkQuality = .perfect) -> (World, Agent, Agent) {
    var settings = WorldSettings()
    settings.seed = seed
    settings.link = link
    let world = World(settings)
    let caller = world.agent("caller", at: left, trunk: right, user: "1000")
    let callee = world.agent("callee", at: right, trunk: left, user: "2000")
    return (world, caller, callee)
  }

  @Test func aCallIsAnsweredAndHungUp() {
    let (world, caller, callee) = Self.pair()
    let call = caller.call("2000", CallerScript().hangingUp(after: .seconds(5)))
    world.settle()
    #expect(call.statuses == [100, 180, 200])
    #expect(call.ending == .hungUpHere)
    #expect(callee.calls.map(\.ending) == [.hungUpThere])
    #expect(callee.calls.first?.acknowledged == true)
    #expect(world.violations.filter { $0.rule != .sdp } == [])
  }

  @Test func cancelBusyAndNoAnswer() {
    let (world, caller, callee) = Self.pair()
    callee.onInvite = { _ in .ringingOnly() }
    let cancelled = caller.call("2000", CallerScript().cancelling(after: .seconds(3)))
    world.settle()
    #expect(cancelled.ending == .cancelled)
    callee.onInvite = { _ in .refusing(486) }
    let busy = caller.call("2000")
    world.settle()
    #expect(busy.ending == .refused(486))
    callee.onInvite = { _ in .dead }
    let dead = caller.call("2000")
    world.settle()
    #expect(dead.ending == .timedOut)
    #expect(callee.calls.map(\.ending) == [.cancelled, .refused(486), .died])
  }

  @Test func theChallengeIsAnsweredWithEitherAlgorithm() {
    let (world, caller, callee) = Self.pair()
    callee.demands = Credentials(username: "u", password: "p")
    caller.credentials = callee.demands
    let right = caller.call("2000", CallerScript().hangingUp(after: .seconds(1)))
    world.settle()
    #expect(right.statuses == [100, 180, 200] || right.statuses == [407, 100, 180, 200])
    #expect(right.ending == .hungUpHere)
    let wrong = caller.call("2000", CallerScript().with { $0.credentials = .wrong })
    world.settle()
    #expect(wrong.ending == .refused(403))
    callee.stalesNext = true
    caller.challenge = nil
    let stale = caller.call("2000", CallerScript().hangingUp(after: .seconds(1)))
    world.settle()
    #expect(stale.ending == .hungUpHere)
  }

  @Test func reoffersGlareAndMissingAck() {
    let (world, caller, callee) = Self.pair()
    let hold = Reoffer(after: .seconds(2), direction: .sendonly)
    callee.onInvite = { _ in
      .answering().with { $0.reoffers = [Reoffer(after: .seconds(2), movesMedia: true)] }
    }
    let call = caller.call(
      "2000",
      CallerScript().with {
        $0.reoffers = [hold]
        $0.hangUpAfter = .seconds(20)
      })
    world.settle()
    #expect(call.reoffersAnswered.last == 200)
    #expect(callee.calls.first?.reoffersAnswered.last == 200)
    #expect(call.reoffersAnswered.contains(491) || callee.calls[0].reoffersAnswered.contains(491))
    let silent = caller.call("2000", CallerScript().with { $0.ack = .never })
    world.settle()
    #expect(callee.calls.last?.ending == .neverAcknowledged)
    #expect(silent.ending == .hungUpThere)
  }

  /// RELIABILITY C1's figures for a link alone, so that the engine's can be told from the network's.
  @Test(arguments: [(0.1, 0.999), (0.3, 0.99)]) func callsSurviveLoss(loss: Double, share: Double) {
    var answered = 0
    let total = 2_000
    let (world, caller, _) = Self.pair(
      seed: 7,
      LinkQuality(
        loss: loss, duplication: 0.05, delay: .milliseconds(20), jitter: .milliseconds(30)))
    for _ in 0..<total {
      caller.call("2000", CallerScript().hangingUp(after: .seconds(3)))
      world.run(for: .milliseconds(50))
    }
    world.settle()
    for call in caller.calls where call.answeredAt != nil && call.ending == .hungUpHere {
      answered += 1
    }
    #expect(Double(answered) >= Double(total) * share, "\(answered) of \(total)")
    #expect(caller.calls.allSatisfy { $0.state == .ended })
  }

  @Test func theSameSeedIsTheSameRun() {
    func run() -> [[UInt8]] {
      let (world, caller, _) = Self.pair(
        seed: 99, LinkQuality(loss: 0.2, duplication: 0.1, jitter: .milliseconds(80)))
      for _ in 0..<20 { caller.call("2000", CallerScript().hangingUp(after: .seconds(1))) }
      world.settle()
      return world.trace.entries.map(\.bytes)
    }
    let first = run()
    #expect(first.count > 100)
    #expect(first == run())
  }
}
