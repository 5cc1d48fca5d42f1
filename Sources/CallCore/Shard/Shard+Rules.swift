import Base
import Policy
import SIPCore
import SIPWire

// A trunk's header rules, where its messages are read and where ours for it are written.

extension Shard {
  /// What the rules make of a message that came in; nil: it stays as it is.
  func changedByRules(
    _ direction: RuleDirection, _ message: borrowing Message, _ leg: Leg?
  ) -> [UInt8]? {
    guard let leg, let rules = leg.rules,
      rules.concern(direction, message.cseq?.method ?? .other, status: message.status)
    else { return nil }
    let outcome = rules.apply(direction, to: message)
    note(outcome, leg, "what came in")
    return outcome.message
  }

  /// Changes the message of a leg that is being written, which is whole and not sent yet.
  func changeByRules(_ leg: Leg?, _ method: Method, status: Int) {
    guard let leg, let rules = leg.rules else { return }
    changeByRules(rules, leg, method, status: status)
  }

  /// The same of a request, which may be of no leg: OPTIONS that ask how a target is, and REGISTER.
  func changeByRules(_ transaction: ClientTransaction) {
    if let leg = transaction.leg { return changeByRules(leg, transaction.method, status: 0) }
    let rules: RuleSet? =
      switch transaction.sender {
      case .probe(let target): target.rules
      case .report(let publication): publication.target.rules
      case .registration(let upstream): upstream.rules
      case .passed(let passed): passed.ways.element(at: passed.chosen)?.watched?.rules
      case .none, .subscription: nil
      }
    guard let rules else { return }
    changeByRules(rules, nil, transaction.method, status: 0)
  }

  private func changeByRules(_ rules: RuleSet, _ leg: Leg?, _ method: Method, status: Int) {
    guard rules.concern(.outbound, method, status: status), !outbox.datagrams.isOverflowing
    else { return }
    let outcome = outbox.datagrams.withOpenBytes { bytes -> RuleOutcome? in
      guard let message = try? Message.parse(bytes, using: ruleIndex) else { return nil }
      return rules.apply(.outbound, to: message)
    }
    guard let outcome else { return }
    if let leg { note(outcome, leg, "what went out") }
    guard let changed = outcome.message else { return }
    outbox.datagrams.begin()
    outbox.datagrams.append(changed)
  }

  private func note(_ outcome: RuleOutcome, _ leg: Leg, _ what: String) {
    guard let session = leg.session else { return }
    for rule in outcome.applied { note("rule \(rule) applied to \(what)", session) }
    if outcome.isUnreadable {
      note("rules made no message of \(what), which stayed as it was", session)
    }
  }
}
