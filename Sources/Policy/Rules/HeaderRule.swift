package enum RuleDirection: String, Sendable, CaseIterable {
  /// As the trunk's messages arrive: what is read of them changes.
  case inbound = "in"
  /// Before ours leave for the trunk.
  case outbound = "out"
}

/// What must hold for a rule: a part of the message and what it is to look like.
package struct RuleCondition: Hashable, Sendable {
  /// `request-uri.user`, `From.display`, `X-Thing`, `status` … (`RulePart`).
  package var part: String
  /// A pattern (`Pattern`) that the whole part fits. Nil: the part is there, whatever it says.
  package var matches: String?
  /// The condition holds where this would not.
  package var negated: Bool

  package init(part: String, matches: String? = nil, negated: Bool = false) {
    self.part = part
    self.matches = matches
    self.negated = negated
  }
}

/// What a rule does. Values may hold `$1` … `$9`: the groups of the conditions' patterns, in order; `$0` is the
/// first one's whole text, `$$` a dollar.
package enum RuleAction: Hashable, Sendable {
  case set(part: String, value: String)
  case add(header: String, value: String)
  case remove(header: String)
  /// A header of the caller's INVITE that crosses to the called side.
  case pass(header: String)
}

package struct HeaderRule: Hashable, Sendable {
  package var name: String
  package var direction: RuleDirection
  package var methods: [String]
  /// Responses to `methods` with such a status: "183", "4xx". Empty: the requests themselves.
  package var statuses: [String]
  /// All must hold.
  package var when: [RuleCondition]
  package var then: [RuleAction]

  package init(
    name: String, direction: RuleDirection, methods: [String] = ["INVITE"],
    statuses: [String] = [], when: [RuleCondition] = [], then: [RuleAction] = []
  ) {
    self.name = name
    self.direction = direction
    self.methods = methods
    self.statuses = statuses
    self.when = when
    self.then = then
  }
}

/// What rules may come to at most.
package enum RuleLimits {
  package static let rules = 64
  package static let conditions = 8
  package static let actions = 16
  /// Bytes of a value as it is written, and of a header that a rule made.
  package static let value = 256
  package static let header = 1_024
  /// Headers that one message may gain.
  package static let added = 16
  package static let passed = 8
  /// Bytes that one message may gain.
  package static let growth = 8_192
}
