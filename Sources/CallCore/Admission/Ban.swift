package import Base

/// An address or block that nothing is taken from for a while.
package struct Ban: Hashable, Sendable {
  package enum Reason: String, Sendable, CaseIterable {
    /// Its User-Agent names a tool that searches for victims.
    case scanner
    /// It asked for one name after the other and proved none.
    case names
    /// It answered challenges wrongly, again and again.
    case passwords
    /// What it sends is no SIP.
    case malformed
    /// Its connections say nothing, or no SIP.
    case connections
    /// An operator's.
    case manual
  }

  package var network: IPNetwork
  package var reason: Reason
  /// What was seen, in words; of an operator's, why. Bounded, and without control characters.
  package var evidence: String
  package var since: Instant
  /// How much longer ago it began than the clock of this process can say.
  package var earlier = Interval.zero
  package var until: Instant
  /// Datagrams, messages and connections that were turned away.
  package var hits: UInt64 = 0
  /// What was seen cannot have come from anywhere else: the address had our challenge, or a connection. Of one that may
  /// be forged a ban is never longer than the first.
  package var isProven = false
  /// Bans of it before this one that are remembered.
  package var before = 0

  package static let evidenceLimit = 120

  package init(
    _ network: IPNetwork, _ reason: Reason, _ evidence: String, since: Instant, until: Instant
  ) {
    self.network = network
    self.reason = reason
    self.evidence = Self.clean(evidence)
    self.since = since
    self.until = until
  }

  private static func clean(_ text: String) -> String {
    let scalars = text.unicodeScalars.map { scalar in
      scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) ? " " : scalar
    }
    var cleaned = String.UnicodeScalarView()
    cleaned.append(contentsOf: scalars.prefix(evidenceLimit))
    return String(cleaned)
  }
}

/// How a ban ended.
package enum BanEnd: String, Sendable, CaseIterable {
  case expired, lifted
  /// What it covers has become a trunk's.
  case trusted
  /// There was no more room, and it would have ended first.
  case displaced
}

/// What the edge does for the border: it accepts no connections of whom it is told, closes those that there are, and has
/// the kernel drop what comes from there where that is wanted.
package enum BorderOrder: Sendable {
  case ban(IPNetwork, until: Instant)
  case lift(IPNetwork)
  /// Of the listeners' networks, in the listeners' order; nil: everybody may come.
  case access([AccessList?])
}

package import class Policy.AccessList
