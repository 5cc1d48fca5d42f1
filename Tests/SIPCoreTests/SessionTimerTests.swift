import Base
import SIPCore
import Testing

/// RFC 4028: the machine, and table 2 of §9.
@Suite struct SessionTimerTests {
  private func effects(
    _ machine: inout SessionTimer, _ events: SessionTimer.Event...
  ) -> [SessionTimer.Effect] {
    var effects: [SessionTimer.Effect] = []
    for event in events { machine.handle(event, into: &effects) }
    return effects
  }

  @Test func weRefreshAtHalf() {
    var machine = SessionTimer()
    #expect(effects(&machine, .agreed(.us, .seconds(90))) == [.start(.seconds(45))])
    #expect(effects(&machine, .fired) == [.refresh])
    #expect(effects(&machine, .agreed(.us, .seconds(90))) == [.start(.seconds(45))])
    #expect(effects(&machine, .fired, .lost) == [.refresh, .stop, .expired])
    #expect(machine.state == .off)
  }

  /// §10: BYE min(32 s, a third) before the end.
  @Test(arguments: [(90, 60), (96, 64), (120, 88), (1_800, 1_768)])
  func theyRefresh(interval: Int, wait: Int) {
    var machine = SessionTimer()
    #expect(
      effects(&machine, .agreed(.them, .seconds(interval))) == [.start(.seconds(wait))])
    #expect(machine.refresher == .them && machine.interval == .seconds(interval))
    #expect(effects(&machine, .fired) == [.stop, .expired])
  }

  @Test func refreshesThatFail() {
    var machine = SessionTimer()
    _ = effects(&machine, .agreed(.us, .seconds(100)), .fired)
    #expect(effects(&machine, .postponed(.seconds(3))) == [.start(.seconds(3))])
    #expect(effects(&machine, .fired) == [.refresh])
    #expect(effects(&machine, .refused) == [.start(.seconds(50))])
    #expect(machine.refresher == .us)
  }

  @Test func nothingWhileOff() {
    var machine = SessionTimer()
    #expect(
      effects(
        &machine, .fired, .refused, .lost, .postponed(.seconds(1)), .ended
      ).isEmpty)
    _ = effects(&machine, .agreed(.them, .seconds(100)))
    #expect(effects(&machine, .refused, .postponed(.seconds(1))).isEmpty)
    #expect(effects(&machine, .ended) == [.stop] && machine.state == .off)
  }

  struct Row: CustomTestStringConvertible {
    var name: String
    var policy: SessionTimerPolicy
    var request: SessionTimerRequest
    var grant: SessionTimerPolicy.Grant
    var testDescription: String { name }
  }

  static let usual = SessionTimerPolicy(expires: 1_800, minimum: 90)
  static let strict = SessionTimerPolicy(expires: 600, minimum: 300, refresher: .us)

  static let rows = [
    Row(
      name: "no support: we refresh", policy: usual, request: .init(supported: false),
      grant: .granted(seconds: 1_800, refresher: .us)),
    Row(
      name: "no support, an interval of its own", policy: usual,
      request: .init(supported: false, expires: 30), grant: .granted(seconds: 90, refresher: .us)),
    Row(
      name: "support, no wish: the sender refreshes", policy: usual,
      request: .init(supported: true), grant: .granted(seconds: 1_800, refresher: .them)),
    Row(
      name: "support, and we prefer to", policy: strict, request: .init(supported: true),
      grant: .granted(seconds: 600, refresher: .us)),
    Row(
      name: "uac", policy: strict,
      request: .init(supported: true, expires: 400, senderRefreshes: true),
      grant: .granted(seconds: 400, refresher: .them)),
    Row(
      name: "uas", policy: usual,
      request: .init(supported: true, expires: 400, senderRefreshes: false),
      grant: .granted(seconds: 400, refresher: .us)),
    Row(
      name: "lowered to what we like", policy: strict,
      request: .init(supported: true, expires: 3_600),
      grant: .granted(seconds: 600, refresher: .us)),
    Row(
      name: "never below its Min-SE", policy: strict,
      request: .init(supported: true, expires: 3_600, minimum: 900),
      grant: .granted(seconds: 900, refresher: .us)),
    Row(
      name: "too small", policy: strict, request: .init(supported: true, expires: 299),
      grant: .tooSmall(300)),
    Row(
      name: "off", policy: .init(expires: 0, minimum: 90),
      request: .init(supported: true, expires: 100), grant: .none),
  ]

  @Test(arguments: rows) func grants(_ row: Row) {
    #expect(row.policy.grant(row.request) == row.grant)
  }
}
