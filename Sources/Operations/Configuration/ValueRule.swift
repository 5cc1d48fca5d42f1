import Base
import CryptoCore
import Policy

/// How a scalar's text becomes a value, and what to tell whoever wrote one that does not.
struct ValueRule<Value> {
  /// "a duration", as in "`4` is not a duration".
  var expected: String
  var example: String
  /// All there are, where there are few.
  var choices: [String] = []
  var parse: (String) -> Value?
}

extension ValueRule where Value == String {
  static func text(_ expected: String = "text", example: String) -> ValueRule {
    ValueRule(expected: expected, example: example) { $0 }
  }
}

extension ValueRule where Value == Int64 {
  /// Milliseconds since 1970.
  static var timestamp: ValueRule {
    ValueRule(expected: "a moment", example: "2026-08-01T00:00:00Z") { Timestamp.milliseconds($0) }
  }
}

extension ValueRule where Value == Bool {
  static var flag: ValueRule {
    ValueRule(expected: "true or false", example: "true", choices: ["true", "false"]) {
      $0 == "true" ? true : $0 == "false" ? false : nil
    }
  }
}

extension ValueRule where Value == Int {
  static func number(_ range: ClosedRange<Int>, example: Int) -> ValueRule {
    let expected =
      range.upperBound == .max
      ? "a whole number of \(range.lowerBound) or more"
      : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    return ValueRule(expected: expected, example: String(example)) { text in
      // No sign, no blanks: what Int takes more than digits is not what people mean here.
      guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2d }),
        let value = Int(text), range.contains(value)
      else { return nil }
      return value
    }
  }

  /// The compiled configuration checks the range, so that REST and YAML say the same.
  static func number(example: Int) -> ValueRule {
    ValueRule(expected: "a whole number", example: String(example)) { Int($0) }
  }

  /// A MOS x 100, written with a point and up to two digits behind it.
  static var meanOpinion: ValueRule {
    ValueRule(expected: "a MOS from 1.0 to 4.5", example: "3.6") { text in
      let parts = text.split(separator: ".", omittingEmptySubsequences: false)
      guard (1...2).contains(parts.count), let whole = digits(String(parts[0])) else { return nil }
      guard parts.count == 2 else { return (1...4).contains(whole) ? whole * 100 : nil }
      let fraction = parts[1].count == 1 ? parts[1] + "0" : parts[1]
      guard fraction.count == 2, let hundredths = digits(String(fraction)) else { return nil }
      let value = min(whole, 9) * 100 + hundredths
      return (100...450).contains(value) ? value : nil
    }
  }

  static func meanOpinionText(_ value: Int) -> String {
    "\(value / 100).\(value / 10 % 10)" + (value % 10 == 0 ? "" : String(value % 10))
  }

  /// Bytes with an optional unit: 65536, 64KiB, 8MiB, 2GiB.
  static var bytes: ValueRule {
    ValueRule(expected: "a size", example: "64MiB") { text in
      let units: [(String, Int)] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)]
      for (unit, factor) in units where text.hasSuffix(unit) {
        guard let count = digits(String(text.dropLast(unit.count))) else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: factor)
        return overflow ? nil : bytes
      }
      return nil
    }
  }
}

extension ValueRule where Value == UInt16 {
  static func port(example: Int) -> ValueRule {
    ValueRule(expected: "a port from 1 to 65535", example: String(example)) { text in
      digits(text).flatMap(UInt16.init(exactly:)).flatMap { $0 == 0 ? nil : $0 }
    }
  }
}

extension ValueRule where Value == ClosedRange<UInt16> {
  static var ports: ValueRule {
    ValueRule(expected: "a range of ports", example: "20000-20999") { text in
      let parts = text.split(separator: "-", omittingEmptySubsequences: false)
      guard parts.count == 2, let low = digits(String(parts[0])).flatMap(UInt16.init(exactly:)),
        let high = digits(String(parts[1])).flatMap(UInt16.init(exactly:)), low > 0, low <= high
      else { return nil }
      return low...high
    }
  }
}

extension ValueRule where Value == Interval {
  static func duration(example: String) -> ValueRule {
    ValueRule(expected: "a duration", example: "\(example) (units: ms, s, m, h)") { text in
      let units: [(String, Int64)] = [
        ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
      ]
      for (unit, factor) in units where text.hasSuffix(unit) {
        guard let count = digits(String(text.dropLast(unit.count))) else { return nil }
        let (nanoseconds, overflow) = Int64(count).multipliedReportingOverflow(by: factor)
        return overflow ? nil : Interval(nanoseconds: nanoseconds)
      }
      return nil
    }
  }
}

extension ValueRule where Value == IPAddress {
  static func address(example: String) -> ValueRule {
    ValueRule(
      expected: "an IP address (host names are not resolved)", example: example
    ) { IPAddress($0) }
  }
}

extension ValueRule where Value == SIPTarget {
  /// An address's port may be left out: it is that of the trunk's transport.
  static var target: ValueRule {
    ValueRule(
      expected: "an address, a host name or a SIP URI without a user, with or without a port",
      example: "192.0.2.1:5060, \"[2001:db8::1]:5060\", sip.example.com or pbx.example.com:5080"
    ) { SIPTarget($0) }
  }
}

extension ValueRule where Value == SocketAddress {
  /// A name server; the port may be left out: 53.
  static var nameServer: ValueRule {
    ValueRule(expected: "an address, with or without a port", example: "192.0.2.53") { text in
      SocketAddress(text) ?? IPAddress(text).map { SocketAddress($0, 53) }
    }
  }
}

extension ValueRule where Value == SourceMatch {
  static var source: ValueRule {
    ValueRule(
      expected: "an address, a block of addresses or an address with a port",
      example: "192.0.2.7, 10.0.0.0/8 or 127.0.0.1:5070"
    ) { text in
      if let network = IPNetwork(text) {
        return SourceMatch(
          network: network.address, prefixLength: UInt8(clamping: network.prefixLength))
      }
      return SocketAddress(text).map { SourceMatch($0.ip, port: $0.port) }
    }
  }
}

extension ValueRule where Value == Cause {
  static var cause: ValueRule {
    ValueRule(
      expected: "a cause", example: "busy", choices: Cause.allCases.map(\.name)
    ) { Cause(name: $0) }
  }
}

extension ValueRule where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  static func choice(_ expected: String) -> ValueRule {
    let choices = Value.allCases.map(\.rawValue)
    return ValueRule(expected: expected, example: choices.first ?? "", choices: choices) {
      Value(rawValue: $0)
    }
  }
}

extension ValueRule where Value == DigestAlgorithm {
  static var digest: ValueRule {
    ValueRule(
      expected: "a digest algorithm", example: "SHA-256",
      choices: DigestAlgorithm.allCases.map(\.documentName)
    ) { text in
      DigestAlgorithm.allCases.first { $0.documentName.lowercased() == text.lowercased() }
    }
  }
}

extension DigestAlgorithm {
  /// As IANA's registry of HTTP digest algorithms has it.
  var documentName: String {
    switch self {
    case .md5: "MD5"
    case .sha256: "SHA-256"
    case .sha512t256: "SHA-512-256"
    }
  }
}

private func digits(_ text: String) -> Int? {
  guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
  return Int(text)
}
