/// Wall-clock times as text, RFC 3339 in UTC: `2026-11-21T03:01:31.963Z`.
///
/// Written out because it stands in every line of a log: a formatter of Foundation costs 30 times as
/// much. The calendar arithmetic is that of H. Hinnant's `days_from_civil`.
package enum Timestamp {
  package static func text(_ millisecondsSince1970: Int64) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(24)
    append(millisecondsSince1970, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  package static func append(_ millisecondsSince1970: Int64, to bytes: inout [UInt8]) {
    let day = floorDivide(millisecondsSince1970, 86_400_000)
    let inDay = millisecondsSince1970 - day * 86_400_000
    let date = civil(fromDays: day)
    append(date.year, 4, to: &bytes)
    bytes.append(45)
    append(date.month, 2, to: &bytes)
    bytes.append(45)
    append(date.day, 2, to: &bytes)
    bytes.append(84)
    append(inDay / 3_600_000, 2, to: &bytes)
    bytes.append(58)
    append(inDay / 60_000 % 60, 2, to: &bytes)
    bytes.append(58)
    append(inDay / 1_000 % 60, 2, to: &bytes)
    bytes.append(46)
    append(inDay % 1_000, 3, to: &bytes)
    bytes.append(90)
  }

  /// `2026-11-21`, `2026-11-21T03:01`, `…:31`, `…:31.963`, with `Z`, an offset (`+01:00`) or neither
  /// (UTC). Nil for anything else, and for dates that no calendar has.
  package static func milliseconds(_ text: some StringProtocol) -> Int64? {
    var scanner = TimestampScanner(Array(text.utf8))
    guard let year = scanner.number(4), scanner.skip(45), let month = scanner.number(2),
      scanner.skip(45), let day = scanner.number(2),
      month >= 1, month <= 12, day >= 1, day <= daysIn(month: month, year: year)
    else { return nil }
    var result = days(year: year, month: month, day: day) * 86_400_000
    if scanner.isAtEnd { return result }
    guard scanner.skip(84) || scanner.skip(116) || scanner.skip(32),
      let hour = scanner.number(2), hour < 24, scanner.skip(58),
      let minute = scanner.number(2), minute < 60
    else { return nil }
    result += hour * 3_600_000 + minute * 60_000
    if scanner.skip(58) {
      guard let second = scanner.number(2), second < 60 else { return nil }
      result += second * 1_000
      if scanner.skip(46) {
        guard let fraction = scanner.fraction() else { return nil }
        result += fraction
      }
    }
    guard let offset = scanner.offset(), scanner.isAtEnd else { return nil }
    return result - offset
  }

  private static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 {
    a / b - (a % b < 0 ? 1 : 0)
  }

  /// At least `width` digits; a year before 1 keeps its sign.
  private static func append(_ value: Int64, _ width: Int, to bytes: inout [UInt8]) {
    if value < 0 { bytes.append(45) }
    let start = bytes.count
    var rest = value.magnitude
    while rest > 0 || bytes.count - start < width {
      bytes.append(48 + UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    }
    bytes[start...].reverse()
  }

  private static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = floorDivide(shifted, 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = floorDivide(shiftedYear, 400)
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  private static func daysIn(month: Int64, year: Int64) -> Int64 {
    switch month {
    case 4, 6, 9, 11: 30
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    default: 31
    }
  }
}

private struct TimestampScanner {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { position == bytes.count }

  mutating func skip(_ byte: UInt8) -> Bool {
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  /// Exactly `digits` of them.
  mutating func number(_ digits: Int) -> Int64? {
    guard position + digits <= bytes.count else { return nil }
    var value: Int64 = 0
    for byte in bytes[position..<(position + digits)] {
      guard byte >= 48, byte <= 57 else { return nil }
      value = value * 10 + Int64(byte - 48)
    }
    position += digits
    return value
  }

  /// Digits after the point, in milliseconds; finer ones are cut off.
  mutating func fraction() -> Int64? {
    var value: Int64 = 0
    var count = 0
    while position < bytes.count, bytes[position] >= 48, bytes[position] <= 57 {
      if count < 3 { value = value * 10 + Int64(bytes[position] - 48) }
      count += 1
      position += 1
    }
    if count == 0 { return nil }
    return count == 1 ? value * 100 : count == 2 ? value * 10 : value
  }

  /// East of Greenwich in milliseconds; 0 at the end of the text.
  mutating func offset() -> Int64? {
    if isAtEnd || skip(90) || skip(122) { return 0 }
    let sign: Int64
    if skip(43) {
      sign = 1
    } else if skip(45) {
      sign = -1
    } else {
      return nil
    }
    guard let hours = number(2), hours < 24 else { return nil }
    _ = skip(58)
    guard let minutes = number(2), minutes < 60 else { return nil }
    return sign * (hours * 3_600_000 + minutes * 60_000)
  }
}
