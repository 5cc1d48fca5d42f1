package import Base

/// Where the calls of a user go besides its phones; nil: nowhere else.
package struct Forwarding: Hashable, Sendable {
  /// Instead of the phones.
  package var always: Destination?
  package var busy: Destination?
  /// When the phones have rung for `noAnswerAfter`.
  package var noAnswer: Destination?
  package var noAnswerAfter = ResourceDefaults.noAnswerTime
  /// No phone is registered, or none responds.
  package var unreachable: Destination?

  package init() {}

  package var isEmpty: Bool {
    always == nil && busy == nil && noAnswer == nil && unreachable == nil
  }
}

/// What is done with a 3xx: its contacts are called as the one who sent it might call them, or it counts as
/// a refusal.
package enum RedirectPolicy: String, Sendable, CaseIterable { case follow, reject }

/// Whether a party may hand its calls on: by REFER (RFC 3515), and by an INVITE that takes the place of a call
/// (RFC 3891).
package enum TransferPolicy: String, Sendable, CaseIterable { case allow, deny }

/// What a trunk is told about the numbers that have forwarded a call to it.
package enum DiversionHeaders: String, Sendable, CaseIterable {
  case none
  /// RFC 5806.
  case diversion
  /// RFC 7044.
  case historyInfo = "history-info"
  case both

  package var hasDiversion: Bool { self == .diversion || self == .both }
  package var hasHistory: Bool { self == .historyInfo || self == .both }
}

/// Why a call went on from where it was sent.
package enum DiversionReason: UInt8, Sendable, CaseIterable {
  case always, busy, noAnswer, unreachable, deflection, unknown
}

struct CompiledForwarding: Sendable {
  var always: CompiledTarget?
  var busy: CompiledTarget?
  var noAnswer: CompiledTarget?
  var noAnswerAfter: Interval
  var unreachable: CompiledTarget?

  func target(_ reason: DiversionReason) -> CompiledTarget? {
    switch reason {
    case .always: always
    case .busy: busy
    case .noAnswer: noAnswer
    case .unreachable: unreachable
    case .deflection, .unknown: nil
    }
  }
}

extension Configuration {
  /// Where a user's calls go for this reason, as a call of that user; nil: nowhere.
  package func forwarding(
    ofUser user: Int, on reason: DiversionReason, random: inout RandomSource
  ) -> RoutePlan? {
    guard let target = tables.forwards.element(at: user)??.target(reason) else { return nil }
    let account = users[user]
    return plan(
      to: target, called: account.extension.isEmpty ? account.name : account.extension,
      random: &random)
  }

  /// How long the user's phones ring before the call is forwarded; nil: it is not.
  package func ringTime(ofUser user: Int) -> Interval? {
    guard let forwards = tables.forwards.element(at: user) ?? nil, forwards.noAnswer != nil else {
      return nil
    }
    return forwards.noAnswerAfter
  }
}

extension ConfigurationCompiler {
  /// After the chains: a destination may be a number or a prefix of the dial plan.
  mutating func compileForwarding() {
    for (index, user) in resources.users.enumerated() {
      let forward = user.forward
      let path: [PathElement] = ["users", .index(index), "forward"]
      checkTimeout(forward.noAnswerAfter, at: path + ["noAnswerAfter"])
      guard !forward.isEmpty, let tenant = tables.tenants[user.tenant] else {
        tables.forwards.append(nil)
        continue
      }
      func own(_ destination: Destination?) -> Bool { destination == .user(user.name) }
      for (key, destination) in [
        ("always", forward.always), ("busy", forward.busy), ("noAnswer", forward.noAnswer),
        ("unreachable", forward.unreachable),
      ] where own(destination) {
        report(
          path + [.key(key)], "user `\(user.name)` forwards to itself",
          remedy: "Name another destination.")
      }
      tables.forwards.append(
        CompiledForwarding(
          always: forwarded(forward.always, tenant, path + ["always"]),
          busy: forwarded(forward.busy, tenant, path + ["busy"]),
          noAnswer: forwarded(forward.noAnswer, tenant, path + ["noAnswer"]),
          noAnswerAfter: forward.noAnswerAfter,
          unreachable: forwarded(forward.unreachable, tenant, path + ["unreachable"])))
    }
  }

  private mutating func forwarded(
    _ destination: Destination?, _ tenant: Int, _ path: [PathElement]
  ) -> CompiledTarget? {
    destination.flatMap { target(of: $0, tenant: tenant, at: path) }
  }
}
