import Base
import SIPCore
import Testing

/// Drives one machine on a virtual clock: what is sent when, in milliseconds.
private struct Timeline {
  var due: [(at: Int, timer: TransactionTimer)] = []
  var log: [String] = []
  var now = 0

  mutating func take(_ effects: [TransactionEffect]) {
    for effect in effects {
      switch effect {
      case .start(let timer, let after):
        due.removeAll { $0.timer == timer }
        due.append((now + after.milliseconds, timer))
      case .stop(let timer): due.removeAll { $0.timer == timer }
      case .resend: log.append("\(now) resend")
      case .deliver: log.append("\(now) deliver")
      case .acknowledge: log.append("\(now) ack")
      case .timedOut: log.append("\(now) timed out")
      case .terminated:
        log.append("\(now) terminated")
        due = []
      }
    }
  }

  /// The next timer, its time taken as now.
  mutating func next(before limit: Int) -> TransactionTimer? {
    guard let first = due.indices.min(by: { due[$0].at < due[$1].at }), due[first].at <= limit
    else { return nil }
    let entry = due.remove(at: first)
    now = entry.at
    return entry.timer
  }
}

private let timers = TransactionTimers()

private func run(
  _ machine: inout InviteClientTransaction, _ line: inout Timeline, until limit: Int
) {
  while let timer = line.next(before: limit) {
    var effects: [TransactionEffect] = []
    machine.handle(.fired(timer), timers: timers, into: &effects)
    line.take(effects)
  }
  line.now = limit
}

@Suite("INVITE client transaction (RFC 3261 17.1.1, RFC 6026)")
struct InviteClientTransactionTests {
  private func start() -> (InviteClientTransaction, Timeline) {
    var effects: [TransactionEffect] = []
    let machine = InviteClientTransaction(timers: timers, into: &effects)
    var line = Timeline()
    line.take(effects)
    return (machine, line)
  }

  @Test("Timer A doubles from T1, timer B ends it at 64 T1")
  func silence() {
    var (machine, line) = start()
    run(&machine, &line, until: 40_000)
    #expect(
      line.log == [
        "500 resend", "1500 resend", "3500 resend", "7500 resend", "15500 resend", "31500 resend",
        "32000 timed out", "32000 terminated",
      ])
    #expect(machine.state == .terminated)
  }

  @Test("A provisional response stops resending and timer B")
  func provisional() {
    var (machine, line) = start()
    run(&machine, &line, until: 700)
    feed(.provisional, &machine, &line)
    run(&machine, &line, until: 200_000)
    #expect(line.log == ["500 resend", "700 deliver"])
    #expect(machine.isProceeding)
  }

  @Test("Each repetition of a failure is acknowledged for 32 s, delivered once")
  func failure() {
    var (machine, line) = start()
    feed(.failure, &machine, &line)
    run(&machine, &line, until: 1_000)
    feed(.failure, &machine, &line)
    run(&machine, &line, until: 50_000)
    #expect(line.log == ["0 ack", "0 deliver", "1000 ack", "32000 terminated"])
  }

  @Test("Every 2xx is delivered while timer M runs: forks and repetitions")
  func accepted() {
    var (machine, line) = start()
    feed(.success, &machine, &line)
    run(&machine, &line, until: 2_000)
    feed(.success, &machine, &line)
    feed(.failure, &machine, &line)
    run(&machine, &line, until: 50_000)
    #expect(line.log == ["0 deliver", "2000 deliver", "32000 terminated"])
  }

  @Test("A transport error ends it at once while calling, and says nothing new later")
  func transportError() {
    var (machine, line) = start()
    feed(.transportError, &machine, &line)
    #expect(line.log == ["0 timed out", "0 terminated"])
    var (other, otherLine) = start()
    feed(.provisional, &other, &otherLine)
    feed(.transportError, &other, &otherLine)
    #expect(other.isProceeding)
  }

  private func feed(
    _ event: InviteClientTransaction.Event, _ machine: inout InviteClientTransaction,
    _ line: inout Timeline
  ) {
    var effects: [TransactionEffect] = []
    machine.handle(event, timers: timers, into: &effects)
    line.take(effects)
  }
}

@Suite("Non-INVITE client transaction (RFC 3261 17.1.2)")
struct NonInviteClientTransactionTests {
  @Test("Timer E doubles up to T2, timer F ends it at 64 T1")
  func silence() {
    var effects: [TransactionEffect] = []
    var machine = NonInviteClientTransaction(timers: timers, into: &effects)
    var line = Timeline()
    line.take(effects)
    while let timer = line.next(before: 60_000) {
      var fired: [TransactionEffect] = []
      machine.handle(.fired(timer), timers: timers, into: &fired)
      line.take(fired)
    }
    #expect(
      line.log == [
        "500 resend", "1500 resend", "3500 resend", "7500 resend", "11500 resend", "15500 resend",
        "19500 resend", "23500 resend", "27500 resend", "31500 resend", "32000 timed out",
        "32000 terminated",
      ])
  }

  @Test("After a final response timer K absorbs its repetitions for T4")
  func completed() {
    var effects: [TransactionEffect] = []
    var machine = NonInviteClientTransaction(timers: timers, into: &effects)
    var line = Timeline()
    line.take(effects)
    effects = []
    machine.handle(.final, timers: timers, into: &effects)
    machine.handle(.final, timers: timers, into: &effects)
    line.take(effects)
    while let timer = line.next(before: 60_000) {
      var fired: [TransactionEffect] = []
      machine.handle(.fired(timer), timers: timers, into: &fired)
      line.take(fired)
    }
    #expect(line.log == ["0 deliver", "5000 terminated"])
  }
}

@Suite("Server transactions (RFC 3261 17.2, RFC 6026)")
struct ServerTransactionTests {
  @Test("A failure is resent by timer G up to T2 until timer H")
  func noAck() {
    var machine = InviteServerTransaction()
    var line = Timeline()
    var effects: [TransactionEffect] = []
    machine.handle(.sentFailure, timers: timers, into: &effects)
    line.take(effects)
    while let timer = line.next(before: 60_000) {
      var fired: [TransactionEffect] = []
      machine.handle(.fired(timer), timers: timers, into: &fired)
      line.take(fired)
    }
    #expect(
      line.log == [
        "500 resend", "1500 resend", "3500 resend", "7500 resend", "11500 resend", "15500 resend",
        "19500 resend", "23500 resend", "27500 resend", "31500 resend", "32000 timed out",
        "32000 terminated",
      ])
  }

  @Test("The ACK for a failure stops timer G and leaves timer I")
  func acknowledged() {
    var machine = InviteServerTransaction()
    var line = Timeline()
    var effects: [TransactionEffect] = []
    machine.handle(.sentFailure, timers: timers, into: &effects)
    machine.handle(.ack, timers: timers, into: &effects)
    line.take(effects)
    #expect(machine.state == .confirmed)
    while let timer = line.next(before: 60_000) {
      var fired: [TransactionEffect] = []
      machine.handle(.fired(timer), timers: timers, into: &fired)
      line.take(fired)
    }
    #expect(line.log == ["5000 terminated"])
  }

  @Test("After a 2xx the INVITE is absorbed for timer L, not answered again")
  func accepted() {
    var machine = InviteServerTransaction()
    var line = Timeline()
    var effects: [TransactionEffect] = []
    machine.handle(.sentSuccess, timers: timers, into: &effects)
    machine.handle(.retransmission, timers: timers, into: &effects)
    line.take(effects)
    #expect(line.log.isEmpty)
    #expect(machine.state == .accepted)
  }

  @Test("A retransmitted request gets the last response, and nothing before there is one")
  func nonInvite() {
    var machine = NonInviteServerTransaction()
    var effects: [TransactionEffect] = []
    machine.handle(.retransmission, timers: timers, into: &effects)
    #expect(effects.isEmpty)
    machine.handle(.sentFinal, timers: timers, into: &effects)
    #expect(effects == [.start(.expire, after: .seconds(32))])
    effects = []
    machine.handle(.retransmission, timers: timers, into: &effects)
    #expect(effects == [.resend])
  }
}
