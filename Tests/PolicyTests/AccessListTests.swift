import Base
import Policy
import Testing

@Suite struct AccessListTests {
  private func list(_ allow: [String], _ deny: [String]) -> AccessList {
    var rules = AccessRules()
    rules.allow = allow.compactMap { IPNetwork($0) }
    rules.deny = deny.compactMap { IPNetwork($0) }
    return AccessList(rules)
  }

  private func ip(_ text: String) -> IPAddress { IPAddress(text) ?? .anyV4 }

  @Test(arguments: [
    ("10.0.0.0", true), ("10.0.0.255", true), ("10.1.2.3", false), ("10.1.2.2", true),
    ("10.2.0.0", false), ("10.2.255.255", false), ("10.3.0.0", true), ("11.0.0.0", false),
    ("9.255.255.255", false), ("255.255.255.255", true), ("255.255.255.254", false),
    ("2001:db8::1", true), ("2001:db8:1::", false), ("2001:db7:ffff::", false), ("::", false),
  ])
  func theLongestBlockDecides(_ address: String, _ isAdmitted: Bool) {
    let list = list(
      ["10.0.0.0/8", "255.255.255.255", "2001:db8::/32"],
      ["10.1.2.3", "10.2.0.0/16", "2001:db8:1::/48"])
    #expect(list.admits(ip(address)) == isAdmitted)
  }

  @Test func withoutAnythingAllowedTheRestMayCome() {
    let list = list([], ["192.0.2.0/24", "0.0.0.0/32"])
    #expect(!list.admits(ip("192.0.2.9")) && list.admits(ip("192.0.3.0")))
    #expect(!list.admits(ip("0.0.0.0")) && list.admits(ip("0.0.0.1")) && list.admits(ip("::1")))
  }

  /// Against the rule read literally.
  @Test func everyListSaysWhatItsBlocksSay() {
    var random = RandomSource(seed: 11)
    for _ in 0..<200 {
      var rules = AccessRules()
      for _ in 0..<random.next(below: 12) {
        let address = IPAddress(v4: UInt32(truncatingIfNeeded: random.next()) & 0xf0f0_00ff)
        let block = IPNetwork(address, prefixLength: random.next(below: 33))
        guard !rules.allow.contains(block), !rules.deny.contains(block) else { continue }
        if random.chance(1, in: 2) { rules.allow.append(block) } else { rules.deny.append(block) }
      }
      let list = AccessList(rules)
      for _ in 0..<50 {
        let address = IPAddress(v4: UInt32(truncatingIfNeeded: random.next()) & 0xf0f0_00ff)
        let all = rules.allow.map { ($0, true) } + rules.deny.map { ($0, false) }
        let longest = all.filter { $0.0.contains(address) }.max {
          $0.0.prefixLength < $1.0.prefixLength
        }
        #expect(list.admits(address) == (longest?.1 ?? rules.allow.isEmpty))
      }
    }
  }

  @Test func contradictionsAreProblems() {
    let both = Fixtures.problems {
      $0.networks[0].access.allow = [IPNetwork("10.0.0.0/8")].compactMap { $0 }
      $0.networks[0].access.deny = [IPNetwork("10.0.0.0/8")].compactMap { $0 }
    }
    #expect(both.contains { $0.message == "10.0.0.0/8 is both allowed and denied" })
    let shutOut = Fixtures.problems {
      $0.networks[1].access.deny = [IPNetwork("192.0.2.0/24")].compactMap { $0 }
    }
    #expect(
      shutOut.map(\.message) == ["network `outside` denies 192.0.2.7 by its access list"])
    #expect(shutOut.first?.pathText == "trunks[3].targets[0]")
  }
}
