import Base
import Policy
import Testing

struct PrefixTableTests {
  @Test func aFewByHand() {
    let entries: [(prefix: String, value: Int32)] = [
      ("", 0), ("+", 1), ("+49", 2), ("+4930", 3), ("*", 4), ("+49", 9),
    ]
    let table = PrefixTable(entries)
    #expect(table.count == 5)
    #expect(table.longestMatch("1") == 0)
    #expect(table.longestMatch("+1") == 1)
    #expect(table.longestMatch("+4989") == 2)
    #expect(table.longestMatch("+49301234567890123456") == 3)
    #expect(table.longestMatch("*43") == 4)
    #expect(table.longestMatch("") == 0)
    #expect(table.longestMatch("alice") == nil)
    #expect(PrefixTable().longestMatch("1") == nil)
    let one: [(prefix: String, value: Int32)] = [("12", 1)]
    #expect(PrefixTable(one).longestMatch("1") == nil)
    let wrong: [(prefix: String, value: Int32)] = [("x", 1), ("12345678901234567", 2)]
    #expect(PrefixTable(wrong).isEmpty)
  }

  /// Few symbols, so that prefixes nest and collide often.
  @Test(arguments: 1...40)
  func agreesWithTheNaiveSearch(seed: UInt64) {
    var random = RandomSource(seed: seed)
    let symbols = seed.isMultiple(of: 2) ? Array("01") : Array("0123456789+*#")
    func text(_ longest: Int) -> String {
      String(
        (0..<random.next(below: longest + 1)).map { _ in symbols[random.next(below: symbols.count)]
        })
    }
    var prefixes: [String: Int32] = [:]
    var entries: [(prefix: String, value: Int32)] = []
    for value in 0..<Int32(random.next(below: 300) + 1) {
      let prefix = text(16)
      entries.append((prefix, value))
      if prefixes[prefix] == nil { prefixes[prefix] = value }
    }
    let table = PrefixTable(entries)
    #expect(table.count == prefixes.count)
    for _ in 0..<500 {
      let number = text(20)
      let naive = (0...number.count).reversed().lazy
        .compactMap { prefixes[String(number.prefix($0))] }.first
      #expect(table.longestMatch(number) == naive, "\(number)")
    }
  }

  @Test func aHundredThousandPrefixesAreQuick() {
    var random = RandomSource(seed: 5)
    var entries: [(prefix: String, value: Int32)] = []
    for value in 0..<Int32(100_000) {
      entries.append(("+" + String(10_000 + random.next(below: 10_000_000)), value))
    }
    let table = PrefixTable(entries)
    let numbers = (0..<1_000).map { _ in "+" + String(10_000_000_000 + random.next(below: 1 << 40))
    }
    let clock = ContinuousClock()
    var found = 0
    let took = clock.measure {
      for _ in 0..<20 {
        for number in numbers where table.longestMatch(number) != nil { found += 1 }
      }
    }
    #expect(found > 0)
    // Some hundred ns in release; the bound is for debug builds on a busy machine.
    #expect(took / 20_000 < .microseconds(50), "\(took / 20_000) a lookup")
    print("PrefixTable, 100 000 prefixes: \(took / 20_000) a lookup")
  }
}
