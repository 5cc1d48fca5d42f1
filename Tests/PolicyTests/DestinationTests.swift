import Base
import Policy
import Testing

/// What a number costs, however it is written.
struct DestinationTests {
  private func home(_ code: String) -> HomeCountry {
    HomeCountry(country: CountryCodes.all[code], zones: [code])
  }

  private func read(_ number: String, _ home: HomeCountry) -> DestinationClasses {
    DestinationReader(home: home).classes(number, strip: 0, prepend: "")
  }

  // MARK: The table

  private struct Example {
    var kind: Substring
    var region: Substring
    var number: String
  }

  private static let examples: [Example] = NumberExamples.text.split(separator: "\n").compactMap {
    let words = $0.split(separator: " ")
    return words.count == 3
      ? Example(kind: words[0], region: words[1], number: String(words[2])) : nil
  }

  @Test func examplesOfCostlyNumbersAreCostly() {
    let wanted: [Substring: DestinationClasses] = [
      "p": .premium, "n": .personal, "c": .sharedCost,
    ]
    var seen = 0
    for example in Self.examples {
      guard let kind = wanted[example.kind] else { continue }
      seen += 1
      let found = read(example.number, home("888"))
      #expect(
        found.contains(kind), "\(example.number) of \(example.region) is \(found), not \(kind)")
    }
    #expect(seen > 180)
  }

  @Test func examplesOfOrdinaryNumbersAreNot() {
    var seen = 0
    for example in Self.examples where ["f", "m", "t"].contains(example.kind) {
      // Chile has free and shared-cost numbers of nine digits behind the same 600.
      if example.number == "+56600123456" { continue }
      seen += 1
      let digits = example.number.utf8.dropFirst()
      let code = CountryCodes.country(of: digits)?.code ?? ""
      let home = HomeCountry(
        country: CountryCodes.all[code], zones: [NumberClasses.zone(digits) ?? ""])
      let found = read(example.number, home)
      #expect(found == .domestic, "\(example.number) of \(example.region) is \(found)")
    }
    #expect(seen > 500)
  }

  @Test func globalNetworksAreNobodysCountry() {
    for number in ["+870773111632", "+881612345678", "+88213300655", "+883510012345678"] {
      #expect(read(number, home("49")) == .satellite)
    }
    #expect(read("+979123456789", home("49")) == [.premium, .international])
    #expect(read("+878101234567890", home("49")) == [.personal, .international])
    #expect(read("+999123456", home("49")) == .international)
  }

  @Test func islandsOfNorthAmericaAreAbroad() {
    #expect(read("+18765550123", home("1")) == .international)
    #expect(read("+12125550123", home("1")) == .domestic)
    #expect(read("+17875550123", home("1")) == .domestic)
    #expect(
      read("+12125550123", HomeCountry(country: CountryCodes.all["1"], zones: ["1876"]))
        == .international)
    #expect(read("+77012345678", home("7")) == .international)
  }

  @Test func premiumOfAnotherCountryIsBoth() {
    #expect(read("+499001234567", home("49")) == .premium)
    #expect(read("+499001234567", home("44")) == [.premium, .international])
    #expect(read("+447012345678", home("44")) == .personal)
    #expect(read("118118", home("44")) == .domestic)
    #expect(read("118118", home("33")) == .premium)
  }

  // MARK: Spellings

  /// J8: an Inmarsat or Iridium number in every way in which somebody might get it past a check.
  static let spellings = [
    "+881612345678", "00881612345678", "011881612345678", "0011881612345678", "810881612345678",
    "010881612345678", "001881612345678", "00 881 612 345678", "+881-612-345678", "+881.612.345678",
    "+(881)612345678", "(00)881612345678", "00-881-612345678", "881612345678", "+00881612345678",
    "+0881612345678", "+011881612345678", "0000881612345678", "000881612345678",
    "1010288011881612345678", "101028800881612345678", "10150000118816123456789",
    "+8816123456789999", "00881612345678000000", "*67011881612345678", "*6700881612345678",
    "*31#00881612345678", "#31#00881612345678", "#31#+881612345678", "*31#881612345678",
    "*8200881612345678", "1234#00881612345678", "77*881612345678", "+881612345678#",
    "00881612345678#", "+881612345678;phone-context=+44",
    "00881612345678;phone-context=example.com",
    "881612345678;phone-context=+44", "+881612345678;isub=1", "+881612345678;ext=5",
    "+881612345678;npdi;rn=+441632960100", "+881 (0) 612345678", "+8810612345678",
    "+881 6 1 2 3 4 5 6 7 8", "+870773111632", "00870773111632", "011870773111632", "870773111632",
    "+88213300655", "0088213300655", "01188213300655", "+882 1330 0655", "+883510012345678",
    "00883510012345678", "883510012345678", "+8835100.1234.5678", "119881612345678",
    "002881612345678", "009881612345678", "0012881612345678", "+881\u{ff16}12345678",
    "+\u{ff18}\u{ff18}\u{ff11}612345678", "\u{0668}\u{0668}\u{0661}612345678",
    "%2B881612345678", "%252B881612345678", "+88161234567890123456", "sip:+881612345678",
    "tel:+881612345678", " +881612345678", "\t00881612345678", "+881612345678\u{0}",
    "++881612345678",
    "+ 881612345678", "0 0881612345678",
  ]

  /// Tenants without a plan of numbers: of no known country, and of one that their numbers tell.
  @Test(arguments: ["", "+441632960100", "+12125550100", "+493012345"])
  func noSpellingPassesWithoutPlan(own: String) throws {
    try expectNonePasses { resources in
      resources.numbers = own.isEmpty ? [] : [Fixtures.number(own, [.user("alice")])]
    }
  }

  @Test(arguments: ["44", "49", "1", "61", "7", "39"])
  func noSpellingPassesAPlan(country: String) throws {
    try expectNonePasses { resources in
      resources.tenants[0].numbers = NumberPlan(countryCode: country)
    }
  }

  /// Whatever a user of the tenant writes, no plan has a hop that leads out and may be called with all but satellites
  /// allowed at most.
  private func expectNonePasses(_ change: (inout Resources) -> Void) throws {
    var resources = Fixtures.resources()
    change(&resources)
    resources.routes = [Fixtures.route("world", "", [("alpha", 1, 100)])]
    let configuration = try Fixtures.compile(resources)
    var random = RandomSource(seed: 1)
    for spelling in Self.spellings {
      let plan = configuration.resolve(
        called: spelling, caller: .user(0), tenant: 0, random: &random)
      guard case .success(let found) = plan else { continue }
      for hop in found.hops where !isNational(hop.calledNumber, resources) {
        guard case .trunk(let trunk) = hop.target else { continue }
        let classes = configuration.destination(
          of: hop, trunk: trunk, payer: .user(0), tenant: 0)
        #expect(
          !classes.isSubset(of: configuration.mayCall(.user(0), tenant: 0)),
          "\(spelling) goes out as \(hop.calledNumber), taken for \(classes)")
      }
    }
  }

  /// What goes out is a number of the tenant's own country for whoever gets it: a plan has said so with the country code,
  /// or it is dialled with the trunk zero of a country whose numbers may be that long.
  private func isNational(_ sent: String, _ resources: Resources) -> Bool {
    if let plan = resources.tenants[0].numbers { return sent.hasPrefix("+" + plan.countryCode) }
    let isGerman = resources.numbers.first?.number.hasPrefix("+49") ?? false
    return isGerman && sent.hasPrefix("0") && !sent.hasPrefix("00")
  }

  @Test func whatARouteMakesOfANumberCounts() {
    let german = DestinationReader(home: home("49"))
    #expect(german.classes("900881612345678", strip: 1, prepend: "") == .satellite)
    #expect(german.classes("00881612345678", strip: 2, prepend: "") == .satellite)
    #expect(german.classes("+881612345678", strip: 1, prepend: "7777") == .satellite)
    #expect(german.classes("00881612345678", strip: 2, prepend: "7777").contains(.satellite))
    #expect(german.classes("0301234567", strip: 1, prepend: "+49") == .domestic)
    #expect(german.classes("0301234567", strip: 1, prepend: "") == .domestic)
    #expect(german.classes("00301234567", strip: 1, prepend: "") == .domestic)
    #expect(german.classes("09001234567", strip: 1, prepend: "+49") == .premium)
    #expect(german.classes("09001234567", strip: 0, prepend: "") == .premium)
    let american = DestinationReader(home: home("1"))
    #expect(american.classes("2125550123", strip: 0, prepend: "1") == .domestic)
    #expect(american.classes("12125550123", strip: 0, prepend: "") == .domestic)
    #expect(american.classes("8765550123", strip: 0, prepend: "") == .international)
    #expect(american.classes("19005550123", strip: 0, prepend: "") == .premium)
    #expect(american.classes("5550123", strip: 0, prepend: "") == .domestic)
  }

  @Test func digitsForAPBXAreItsOwnBusiness() {
    let reader = DestinationReader(home: home("49"))
    #expect(reader.classes("2345678901", strip: 0, prepend: "", isPlain: true).isEmpty)
    #expect(reader.classes("00881612345678", strip: 0, prepend: "", isPlain: true) == .satellite)
  }
}
