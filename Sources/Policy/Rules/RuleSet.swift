import Base
package import SIPWire

/// The rules of one trunk, compiled: which of them can concern a message is one look at a few bits, and what they
/// do to one depends on that message alone, so it can be tried without a call.
package final class RuleSet: Sendable {
  let rules: [CompiledRule]
  private let concerns: [RuleDirection: Bool]

  /// Nil for no rules.
  init?(_ rules: [CompiledRule]) {
    guard !rules.isEmpty else { return nil }
    self.rules = rules
    var concerns: [RuleDirection: Bool] = [:]
    for rule in rules { concerns[rule.direction] = true }
    self.concerns = concerns
  }

  /// Whether any rule is for such messages; `status` is 0 for requests.
  package func concern(_ direction: RuleDirection, _ method: Method, status: Int) -> Bool {
    guard concerns[direction] == true else { return false }
    return rules.contains { $0.concerns(direction, method, status: status) }
  }

  /// What the rules make of a message. They are applied one after another, each to what the one before left.
  package func apply(_ direction: RuleDirection, to message: borrowing Message) -> RuleOutcome {
    var outcome = RuleOutcome()
    let method = message.isRequest ? message.method : message.cseq?.method ?? .other
    let status = message.status
    var draft: RuleMessage?
    for rule in rules where rule.concerns(direction, method, status: status) {
      var working = draft ?? RuleMessage(message)
      var trace = RuleTrace(rule: rule.name)
      if let groups = rule.groups(in: working, &trace) {
        trace.matched = true
        for action in rule.actions {
          action.apply(to: &working, groups, &trace, passing: &outcome.passed)
        }
        draft = working
      }
      outcome.traces.append(trace)
    }
    guard let draft, outcome.traces.contains(where: { $0.matched && !$0.changes.isEmpty }) else {
      return outcome
    }
    let bytes = draft.bytes
    // Whatever was set, it must still be a message that says who sent it.
    let index = HeaderIndex()
    if let changed = try? Message.parse(bytes.span.rawSpan, using: index), changed.defect() == nil {
      outcome.message = bytes
    } else {
      outcome.isUnreadable = true
    }
    return outcome
  }
}

/// What became of one rule.
package struct RuleTrace: Hashable, Sendable {
  package var rule: String
  package var matched = false
  /// What it did, a line each; of one that did not match, which condition did not hold.
  package var changes: [String] = []
  /// What it was not allowed to do.
  package var refusals: [String] = []
}

package struct RuleOutcome: Sendable {
  package var traces: [RuleTrace] = []
  /// Nil: nothing was changed.
  package var message: [UInt8]?
  /// The rules together made something of it that is no message any more: it stays as it was.
  package var isUnreadable = false
  /// Headers that cross to the other side, as whole lines without their ends.
  package var passed: [[UInt8]] = []

  package init() {}

  /// The rules that did something, for the call's notes.
  package var applied: [String] {
    traces.filter { $0.matched && !$0.changes.isEmpty }.map(\.rule)
  }
}

struct CompiledRule: Sendable {
  var name: String
  var direction: RuleDirection
  var methods: [Method]
  /// Empty: requests.
  var statuses: [ClosedRange<Int>]
  var conditions: [CompiledCondition]
  var actions: [CompiledAction]

  func concerns(_ direction: RuleDirection, _ method: Method, status: Int) -> Bool {
    guard direction == self.direction, methods.contains(method) else { return false }
    return status == 0 ? statuses.isEmpty : statuses.contains { $0.contains(status) }
  }

  /// Whole text of the first match and the groups of all; nil: a condition does not hold.
  func groups(in message: RuleMessage, _ trace: inout RuleTrace) -> [[UInt8]]? {
    var whole: [UInt8] = []
    var groups: [[UInt8]] = []
    for (position, condition) in conditions.enumerated() {
      let text = message.read(condition.part)
      var found = text != nil
      if let text, let pattern = condition.pattern {
        let match = pattern.match(text.span.rawSpan)
        found = match != nil
        if let match {
          groups += match.dropFirst().map { Array(text[$0.start..<$0.end]) }
        }
      }
      guard found != condition.negated else {
        trace.changes = [
          "condition \(position + 1), \(condition.text): "
            + (text.map { "it is `\(readable($0))`" } ?? "there is none")
        ]
        return nil
      }
      if position == 0 { whole = text ?? [] }
    }
    return [whole] + groups
  }
}

struct CompiledCondition: Sendable {
  var text: String
  var part: RulePart
  var pattern: Pattern?
  var negated: Bool
}

/// A value with groups in it.
struct RuleTemplate: Sendable {
  enum Piece: Sendable {
    case text([UInt8])
    case group(Int)
  }
  var pieces: [Piece]

  func text(_ groups: [[UInt8]]) -> [UInt8] {
    var out: [UInt8] = []
    for piece in pieces {
      switch piece {
      case .text(let text): out += text
      case .group(let group): if groups.indices.contains(group) { out += groups[group] }
      }
    }
    return out
  }
}

enum CompiledAction: Sendable {
  case set(RulePart, RuleTemplate, text: String)
  case add(RuleHeader, RuleTemplate)
  case remove(RuleHeader)
  case pass(RuleHeader)

  func apply(
    to message: inout RuleMessage, _ groups: [[UInt8]], _ trace: inout RuleTrace,
    passing passed: inout [[UInt8]]
  ) {
    switch self {
    case .set(let part, let template, let text):
      let value = template.text(groups)
      let before = message.read(part)
      if before == value { return }
      guard message.set(part, value) else {
        trace.refusals.append("\(text) cannot be `\(readable(value))`")
        return
      }
      trace.changes.append("set \(text) to `\(readable(value))`")
    case .add(let header, let template):
      let value = template.text(groups)
      guard message.add(header, value) else {
        trace.refusals.append("\(header.name) cannot be `\(readable(value))`")
        return
      }
      trace.changes.append("added \(header.name)")
    case .remove(let header):
      if message.remove(header) > 0 { trace.changes.append("removed \(header.name)") }
    case .pass(let header):
      for value in message.values(header) {
        guard RuleMessage.isVisible(value), value.count <= RuleLimits.value,
          passed.count < RuleLimits.passed
        else {
          trace.refusals.append("\(header.name) is too long to pass, or not one line")
          continue
        }
        passed.append(Array("\(header.name): ".utf8) + value)
        trace.changes.append("passed \(header.name)")
      }
    }
  }
}

/// Text of a message for people: cut, and nothing in it that could be taken for anything else.
private func readable(_ bytes: [UInt8]) -> String {
  let shown = bytes.prefix(80).map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
  return String(decoding: shown, as: UTF8.self) + (bytes.count > 80 ? "…" : "")
}
