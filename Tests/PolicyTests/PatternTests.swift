import Base
import Policy
import Testing

@Suite struct PatternTests {
  /// The groups, or nil where it is no match.
  private func match(_ pattern: String, _ text: String) throws -> [String]? {
    let bytes = Array(text.utf8)
    return try Pattern(pattern).match(bytes.span.rawSpan)?.dropFirst().map {
      String(decoding: bytes[$0.start..<$0.end], as: UTF8.self)
    }
  }

  @Test(
    "What matches",
    arguments: [
      ("abc", "abc", []), ("9(.+)", "90301234", ["0301234"]), (#"\+?(\d+)"#, "+4930", ["4930"]),
      (#"\+?(\d+)"#, "4930", ["4930"]), ("(a|b)*c", "ababc", ["b"]),
      ("(a*)(a*)", "aaa", ["aaa", ""]),
      ("(a*?)(a*)", "aaa", ["", "aaa"]), ("a{2,3}(a?)", "aaa", [""]), ("a{2}?(a?)", "aaa", ["a"]),
      ("[^@]+@(.*)", "x@y@z", ["y@z"]), ("(?i)sip:(.*)", "SIP:Anna", ["Anna"]),
      ("(?:00|011)(.*)", "01149", ["49"]), ("", "", []), ("(x)?y", "y", [""]),
      (#"a\.b\*\\"#, #"a.b*\"#, []), ("[]a]+", "]a", []), ("[a-c-]+", "a-c", []),
      ("(.*) <(.*)>", "Anna <sip:a@b>", ["Anna", "sip:a@b"]), (#"[\d.]+"#, "1.2", []),
    ] as [(String, String, [String])])
  func matches(pattern: String, text: String, groups: [String]) throws {
    #expect(try match(pattern, text) == groups)
  }

  @Test(
    "What does not",
    arguments: [
      ("abc", "abcd"), ("abc", "ab"), ("a+", ""), ("[^a]", "a"), (#"\d{3}"#, "12"), ("a|b", "ab"),
      (".", ""), (#"\d+"#, "1a"), ("a{0}", "a"),
    ])
  func doesNotMatch(pattern: String, text: String) throws {
    #expect(try match(pattern, text) == nil)
  }

  @Test(
    "What is no pattern",
    arguments: [
      "(", ")", "a)", "[", "[b-a]", "*", "a**", "a{", "a{2", "a{3,2}", "\\", "^a", "a$", "(?=a)",
      #"\1"#,
      #"\q"#, "((((((((((a))))))))))", "(?:" + String(repeating: "(?:", count: 20) + "a",
      String(repeating: "a", count: 300), "(?:a{100}){100}",
    ])
  func isNone(pattern: String) {
    #expect(throws: Pattern.Failure.self) { try Pattern(pattern) }
  }

  /// What takes others exponential time: the work here is the text's length times the pattern's.
  @Test(arguments: [
    "(a*)*b", "(a|a)*b", "(a|aa)+b", "(?:a?){40}(?:a){40}b", "(.*)(.*)(.*)(.*)(.*)x",
  ])
  func takesNoLongerThanItMust(pattern: String) throws {
    let text = [UInt8](repeating: UInt8(ascii: "a"), count: Pattern.maximumText)
    let compiled = try Pattern(pattern)
    let began = ContinuousClock.now
    #expect(compiled.match(text.span.rawSpan) == nil)
    #expect(ContinuousClock.now - began < .seconds(2))
  }

  @Test func longTextsDoNotMatch() throws {
    let text = [UInt8](repeating: UInt8(ascii: "a"), count: Pattern.maximumText + 1)
    #expect(try Pattern("a*").match(text.span.rawSpan) == nil)
  }
}
