import Base
import SIPCore
import Testing

/// The machine of our registrations as a table: what happens, and what comes of it.
@Suite("Registration of a client (RFC 3261 10.2)")
struct ClientRegistrationTests {
  private typealias Machine = ClientRegistration
  private static let hour = Interval.seconds(3_600)
  private static let start = Instant(nanoseconds: 1_000_000_000)
  /// Half of the largest draw: waits are three quarters of their bound.
  private static let draw = UInt64(1) << 63

  private static func sends(_ seconds: Int) -> Machine.Effect { .send(expires: .seconds(seconds)) }
  private static func waits(_ milliseconds: Int) -> Machine.Effect {
    .wait(.milliseconds(milliseconds))
  }
  private static func challenge(
    _ status: Int = 401, answerable: Bool = true, stale: Bool = false
  ) -> Machine.Event {
    .challenged(status: status, isAnswerable: answerable, isStale: stale)
  }
  private static func refused(_ status: Int, after: Int? = nil) -> Machine.Event {
    .refused(status: status, retryAfter: after.map { .seconds($0) })
  }

  struct Row: Sendable, CustomTestStringConvertible {
    var name: String
    var steps: [(ClientRegistration.Event, [ClientRegistration.Effect])]
    var state: ClientRegistration.State
    var problem: ClientRegistration.Problem?
    var testDescription: String { name }
  }

  private static let begin: (ClientRegistration.Event, [ClientRegistration.Effect]) = (
    .start, [.cancelWait, sends(3_600), .changed]
  )

  static let rows: [Row] = [
    Row(
      name: "challenged, granted, refreshed at 85 % with the nonce it has",
      steps: [
        begin, (challenge(), [sends(3_600), .changed]),
        (.accepted(.seconds(600)), [waits(510_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (.accepted(.seconds(600)), [waits(510_000), .changed]),
      ], state: .registered),
    Row(
      name: "a stale nonce is no wrong password",
      steps: [
        begin, (challenge(), [sends(3_600), .changed]),
        (challenge(stale: true), [sends(3_600), .changed]),
        (.accepted(hour), [waits(3_060_000), .changed]),
      ], state: .registered),
    Row(
      name: "connections that end soon are made anew at growing distances",
      steps: [
        begin, (.accepted(hour), [waits(3_060_000), .changed]),
        (.flowLost, [waits(3_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (.accepted(hour), [waits(3_060_000), .changed]),
        (.flowLost, [waits(6_000), .changed]),
      ], state: .waiting, problem: .flowLost),
    Row(
      name: "a connection that ends under a refresh takes the old time with it",
      steps: [
        begin, (.accepted(hour), [waits(3_060_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]), (.flowLost, [.changed]),
        (.unreachable, [waits(3_000), .changed]),
      ], state: .waiting, problem: .unreachable),
    Row(
      name: "a name without an address is waited for as an address without an answer is",
      steps: [
        begin, (.unresolved, [waits(3_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]), (.unresolved, [waits(6_000), .changed]),
        (.stop, [.cancelWait, .changed, .ended]),
      ], state: .removed, problem: .unresolved),
    Row(
      name: "stale for ever ends the try",
      steps: [
        begin, (challenge(), [sends(3_600), .changed]),
        (challenge(stale: true), [sends(3_600), .changed]),
        (challenge(stale: true), [sends(3_600), .changed]),
        (challenge(stale: true), [waits(3_000), .changed]),
      ], state: .waiting, problem: .wrongCredentials(401)),
    Row(
      name: "a wrong password is tried three times, then every half hour",
      steps: [
        begin, (challenge(), [sends(3_600), .changed]), (challenge(), [waits(3_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (challenge(), [sends(3_600), .changed]), (challenge(), [waits(6_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (challenge(407), [sends(3_600), .changed]),
        (refused(403), [waits(1_350_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (challenge(), [sends(3_600), .changed]), (challenge(), [waits(1_350_000), .changed]),
      ], state: .waiting, problem: .wrongCredentials(401)),
    Row(
      name: "a challenge that cannot be answered is not answered",
      steps: [begin, (challenge(answerable: false), [waits(3_000), .changed])],
      state: .waiting, problem: .unanswerable),
    Row(
      name: "too brief: once more with what the registrar wants",
      steps: [
        begin, (.tooBrief(minimum: .seconds(7_200)), [sends(7_200)]),
        (.accepted(.seconds(7_200)), [waits(6_120_000), .changed]),
      ], state: .registered),
    Row(
      name: "too brief without a number, twice, or for more than a day",
      steps: [
        begin, (.tooBrief(minimum: nil), [waits(3_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (.tooBrief(minimum: .seconds(86_401)), [waits(6_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (.tooBrief(minimum: .seconds(4_000)), [sends(4_000)]),
        (.tooBrief(minimum: .seconds(5_000)), [waits(12_000), .changed]),
      ], state: .waiting, problem: .tooBrief),
    Row(
      name: "silence: the wait doubles up to its bound",
      steps: [begin, (.timedOut, [waits(3_000), .changed])]
        + [6_000, 12_000, 24_000, 48_000, 96_000, 192_000, 384_000, 450_000, 450_000].flatMap {
          [(.due, [.cancelWait, sends(3_600), .changed]), (.timedOut, [waits($0), .changed])]
        },
      state: .waiting, problem: .noAnswer),
    Row(
      name: "Retry-After is honoured, never below our own pace and never for more than an hour",
      steps: [
        begin, (refused(503, after: 60), [waits(60_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (refused(503, after: 0), [waits(6_000), .changed]),
        (.due, [.cancelWait, sends(3_600), .changed]),
        (refused(503, after: 1_000_000), [waits(3_600_000), .changed]),
      ], state: .waiting, problem: .refused(503)),
    Row(
      name: "a redirection is not followed",
      steps: [begin, (refused(302), [waits(3_000), .changed])],
      state: .waiting, problem: .redirected(302)),
    Row(
      name: "a registrar that grants a second is not asked each second",
      steps: [begin, (.accepted(.seconds(1)), [waits(8_500), .changed])], state: .registered),
    Row(
      name: "stopped: the binding is taken back, with credentials if it must be",
      steps: [
        begin, (.accepted(hour), [waits(3_060_000), .changed]),
        (.stop, [waits(4_000), sends(0), .changed]), (challenge(), [sends(0)]),
        (.accepted(.zero), [.cancelWait, .changed, .ended]),
      ], state: .removed),
    Row(
      name: "stopped while nobody answers: no binding, nothing to take back",
      steps: [
        begin, (.unreachable, [waits(3_000), .changed]),
        (.stop, [.cancelWait, .changed, .ended]), (.due, []), (.accepted(hour), []),
      ], state: .removed, problem: .unreachable),
    Row(
      name: "stopped, and the registrar says nothing",
      steps: [
        begin, (.accepted(hour), [waits(3_060_000), .changed]),
        (.stop, [waits(4_000), sends(0), .changed]), (.due, [.cancelWait, .changed, .ended]),
      ], state: .removed),
    Row(
      name: "late answers to what was given up change nothing",
      steps: [
        begin, (.timedOut, [waits(3_000), .changed]), (.accepted(hour), []), (challenge(), []),
        (refused(403), []), (.unreachable, []),
      ], state: .waiting, problem: .noAnswer),
  ]

  @Test(arguments: rows)
  func table(_ row: Row) {
    var machine = ClientRegistration(wanted: Self.hour)
    for (event, expected) in row.steps {
      var effects: [ClientRegistration.Effect] = []
      machine.handle(event, at: Self.start, draw: Self.draw, into: &effects)
      #expect(effects == expected, "\(event)")
    }
    #expect(machine.state == row.state)
    #expect(machine.problem == row.problem)
  }

  /// A refresh that fails leaves us registered until the old time is over.
  @Test func timeLasts() {
    var machine = ClientRegistration(wanted: Self.hour)
    var effects: [ClientRegistration.Effect] = []
    machine.handle(.start, at: Self.start, draw: 0, into: &effects)
    #expect(!machine.isRegistered(at: Self.start))
    machine.handle(.accepted(.seconds(100)), at: Self.start, draw: 0, into: &effects)
    machine.handle(.due, at: Self.start + .seconds(85), draw: 0, into: &effects)
    machine.handle(.timedOut, at: Self.start + .seconds(90), draw: 0, into: &effects)
    #expect(machine.state == .waiting && machine.isRegistered(at: Self.start + .seconds(99)))
    #expect(!machine.isRegistered(at: Self.start + .seconds(100)))
  }

  /// Many that fail at the same moment do not come back at the same moment.
  @Test func waitsAreSpread() {
    var waits: Set<Int> = []
    var random = RandomSource(seed: 7)
    for _ in 0..<100 {
      var machine = ClientRegistration(wanted: Self.hour)
      var effects: [ClientRegistration.Effect] = []
      machine.handle(.start, at: Self.start, draw: random.next(), into: &effects)
      effects.removeAll()
      machine.handle(.timedOut, at: Self.start, draw: random.next(), into: &effects)
      guard case .wait(let wait)? = effects.first else {
        Issue.record("no wait")
        continue
      }
      #expect(wait >= .seconds(2) && wait <= .seconds(4))
      waits.insert(wait.milliseconds)
    }
    #expect(waits.count > 80)
  }
}
