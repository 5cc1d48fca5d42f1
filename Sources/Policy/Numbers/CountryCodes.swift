/// How the numbers of a country (or of a network that has a country code of its own) are dialled within it.
package struct Country: Hashable, Sendable {
  /// ITU-T E.164's code, without the plus.
  package var code: String
  /// What is dialled before a national number within the country; empty: nothing.
  package var nationalPrefix: String
  /// What is dialled before a country code, the ones most used first.
  package var internationalPrefixes: [String]
  /// How many digits a number has behind its country code: the shortest and the longest there are.
  package var lengths: ClosedRange<Int>

  /// National numbers never begin with a zero where a zero is what is dialled before them. (In Italy and
  /// wherever else the zero belongs to the number nothing is dialled before it.)
  var dropsZero: Bool { nationalPrefix == "0" }
}

/// The country codes of ITU-T E.164, and what the ITU's table of dialling procedures says of each.
package enum CountryCodes {
  /// By code.
  package static let all: [String: Country] = {
    var table: [String: Country] = [:]
    for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
      guard let country = country(line) else { continue }
      table[country.code] = country
    }
    return table
  }()

  /// Codes have one to three digits, and none begins another.
  package static func country(of digits: some Collection<UInt8>) -> Country? {
    var number = 0
    for digit in digits.prefix(3) {
      guard (0x30...0x39).contains(digit) else { return nil }
      number = number * 10 + Int(digit - 0x30)
      // No code begins with a zero, so each has a number of its own.
      guard number > 0 else { return nil }
      if let found = byNumber[number] { return found }
    }
    return nil
  }

  private static let byNumber: [Country?] = {
    var table = [Country?](repeating: nil, count: 1_000)
    for country in all.values {
      if let number = Int(country.code), table.indices.contains(number) { table[number] = country }
    }
    return table
  }()

  private static func country(_ line: Substring.UTF8View) -> Country? {
    let fields = line.split(separator: UInt8(ascii: " ")).map { String(Substring($0)) }
    guard fields.count == 4 else { return nil }
    let lengths = fields[3].utf8.split(separator: UInt8(ascii: "-")).compactMap {
      Int(String(Substring($0)))
    }
    guard lengths.count == 2, lengths[0] <= lengths[1] else { return nil }
    let prefixes = fields[2].utf8.split(separator: UInt8(ascii: ",")).map { String(Substring($0)) }
    return Country(
      code: fields[0], nationalPrefix: fields[1] == "-" ? "" : fields[1],
      internationalPrefixes: fields[2] == "-" ? [] : prefixes, lengths: lengths[0]...lengths[1])
  }

  /// Code, national prefix, international prefixes, lengths; a dash: there is none.
  private static let text = """
    1 1 011 10-10
    7 8 810 10-10
    20 0 00 7-10
    27 0 00 5-10
    30 - 00 9-12
    31 0 00 5-11
    32 0 00 8-9
    33 0 00 4-9
    34 - 00 9-9
    36 06 00 7-9
    39 - 00 5-12
    40 0 00 6-9
    41 0 00 9-12
    43 0 00 3-13
    44 0 00 7-10
    45 - 00 8-12
    46 0 00 6-12
    47 - 00 5-12
    48 - 00 6-10
    49 0 00 4-15
    51 0 00 8-9
    52 - 00 10-11
    53 0 119 4-10
    54 0 00 10-11
    55 0 0012,0014,0015,0021,0023,0025,0031,0041,0043,0065,0055,0099 7-11
    56 - 00,1230,1190,1200,1220 9-11
    57 0 005,007,009 8-11
    58 0 00 10-10
    60 0 00 8-10
    61 0 0011 5-12
    62 0 001,007,008,009,01017 7-17
    63 0 00 6-13
    64 0 00,0161 5-11
    65 - 001,002,008 8-11
    66 0 001,004,005,006,007,008,009 8-13
    81 0 010 8-17
    82 0 001,002,005,006,008,00300,00341,00343,00345,00365,00700,00727,00766,00770 5-14
    84 0 00 7-10
    86 0 00 7-12
    90 0 00 7-13
    91 0 00 8-13
    92 0 00 8-12
    93 0 00 9-9
    94 0 00 9-9
    95 0 00 6-10
    98 0 00 4-10
    211 0 00 9-9
    212 0 00 9-9
    213 0 00 8-9
    216 - 00 8-8
    218 0 00 8-9
    220 - 00 7-9
    221 - 00 9-9
    222 - 00 8-8
    223 - 00 8-8
    224 - 00 8-9
    225 - 00 10-10
    226 - 00 8-8
    227 - 00 8-8
    228 - 00 8-8
    229 - 00 8-10
    230 - 00 7-10
    231 0 00 7-9
    232 0 00 8-8
    233 0 00 8-9
    234 0 009 7-14
    235 - 00 8-8
    236 - 00 8-8
    237 - 00 8-9
    238 - 0 7-7
    239 - 00 7-7
    240 - 00 9-9
    241 - 00 7-8
    242 - 00 9-9
    243 0 00 7-10
    244 - 00 9-9
    245 - 00 7-9
    246 - 00 7-7
    247 - 00 4-6
    248 - 00 7-7
    249 0 00 9-9
    250 0 00 8-9
    251 0 00 9-9
    252 0 00 6-9
    253 - 00 8-8
    254 0 000 7-10
    255 0 000 8-10
    256 0 000 9-9
    257 - 00 8-8
    258 - 00 8-9
    260 0 00 9-9
    261 0 00 7-10
    262 0 00 9-9
    263 0 00 5-10
    264 0 00 8-10
    265 0 00 7-9
    266 - 00 8-8
    267 - 00 7-10
    268 - 00 8-9
    269 - 00 7-7
    290 - 00 4-5
    291 0 00 7-7
    297 - 00 7-7
    298 - 00 6-6
    299 - 00 6-6
    350 - 00 8-8
    351 - 00 9-9
    352 - 00 4-11
    353 0 00 7-10
    354 - 00 7-9
    355 0 00 6-9
    356 - 00 8-8
    357 - 00 8-8
    358 0 00,990,994,999 5-12
    359 0 00 6-12
    370 0 00 8-8
    371 - 00 8-8
    372 - 00 7-10
    373 0 00 8-8
    374 0 00 5-8
    375 8 810 6-11
    376 - 00 6-9
    377 0 00 8-9
    378 - 00 6-10
    380 0 00 9-10
    381 0 00 6-12
    382 0 00 4-9
    383 0 00 8-12
    385 0 00 6-9
    386 0 00 5-8
    387 0 00 8-9
    389 0 00 6-8
    420 - 00 9-12
    421 0 00 6-9
    423 - 00 7-9
    500 - 00 5-5
    501 - 00 7-11
    502 - 00 8-11
    503 - 00 7-11
    504 - 00 8-11
    505 - 00 8-8
    506 - 00 8-10
    507 - 00 7-11
    508 0 00 6-9
    509 - 00 8-8
    590 0 00 9-9
    591 0 0010,0011,0012,0013,0014,0015,0016,0017 8-9
    592 - 001 7-7
    593 0 00 8-11
    594 0 00 9-9
    595 0 00 6-11
    596 0 00 9-9
    597 - 00 6-7
    598 0 00 4-13
    599 - 00 7-8
    670 - 00 7-8
    672 - 00 5-6
    673 - 00 7-7
    674 - 00 7-7
    675 - 00 7-8
    676 - 00 5-7
    677 - 00 5-7
    678 - 00 5-7
    679 - 00 7-11
    680 - 011 7-7
    681 - 00 6-9
    682 - 00 5-5
    683 - 00 4-7
    685 - 0 5-10
    686 0 00 5-8
    687 - 00 6-6
    688 - 00 5-7
    689 - 00 6-9
    690 - 00 4-7
    691 - 00 7-7
    692 1 011 7-7
    800 - - 8-8
    808 - - 8-8
    850 0 00 6-10
    852 - 001 5-11
    853 - 00 7-8
    855 0 001,007 8-10
    856 0 00 8-10
    870 - - 9-12
    878 - - 12-12
    880 0 00 6-10
    881 - - 9-10
    882 - - 7-12
    883 - - 8-12
    886 0 002,005,006,007,009 7-11
    888 - - 11-11
    960 - 00 7-10
    961 0 00 7-8
    962 0 00 8-9
    963 0 00 8-9
    964 0 00 8-10
    965 - 00 7-8
    966 0 00 8-10
    967 0 00 7-9
    968 - 00 7-9
    970 0 00 8-10
    971 0 00 5-12
    972 0 00,012,013,014,017,018,019 7-12
    973 - 00 8-8
    974 - 00 7-11
    975 - 00 7-8
    976 0 001,002 8-10
    977 0 00 8-11
    979 - - 9-9
    992 - 810 9-9
    993 8 810 8-8
    994 0 00 9-9
    995 0 00 6-9
    996 0 00 8-10
    998 - 00 9-9
    """
}
