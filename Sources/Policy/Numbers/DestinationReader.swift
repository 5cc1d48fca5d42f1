/// What an outside number costs, whatever way it is written.
///
/// Where a plan of numbers has read it, it is E.164 and there is one answer. Where there is none, numbers go to carriers
/// as they came, and what a carrier makes of them is not known here: then each way in which it could be read counts,
/// and a call needs to be allowed for all of them. What nobody can read is taken for a call abroad.
package struct DestinationReader {
  let home: HomeCountry

  package init(home: HomeCountry) { self.home = home }

  /// - Parameters:
  ///   - dialled: as it is inside, before the route has changed it.
  ///   - strip, prepend: the route's.
  ///   - isPlain: what has no country code in front is the business of the PBX that it goes to.
  package func classes(_ dialled: String, strip: Int, prepend: String, isPlain: Bool = false)
    -> DestinationClasses
  {
    if dialled.utf8.first == Self.plus {
      let found = global(dialled.utf8.dropFirst())
      guard prepend.utf8.first == Self.plus else { return found }
      return found.union(global(prepend.utf8.dropFirst() + Array(dialled.utf8.dropFirst(strip))))
    }
    let digits = Array(dialled.utf8)
    let rest = digits.dropFirst(strip)
    let sent = Array(prepend.utf8) + rest
    if sent.first == Self.plus { return global(sent.dropFirst()) }
    var found: DestinationClasses = []
    // A carrier may want its numbers without what is dialled before a country code.
    let stripped = digits.prefix(strip)
    if Self.abroad.contains(where: { stripped.reversed().starts(with: $0.utf8.reversed()) }),
      !rest.isEmpty
    {
      found.formUnion(NumberClasses.of(rest, home))
    }
    if let country = home.country, prepend.isEmpty, !country.nationalPrefix.isEmpty,
      stripped.elementsEqual(country.nationalPrefix.utf8), country.lengths.contains(rest.count)
    {
      return found.union(NumberClasses.of(Array(country.code.utf8) + rest, home))
    }
    // What stands before it may be a code by which the carrier knows its customer.
    if strip == 0, !prepend.isEmpty { found.formUnion(read(digits[...], isPlain: isPlain)) }
    return found.union(read(sent[...], isPlain: isPlain))
  }

  private static let plus = UInt8(ascii: "+")
  /// What is dialled before a country code in nearly all of the world.
  private static let abroad = ["00", "011"]
  /// And in the rest of it; several of them begin national numbers elsewhere.
  private static let abroadSomewhere = [
    "001", "002", "005", "006", "007", "008", "009", "0011", "0012", "0014", "0015", "010", "119",
    "810",
  ]

  /// What stands behind a plus. Some networks look past it, and read what follows as if it were dialled.
  private func global(_ number: some Collection<UInt8>) -> DestinationClasses {
    guard number.first == 0x30 else { return NumberClasses.of(number, home) }
    return read(Array(number)[...], isPlain: false)
      .union(NumberClasses.of(number.drop { $0 == 0x30 }, home)).union(.international)
  }

  /// Without one.
  private func read(_ symbols: ArraySlice<UInt8>, isPlain: Bool) -> DestinationClasses {
    guard !symbols.isEmpty else { return .domestic }
    let isSymbol = { (byte: UInt8) in byte == UInt8(ascii: "*") || byte == UInt8(ascii: "#") }
    // The number that is meant stands behind `*67`, `*31#` or a customer's code, and before a `#` that ends it.
    guard !symbols.contains(where: isSymbol) else {
      var parts = symbols.split(whereSeparator: isSymbol)
      if let first = parts.first, symbols.first == UInt8(ascii: "*") {
        parts.append(first.dropFirst(2))
      }
      return parts.reduce(.domestic) { $0.union(read($1, isPlain: isPlain)) }
    }
    var found: DestinationClasses = []
    let isNorthAmerican = home.country.map { $0.code == "1" } ?? true
    // 1010288 and the like choose a carrier, and the number follows.
    if isNorthAmerican, symbols.starts(with: "101".utf8), symbols.count > 10 {
      found.formUnion(read(symbols.dropFirst(7), isPlain: isPlain))
    }
    if let abroad = readAbroad(symbols) { return found.union(abroad) }
    if isPlain { return found }
    return found.union(readNational(symbols))
  }

  /// Behind what is dialled before a country code; nil: there is none.
  private func readAbroad(_ digits: ArraySlice<UInt8>) -> DestinationClasses? {
    var found: DestinationClasses?
    var prefixes = home.country?.internationalPrefixes ?? Self.abroad
    if home.country == nil || home.country?.code == "1" { prefixes = Self.abroad }
    if !prefixes.contains("00") { prefixes.append("00") }
    for prefix in prefixes where digits.starts(with: prefix.utf8) {
      let rest = digits.dropFirst(prefix.utf8.count).drop { $0 == 0x30 }
      guard !rest.isEmpty else { continue }
      found = (found ?? []).union(NumberClasses.of(rest, home))
    }
    guard home.country == nil else { return found }
    for prefix in Self.abroadSomewhere where digits.starts(with: prefix.utf8) {
      let rest = digits.dropFirst(prefix.utf8.count)
      guard isWhole(rest) else { continue }
      let costly = NumberClasses.of(rest, home).subtracting([.domestic, .international])
      if !costly.isEmpty { found = (found ?? .international).union(costly) }
    }
    return found
  }

  private func readNational(_ digits: ArraySlice<UInt8>) -> DestinationClasses {
    guard let country = home.country else {
      if digits.first == 0x30 || digits.count <= ResourceDefaults.localDigits { return .domestic }
      return NumberClasses.of(digits, home)
    }
    let prefix = country.nationalPrefix.utf8
    let code = Array(country.code.utf8)
    if !prefix.isEmpty, digits.starts(with: prefix), digits.count > prefix.count {
      let rest = digits.dropFirst(prefix.count)
      let found = NumberClasses.of(code + rest, home)
      // What is no number of the country may be one of another without its plus.
      return country.lengths.contains(rest.count)
        ? found : found.union(NumberClasses.of(digits, home)).union(.international)
    }
    if digits.count <= ResourceDefaults.localDigits {
      return NumberClasses.ofService(digits, country)
    }
    if prefix.isEmpty || country.code == "1", country.lengths.contains(digits.count) {
      let found = NumberClasses.of(code + digits, home)
      return isWhole(digits) && NumberClasses.of(digits, home) == .satellite
        ? found.union(.satellite) : found
    }
    // Many carriers have E.164 without its plus.
    return NumberClasses.of(digits, home)
  }

  /// As long as numbers of its country are.
  private func isWhole(_ digits: ArraySlice<UInt8>) -> Bool {
    guard let country = CountryCodes.country(of: digits) else { return false }
    return country.lengths.contains(digits.count - country.code.utf8.count)
  }
}
