import Base
import SIPWire

/// Rules as they are written become rules as they are applied, or problems with their places.
package struct RuleCompiler {
  package private(set) var problems: [ConfigurationProblem] = []

  package init() {}

  /// Nil for none, and where there are problems.
  package mutating func compile(_ rules: [HeaderRule], at path: [PathElement]) -> RuleSet? {
    if rules.count > RuleLimits.rules {
      report(path, "a trunk has at most \(RuleLimits.rules) rules", "Make one of several.")
    }
    var names: Set<String> = []
    var compiled: [CompiledRule] = []
    for (index, rule) in rules.enumerated() {
      let here = path + [.index(index)]
      if !names.insert(rule.name).inserted {
        report(here + ["name"], "two rules are named `\(rule.name)`", "Change one of the two.")
      }
      compiled.append(compile(rule, at: here))
    }
    return problems.isEmpty ? RuleSet(compiled) : nil
  }

  private mutating func report(_ path: [PathElement], _ message: String, _ remedy: String) {
    problems.append(ConfigurationProblem(path: path, message: message, remedy: remedy))
  }

  private mutating func compile(_ rule: HeaderRule, at path: [PathElement]) -> CompiledRule {
    if rule.name.isEmpty || rule.name.utf8.count > ResourceLimits.nameLength
      || !rule.name.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
    {
      report(path + ["name"], "`\(rule.name)` is no name", "Use 1 to 64 visible characters.")
    }
    if rule.methods.isEmpty {
      report(path + ["methods"], "a rule needs a method", "Leave methods out for INVITE.")
    }
    let methods = rule.methods.enumerated().compactMap {
      method($0.element, rule, at: path + ["methods", .index($0.offset)])
    }
    let statuses = rule.statuses.enumerated().compactMap {
      status($0.element, at: path + ["statuses", .index($0.offset)])
    }
    if rule.when.count > RuleLimits.conditions {
      report(
        path + ["when"], "a rule has at most \(RuleLimits.conditions) conditions",
        "Make two rules of it.")
    }
    if rule.then.isEmpty || rule.then.count > RuleLimits.actions {
      report(
        path + ["then"], "a rule does 1 to \(RuleLimits.actions) things",
        "Add set, add, remove or pass under then.")
    }
    let conditions = rule.when.enumerated().compactMap {
      condition($0.element, at: path + ["when", .index($0.offset)])
    }
    let groups = conditions.reduce(0) { $0 + ($1.negated ? 0 : $1.pattern?.groups ?? 0) }
    if groups > Pattern.maximumGroups {
      report(
        path + ["when"], "the patterns of a rule have at most \(Pattern.maximumGroups) groups",
        "Use (?: ) where the text is not needed again.")
    }
    let actions = rule.then.enumerated().compactMap {
      action($0.element, rule, groups: groups, at: path + ["then", .index($0.offset)])
    }
    return CompiledRule(
      name: rule.name, direction: rule.direction, methods: methods, statuses: statuses,
      conditions: conditions, actions: actions)
  }

  private mutating func method(
    _ name: String, _ rule: HeaderRule, at path: [PathElement]
  ) -> Method? {
    let method = Method.parse(Array(name.utf8).span.rawSpan)
    guard method != .other else {
      report(path, "`\(name)` is no method that rules are for", "Write INVITE, BYE, REGISTER …")
      return nil
    }
    let isFor = RuleScope(rule)
    guard isFor.methods.contains(method) else {
      let names = isFor.methods.map { "\($0.token)" }.joined(separator: ", ")
      report(
        path, "no rule is applied to \(isFor.text) \(method.token)",
        "\(isFor.methods.count == 1 ? "Write" : "Write one or more of") \(names)"
          + (rule.direction == .inbound ? ", or make the direction out." : "."))
      return nil
    }
    return method
  }

  /// "183", "4xx"
  private mutating func status(_ text: String, at path: [PathElement]) -> ClosedRange<Int>? {
    let bytes = Array(text.utf8)
    if bytes.count == 3, (0x31...0x36).contains(bytes[0]) {
      let hundreds = Int(bytes[0] - 0x30) * 100
      if bytes[1] | 0x20 == UInt8(ascii: "x"), bytes[2] | 0x20 == UInt8(ascii: "x") {
        return hundreds...(hundreds + 99)
      }
      if let status = Int(text) { return status...status }
    }
    report(path, "`\(text)` is no status", "Write a status such as 183, or a class such as 4xx.")
    return nil
  }

  private mutating func condition(_ condition: RuleCondition, at path: [PathElement])
    -> CompiledCondition?
  {
    guard let part = part(condition.part, at: path + ["part"]) else { return nil }
    var pattern: Pattern?
    if let text = condition.matches {
      do throws(Pattern.Failure) {
        pattern = try Pattern(text)
      } catch {
        report(
          path + ["matches"], "`\(text)` is no pattern: \(error.message), at \(error.offset + 1)",
          "See header-rules.md for what a pattern may hold.")
        return nil
      }
    }
    let text =
      "\(condition.part) \(condition.negated ? "not " : "")"
      + (condition.matches.map { "\($0)" } ?? "there")
    return CompiledCondition(
      text: text, part: part, pattern: pattern, negated: condition.negated)
  }

  private mutating func part(_ text: String, at path: [PathElement]) -> RulePart? {
    guard let part = RulePart(text) else {
      report(
        path, "`\(text)` is no part of a message",
        "Write a header's name, request-uri or status, with .display, .uri, .user, .host or ;parameter behind it."
      )
      return nil
    }
    return part
  }

  private mutating func action(
    _ action: RuleAction, _ rule: HeaderRule, groups: Int, at path: [PathElement]
  ) -> CompiledAction? {
    switch action {
    case .set(let text, let value):
      guard let part = part(text, at: path + ["set"]) else { return nil }
      guard isSettable(part, rule, at: path + ["set"], text),
        let template = template(value, groups: groups, at: path + ["value"])
      else { return nil }
      return .set(part, template, text: text)
    case .add(let name, let value):
      guard let header = header(name, at: path + ["add"]),
        isFree(header, at: path + ["add"], isWhole: true),
        let template = template(value, groups: groups, at: path + ["value"])
      else { return nil }
      return .add(header, template)
    case .remove(let name):
      guard let header = header(name, at: path + ["remove"]),
        isFree(header, at: path + ["remove"], isWhole: true)
      else { return nil }
      return .remove(header)
    case .pass(let name):
      guard let header = header(name, at: path + ["pass"]) else { return nil }
      guard header.mayPass else {
        report(
          path + ["pass"], "\(header.name) is written by us on each side and does not pass",
          "Pass a header that we have no word of our own for; numbers and callers cross by themselves."
        )
        return nil
      }
      guard rule.direction == .inbound, rule.methods == ["INVITE"], rule.statuses.isEmpty else {
        report(
          path + ["pass"], "only what comes in with an INVITE passes",
          "Make the rule's direction in, its methods [INVITE], and leave statuses out.")
        return nil
      }
      return .pass(header)
    }
  }

  private mutating func header(_ name: String, at path: [PathElement]) -> RuleHeader? {
    guard let header = RuleHeader(name) else {
      report(path, "`\(name)` is no header's name", "Write the name without its colon.")
      return nil
    }
    return header
  }

  private mutating func isFree(_ header: RuleHeader, at path: [PathElement], isWhole: Bool) -> Bool
  {
    if header.isFixed || (isWhole && header.isOfDialog) {
      report(
        path, "\(header.name) is not for rules to replace: without it no answer finds its way",
        header.isOfDialog
          ? "Set a piece of it: \(header.name).user, .host or .display."
          : "Choose another header.")
      return false
    }
    return true
  }

  private mutating func isSettable(
    _ part: RulePart, _ rule: HeaderRule, at path: [PathElement], _ text: String
  ) -> Bool {
    switch part.field {
    case .status:
      guard rule.direction == .inbound, !rule.statuses.isEmpty else {
        report(
          path, "a status is set in responses that come in",
          "Make the direction in, and name the responses under statuses.")
        return false
      }
    case .requestURI:
      guard rule.statuses.isEmpty else {
        report(path, "a response has no request URI", "Leave statuses out.")
        return false
      }
    case .header(let header):
      guard isFree(header, at: path, isWhole: part.piece == .whole) else { return false }
      if case .parameter(let name) = part.piece, asciiLowercased(name) == "tag" {
        report(path, "tags are not for rules", "Choose another parameter.")
        return false
      }
    }
    return true
  }

  private mutating func template(_ value: String, groups: Int, at path: [PathElement])
    -> RuleTemplate?
  {
    let bytes = Array(value.utf8)
    guard bytes.count <= RuleLimits.value, RuleMessage.isVisible(bytes) else {
      report(
        path, "a value is one line of at most \(RuleLimits.value) bytes",
        "Leave control characters and line breaks out.")
      return nil
    }
    var pieces: [RuleTemplate.Piece] = []
    var text: [UInt8] = []
    var at = 0
    while at < bytes.count {
      let octet = bytes[at]
      at += 1
      guard octet == UInt8(ascii: "$") else {
        text.append(octet)
        continue
      }
      let sign = at < bytes.count ? bytes[at] : 0
      at += 1
      if sign == UInt8(ascii: "$") {
        text.append(sign)
      } else if (0x30...0x39).contains(sign), Int(sign - 0x30) <= groups {
        pieces += [.text(text), .group(Int(sign - 0x30))]
        text = []
      } else {
        report(
          path, "`\(value)` names a group that the conditions do not have",
          "They have \(groups); $0 is the first one's whole text, $$ a dollar.")
        return nil
      }
    }
    return RuleTemplate(pieces: pieces + [.text(text)])
  }
}

/// To which messages of a trunk rules of a kind are applied.
private struct RuleScope {
  var text: String
  var methods: [Method]

  init(_ rule: HeaderRule) {
    switch (rule.direction, rule.statuses.isEmpty) {
    case (.inbound, true): (text, methods) = ("what comes in with", [.invite])
    case (.inbound, false): (text, methods) = ("what comes in as a response to", [.invite])
    case (.outbound, true):
      // REFER and SUBSCRIBE end here, MESSAGE and PUBLISH are not served: they never leave by a trunk.
      text = "what goes out as"
      methods = [
        .invite, .ack, .bye, .cancel, .prack, .update, .info, .notify, .options, .register,
      ]
    case (.outbound, false):
      text = "what goes out as a response to"
      methods = [
        .invite, .bye, .cancel, .prack, .update, .info, .options, .refer, .subscribe, .notify,
      ]
    }
  }
}
