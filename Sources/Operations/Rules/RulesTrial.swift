import Base
package import Policy
import SIPWire

/// A saved message put through a trunk's rules, without a server.
package struct RulesTrial: Sendable {
  package enum Failure: Error, Sendable {
    case noTrunk(String, suggestion: String?)
    case noMessage(String)
    case rules([ConfigurationProblem])
  }

  package var before: String
  package var after: String
  package var traces: [RuleTrace]
  package var passed: [String]
  package var isUnreadable: Bool

  /// - Parameter message: as it was on the wire; a file that was edited may have LF alone.
  package init(
    _ resources: Resources, trunk name: String, direction: RuleDirection, message: [UInt8]
  ) throws(Failure) {
    guard let index = resources.trunks.firstIndex(where: { $0.name == name }) else {
      throw .noTrunk(name, suggestion: nearestMatch(to: name, in: resources.trunks.map(\.name)))
    }
    var compiler = RuleCompiler()
    let rules = compiler.compile(
      resources.trunks[index].rules, at: ["trunks", .index(index), "rules"])
    guard compiler.problems.isEmpty else { throw .rules(compiler.problems) }
    let bytes = Self.onTheWire(message)
    let parser = HeaderIndex()
    let read: Message
    do throws(SIPParseError) {
      read = try Message.parse(bytes.span.rawSpan, using: parser)
    } catch {
      throw .noMessage("\(error.reason) at byte \(error.offset)")
    }
    let outcome = rules?.apply(direction, to: read) ?? RuleOutcome()
    before = String(decoding: bytes, as: UTF8.self)
    after = String(decoding: outcome.message ?? bytes, as: UTF8.self)
    traces = outcome.traces
    passed = outcome.passed.map { String(decoding: $0, as: UTF8.self) }
    isUnreadable = outcome.isUnreadable
  }

  private static func onTheWire(_ message: [UInt8]) -> [UInt8] {
    if message.contains(0x0d) { return message }
    var out: [UInt8] = []
    for octet in message {
      if octet == 0x0a { out.append(0x0d) }
      out.append(octet)
    }
    return out
  }

  /// The lines of both, those that only one has marked.
  package var difference: [String] {
    let old = Self.lines(before)
    let new = Self.lines(after)
    let changes = new.difference(from: old)
    var removed = Set<Int>()
    var inserted: [Int: String] = [:]
    for change in changes {
      switch change {
      case .remove(let offset, _, _): removed.insert(offset)
      case .insert(let offset, let line, _): inserted[offset] = line
      }
    }
    var out: [String] = []
    var at = 0
    for (offset, line) in old.enumerated() {
      while let line = inserted[at], !removed.contains(offset) {
        out.append("+ " + line)
        at += 1
      }
      if removed.contains(offset) {
        out.append("- " + line)
      } else {
        out.append("  " + line)
        at += 1
      }
    }
    while let line = inserted[at] {
      out.append("+ " + line)
      at += 1
    }
    return out
  }

  private static func lines(_ text: String) -> [String] {
    text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).map {
      String(decoding: $0.last == 0x0d ? $0.dropLast() : $0, as: UTF8.self)
    }
  }

  package func text(on terminal: Terminal) -> String {
    var text = ""
    for line in difference {
      let tone: Tone = line.hasPrefix("+") ? .good : line.hasPrefix("-") ? .bad : .plain
      text += terminal.toned(Table.clean(line), tone) + "\n"
    }
    text += "\n"
    if traces.isEmpty { text += "No rule is for such a message.\n" }
    for trace in traces {
      let verdict = trace.matched ? "applied" : "not applied"
      text += "\(trace.rule): \(verdict)\n"
      for change in trace.changes { text += "  \(Table.clean(change))\n" }
      for refusal in trace.refusals {
        text += "  " + terminal.toned("not done: \(Table.clean(refusal))", .warning) + "\n"
      }
    }
    for line in passed { text += "crosses to the other side: \(Table.clean(line))\n" }
    if isUnreadable {
      text +=
        terminal.toned(
          "What the rules made of it is no SIP message; it would stay as it was.", .bad) + "\n"
    }
    return text
  }
}
