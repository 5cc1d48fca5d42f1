package import Base

/// What is known besides of a contact whose registration a PBX keeps. A class, because most contacts have none.
package final class PassedContact: Hashable, Sendable {
  /// The PBX's trunk, by name.
  package let trunk: String
  /// The user part of our Contact there: the PBX calls the phone by it.
  package let token: String
  /// Since when the PBX has it, as far as this process knows; zero after a restart.
  package let since: Instant
  /// Until when the PBX keeps it.
  package let kept: Instant

  package init(trunk: String, token: String, since: Instant, kept: Instant) {
    self.trunk = trunk
    self.token = token
    self.since = since
    self.kept = kept
  }

  /// From when on the phone's next REGISTER is carried to the PBX: at the half of what it granted.
  var renew: Instant { since + .milliseconds((kept - since).milliseconds / 2) }

  package static func == (a: PassedContact, b: PassedContact) -> Bool {
    a.trunk == b.trunk && a.token == b.token && a.since == b.since && a.kept == b.kept
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(trunk)
    hasher.combine(token)
    hasher.combine(since)
    hasher.combine(kept)
  }
}

/// Registrations that are carried to PBXs, counted.
package struct PassingCounters: Hashable, Sendable {
  /// Waiting for the PBX's answer now.
  package var pending = 0
  /// Contacts that PBXs keep.
  package var contacts = 0
  /// Carried to a PBX and answered by it, whatever it said.
  package var answered: UInt64 = 0
  /// Refreshes that were answered here, since the PBX keeps the contact for longer.
  package var answeredHere: UInt64 = 0
  /// No PBX answered.
  package var unanswered: UInt64 = 0
  /// Too many waited, or there was no room for the contact.
  package var atLimit: UInt64 = 0
  package init() {}
}
