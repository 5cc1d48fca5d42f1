import CryptoCore
import Testing

/// RFC 8226 §8 and RFC 9118 §3.
@Suite struct ClaimConstraintTests {
  private static func der(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
    content.count < 128
      ? [tag, UInt8(content.count)] + content
      : [tag, 0x82, UInt8(content.count >> 8), UInt8(content.count & 255)] + content
  }

  private static func list(_ tag: UInt8, _ texts: [String]) -> [UInt8] {
    der(0x30, texts.flatMap { der(tag, Array($0.utf8)) })
  }

  private static func permitted(_ claims: [(String, [String])]) -> [UInt8] {
    der(0x30, claims.flatMap { der(0x30, der(0x16, Array($0.utf8)) + list(0x0c, $1)) })
  }

  private static let include = der(0xa0, list(0x16, ["confidence", "attest"]))
  private static let values = der(
    0xa1, permitted([("confidence", ["high", "höher"]), ("verified", ["true"])]))
  private static let exclude = der(0xa2, list(0x16, ["rcd"]))

  @Test func whatMustBeThere() throws {
    let rules = try #require(
      ClaimConstraints(der: Self.der(0x30, Self.include), isEnhanced: false))
    #expect(rules.mustInclude == ["confidence", "attest"])
    #expect(rules.broken(by: ["attest": "A", "confidence": ""]) == nil)
    #expect(rules.broken(by: ["attest": "A"]) == "confidence")
    #expect(rules.broken(by: [:]) == "confidence")
  }

  /// The examples of RFC 8226 §8: a claim that is not there breaks nothing.
  @Test func whatMayBeSaid() throws {
    let rules = try #require(ClaimConstraints(der: Self.der(0x30, Self.values), isEnhanced: true))
    #expect(rules.broken(by: [:]) == nil)
    #expect(rules.broken(by: ["confidence": "high", "attest": "C"]) == nil)
    #expect(rules.broken(by: ["confidence": "höher", "verified": "true"]) == nil)
    #expect(rules.broken(by: ["confidence": "High"]) == "confidence")
    #expect(rules.broken(by: ["confidence": "high", "verified": "false"]) == "verified")
  }

  @Test func whatMustNotBeThere() throws {
    let all = Self.der(0x30, Self.include + Self.values + Self.exclude)
    let rules = try #require(ClaimConstraints(der: all, isEnhanced: true))
    let good = ["confidence": "high", "attest": "A"]
    #expect(rules.broken(by: good) == nil)
    #expect(rules.broken(by: good.merging(["rcd": "{}"]) { $1 }) == "rcd")
    // Which only the later of the two extensions has.
    #expect(ClaimConstraints(der: all, isEnhanced: false) == nil)
  }

  private static let broken: [[UInt8]] = [
    [], [0x30], [0x30, 0x00], [0x30, 0x05, 0xa0], der(0x31, include),
    der(0x30, include) + [0x00], der(0x30, values + include), der(0x30, include + include),
    der(0x30, der(0xa0, list(0x0c, ["attest"]))), der(0x30, der(0xa0, [])),
    der(0x30, der(0xa0, der(0x30, []))), der(0x30, der(0xa3, list(0x16, ["attest"]))),
    der(0x30, der(0xa1, permitted([("attest", [])]))),
    der(0x30, der(0xa1, permitted([("attest", ["A"]), ("attest", ["B"])]))),
    der(0x30, der(0xa1, list(0x16, ["attest"]))),
    der(0x30, der(0xa0, list(0x16, [String](repeating: "a", count: 501)))),
    // Implicit tags.
    der(0x30, der(0xa0, der(0x16, Array("attest".utf8)))),
  ]

  @Test(arguments: broken) func whatIsNone(der: [UInt8]) {
    #expect(ClaimConstraints(der: der, isEnhanced: true) == nil)
  }

  /// Every beginning of a good one is none, and no octet of it can do harm.
  @Test func whatIsCutOrChanged() throws {
    let all = Self.der(0x30, Self.include + Self.values + Self.exclude)
    for count in all.indices {
      #expect(ClaimConstraints(der: Array(all.prefix(count)), isEnhanced: true) == nil)
    }
    for at in all.indices {
      for byte: UInt8 in [0x00, 0x7f, 0x80, 0x84, 0xff] {
        var other = all
        other[at] = byte
        _ = ClaimConstraints(der: other, isEnhanced: true)?.broken(by: ["attest": "A"])
      }
    }
  }
}
