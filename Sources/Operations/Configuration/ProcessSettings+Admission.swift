import Base
import CallCore
import Policy

// What strangers may do, and how a network's access lists are written.

extension DocumentReader {
  mutating func admission(_ parent: DocumentFields, _ settings: inout ProcessSettings) {
    let keys = [
      "sourceRate", "blockRate", "networkRate", "bans", "banTime", "longestBan", "scanners",
      "kernelTable",
    ]
    guard let fields = group(parent, "admission", keys: keys) else { return }
    let rates = 1...1_000_000
    var limits = settings.admission
    limits.sourceRate ?= optional(fields, "sourceRate", .number(rates, example: 100))
    limits.blockRate ?= optional(fields, "blockRate", .number(rates, example: 500))
    limits.networkRate ?= optional(fields, "networkRate", .number(rates, example: 5_000))
    limits.bansItself ?= optional(fields, "bans", .flag)
    limits.banTime ?= optional(fields, "banTime", .duration(example: "10m"))
    limits.longestBan ?= optional(fields, "longestBan", .duration(example: "24h"))
    limits.scanners = list(fields, "scanners", .text("a name", example: "friendly-scanner"))
    settings.admission = limits
    settings.kernelTable = optional(fields, "kernelTable", .tableName)
  }
}

extension ValueRule where Value == String {
  /// As nft(8) takes it without quotes.
  fileprivate static var tableName: ValueRule {
    ValueRule(
      expected: "a name for a table: a letter, then letters, digits, - or _, 31 at most",
      example: "demarc"
    ) { text in
      let isName = text.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
      }
      guard isName, (1...31).contains(text.utf8.count), text.first?.isLetter == true else {
        return nil
      }
      return text
    }
  }
}

extension ResourceReader {
  mutating func access(_ fields: DocumentFields) -> AccessRules {
    var rules = AccessRules()
    guard let group = reader.group(fields, "access", keys: ["allow", "deny"]) else { return rules }
    rules.allow = reader.list(group, "allow", .block)
    rules.deny = reader.list(group, "deny", .block)
    return rules
  }
}

extension AccessRules {
  /// Nil: there is none.
  var document: DocumentNode? {
    guard !isEmpty else { return nil }
    return .group([
      ("allow", .texts(allow.map(\.description))), ("deny", .texts(deny.map(\.description))),
    ])
  }
}

extension ValueRule where Value == IPNetwork {
  fileprivate static var block: ValueRule {
    ValueRule(
      expected: "an address or a block of addresses", example: "192.0.2.0/24 or 2001:db8::/32"
    ) { IPNetwork($0) }
  }
}
