import Base
import Policy
import SIPWire
import Testing

@Suite struct RuleTests {
  private static let invite =
    "INVITE sip:+4930123@trunk.example;user=phone SIP/2.0\r\n"
    + "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
    + "From: \"Anna\" <sip:+441@192.0.2.1>;tag=a;x=1\r\nTo: <sip:+4930123@trunk.example>\r\n"
    + "Call-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:me@192.0.2.1:5060>\r\nDiversion: <tel:+4955>;reason=busy\r\n"
    + "X-One: 1\r\nx-one: 2\r\nContent-Length: 4\r\n\r\nbody"

  private func rules(_ rules: [HeaderRule]) throws -> RuleSet {
    var compiler = RuleCompiler()
    let set = compiler.compile(rules, at: [])
    #expect(compiler.problems == [])
    return try #require(set)
  }

  /// The message after the actions, as lines; nil where nothing changed.
  private func changed(
    _ actions: [RuleAction], when: [RuleCondition] = [], _ text: String = invite,
    statuses: [String] = [], direction: RuleDirection = .outbound
  ) throws -> [String]? {
    let set = try rules([
      HeaderRule(name: "r", direction: direction, statuses: statuses, when: when, then: actions)
    ])
    let bytes = Array(text.utf8)
    let message = try Message.parse(bytes.span.rawSpan, using: HeaderIndex())
    let outcome = set.apply(direction, to: message)
    return outcome.message.map {
      String(decoding: $0, as: UTF8.self).split(separator: "\r\n").map(String.init)
    }
  }

  private func line(_ name: String, _ actions: [RuleAction], when: [RuleCondition] = []) throws
    -> String?
  {
    try changed(actions, when: when)?.first { $0.hasPrefix(name) }
  }

  @Test(
    "What is set stands there",
    arguments: [
      ("request-uri.user", "030 1", "INVITE sip:030%201@trunk.example;user=phone SIP/2.0"),
      ("request-uri.host", "[2001:db8::1]", "INVITE sip:+4930123@[2001:db8::1];user=phone SIP/2.0"),
      ("request-uri", "tel:+1", "INVITE tel:+1 SIP/2.0"),
      ("request-uri;user", "ip", "INVITE sip:+4930123@trunk.example;user=ip SIP/2.0"),
      ("request-uri;x", "1", "INVITE sip:+4930123@trunk.example;user=phone;x=1 SIP/2.0"),
      ("From.display", "B \"C\"", #"From: "B \"C\"" <sip:+441@192.0.2.1>;tag=a;x=1"#),
      ("From.display", "", "From: <sip:+441@192.0.2.1>;tag=a;x=1"),
      ("From.user", "1", #"From: "Anna" <sip:1@192.0.2.1>;tag=a;x=1"#),
      ("from.HOST", "x.example", #"From: "Anna" <sip:+441@x.example>;tag=a;x=1"#),
      ("From.uri", "tel:+1", #"From: "Anna" <tel:+1>;tag=a;x=1"#),
      ("From;x", "2", #"From: "Anna" <sip:+441@192.0.2.1>;tag=a;x=2"#),
      ("From;y", "", #"From: "Anna" <sip:+441@192.0.2.1>;tag=a;x=1;y"#),
      ("Contact.host", "sbc.example", "Contact: <sip:me@sbc.example:5060>"),
      ("m.user", "you", "Contact: <sip:you@192.0.2.1:5060>"),
      ("Diversion.user", "+1", "Diversion: <tel:+1>;reason=busy"),
      ("Diversion;reason", "unknown", "Diversion: <tel:+4955>;reason=unknown"),
      ("X-One", "3", "X-One: 3"), ("X-Two", "3", "X-Two: 3"), ("Subject", "a b", "Subject: a b"),
    ])
  func sets(part: String, value: String, line: String) throws {
    let lines = try changed([.set(part: part, value: value)])
    #expect(lines?.contains(line) == true, "\(lines ?? [])")
    #expect(lines?.last == "body")
  }

  @Test(
    "What may not stand there is not set",
    arguments: [
      ("request-uri.host", "a b"), ("request-uri", "nonsense"), ("From.uri", "nonsense"),
      ("From.host", "a>b"), ("From;x", "a;b"), ("From;x", "a\"b"), ("request-uri;x", "a;b"),
      ("Diversion.user", "anna"), ("X-Two.user", "1"), ("request-uri.user", ""),
    ])
  func doesNotSet(part: String, value: String) throws {
    #expect(try changed([.set(part: part, value: value)]) == nil)
  }

  @Test func groupsAndConditions() throws {
    let when = [
      RuleCondition(part: "From.user", matches: #"\+(\d)(\d+)"#),
      RuleCondition(part: "request-uri.user", matches: #"\+49(.*)"#),
      RuleCondition(part: "X-Three", negated: true), RuleCondition(part: "X-One"),
      RuleCondition(part: "X-One", matches: "2", negated: true),
    ]
    #expect(
      try line("X-Two", [.add(header: "X-Two", value: "$0 $1 $2 $3 $$1")], when: when)
        == "X-Two: +441 4 41 30123 $1")
    #expect(try changed([.remove(header: "X-One")], when: [RuleCondition(part: "X-Three")]) == nil)
    #expect(
      try changed([.remove(header: "X-One")], when: [RuleCondition(part: "X-One", matches: "2")])
        == nil)
    let left = try changed([.remove(header: "x-one")])
    #expect(left?.contains { $0.lowercased().hasPrefix("x-one") } == false)
  }

  /// What comes from the message cannot end a line, however it got there.
  @Test func nothingInjectsALine() throws {
    let text = Self.invite.replacing("X-One: 1", with: "X-One: a\r\n X-Evil: 1")
    let lines = try changed(
      [.set(part: "Subject", value: "$1")], when: [RuleCondition(part: "X-One", matches: "(.*)")],
      text)
    #expect(lines?.contains("Subject: a X-Evil: 1") == true)
    #expect(lines?.contains { $0.hasPrefix("X-Evil") } == false)
    let escaped = Self.invite.replacing("+4930123@", with: "a%0d%0aX:b@")
    #expect(
      try changed(
        [.set(part: "X-Two", value: "$1")],
        when: [RuleCondition(part: "request-uri.user", matches: "(.*)")], escaped)?
        .contains("X-Two: a%0d%0aX") == true)
  }

  @Test func limitsHold() throws {
    let many = (0..<16).map {
      RuleAction.add(header: "X-\($0)", value: String(repeating: "v", count: 256))
    }
    let set = try rules(
      (0..<8).map { HeaderRule(name: "r\($0)", direction: .outbound, then: many) })
    let bytes = Array(Self.invite.utf8)
    let outcome = set.apply(
      .outbound, to: try Message.parse(bytes.span.rawSpan, using: HeaderIndex()))
    #expect((outcome.message?.count ?? 0) <= bytes.count + 8_192)
    #expect(outcome.traces.contains { !$0.refusals.isEmpty })
  }

  @Test func statusesStayInTheirClass() throws {
    let response =
      "SIP/2.0 603 Decline\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
      + "To: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    func status(_ value: String) throws -> String? {
      try changed(
        [.set(part: "status", value: value)], response, statuses: ["6xx"], direction: .inbound)?
        .first
    }
    #expect(try status("486") == "SIP/2.0 486 Decline")
    for other in ["200", "183", "99", "700", "4861", "abc"] { #expect(try status(other) == nil) }
  }

  @Test(
    "What is no rule",
    arguments: [
      ("then[0].set", RuleAction.set(part: "Via", value: "x")),
      ("then[0].set", .set(part: "From", value: "x")),
      ("then[0].set", .set(part: "From;tag", value: "x")),
      ("then[0].set", .set(part: "Call-ID", value: "x")),
      ("then[0].set", .set(part: "i", value: "x")),
      ("then[0].set", .set(part: "no such.thing", value: "x")),
      ("then[0].set", .set(part: "status", value: "486")),
      ("then[0].add", .add(header: "Content-Length", value: "1")),
      ("then[0].add", .add(header: "To", value: "x")),
      ("then[0].add", .add(header: "a:b", value: "x")),
      ("then[0].remove", .remove(header: "CSeq")), ("then[0].remove", .remove(header: "Contact")),
      ("then[0].pass", .pass(header: "P-Asserted-Identity")),
      ("then[0].pass", .pass(header: "X-Out")),
      ("then[0].value", .add(header: "X", value: "a\r\nb")),
      ("then[0].value", .add(header: "X", value: "$1")),
      ("then[0].value", .add(header: "X", value: "$")),
      ("then[0].value", .add(header: "X", value: String(repeating: "x", count: 300))),
    ])
  func refused(path: String, action: RuleAction) {
    var compiler = RuleCompiler()
    _ = compiler.compile([HeaderRule(name: "r", direction: .outbound, then: [action])], at: [])
    #expect(compiler.problems.map(\.pathText) == ["[0].\(path)"])
  }

  /// A rule for messages that never leave or come by a trunk would do nothing, and says so.
  @Test(
    "Rules are for messages that there are",
    arguments: [
      (RuleDirection.outbound, [String](), ["INVITE", "ACK", "BYE", "OPTIONS", "REGISTER"], true),
      (.outbound, [], ["NOTIFY", "INFO", "UPDATE", "PRACK", "CANCEL"], true),
      (.outbound, [], ["REFER"], false), (.outbound, [], ["MESSAGE"], false),
      (.outbound, [], ["SUBSCRIBE"], false), (.outbound, [], ["PUBLISH"], false),
      (.outbound, ["2xx"], ["INVITE", "OPTIONS", "REFER"], true),
      (.outbound, ["2xx"], ["REGISTER"], false), (.outbound, ["2xx"], ["ACK"], false),
      (.inbound, [], ["INVITE"], true), (.inbound, [], ["REGISTER"], false),
      (.inbound, [], ["BYE"], false), (.inbound, ["486"], ["INVITE"], true),
      (.inbound, ["486"], ["OPTIONS"], false),
    ])
  func methods(
    direction: RuleDirection, statuses: [String], methods: [String], isFine: Bool
  ) {
    var compiler = RuleCompiler()
    let rule = HeaderRule(
      name: "r", direction: direction, methods: methods, statuses: statuses,
      then: [.set(part: "X-A", value: "1")])
    _ = compiler.compile([rule], at: [])
    #expect(compiler.problems.map(\.pathText) == (isFine ? [] : ["[0].methods[0]"]))
    #expect(compiler.problems.allSatisfy { $0.message.contains(methods[0]) && !$0.remedy.isEmpty })
  }

  @Test func otherMistakesAreTold() {
    var compiler = RuleCompiler()
    _ = compiler.compile(
      [
        HeaderRule(
          name: "", direction: .inbound, methods: ["DANCE"], statuses: ["9xx", "20"],
          when: [RuleCondition(part: "From.user", matches: "("), RuleCondition(part: "")]),
        HeaderRule(name: "", direction: .inbound, then: [.pass(header: "X-Fine")]),
      ], at: [])
    #expect(
      compiler.problems.map(\.pathText) == [
        "[0].name", "[0].methods[0]", "[0].statuses[0]", "[0].statuses[1]", "[0].then",
        "[0].when[0].matches", "[0].when[1].part", "[1].name", "[1].name",
      ])
  }
}
