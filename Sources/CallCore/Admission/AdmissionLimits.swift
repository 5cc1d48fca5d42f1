package import Base

/// What strangers may do: whoever is no trunk of ours, has no phone registered at the address and port, and proved
/// nothing from the address lately.
package struct AdmissionLimits: Hashable, Sendable {
  /// Requests a second of one address (of one /64 of IPv6), of one block (/24, of IPv6 /48), and of all strangers of a
  /// network. Twice as many at once.
  package var sourceRate = 100
  package var blockRate = 500
  package var networkRate = 5_000
  /// Whether addresses are banned without anybody's order.
  package var bansItself = true
  /// How long the first ban of an address is, and the longest.
  package var banTime = Interval.seconds(600)
  package var longestBan = Interval.seconds(86_400)
  /// What the User-Agent of further scanners begins with.
  package var scanners: [String] = []
  /// Addresses and blocks that are remembered, pairs of account and block, and bans.
  package var sources = 32_768
  package var blocks = 8_192
  package var accounts = 16_384
  package var bans = 10_000

  package init() {}
}

/// What is not set: how much of what tells a scanner from somebody who errs.
enum Suspicion {
  /// Names that an address may ask for without proving any. For a further one it gets no answer, nor for any other
  /// request without credentials, until it proves one.
  static let names = 8
  /// And when it has proved none for so long after the first of them, it is banned.
  static let patience = Interval.seconds(2)
  /// Names that were asked for longer ago are forgotten.
  static let memory = Interval.seconds(600)

  /// Offences are counted in parts: what is no SIP is one, a wrong password or a connection that says nothing more. A
  /// part is forgiven in so long, and an address with more than so many is banned: for nine wrong passwords at once, and
  /// never for one in half a minute.
  static let forgiveness = Interval.seconds(6)
  static let parts = 40
  static let malformed: UInt64 = 1
  static let wrongPassword: UInt64 = 5
  static let silentConnection: UInt64 = 5

  /// Wrong answers that are looked at for one account from one block (/24, /48): never more than twice as many in a
  /// minute.
  static let guesses = 10
  static let guessInterval = Interval.seconds(6)

  /// How much longer each further ban is.
  static let growth = 6
  /// How long an address stays known after it proved something.
  static let acquaintance = Interval.seconds(3_600)
  /// How long it is remembered that an address was banned.
  static let remembrance = Interval.seconds(86_400)
  /// New bans a second: what a flood of forged addresses can make is bounded.
  static let bansPerSecond = 100
}

/// What was turned away before it came to anything.
package struct AdmissionCounters: Hashable, Sendable {
  package enum Reason: String, Sendable, CaseIterable {
    /// By the network's access list, by a ban, above one of the rates.
    case denied, banned, sourceRate, blockRate, networkRate
    /// A scanner by its own name; somebody who asks for one name after the other; guesses that were not looked at.
    case scanner, names, guesses
  }
  package private(set) var turnedAway = [UInt64](repeating: 0, count: Reason.allCases.count)
  /// Bans that there are now, that there were, and that did not come about because there were too many.
  package var bans = 0
  package var bansMade: UInt64 = 0
  package var bansMissed: UInt64 = 0

  package init() {}

  package subscript(reason: Reason) -> UInt64 { turnedAway[reason.place] }

  mutating func count(_ reason: Reason) { turnedAway[reason.place] &+= 1 }
}

extension AdmissionCounters.Reason {
  fileprivate var place: Int {
    switch self {
    case .denied: 0
    case .banned: 1
    case .sourceRate: 2
    case .blockRate: 3
    case .networkRate: 4
    case .scanner: 5
    case .names: 6
    case .guesses: 7
    }
  }
}
