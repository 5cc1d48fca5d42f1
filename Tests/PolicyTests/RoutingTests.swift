import Base
import Policy
import Testing

struct RoutingTests {
  let configuration: Configuration
  init() throws { configuration = try Fixtures.compile(Fixtures.resources()) }

  /// The plan as text: target, number as seen, and where each outcome leads.
  func plan(
    _ called: String, _ caller: CallerKind = .user(0), in other: Configuration? = nil,
    seed: UInt64 = 1
  ) -> String {
    let configuration = other ?? configuration
    var random = RandomSource(seed: seed)
    switch configuration.resolve(called: called, caller: caller, tenant: 0, random: &random) {
    case .failure(let cause): return cause.name
    case .success(let plan): return text(plan, configuration)
    }
  }

  private func text(_ plan: RoutePlan, _ configuration: Configuration) -> String {
    plan.hops.map { hop in
      switch hop.target {
      case .user(let i): "user:\(configuration.users[i].name)(\(hop.calledNumber))"
      case .trunk(let i): "trunk:\(configuration.trunks[i].name)(\(hop.calledNumber))"
      case .application(let i):
        "application:\(configuration.applications[i].name)(\(hop.calledNumber))"
      case .contact(let token): "contact:\(token)"
      case .ring(let members):
        "[" + members.map { text($0, configuration) }.joined(separator: " | ") + "]"
      }
    }.joined(separator: " > ")
  }

  @Test(
    "What a user's dialling leads to",
    arguments: [
      ("1002", "user:bob(1002)"),
      ("bob", "user:bob(1002)"),
      ("*43", "application:echo(*43)"),
      ("+44 1632 960101", "trunk:office(+441632960101)"),
      ("+44-1632-(960)101;npdi", "trunk:office(+441632960101)"),
      ("+15551234567", "trunk:alpha(+15551234567) > trunk:beta(+15551234567)"),
      ("+4930123456", "trunk:gamma(+4930123456)"),
      ("02079460000", "trunk:alpha(+442079460000)"),
      ("1003", "no-route"), ("carol", "number-unknown"), ("", "address-incomplete"),
      ("+", "address-incomplete"), ("()", "address-incomplete"), (";ext=1", "address-incomplete"),
      ("a b\u{0}", "number-unknown"), ("caf\u{e9}", "number-unknown"),
      (String(repeating: "9", count: 65), "number-unknown"),
      (String(repeating: "-", count: 100_000), "number-unknown"),
    ])
  func dialling(called: String, expected: String) {
    #expect(plan(called) == expected)
    #expect(plan(called, .trunk(0)) == expected)
  }

  /// DID-1: what a number in stock or a suspended one leads to, called directly and from another's chain.
  @Test func numbersThatLeadNowhere() throws {
    var resources = Fixtures.resources()
    let called = resources.numbers[0].number
    resources.numbers[0].state = .suspended
    let suspended = try Fixtures.compile(resources)
    #expect(plan(called, in: suspended) == "number-suspended")
    resources.numbers.append(
      Number(
        number: "+15559990001", tenant: resources.numbers[0].tenant,
        destinations: [DestinationHop(to: .number(called))]))
    #expect(try plan("+15559990001", in: Fixtures.compile(resources)) == "number-suspended")
    let last = resources.numbers.count - 1
    resources.numbers[last].destinations.append(DestinationHop(to: .user("bob")))
    #expect(try plan("+15559990001", in: Fixtures.compile(resources)) == "user:bob(1002)")
    resources.numbers[0].state = .available
    resources.numbers[0].destinations = []
    #expect(try plan(called, in: Fixtures.compile(resources)) == "number-unassigned")
    #expect(try plan("+15559990001", in: Fixtures.compile(resources)) == "user:bob(1002)")
  }

  @Test func aNumberInStockHasNoDestinations() throws {
    let available = Fixtures.problems { $0.numbers[0].state = .available }
    #expect(available.contains { $0.message.contains("is available, so it leads to nobody") })
    let suspended = Fixtures.problems {
      $0.numbers[0].state = .suspended
      $0.numbers[0].destinations = []
    }
    #expect(suspended.contains { $0.remedy.contains("state: available") })
  }

  @Test(
    "Carriers reach numbers and nothing else",
    arguments: [
      ("+441632960101", "trunk:office(+441632960101)"),
      ("441632960101", "trunk:office(+441632960101)"),
      ("1002", "number-unknown"), ("bob", "number-unknown"), ("*43", "number-unknown"),
      ("+15551234567", "number-unknown"), ("02079460000", "number-unknown"),
    ])
  func fromCarrier(called: String, expected: String) {
    #expect(plan(called, .trunk(1)) == expected)
  }

  @Test func unknownCallersReachWhatCarriersDo() {
    #expect(plan("1002", .trunk(99)) == "number-unknown")
  }

  @Test func timeoutsAndCausesOfADirectCall() throws {
    var random = RandomSource(seed: 1)
    let plan = try configuration.resolve(
      called: "+15551234567", caller: .user(0), tenant: 0, random: &random
    ).get()
    #expect(plan.hops.map(\.responseTimeout) == [.seconds(5), .seconds(5)])
    #expect(plan.hops.map(\.answerTimeout) == [.seconds(180), .seconds(180)])
    let failover = CauseSet(ResourceDefaults.failoverOn)
    #expect(plan.hops.map(\.continueOn) == [failover, failover])
    #expect(plan.next(after: 0, cause: .carrierTimeout) == 1)
    #expect(plan.next(after: 0, cause: .busy) == nil)
    #expect(plan.next(after: 1, cause: .carrierTimeout) == nil)
    #expect(plan.next(after: 2, cause: .carrierTimeout) == nil)
    #expect(plan.next(after: -1, cause: .carrierTimeout) == nil)
  }

  @Test func aChainWithAnOutsideNumberInTheMiddle() throws {
    var r = Fixtures.resources()
    r.routes[1].carriers = [
      RouteCarrier(trunk: "gamma", priority: 1), RouteCarrier(trunk: "beta", priority: 2),
    ]
    let configuration = try Fixtures.compile(r)
    #expect(
      plan("+441632960100", .trunk(1), in: configuration)
        == "user:alice(1001) > trunk:gamma(+491711234567) > trunk:beta(+491711234567) > "
        + "application:echo(+441632960100)")
    var random = RandomSource(seed: 1)
    let plan = try configuration.resolve(
      called: "+441632960100", caller: .trunk(1), tenant: 0, random: &random
    ).get()
    #expect(plan.next(after: 0, cause: .busy) == 1)
    #expect(plan.next(after: 0, cause: .rejectedByUser) == nil)
    // A carrier that is down: the next carrier. A mobile that is busy: past the carriers, to the end.
    #expect(plan.next(after: 1, cause: .carrierUnavailable) == 2)
    #expect(plan.next(after: 1, cause: .busy) == 3)
    #expect(plan.next(after: 2, cause: .busy) == 3)
    #expect(plan.next(after: 2, cause: .carrierUnavailable) == 3)
    #expect(plan.next(after: 1, cause: .rejectedByUser) == nil)
    #expect(plan.next(after: 3, cause: .busy) == nil)
    #expect(plan.hops[1].answerTimeout == .seconds(30))
    #expect(plan.hops[1].responseTimeout == .seconds(5))
  }

  @Test func causesOfAnInnerChainEndWithIt() throws {
    var r = Fixtures.resources()
    // outer: [inner, echo] continuing on busy only; inner: [alice (any), bob (any)]
    r.numbers = [
      Number(
        number: "700", tenant: "acme",
        destinations: [
          DestinationHop(to: .number("701"), continueOn: [.busy]),
          DestinationHop(to: .application("echo")),
        ]),
      Number(
        number: "701", tenant: "acme",
        destinations: [
          DestinationHop(to: .user("alice"), continueOn: [.noAnswer]),
          DestinationHop(to: .user("bob"), continueOn: [.noAnswer]),
        ]),
    ]
    let configuration = try Fixtures.compile(r)
    var random = RandomSource(seed: 1)
    let plan = try configuration.resolve(
      called: "700", caller: .user(0), tenant: 0, random: &random
    ).get()
    #expect(plan.hops.count == 3)
    #expect(plan.next(after: 0, cause: .noAnswer) == 1)
    #expect(plan.next(after: 0, cause: .busy) == 2)
    #expect(plan.next(after: 1, cause: .noAnswer) == nil)
    #expect(plan.next(after: 1, cause: .busy) == 2)
  }

  @Test func weightsShareTheCalls() throws {
    var r = Fixtures.resources()
    r.routes[0].carriers = [
      RouteCarrier(trunk: "alpha", priority: 1, weight: 60),
      RouteCarrier(trunk: "beta", priority: 1, weight: 30),
      RouteCarrier(trunk: "gamma", priority: 1, weight: 10),
      RouteCarrier(trunk: "office", priority: 0, weight: 1),
    ]
    let configuration = try Fixtures.compile(r)
    var random = RandomSource(seed: 42)
    var firsts: [Int: Int] = [:]
    var seconds: [Int: Int] = [:]
    for _ in 0..<20_000 {
      let plan = try configuration.resolve(
        called: "+1555", caller: .user(0), tenant: 0, random: &random
      ).get()
      let order = plan.hops.map { hop in if case .trunk(let t) = hop.target { t } else { -1 } }
      #expect(order.first == 0 && Set(order).count == 4)
      firsts[order[1], default: 0] += 1
      seconds[order[2], default: 0] += 1
    }
    for (trunk, share) in [(1, 0.6), (2, 0.3), (3, 0.1)] {
      #expect(abs(Double(firsts[trunk] ?? 0) / 20_000 - share) < 0.015)
    }
    // Second place of the lightest: after alpha 0.6 × 10/40, after beta 0.3 × 10/70.
    #expect(abs(Double(seconds[3] ?? 0) / 20_000 - 0.1929) < 0.015)
  }

  @Test func plansAreBounded() throws {
    var r = Fixtures.resources()
    r.numbers = (0..<8).map { i in
      let next: Destination = i == 7 ? .user("bob") : .number("70\(i + 1)")
      return Fixtures.number("70\(i)", Array(repeating: next, count: 8))
    }
    let configuration = try Fixtures.compile(r)
    var random = RandomSource(seed: 1)
    let plan = try configuration.resolve(
      called: "700", caller: .user(0), tenant: 0, random: &random
    ).get()
    #expect(plan.hops.count == ResourceLimits.hops)
  }
}
