import Policy
import Testing

@Suite struct ProfileTests {
  @Test func everyProfileSaysWhatAndWhy() throws {
    let all = InteropProfile.all
    #expect(Set(all.map(\.name)).count == all.count)
    for profile in all {
      #expect(!profile.settings.isEmpty && profile.settings.allSatisfy { !$0.reason.isEmpty })
      var resources = Fixtures.resources()
      resources.trunks[1].profile = profile.name
      let configuration = try Fixtures.compile(resources)
      let numbers = try #require(configuration.trunks[1].numbers)
      // What it says it sets is what it sets.
      let keys = Set(profile.settings.map(\.key))
      #expect(keys.contains("numbers.form") == (numbers.form != .asIs))
      #expect(keys.contains("numbers.callerFrom") == !numbers.callerFrom.isEmpty)
      #expect(keys.contains("numbers.callerIn") == (numbers.callerIn != nil))
      #expect(keys.contains("numbers.userPhone") == numbers.userPhone)
      for setting in profile.settings {
        let value =
          switch setting.key {
          case "numbers.form": numbers.form.rawValue
          case "numbers.userPhone": "\(numbers.userPhone)"
          case "numbers.callerFrom":
            "[\(numbers.callerFrom.map(\.rawValue).joined(separator: ", "))]"
          default: "[\((numbers.callerIn ?? []).map(\.rawValue).joined(separator: ", "))]"
          }
        #expect(value == setting.value, "\(profile.name) \(setting.key)")
      }
    }
  }

  /// What the trunk says itself goes before, and its document stays as it was written.
  @Test func theTrunkGoesBefore() throws {
    var resources = Fixtures.resources()
    resources.trunks[1].profile = "sipconnect"
    var own = TrunkNumbers()
    own.form = .withoutPlus
    own.callerIn = []
    resources.trunks[1].numbers = own
    let configuration = try Fixtures.compile(resources)
    #expect(configuration.trunks[1].numbers?.form == .withoutPlus)
    #expect(configuration.trunks[1].numbers?.callerIn == [])
    #expect(configuration.trunks[1].numbers?.userPhone == true)
    #expect(configuration.resources == resources)
    #expect(configuration.numberWriter(ofTrunk: 1).called("+4930") == "4930")
  }

  /// A form that needs a country is not asked of numbers that have none.
  @Test(
    arguments: [
      ("0", "", "", ["routes[2].carriers[0].trunk"]),
      ("00", "", "", ["routes[2].carriers[0].trunk"]),
      ("0", "", "44", []), ("00", "+", "", []), ("+1", "", "", []), ("112", "", "", []),
    ])
  func formsNeedACountry(prefix: String, prepend: String, country: String, paths: [String]) {
    let problems = Fixtures.problems {
      $0.trunks[1].profile = "twilio"
      if !country.isEmpty { $0.tenants[0].numbers = NumberPlan(countryCode: country) }
      $0.routes[2].prefix = prefix
      $0.routes[2].strip = prepend.isEmpty ? 0 : prefix.utf8.count
      $0.routes[2].prepend = prepend
    }
    #expect(problems.map(\.pathText) == paths)
  }

  @Test func aProfileThatIsNone() {
    let problems = Fixtures.problems { $0.trunks[1].profile = "telnix" }
    #expect(problems.map(\.pathText) == ["trunks[1].profile"])
    #expect(problems.first?.suggestion == "telnyx")
  }
}
