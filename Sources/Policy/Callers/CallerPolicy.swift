/// Which numbers a trunk may call from.
package enum CallerAllowance: String, Sendable, CaseIterable {
  /// Whatever it says.
  case any
  /// The tenant's numbers, and those of the list.
  case owned
  /// Those of the list.
  case listed
}

/// What is shown in place of a number that may not be.
package enum CallerFallback: String, Sendable, CaseIterable {
  /// The policy's own number.
  case standard = "default"
  case anonymous
  /// The call is refused.
  case refuse
}

package struct CallerPolicy: Hashable, Sendable {
  package var allow: CallerAllowance
  /// Whole numbers, and blocks of them that end with a star.
  package var numbers: [String]
  package var standard: String?
  /// Nil: the default where there is one, else anonymous.
  package var otherwise: CallerFallback?

  package init(
    allow: CallerAllowance = .any, numbers: [String] = [], standard: String? = nil,
    otherwise: CallerFallback? = nil
  ) {
    self.allow = allow
    self.numbers = numbers
    self.standard = standard
    self.otherwise = otherwise
  }
}

/// Numbers and blocks of numbers to look one up in.
struct NumberSet: Hashable, Sendable {
  private var exact: Set<String> = []
  private var blocks: [String] = []

  init(_ numbers: [String] = []) {
    for number in numbers {
      if number.utf8.last == UInt8(ascii: "*") {
        blocks.append(String(number.dropLast()))
      } else {
        exact.insert(number)
      }
    }
  }

  func contains(_ number: String) -> Bool {
    exact.contains(number) || blocks.contains { number.utf8.starts(with: $0.utf8) }
  }
}

struct CompiledCallerPolicy: Sendable {
  var allow: CallerAllowance
  var numbers: NumberSet
  var standard: String?
  var otherwise: CallerFallback

  init(_ policy: CallerPolicy) {
    allow = policy.allow
    numbers = NumberSet(policy.numbers)
    standard = policy.standard
    otherwise = policy.otherwise ?? (policy.standard == nil ? .anonymous : .standard)
  }
}

/// Who is calling, as far as those who are called may learn it.
package struct CallerIdentity: Hashable, Sendable {
  /// How it was come by; the word of the call's notes.
  package enum Origin: String, Sendable {
    case asGiven = "as given"
    case believed = "as asserted"
    case owned
    case preferred = "as preferred"
    case ofUser = "of the user"
    case standard = "default"
    case unknown = "withheld"
  }

  /// Nil: nobody knows.
  package var number: String?
  package var origin: Origin
  /// The caller asks that it is not shown (RFC 3323): it goes to trusted networks alone, and marked.
  package var isPrivate: Bool

  package init(number: String?, origin: Origin, isPrivate: Bool = false) {
    self.number = number
    self.origin = origin
    self.isPrivate = isPrivate
  }

  /// We know it to be true, or have it from somebody whom we believe (RFC 3325 §5).
  package var isAsserted: Bool {
    guard number != nil else { return false }
    switch origin {
    case .believed, .owned, .preferred, .ofUser, .standard: return true
    case .asGiven, .unknown: return false
    }
  }

  /// More than taking a caller at its word.
  package var isChoice: Bool {
    switch origin {
    case .believed, .owned, .preferred, .standard: true
    case .asGiven, .ofUser, .unknown: false
    }
  }

  /// What the called side and the record are shown.
  package var shown: String { isPrivate ? Self.anonymous : number ?? Self.anonymous }

  /// RFC 3323 §4.1.
  package static let anonymous = "anonymous"
}

/// What a request says of its caller.
package struct CallerClaim: Hashable, Sendable {
  package var number: String?
  /// It stands where somebody whom we believe puts it.
  package var isBelieved = false
  /// P-Preferred-Identity: which of its numbers a user would like to be seen as (RFC 3325 §9.2).
  package var preferred: String?
  package var isPrivate = false

  package init() {}
}

extension Configuration {
  /// Who is shown as calling. Failure: `.callerRefused`.
  package func identify(_ caller: CallerKind, _ claim: CallerClaim) throws(Cause)
    -> CallerIdentity
  {
    switch caller {
    case .user(let user): return identity(ofUser: user, claim)
    case .trunk(let trunk): return try identity(ofTrunk: trunk, claim)
    case .phone:
      return CallerIdentity(number: claim.number, origin: .asGiven, isPrivate: claim.isPrivate)
    }
  }

  /// A user is its number, or one of its others that it prefers.
  private func identity(ofUser index: Int, _ claim: CallerClaim) -> CallerIdentity {
    guard let user = users.element(at: index) else {
      return CallerIdentity(number: nil, origin: .unknown, isPrivate: claim.isPrivate)
    }
    if let wish = claim.preferred.flatMap({ inside($0, caller: .user(index)) }),
      user.callerIDs.contains(wish)
    {
      return CallerIdentity(number: wish, origin: .preferred, isPrivate: claim.isPrivate)
    }
    return CallerIdentity(
      number: user.callerID ?? user.extension, origin: .ofUser, isPrivate: claim.isPrivate)
  }

  /// Whether what a trunk says of who sent a call on may be shown to others: only where it may show any caller.
  package func showsDiversions(ofTrunk index: Int) -> Bool {
    guard let policy = tables.callers.element(at: index) ?? nil else { return true }
    return policy.allow == .any
  }

  private func identity(ofTrunk index: Int, _ claim: CallerClaim) throws(Cause) -> CallerIdentity {
    let claimed = claim.number.flatMap { inside($0, caller: .trunk(index)) }
    guard let policy = tables.callers.element(at: index) ?? nil, policy.allow != .any else {
      let origin: CallerIdentity.Origin =
        claimed == nil ? .unknown : claim.isBelieved ? .believed : .asGiven
      return CallerIdentity(number: claimed, origin: origin, isPrivate: claim.isPrivate)
    }
    let tenant = tables.tenantOfTrunk.element(at: index) ?? -1
    if let wish = claim.preferred.flatMap({ inside($0, caller: .trunk(index)) }),
      let own = policy.own(wish, tenant: tenant, tables)
    {
      return CallerIdentity(number: own, origin: .preferred, isPrivate: claim.isPrivate)
    }
    if let claimed, let own = policy.own(claimed, tenant: tenant, tables) {
      return CallerIdentity(number: own, origin: .owned, isPrivate: claim.isPrivate)
    }
    // Who asks to stay unknown claims nothing that could be wrong.
    switch policy.otherwise {
    case .standard:
      return CallerIdentity(number: policy.standard, origin: .standard, isPrivate: claim.isPrivate)
    case .anonymous:
      return CallerIdentity(number: nil, origin: .unknown, isPrivate: claim.isPrivate)
    case .refuse:
      if claimed == nil, claim.isPrivate {
        return CallerIdentity(number: policy.standard, origin: .standard, isPrivate: true)
      }
      throw .callerRefused
    }
  }

  /// The one spelling that numbers are compared in. What cannot be read stays as it is if it can be shown at
  /// all: the digits and letters of a number or a name.
  private func inside(_ written: String, caller: CallerKind) -> String? {
    if let reader = numberReader(of: caller), let read = try? reader.read(written) {
      switch read {
      case .global(let number), .local(let number): return number
      case .name: break
      }
    }
    let end = written.utf8.firstIndex(of: UInt8(ascii: ";")) ?? written.utf8.endIndex
    let text = String(written[..<end])
    let isPlain = text.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
      // * + - . _
      case 0x2a, 0x2b, 0x2d, 0x2e, 0x5f: true
      default: false
      }
    }
    guard isPlain, (1...64).contains(text.utf8.count), text != CallerIdentity.anonymous else {
      return nil
    }
    return text
  }
}

extension CompiledCallerPolicy {
  /// The number as it is inside, if it is one that may be shown; carriers and PBXs write it without plus as
  /// they like.
  func own(_ number: String, tenant: Int, _ tables: ConfigurationTables) -> String? {
    for spelling in [number, DialString.withOtherPlus(number)] {
      if numbers.contains(spelling) { return spelling }
      if allow == .owned, tables.numbers[TenantKey(tenant, spelling)] != nil { return spelling }
    }
    return nil
  }
}
