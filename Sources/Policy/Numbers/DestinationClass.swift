/// What kind of number an outside call goes to, as far as its price depends on that.
package enum DestinationClass: String, Sendable, CaseIterable {
  /// Of the country that the tenant is in, free numbers included.
  case domestic
  case international
  /// The caller pays more than for the country's other numbers, and the called side a part of it.
  case sharedCost = "shared-cost"
  /// Follows a person wherever they are, at a price that nobody can tell (UK 070, +878).
  case personal
  case premium
  /// Satellites and other networks with a country code and no country (+870, +881 to +883, +888).
  case satellite
}

/// Some of the classes. A premium-rate number of another country is in two: whoever calls it must be allowed both.
package struct DestinationClasses: OptionSet, Hashable, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  package init(_ one: DestinationClass) {
    self =
      switch one {
      case .domestic: .domestic
      case .international: .international
      case .sharedCost: .sharedCost
      case .personal: .personal
      case .premium: .premium
      case .satellite: .satellite
      }
  }
  package init(_ classes: [DestinationClass]) {
    self = classes.reduce(into: []) { $0.formUnion(DestinationClasses($1)) }
  }

  package static let domestic = DestinationClasses(rawValue: 1)
  package static let international = DestinationClasses(rawValue: 2)
  package static let sharedCost = DestinationClasses(rawValue: 4)
  package static let personal = DestinationClasses(rawValue: 8)
  package static let premium = DestinationClasses(rawValue: 16)
  package static let satellite = DestinationClasses(rawValue: 32)
  package static let all = DestinationClasses(DestinationClass.allCases)

  /// Calls to it cost more than the tenant's ordinary ones.
  package var isCostly: Bool { !isSubset(of: .domestic) }

  package var classes: [DestinationClass] {
    DestinationClass.allCases.filter { contains(DestinationClasses($0)) }
  }
}

extension DestinationClasses: CustomStringConvertible {
  package var description: String {
    isEmpty ? "none" : classes.map(\.rawValue).joined(separator: ", ")
  }
}

/// From where numbers are looked at.
package struct HomeCountry: Hashable, Sendable {
  /// Whose habits of dialling numbers have that are no E.164. Nil: unknown.
  var country: Country?
  /// Country codes, and areas of a shared code, that are no foreign country.
  var zones: Set<String>

  package init(country: Country? = nil, zones: Set<String> = []) {
    self.country = country
    self.zones = zones
  }
}

/// The class of E.164 numbers, from prefixes (`NumberClassTable`) and country codes.
package enum NumberClasses {
  /// The code of a number's country, or of its area where that is a country of its own within a shared code.
  package static func zone(_ digits: some Collection<UInt8>) -> String? {
    CountryCodes.country(of: digits).map { zone(digits, $0) }
  }

  private static func zone(_ digits: some Collection<UInt8>, _ country: Country) -> String {
    guard country.code == "1" || country.code == "7",
      let area = areas.longestMatch(head(digits))
    else { return country.code }
    return String(area)
  }

  /// - Parameter digits: country code and number. Zeros before the country code, and what is dialled before a number
  ///   only within its country, are looked past: some networks do.
  static func of(_ digits: some Collection<UInt8>, _ home: HomeCountry) -> DestinationClasses {
    guard let country = CountryCodes.country(of: digits) else { return .international }
    var found = marked(digits)
    let prefix = country.nationalPrefix.utf8
    let national = digits.dropFirst(country.code.utf8.count)
    var rest = national
    if !prefix.isEmpty {
      while rest.starts(with: prefix) {
        rest = rest.dropFirst(prefix.count)
        found.formUnion(marked(Array(country.code.utf8) + rest))
      }
    }
    if found == .satellite { return found }
    // Where all numbers have one length, another is no number of the country.
    if country.lengths.count == 1, !country.lengths.contains(national.count),
      !country.lengths.contains(rest.count)
    {
      found.formUnion(.international)
    }
    if !home.zones.contains(zone(digits, country)) { return found.union(.international) }
    return found.isEmpty ? .domestic : found
  }

  /// A service code that costs more than a call, such as an enquiry service.
  static func ofService(_ digits: some Collection<UInt8>, _ country: Country)
    -> DestinationClasses
  {
    let text = country.code + "*" + head(digits)
    guard let found = table.longestMatch(text), found != none else { return .domestic }
    return DestinationClasses(rawValue: UInt8(truncatingIfNeeded: found))
  }

  private static func marked(_ digits: some Collection<UInt8>) -> DestinationClasses {
    DestinationClasses(
      rawValue: UInt8(truncatingIfNeeded: table.longestMatch(head(digits)) ?? none))
  }

  /// As much as prefixes can have, and a text that needs no memory of its own has room for.
  private static func head(_ digits: some Collection<UInt8>) -> String {
    String(decoding: digits.prefix(15), as: UTF8.self)
  }

  private static let none: Int32 = 0

  private static let table = PrefixTable(
    NumberClassTable.text.split(separator: "\n").flatMap { line -> [(String, Int32)] in
      let words = line.split(separator: " ")
      guard words.count > 2, let marked = mark(words[1]) else { return [] }
      return words.dropFirst(2).flatMap { word in
        expand(word).map { (words[0] + $0, Int32(marked.rawValue)) }
      }
    })

  private static let areas = PrefixTable(
    NumberClassTable.areas.split(whereSeparator: { $0 == " " || $0 == "\n" }).map {
      (String($0), Int32($0) ?? 0)
    })

  private static func mark(_ letter: Substring) -> DestinationClasses? {
    switch letter {
    case "p": .premium
    case "n": .personal
    case "c": .sharedCost
    case "s": .satellite
    default: nil
    }
  }

  /// `90[13]`: 901 and 903. `-`: nothing more.
  private static func expand(_ word: Substring) -> [String] {
    if word == "-" { return [""] }
    guard let open = word.firstIndex(of: "[") else { return [String(word)] }
    return word[open...].filter { ("0"..."9").contains($0) }.map { word[..<open] + String($0) }
  }
}
