import Base
import CallCore
import Policy
import Testing

/// The circuit breaker of one target: each row of its table, and what it comes to over hours.
@Suite struct TargetHealthTests {
  private struct Rig {
    var now = Instant(nanoseconds: 1_000_000_000)
    var random = RandomSource(seed: 7)
    var settings: ProbeSettings
    var health: TargetHealth
    var effects: [TargetHealth.Effect] = []

    init(_ policy: ProbePolicy = ProbePolicy(), hasOthers: Bool = false) {
      settings = ProbeSettings(policy, hasOthers: hasOthers)
      health = TargetHealth(at: now, settings: settings, random: &random)
    }

    @discardableResult
    mutating func give(_ event: TargetHealth.Event) -> [TargetHealth.Effect] {
      effects.removeAll()
      health.handle(event, at: now, settings: settings, random: &random, into: &effects)
      return effects
    }

    /// Lets time pass to what the machine waits for.
    mutating func due() -> [TargetHealth.Effect] {
      guard let at = health.nextAt else { return [] }
      now = max(now, at)
      return give(.due)
    }
  }

  @Test func oneFailureIsDoubtAndAnAnswerEndsIt() {
    var rig = Rig()
    #expect(rig.give(.failed(.silent, isProbe: false)) == [.probe])
    #expect(rig.health.state == .doubtful && rig.health.isUsable)
    #expect(rig.health.share(at: rig.now, settings: rig.settings) == 0)
    #expect(rig.give(.answered) == [])
    #expect(rig.health.state == .usable)
    #expect(rig.health.share(at: rig.now, settings: rig.settings) == 1_000)
  }

  @Test func callsThatFailTogetherCountOnce() {
    var rig = Rig()
    rig.give(.failed(.silent, isProbe: false))
    for _ in 0..<50 { #expect(rig.give(.failed(.silent, isProbe: false)) == []) }
    #expect(rig.health.state == .doubtful)
  }

  @Test func probesBringItDownAndBackSlowly() {
    var rig = Rig()
    rig.give(.failed(.unreachable, isProbe: false))
    for _ in 0..<2 {
      #expect(rig.give(.failed(.unreachable, isProbe: true)) == [])
      #expect(rig.due() == [.probe])
    }
    #expect(
      rig.give(.failed(.unreachable, isProbe: true))
        == [.became(usable: false, .unreachable)])
    #expect(rig.health.state == .down && !rig.health.isUsable)

    #expect(rig.due() == [.probe])
    #expect(rig.give(.answered) == [])
    #expect(rig.health.state == .down)
    #expect(rig.due() == [.probe])
    #expect(rig.give(.answered) == [.became(usable: true, .answered)])

    var last = 0
    for second in 0...30 {
      let share = rig.health.share(at: rig.now + .seconds(second), settings: rig.settings)
      #expect(share >= last)
      last = share
    }
    #expect(rig.health.share(at: rig.now, settings: rig.settings) == 100)
    #expect(
      (450...550).contains(rig.health.share(at: rig.now + .seconds(15), settings: rig.settings)))
    #expect(last == 1_000)
  }

  @Test func deadTargetsAreAskedLessAndLessOften() {
    var rig = Rig()
    rig.give(.failed(.silent, isProbe: false))
    for _ in 0..<3 { rig.give(.failed(.silent, isProbe: true)) }
    #expect(rig.health.state == .down)
    var waits: [Interval] = []
    for _ in 0..<8 {
      let before = rig.now
      #expect(rig.due() == [.probe])
      waits.append(rig.now - before)
      rig.give(.failed(.silent, isProbe: true))
    }
    for (wait, second) in zip(waits, [2, 4, 8, 16, 32, 60, 60, 60]) {
      #expect(wait >= .milliseconds(second * 800) && wait <= .milliseconds(second * 1_200))
    }
  }

  @Test func retryAfterIsARestWithinBounds() {
    var rig = Rig()
    #expect(rig.give(.busy(.seconds(5))) == [.became(usable: false, .busy)])
    #expect(rig.give(.answered) == [] && rig.health.state == .resting)
    #expect(rig.give(.failed(.silent, isProbe: false)) == [] && rig.health.state == .resting)
    #expect(rig.health.nextAt == rig.now + .seconds(5))
    #expect(rig.give(.busy(.seconds(100_000))) == [])
    #expect(rig.health.nextAt == rig.now + rig.settings.restLimit)
    #expect(rig.due() == [.became(usable: true, .timeOver)])
    #expect(rig.health.share(at: rig.now, settings: rig.settings) == 100)
  }

  @Test func withoutProbesCallsAreTheProbe() {
    var policy = ProbePolicy()
    policy.enabled = false
    var rig = Rig(policy, hasOthers: true)
    #expect(rig.health.nextAt == nil)
    #expect(rig.give(.failed(.silent, isProbe: false)) == [.became(usable: false, .silent)])
    #expect(rig.due() == [.became(usable: true, .timeOver)])
    let before = rig.now
    rig.give(.failed(.silent, isProbe: false))
    let wait = (rig.health.nextAt ?? .zero) - before
    #expect(wait >= .milliseconds(3_200) && wait <= .milliseconds(4_800))
  }

  @Test func regularProbesOnlyWhereTheyAreWantedAndNothingIsHeard() {
    #expect(Rig().health.nextAt == nil)
    var rig = Rig(hasOthers: true)
    #expect(rig.due() == [.probe])
    rig.give(.answered)
    let before = rig.now
    #expect(rig.due() == [.probe])
    #expect(rig.now - before >= .seconds(24) && rig.now - before <= .seconds(36))
    // A call that was answered just before says as much as a probe would.
    rig.now = (rig.health.nextAt ?? .zero) + .seconds(-1)
    rig.give(.answered)
    #expect(rig.due() == [])
  }

  /// A week of probes at 20 % loss each way, and a call every ten seconds: no target falls.
  @Test func lossMakesNothingFlap() {
    var fallen = 0
    var doubts = 0
    for seed in 0..<20 {
      var policy = ProbePolicy()
      policy.enabled = true
      var rig = Rig(policy)
      var luck = RandomSource(seed: UInt64(seed))
      let end = rig.now + .seconds(7 * 86_400)
      var nextCall = rig.now + .seconds(10)
      // Each of `copies` requests and its response cross with 0.8 · 0.8.
      func passes(_ copies: Int) -> Bool { (0..<copies).contains { _ in luck.chance(64, in: 100) } }
      while rig.now < end {
        var effects: [TargetHealth.Effect] = []
        if let at = rig.health.nextAt, at < nextCall {
          effects = rig.due()
        } else {
          rig.now = max(rig.now, nextCall)
          nextCall = nextCall + .seconds(10)
          // INVITEs at 0, 0.5 and 1.5 s within the two seconds that silence may last.
          if rig.health.state == .usable {
            effects = rig.give(passes(3) ? .answered : .failed(.silent, isProbe: false))
          }
        }
        if rig.health.state == .doubtful { doubts += 1 }
        while effects.contains(.probe) {
          let answered = passes(4)
          rig.now = rig.now + (answered ? .milliseconds(500) : .seconds(4))
          effects = rig.give(answered ? .answered : .failed(.silent, isProbe: true))
          if rig.health.state == .down { fallen += 1 }
        }
      }
    }
    #expect(doubts > 0, "the loss must reach the machine")
    #expect(fallen <= 1, "\(fallen) falls in twenty weeks")
  }
}
