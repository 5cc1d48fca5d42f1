import Policy
import Testing

/// How numbers are read and written (RELIABILITY J8, TRK-5).
@Suite struct NumberPlanTests {
  /// "+49…" for E.164, "=123" for what stays local, "'name", "!cause".
  private func read(_ written: String, _ plan: NumberPlan) -> String {
    guard let reader = NumberReader(plan) else { return "no country" }
    do throws(Cause) {
      switch try reader.read(written) {
      case .global(let number): return number
      case .local(let number): return "=" + number
      case .name(let name): return "'" + name
      }
    } catch {
      return "!" + error.name
    }
  }

  private static let germany = NumberPlan(countryCode: "49")
  private static let america = NumberPlan(countryCode: "1")
  private static let costly = "+252901234567"

  /// One costly number in every way that somebody might write it to get past a check: what is not read as
  /// that number is refused, or stays inside.
  @Test(
    "Sixty spellings of one number",
    arguments: [
      "+252901234567", "00252901234567", "+252 90 1234567", "+252-90-1234567", "+252.90.1234567",
      "+(252)901234567", "(+252)901234567", "+252(0)901234567", "+2520901234567",
      "002520901234567", "00252(0)901234567", "00 252 90 123 45 67", "0-0-2-5-2-901234567",
      "(00)252901234567", "00252901234567#", "+252901234567#", "+252901234567;isub=1",
      "+252901234567;phone-context=+49", "00252901234567;phone-context=+49",
      "00252901234567;phone-context=example.com", "+252901234567;cic=+10288",
      "+252901234567;rn=+4930123;npdi", "+252901234567;ext=12", " 00252901234567",
      "00252901234567 ",
      // Refused: two ways to read it, or none.
      "++252901234567", "+00252901234567", "+0252901234567", "000252901234567",
      "0000252901234567", "+252901234567+", "00+252901234567", "0+252901234567",
      "252901234567", "901234567890123", "101028800252901234567", "1010288011252901234567",
      "1010288252901234567", "*31*00252901234567x", "00252901234567*1", "00*252901234567",
      "00#252901234567", "+252*901234567", "%2B252901234567", "%252B252901234567",
      "+25290123456789012345", "00252901234567890123456", "+252\u{FF19}01234567",
      "\u{FF0B}252901234567", "\u{0660}\u{0660}252901234567", "\u{FF10}\u{FF10}252901234567",
      "+252901234567\u{200B}", "+252\u{00A0}901234567", "+252901234567\r\n", "+252\t901234567",
      "+25290123456O7", "+252-90-HELLO", "0o252901234567", "252901234567;phone-context=+1",
      "0252901234567;phone-context=+252", "901234567;phone-context=+252", "tel:+252901234567",
      "sip:00252901234567", "+252901234567,", "+252901234567%00", "",
    ])
  func spellings(written: String) {
    for plan in [Self.germany, Self.america] {
      let result = read(written, plan)
      let stays = result.hasPrefix("!") || result.hasPrefix("'") || result.hasPrefix("=")
      // What begins with 0 in Germany, or has ten digits in America, is a number there and goes there.
      let isOwn =
        result.hasPrefix("+49") && plan == Self.germany
        || result.hasPrefix("+1") && plan == Self.america
      #expect(result == Self.costly || stays || isOwn, "\(written) → \(result)")
    }
  }

  @Test(
    "As dialled in Germany",
    arguments: [
      ("030123456", "+4930123456"), ("004930123456", "+4930123456"), ("+4930123456", "+4930123456"),
      ("+49 (0)30 123456", "+4930123456"), ("(030) 12-34.56", "+4930123456"),
      ("0012125550123", "+12125550123"), ("110", "=110"), ("112", "=112"), ("1001", "=1001"),
      ("*21#", "=*21#"), ("0", "=0"), ("alice", "'alice"), ("alice.smith", "'alice.smith"),
      ("49301234567", "!number-invalid"), ("12345678", "!number-invalid"),
      ("00", "!address-incomplete"), ("+", "!address-incomplete"), ("", "!address-incomplete"),
      ("+999123456", "!number-invalid"), ("+1212555012", "!number-invalid"),
      ("+121255501234", "!number-invalid"),
    ])
  func germany(written: String, result: String) {
    #expect(read(written, Self.germany) == result)
  }

  @Test(
    "As dialled in North America",
    arguments: [
      ("2125550123", "+12125550123"), ("12125550123", "+12125550123"),
      ("+12125550123", "+12125550123"), ("0114930123456", "+4930123456"),
      ("(212) 555-0123", "+12125550123"), ("911", "=911"), ("1234", "=1234"),
      ("5550123", "=5550123"), ("21255501234", "!number-invalid"),
      ("101028812125550123", "!number-invalid"),
    ])
  func america(written: String, result: String) {
    #expect(read(written, Self.america) == result)
  }

  @Test func bareDigitsAreWhatThePlanSays() {
    var plan = NumberPlan(countryCode: "49", bare: .international)
    #expect(read("4930123456", plan) == "+4930123456")
    #expect(read("12125550123", plan) == "+12125550123")
    #expect(read("112", plan) == "=112")
    plan.bare = .national
    #expect(read("3012345678", plan) == "+493012345678")
    plan.nationalPrefix = "9"
    plan.internationalPrefixes = ["900"]
    #expect(read("90049301234567", plan) == "+49301234567")
    #expect(read("9301234567", plan) == "+49301234567")
    #expect(read("00", plan) == "=00")
  }

  /// Every country's numbers, written in each form, are read again as what they were.
  @Test func everyPlanComesBack() {
    for (code, country) in CountryCodes.all {
      let plan = NumberPlan(countryCode: code)
      guard let reader = NumberReader(plan) else {
        Issue.record("\(code)")
        continue
      }
      for length in country.lengths where length > plan.localDigits && code.count + length <= 15 {
        // A digit that begins no prefix of any country.
        let number = "+" + code + String(repeating: "6", count: length)
        for form in NumberForm.allCases {
          if form == .withoutPlus || country.internationalPrefixes.isEmpty { continue }
          var numbers = TrunkNumbers(plan: plan)
          numbers.form = form
          let written = NumberWriter(numbers, country: country).caller(number)
          #expect(read(written, plan) == number, "\(code) \(form): \(written)")
        }
        var bare = plan
        bare.bare = .international
        #expect(
          read(String(number.dropFirst()), bare).hasSuffix(String(repeating: "6", count: length)))
        _ = reader
      }
    }
  }

  /// E.164's codes are prefix-free, and there are as many as the ITU has assigned.
  @Test func countryCodes() {
    let codes = CountryCodes.all.keys
    #expect(codes.count == 215)
    for code in codes {
      #expect((1...3).contains(code.utf8.count) && code.utf8.first != 0x30)
      #expect(!codes.contains { $0 != code && $0.hasPrefix(code) }, "\(code)")
    }
    #expect(CountryCodes.country(of: Array("4930".utf8))?.code == "49")
    #expect(CountryCodes.country(of: Array("999".utf8)) == nil)
    #expect(CountryCodes.country(of: [UInt8]()) == nil)
  }

  @Test(
    "As a trunk is sent them",
    arguments: [
      (NumberForm.asIs, "+4930123", "+4930123"), (.e164, "+4930123", "+4930123"),
      (.withoutPlus, "+4930123", "4930123"), (.national, "+4930123", "030123"),
      (.national, "+12125550123", "0012125550123"), (.internationalPrefix, "+4930123", "004930123"),
      (.national, "110", "110"), (.withoutPlus, "*43", "*43"),
    ])
  func forms(form: NumberForm, number: String, written: String) {
    var numbers = TrunkNumbers(plan: Self.germany)
    numbers.form = form
    #expect(NumberWriter(numbers, country: CountryCodes.all["49"]).caller(number) == written)
    numbers.prefix = "9"
    #expect(NumberWriter(numbers, country: CountryCodes.all["49"]).called(number) == "9" + written)
  }
}
