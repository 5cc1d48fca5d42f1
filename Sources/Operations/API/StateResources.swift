/// What is running, and how it does.
package struct StatusResource: Codable, Hashable, Sendable {
  package struct Address: Codable, Hashable, Sendable {
    package var name: String
    package var address: String
    package init(name: String, address: String) {
      self.name = name
      self.address = address
    }
  }

  package var version: String
  /// `running` or `draining`.
  package var state: String
  package var started: String
  package var uptimeSeconds: Double
  package var processId: Int
  package var revision: UInt64
  package var listeners: [Address]
  /// Addresses with their range of ports.
  package var media: [Address]
  package var socket: String
  package var store: String
  package var metrics: String?
  package var activeCalls: Int
  package var callsAttempted: UInt64
  package var callsAnswered: UInt64
  package var registrations: Int
  package var mediaPortsFree: Int
  package var unconfirmedFacts: Int

  package init(
    version: String, state: String, started: String, uptimeSeconds: Double, processId: Int,
    revision: UInt64, listeners: [Address], media: [Address], socket: String, store: String,
    metrics: String?, activeCalls: Int = 0, callsAttempted: UInt64 = 0, callsAnswered: UInt64 = 0,
    registrations: Int = 0, mediaPortsFree: Int = 0, unconfirmedFacts: Int = 0
  ) {
    self.version = version
    self.state = state
    self.started = started
    self.uptimeSeconds = uptimeSeconds
    self.processId = processId
    self.revision = revision
    self.listeners = listeners
    self.media = media
    self.socket = socket
    self.store = store
    self.metrics = metrics
    self.activeCalls = activeCalls
    self.callsAttempted = callsAttempted
    self.callsAnswered = callsAnswered
    self.registrations = registrations
    self.mediaPortsFree = mediaPortsFree
    self.unconfirmedFacts = unconfirmedFacts
  }
}

/// How a trunk does; what it is, is a resource (`/v1/resources/trunks/NAME`).
package struct TrunkStateResource: Codable, Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var kind: String
  package var network: String
  package var targets: [String]
  package var calls: Int
  package var maxCalls: Int?
  package var callsPerSecond: Int?
  package var attempts: UInt64
  package var refusedByLimit: UInt64
  package var usable: Bool

  package init(name: String, tenant: String, kind: String, network: String) {
    self.name = name
    self.tenant = tenant
    self.kind = kind
    self.network = network
    targets = []
    calls = 0
    attempts = 0
    refusedByLimit = 0
    usable = true
  }
}

/// A phone's contact (RFC 3261 §10).
package struct RegistrationResource: Codable, Hashable, Sendable {
  package var tenant: String
  package var user: String
  package var contact: String
  package var source: String
  package var listener: String
  package var expires: String
  package var expiresInSeconds: Int
  package var userAgent: String

  package init(
    tenant: String, user: String, contact: String, source: String, listener: String,
    expires: String, expiresInSeconds: Int, userAgent: String
  ) {
    self.tenant = tenant
    self.user = user
    self.contact = contact
    self.source = source
    self.listener = listener
    self.expires = expires
    self.expiresInSeconds = expiresInSeconds
    self.userAgent = userAgent
  }
}

/// What an apply or a check came to.
package struct ApplyResource: Codable, Hashable, Sendable {
  package var revision: UInt64
  /// False when the document says what was there already, and after a check.
  package var changed: Bool
  /// How many of each kind the document has.
  package var counts: [String: Int]

  package init(revision: UInt64, changed: Bool, counts: [String: Int]) {
    self.revision = revision
    self.changed = changed
    self.counts = counts
  }
}

package struct PurgeResource: Codable, Hashable, Sendable {
  package var purged: Int
  /// Records that ended before this were removed.
  package var before: String

  package init(purged: Int, before: String) {
    self.purged = purged
    self.before = before
  }
}

package struct HangUpResource: Codable, Hashable, Sendable {
  package var id: String
  package var state: String

  package init(id: String, state: String) {
    self.id = id
    self.state = state
  }
}
