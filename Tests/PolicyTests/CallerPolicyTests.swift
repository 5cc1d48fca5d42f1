import Policy
import Testing

/// Who may be seen as calling (RELIABILITY D6, TRK-5).
@Suite struct CallerPolicyTests {
  private func configuration(_ policy: CallerPolicy?, plan: NumberPlan? = nil) throws
    -> Configuration
  {
    var resources = Fixtures.resources()
    resources.trunks[0].callerID = policy
    resources.trunks[0].numbers = plan.map { TrunkNumbers(plan: $0) }
    resources.users[0].callerID = "+441632960100"
    resources.users[0].callerIDs = ["+441632960101"]
    return try Fixtures.compile(resources)
  }

  private func claim(_ number: String?, isPrivate: Bool = false) -> CallerClaim {
    var claim = CallerClaim()
    claim.number = number
    claim.isPrivate = isPrivate
    return claim
  }

  /// "number origin", as far as it may be shown.
  private func shown(
    _ configuration: Configuration, _ claim: CallerClaim, _ caller: CallerKind = .trunk(0)
  ) -> String {
    do throws(Cause) {
      let identity = try configuration.identify(caller, claim)
      return "\(identity.shown) \(identity.origin)\(identity.isAsserted ? " asserted" : "")"
    } catch {
      return "!" + error.name
    }
  }

  @Test func withoutAPolicyACallerIsTakenAtItsWord() throws {
    let free = try configuration(nil)
    #expect(shown(free, claim("+4999")) == "+4999 asGiven")
    #expect(shown(free, claim("some.one")) == "some.one asGiven")
    #expect(shown(free, claim(nil)) == "anonymous unknown")
    #expect(shown(free, claim("\u{FF11}\u{FF12}")) == "anonymous unknown")
    #expect(shown(free, claim("+4930\r\nX: y")) == "anonymous unknown")
    #expect(shown(free, claim("+4930;cpc=ordinary")) == "+4930 asGiven")
  }

  @Test func ownedNumbers() throws {
    var policy = CallerPolicy(allow: .owned, numbers: ["+4930555*", "+4930777"])
    var office = try configuration(policy)
    for own in ["+441632960101", "441632960101", "+4930777", "+49305551", "+4930555"] {
      #expect(shown(office, claim(own)).hasSuffix("owned asserted"), "\(own)")
    }
    for foreign in ["+4930778", "+493055", "+14155550100", "1001", "admin", "+49307771"] {
      #expect(shown(office, claim(foreign)) == "anonymous unknown", "\(foreign)")
    }
    policy.standard = "+4930777"
    office = try configuration(policy)
    #expect(shown(office, claim("+14155550100")) == "+4930777 standard asserted")
    #expect(shown(office, claim(nil)) == "+4930777 standard asserted")
    policy.otherwise = .refuse
    office = try configuration(policy)
    #expect(shown(office, claim("+14155550100")) == "!caller-refused")
    #expect(shown(office, claim(nil)) == "!caller-refused")
    #expect(shown(office, claim(nil, isPrivate: true)) == "anonymous standard asserted")
    policy.allow = .listed
    office = try configuration(policy)
    #expect(shown(office, claim("+441632960101")) == "!caller-refused")
    #expect(shown(office, claim("+49305559")) == "+49305559 owned asserted")
  }

  /// However a number is spelled, it is compared as E.164, and shown so.
  @Test func spellingsOfAnOwnedNumber() throws {
    let office = try configuration(
      CallerPolicy(allow: .owned, otherwise: .refuse), plan: NumberPlan(countryCode: "44"))
    for own in ["01632960101", "00441632960101", "+44(0)1632 960101"] {
      #expect(shown(office, claim(own)) == "+441632960101 owned asserted", "\(own)")
    }
    #expect(shown(office, claim("1632960101")) == "!caller-refused")
  }

  @Test func usersAreWhoTheyAre() throws {
    let office = try configuration(nil)
    var wish = claim("+14155550100")
    #expect(shown(office, wish, .user(0)) == "+441632960100 ofUser asserted")
    wish.preferred = "+441632960101"
    #expect(shown(office, wish, .user(0)) == "+441632960101 preferred asserted")
    wish.preferred = "+441632960102"
    #expect(shown(office, wish, .user(0)) == "+441632960100 ofUser asserted")
    #expect(shown(office, claim(nil, isPrivate: true), .user(0)) == "anonymous ofUser asserted")
    #expect(shown(office, claim(nil), .user(1)) == "1002 ofUser asserted")
  }

  @Test func mistakesAreTold() {
    let problems = Fixtures.problems {
      $0.trunks[0].callerID = CallerPolicy(
        allow: .owned, numbers: ["anna", "+49*30"], otherwise: .standard)
      $0.trunks[1].numbers = TrunkNumbers(plan: NumberPlan(countryCode: "999"))
      var numbers = TrunkNumbers()
      numbers.form = .national
      numbers.callerIn = [.diversion]
      numbers.prefix = "x"
      $0.trunks[2].numbers = numbers
      $0.users[0].callerIDs = ["nobody"]
      $0.tenants[0].numbers = NumberPlan(
        countryCode: "44", nationalPrefix: "zero", internationalPrefixes: [""], localDigits: 99)
    }
    #expect(
      problems.map(\.pathText).sorted() == [
        "tenants[0].numbers.internationalPrefixes[0]", "tenants[0].numbers.localDigits",
        "tenants[0].numbers.nationalPrefix", "trunks[0].callerID.numbers[0]",
        "trunks[0].callerID.numbers[1]", "trunks[0].callerID.otherwise",
        "trunks[1].numbers.countryCode", "trunks[2].numbers.callerIn[0]",
        "trunks[2].numbers.prefix", "users[0].callerIDs[0]",
      ])
  }

  @Test func numbersAreReadBeforeTheyLeadAnywhere() throws {
    var resources = Fixtures.resources()
    resources.tenants[0].numbers = NumberPlan(countryCode: "44")
    resources.users[1].extension = "0100"
    let configuration = try Fixtures.compile(resources)
    func called(_ written: String, _ caller: CallerKind = .user(0)) -> String {
      do throws(Cause) {
        return try configuration.readCalled(written, caller: caller, tenant: 0)
      } catch {
        return "!" + error.name
      }
    }
    #expect(called("01632 960101") == "+441632960101")
    #expect(called("00491711234567") == "+491711234567")
    #expect(called("0100") == "0100")
    #expect(called("1001") == "1001")
    #expect(called("*43") == "*43")
    // The PBX dials as its tenant does; a carrier is taken at its word.
    #expect(called("01632960101", .trunk(0)) == "+441632960101")
    #expect(called("01632960101", .trunk(1)) == "01632960101")
    #expect(called("441632960101") == "!number-invalid")
  }
}
