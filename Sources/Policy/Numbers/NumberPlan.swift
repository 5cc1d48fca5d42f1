/// What digits without any prefix are.
package enum BareNumbers: String, Sendable, CaseIterable {
  /// An extension, a service code, a number of the same town: they stay as they are.
  case local
  /// A number of the country, without what is dialled before it.
  case national
  /// A whole international number that lacks its plus.
  case international
}

/// In what form somebody writes numbers: the country whose habits they have, and how they differ from it.
package struct NumberPlan: Hashable, Sendable {
  /// ITU-T E.164's code without the plus.
  package var countryCode: String
  /// Nil: the country's.
  package var nationalPrefix: String?
  package var internationalPrefixes: [String]?
  package var bare: BareNumbers?
  /// Bare digits up to this number are local whatever `bare` says they are else; more are no local number.
  package var localDigits: Int

  package init(
    countryCode: String, nationalPrefix: String? = nil, internationalPrefixes: [String]? = nil,
    bare: BareNumbers? = nil, localDigits: Int = ResourceDefaults.localDigits
  ) {
    self.countryCode = countryCode
    self.nationalPrefix = nationalPrefix
    self.internationalPrefixes = internationalPrefixes
    self.bare = bare
    self.localDigits = localDigits
  }
}

/// What a written number turned out to be.
package enum ReadNumber: Hashable, Sendable {
  /// E.164 with its plus: the one form that numbers have inside.
  case global(String)
  /// Digits that mean something only here: an extension, a service code.
  case local(String)
  /// No number at all.
  case name(String)

  package var text: String {
    switch self {
    case .global(let text), .local(let text), .name(let text): text
    }
  }
}

/// A `NumberPlan` ready to read with: every spelling of a number comes to one, or is refused. What is checked
/// afterwards (routes, classes, limits, owners) sees that one alone.
package struct NumberReader: Hashable, Sendable {
  package let country: Country
  private let bare: BareNumbers
  private let localDigits: Int

  /// Nil for a country code that nobody has.
  package init?(_ plan: NumberPlan) {
    guard var country = CountryCodes.all[plan.countryCode] else { return nil }
    if let prefix = plan.nationalPrefix { country.nationalPrefix = prefix }
    if let prefixes = plan.internationalPrefixes { country.internationalPrefixes = prefixes }
    self.country = country
    // Where nothing is dialled before a national number, and in North America, where it may be left out,
    // bare digits of a fitting length are one.
    let optional = country.nationalPrefix.isEmpty || country.code == "1"
    bare = plan.bare ?? (optional ? .national : .local)
    localDigits = plan.localDigits
  }

  /// - Parameter written: the user part of a SIP URI or the number of a tel URI, percent escapes resolved,
  ///   parameters and all.
  ///
  /// Failures: `.addressIncomplete` for what is empty or ends too early, `.numberInvalid` for all else.
  package func read(_ written: String) throws(Cause) -> ReadNumber {
    let symbols = try NumberSymbols(written)
    if symbols.isName { return .name(symbols.text) }
    if symbols.isService { return .local(symbols.text) }
    if symbols.hasPlus { return .global(try global(symbols.digits[...])) }
    if let context = symbols.context, context != country.code { throw .numberInvalid }
    return try dialled(symbols.digits)
  }

  /// Digits without a plus, as they are dialled in the country.
  private func dialled(_ digits: [UInt8]) throws(Cause) -> ReadNumber {
    var longest = 0
    for prefix in country.internationalPrefixes where digits.starts(with: prefix.utf8) {
      longest = max(longest, prefix.utf8.count)
    }
    if longest > 0 { return .global(try global(digits[longest...])) }
    let prefix = country.nationalPrefix.utf8
    if !prefix.isEmpty, digits.starts(with: prefix) {
      let rest = digits[prefix.count...]
      if fits(rest.count), !(country.dropsZero && rest.first == 0x30) {
        return .global(national(rest))
      }
      return try local(digits)
    }
    switch bare {
    case .local: return try local(digits)
    case .national:
      if fits(digits.count), digits.count > shortest { return .global(national(digits[...])) }
      return try local(digits)
    case .international:
      return digits.count <= localDigits ? try local(digits) : .global(try global(digits[...]))
    }
  }

  /// Where a country's shortest numbers are as short as its service codes, those go before.
  private var shortest: Int { country.lengths.lowerBound <= 6 ? localDigits : 0 }

  /// As long as numbers of the country are, and never more than E.164's 15 digits with the country's code.
  private func fits(_ count: Int) -> Bool {
    country.lengths.contains(count) && country.code.utf8.count + count <= 15
  }

  private func local(_ digits: [UInt8]) throws(Cause) -> ReadNumber {
    guard digits.count <= localDigits else { throw .numberInvalid }
    return .local(String(decoding: digits, as: UTF8.self))
  }

  private func national(_ digits: ArraySlice<UInt8>) -> String {
    "+" + country.code + String(decoding: digits, as: UTF8.self)
  }

  /// Country code and number, of whatever country.
  private func global(_ digits: ArraySlice<UInt8>) throws(Cause) -> String {
    guard !digits.isEmpty else { throw .addressIncomplete }
    guard let home = CountryCodes.country(of: digits) else { throw .numberInvalid }
    var number = digits.dropFirst(home.code.utf8.count)
    // "+49 (0) 30 …", as people write it on paper.
    if home.dropsZero, number.first == 0x30 { number = number.dropFirst() }
    guard home.lengths.contains(number.count), home.code.utf8.count + number.count <= 15,
      !(home.dropsZero && number.first == 0x30)
    else { throw .numberInvalid }
    return "+" + home.code + String(decoding: number, as: UTF8.self)
  }
}

/// The symbols of a written number, separators left out (RFC 3966 §3), parameters cut off.
private struct NumberSymbols {
  /// Without the plus.
  private(set) var digits: [UInt8] = []
  private(set) var hasPlus = false
  /// Begins with `*` or `#`: a code of this system and nobody else's.
  private(set) var isService = false
  private(set) var isName = false
  /// Digits of a `phone-context` that is a country code; nil for none or a domain.
  private(set) var context: String?
  private let written: Substring.UTF8View

  init(_ whole: String) throws(Cause) {
    let parts = whole.utf8.split(
      separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    written = parts.first ?? Substring("").utf8
    guard written.count <= ResourceLimits.dialStringLength else { throw .numberInvalid }
    try scan()
    for parameter in parts.dropFirst() { try take(parameter: parameter) }
  }

  var text: String { isName ? String(Substring(written)) : String(decoding: digits, as: UTF8.self) }

  private mutating func scan() throws(Cause) {
    var others = 0
    for byte in written {
      switch byte {
      case 0x30...0x39: digits.append(byte)
      case UInt8(ascii: "+"):
        guard digits.isEmpty, !hasPlus else { throw .numberInvalid }
        hasPlus = true
      case UInt8(ascii: "*"), UInt8(ascii: "#"):
        if digits.isEmpty { isService = true }
        digits.append(byte)
      case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "("), UInt8(ascii: ")"),
        UInt8(ascii: " "):
        break
      case 0x21...0x7e: others += 1
      // Digits of other scripts among them: what we did not read as a digit, nobody after us shall.
      default: throw .numberInvalid
      }
    }
    if others > 0 {
      guard !hasPlus else { throw .numberInvalid }
      isName = true
      return
    }
    guard !digits.isEmpty else { throw .addressIncomplete }
    // The key that ends dialling on many phones.
    if !isService, digits.last == UInt8(ascii: "#") { digits.removeLast() }
    let codes = digits.contains { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "#") }
    guard !digits.isEmpty, isService ? !hasPlus : !codes else { throw .numberInvalid }
  }

  /// RFC 3966 §5.1.5: what a local number is local to.
  private mutating func take(parameter: Substring.UTF8View) throws(Cause) {
    let name = Array("phone-context=".utf8)
    guard parameter.count > name.count,
      zip(parameter, name).allSatisfy({ $0 | 0x20 == $1 | 0x20 })
    else { return }
    let value = parameter.dropFirst(name.count)
    guard value.first == UInt8(ascii: "+") else { return }
    context = String(
      decoding: value.filter { (0x30...0x39).contains($0) }, as: UTF8.self)
  }
}
