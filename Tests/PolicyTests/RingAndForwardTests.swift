import Base
import Policy
import Testing

/// Destinations that ring together, and where users forward: what is refused, and what plan comes of it.
struct RingAndForwardTests {
  private func problems(_ change: (inout Resources) -> Void) -> [String] {
    var resources = Fixtures.resources()
    change(&resources)
    do {
      _ = try Fixtures.compile(resources)
      return []
    } catch {
      return error.problems.map(\.description)
    }
  }

  private func ring(_ members: [Destination]) -> [String] {
    problems { $0.numbers[0].destinations = [DestinationHop(to: .ring(members))] }
  }

  @Test func whatMayRingTogether() {
    #expect(ring([.user("alice"), .user("bob")]) == [])
    #expect(ring([]).first?.contains("a ring has 1 to 16 destinations") == true)
    #expect(ring([.application("echo")]).first?.contains("answers at once") == true)
    #expect(ring([.ring([.user("alice")])]).first?.contains("cannot hold another ring") == true)
    #expect(ring([.user("alice"), .user("alice")]).first?.contains("used twice") == true)
    let missing = ring([.user("alice"), .user("bbo")])
    #expect(missing.first?.hasPrefix("numbers[0].destinations[0].ring[1].user") == true)
    #expect(missing.first?.contains("did you mean `bob`") == true)
    let many = (0..<17).map { Destination.number("+4416329602\(10 + $0)") }
    #expect(ring(many).first?.contains("not 17") == true)
  }

  /// A circle is found through the members of a ring too.
  @Test func circlesThroughRings() {
    let own = Fixtures.resources().numbers[0].number
    #expect(
      ring([.user("alice"), .number(own)]).contains { $0.contains("the numbers lead in a circle") })
  }

  @Test func whereUsersForward() {
    func forward(_ change: (inout Forwarding) -> Void) -> [String] {
      problems { change(&$0.users[0].forward) }
    }
    #expect(forward { $0.busy = .user("bob") } == [])
    #expect(forward { $0.busy = .user("alice") }.first?.contains("forwards to itself") == true)
    let missing = forward { $0.noAnswer = .application("ecco") }
    #expect(missing.first?.hasPrefix("users[0].forward.noAnswer.application") == true)
    #expect(
      forward { $0.noAnswerAfter = .zero }.first?.hasPrefix("users[0].forward.noAnswerAfter")
        == true)
  }

  @Test func plansOfForwards() throws {
    var resources = Fixtures.resources()
    resources.users[0].forward.busy = .user("bob")
    let configuration = try Fixtures.compile(resources)
    var random = RandomSource(seed: 1)
    #expect(configuration.forwarding(ofUser: 0, on: .always, random: &random) == nil)
    let plan = try #require(configuration.forwarding(ofUser: 0, on: .busy, random: &random))
    #expect(plan.hops.map(\.target) == [.user(1)])
    #expect(configuration.ringTime(ofUser: 0) == nil)
  }

  /// However it is nested, a plan is bounded.
  @Test func plansAreBounded() throws {
    var resources = Fixtures.resources()
    let hop = DestinationHop(to: .ring([.user("alice"), .user("bob")]), continueOn: [.busy])
    resources.numbers[0].destinations = Array(repeating: hop, count: 60)
    let configuration = try Fixtures.compile(resources)
    var random = RandomSource(seed: 1)
    guard
      case .success(let plan) = configuration.resolve(
        called: resources.numbers[0].number, caller: .user(0), tenant: 0, random: &random)
    else {
      Issue.record("no plan")
      return
    }
    func count(_ plan: RoutePlan) -> Int {
      plan.hops.reduce(0) { sum, hop in
        if case .ring(let members) = hop.target {
          return sum + 1 + members.reduce(0) { $0 + count($1) }
        }
        return sum + 1
      }
    }
    #expect(count(plan) <= ResourceLimits.hops)
  }
}
