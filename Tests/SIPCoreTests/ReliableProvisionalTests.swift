import Base
import SIPCore
import Testing

/// RFC 3262 §3 as a table of time and event.
@Suite struct ReliableProvisionalTests {
  private let timers = TransactionTimers()

  private func sent() -> (ReliableProvisional, [TransactionEffect]) {
    var machine = ReliableProvisional()
    var effects: [TransactionEffect] = []
    machine.handle(
      .sent(rseq: 7, fork: 1, hasDescription: true), timers: timers, into: &effects)
    return (machine, effects)
  }

  @Test func sendsUntilAcknowledged() {
    var (machine, effects) = sent()
    #expect(
      effects == [.start(.resend, after: .milliseconds(500)), .start(.expire, after: .seconds(32))])
    #expect(machine.holdsSuccess && !machine.isClear)
    effects = []
    machine.handle(.prack(rseq: 7, fork: 1), timers: timers, into: &effects)
    #expect(effects == [.deliver, .stop(.resend), .stop(.expire)])
    #expect(machine.isClear && !machine.holdsSuccess)
  }

  /// The interval doubles without the bound of T2.
  @Test func doublesWithoutBound() {
    var (machine, effects) = sent()
    for wait in [1_000, 2_000, 4_000, 8_000, 16_000] {
      effects = []
      machine.handle(.fired(.resend), timers: timers, into: &effects)
      #expect(effects == [.resend, .start(.resend, after: .milliseconds(wait))])
    }
    effects = []
    machine.handle(.fired(.expire), timers: timers, into: &effects)
    #expect(effects == [.timedOut, .stop(.resend), .stop(.expire)])
    #expect(machine.isClear)
  }

  @Test(arguments: [
    ReliableProvisional.Event.prack(rseq: 8, fork: 1), .prack(rseq: 7, fork: 0),
    .sent(rseq: 8, fork: 1, hasDescription: false),
  ])
  func passesOver(event: ReliableProvisional.Event) {
    var (machine, effects) = sent()
    let before = machine
    effects = []
    machine.handle(event, timers: timers, into: &effects)
    #expect(effects.isEmpty && machine == before)
  }

  @Test func finalResponseEndsIt() {
    var (machine, effects) = sent()
    effects = []
    machine.handle(.final, timers: timers, into: &effects)
    #expect(effects == [.stop(.resend), .stop(.expire)] && machine.isClear)
    effects = []
    machine.handle(.prack(rseq: 7, fork: 1), timers: timers, into: &effects)
    machine.handle(.fired(.resend), timers: timers, into: &effects)
    machine.handle(.fired(.expire), timers: timers, into: &effects)
    machine.handle(.final, timers: timers, into: &effects)
    #expect(effects.isEmpty)
  }
}
