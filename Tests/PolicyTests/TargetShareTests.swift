import Base
import Policy
import Testing

/// How calls are shared out over a trunk's targets.
@Suite struct TargetShareTests {
  private func trunk(_ targets: [(String, TargetShare?)]) throws -> Trunk {
    var trunk = Trunk(name: "t", tenant: "acme", kind: .carrier, network: "n")
    trunk.targets = try targets.map { text, share in
      var target = try #require(SIPTarget(text))
      target.share = share
      return target
    }
    return trunk
  }

  private func order(_ trunk: Trunk, _ random: inout RandomSource) -> [String] {
    trunk.targetsInOrder(random: &random).map { "\($0.host)" }
  }

  @Test func withoutASharesTheOrderIsThatOfTheList() throws {
    var random = RandomSource(seed: 1)
    let trunk = try trunk([("b.example", nil), ("a.example", nil), ("c.example", nil)])
    for _ in 0..<100 { #expect(trunk.targetsInOrder(random: &random) == trunk.targets) }
  }

  /// Priority first, then drawn by weight; an item that says nothing has its place as its priority.
  @Test func weightsWithinAPriority() throws {
    let trunk = try trunk([
      ("first.example", TargetShare(priority: 2, weight: 75)), ("second.example", nil),
      ("third.example", TargetShare(priority: 1, weight: 1)), ("fourth.example", nil),
    ])
    var random = RandomSource(seed: 7)
    var leads = 0
    let calls = 20_000
    for _ in 0..<calls {
      let order = trunk.targetsInOrder(random: &random)
      #expect(order.first == trunk.targets[2] && order.last == trunk.targets[3])
      leads += order[1] == trunk.targets[0] ? 1 : 0
    }
    // 75 against the 100 of one that says nothing: three deviations of a binomial draw are 0.0105.
    #expect(abs(Double(leads) / Double(calls) - 75.0 / 175) < 0.0105)
  }

  @Test func sharesHaveBounds() throws {
    for (priority, weight) in [(-1, 1), (1, 0), (1, 65_536), (65_536, 1)] {
      var resources = Fixtures.resources()
      resources.trunks[0].targets = [try #require(SIPTarget("192.0.2.1:5060"))]
      resources.trunks[0].targets[0].share = TargetShare(priority: priority, weight: weight)
      #expect(throws: ConfigurationProblems.self) { try Fixtures.compile(resources) }
    }
  }

  /// Two shares of one target are one too many.
  @Test func aTargetStandsOnce() throws {
    var resources = Fixtures.resources()
    let target = try #require(SIPTarget("192.0.2.1:5060"))
    var other = target
    other.share = TargetShare(priority: 1, weight: 5)
    resources.trunks[0].targets = [target, other]
    #expect(throws: ConfigurationProblems.self) { try Fixtures.compile(resources) }
  }
}
