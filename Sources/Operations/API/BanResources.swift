package import Base
package import CallCore

/// An address or block that nothing is taken from.
package struct BanResource: Codable, Hashable, Sendable {
  /// An address, or a block as `192.0.2.0/24`.
  package var network: String
  /// `scanner`, `names`, `passwords`, `malformed`, `connections` or `manual`.
  package var reason: String
  package var evidence: String
  package var since: String
  package var until: String
  package var endsInSeconds: Int
  /// Datagrams, messages and connections that were turned away.
  package var hits: UInt64
  /// How often it was banned before, as far as that is remembered.
  package var before: Int

  package init(_ ban: Ban, wall: WallTime, now: Instant) {
    network = ban.network.shortText
    reason = ban.reason.rawValue
    evidence = ban.evidence
    since = Timestamp.text(wall.milliseconds(at: ban.since) - Int64(ban.earlier.milliseconds))
    until = Timestamp.text(wall.milliseconds(at: ban.until))
    endsInSeconds = max(0, (ban.until - now).wholeSeconds)
    hits = ban.hits
    before = ban.before
  }
}

/// What an operator bans.
package struct BanOrderResource: Codable, Hashable, Sendable {
  /// An address or a block.
  package var network: String
  package var reason: String?
  /// Nil: an hour.
  package var seconds: Int?

  package static let standardSeconds = 3_600
  /// A year.
  package static let seconds = 1...31_536_000

  package init(network: String, reason: String? = nil, seconds: Int? = nil) {
    self.network = network
    self.reason = reason
    self.seconds = seconds
  }

  /// Nil: it names no block that may be banned. Half of the internet is a mistake.
  package var block: IPNetwork? {
    guard let block = IPNetwork(network), block.prefixLength >= 8 else { return nil }
    return block
  }

  package var isUsable: Bool {
    block != nil && seconds.map { Self.seconds.contains($0) } ?? true
  }
}

extension IPNetwork {
  /// Without the length where it is a whole address.
  package var shortText: String {
    prefixLength == (address.family == .v4 ? 32 : 128) ? "\(address)" : description
  }
}
