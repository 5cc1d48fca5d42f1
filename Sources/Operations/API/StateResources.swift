package import CallCore
import SIPWire

/// What is running, and how it does.
package struct StatusResource: Codable, Hashable, Sendable {
  package struct Address: Codable, Hashable, Sendable {
    package var name: String
    package var address: String
    /// Of a listener.
    package var transport: String?
    /// Of a listener that a reload took away: it takes nothing new, and closes after its last call.
    package var leaving: Bool?
    package init(name: String, address: String, transport: String? = nil, leaving: Bool? = nil) {
      self.name = name
      self.address = address
      self.transport = transport
      self.leaving = leaving
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
  /// Nil while nobody is refused for load.
  package var overload: OverloadResource?

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

/// What is refused for load, while something is.
package struct OverloadResource: Codable, Hashable, Sendable {
  /// How long messages wait at least before they are taken.
  package var waitMilliseconds: Double
  /// Of new calls, in per cent: those of whoever has proved nothing, and those of users and trunks.
  package var refusedStrangersPercent: Double
  package var refusedKnownPercent: Double

  package init(
    waitMilliseconds: Double, refusedStrangersPercent: Double, refusedKnownPercent: Double
  ) {
    self.waitMilliseconds = waitMilliseconds
    self.refusedStrangersPercent = refusedStrangersPercent
    self.refusedKnownPercent = refusedKnownPercent
  }
}

/// How a trunk does; what it is, is a resource (`/v1/resources/trunks/NAME`).
package struct TrunkStateResource: Codable, Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var kind: String
  package var network: String
  package var targets: [String]
  package var transport = "udp"
  package var calls: Int
  package var maxCalls: Int?
  package var callsPerSecond: Int?
  package var attempts: UInt64
  package var refusedByLimit: UInt64
  package var usable: Bool
  /// State of our registration with its provider; nil: it has none.
  package var registration: String?
  /// Each address that its calls may go to.
  package var addresses: [TargetStateResource]

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
    addresses = []
  }
}

/// How one address of a trunk does.
package struct TargetStateResource: Codable, Hashable, Sendable {
  package var address: String
  /// As the configuration names it.
  package var name: String
  /// `usable`, `returning` (gets a growing share of the calls), `doubtful` (failed once, is being asked),
  /// `down`, or `resting` (asked to be left alone).
  package var state: String
  /// What brought it into this state.
  package var reason: String
  package var since: String
  package var sinceSeconds: Int
  /// Of the calls that could go there, in per cent.
  package var sharePercent: Int
  package var roundTripMilliseconds: Double?
  package var nextProbeInSeconds: Double?
  package var probes: UInt64
  package var probesFailed: UInt64
  /// Of calls, how many in a hundred it asks not to get (RFC 7339); nil: none.
  package var askedLossPercent: Int?
  package var leftOut: UInt64

  package init(address: String, name: String, state: String, reason: String, since: String) {
    self.address = address
    self.name = name
    self.state = state
    self.reason = reason
    self.since = since
    sinceSeconds = 0
    sharePercent = 100
    probes = 0
    probesFailed = 0
    leftOut = 0
  }
}

/// Our registration with the provider of a trunk (RFC 3261 §10.2).
package struct UpstreamRegistrationResource: Codable, Hashable, Sendable {
  package var tenant: String
  package var trunk: String
  package var registrar: String
  package var addressOfRecord: String
  /// `unregistered`, `trying`, `challenged`, `registered`, `failed` or `unregistering`.
  package var state: String
  /// Whether calls leave by it; also while a refresh has failed and the old time is not over.
  package var registered: Bool
  /// Why the last try failed, and the registrar's status with it.
  package var reason: String?
  package var status: Int?
  package var since: String
  package var expires: String?
  package var expiresInSeconds: Int?
  /// When the next REGISTER is due.
  package var nextInSeconds: Int?
  package var address: String?
  package var identities: [String]
  package var attempts: UInt64
  package var failures: UInt64

  package init(
    tenant: String, trunk: String, registrar: String, addressOfRecord: String, state: String,
    registered: Bool, since: String
  ) {
    self.tenant = tenant
    self.trunk = trunk
    self.registrar = registrar
    self.addressOfRecord = addressOfRecord
    self.state = state
    self.registered = registered
    self.since = since
    identities = []
    attempts = 0
    failures = 0
  }
}

/// A phone's contact (RFC 3261 §10).
package struct RegistrationResource: Codable, Hashable, Sendable {
  package var tenant: String
  package var user: String
  package var contact: String
  package var source: String
  package var listener: String
  package var transport = "udp"
  package var expires: String
  package var expiresInSeconds: Int
  package var userAgent: String
  /// `user`, `trunk` where a PBX registered for its trunk, or `phone` where a PBX keeps its own phone's contact.
  package var kind = "user"
  /// Of such a phone: the PBX's trunk, the name by which it calls the phone, and for how long it keeps that.
  package var passedTo: String?
  package var token: String?
  package var keptInSeconds: Int?
  /// Preference of the contact, 0 to 1 (RFC 3261 §20.10).
  package var q = 1.0
  package var path: String?
  /// The device (`+sip.instance`) and which of its flows (RFC 5626).
  package var instance: String?
  package var flow: UInt32?
  /// It stands for every number of the trunk (RFC 6140).
  package var numberBlock = false

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

/// What reading the settings again came to.
package struct ReloadResource: Codable, Hashable, Sendable {
  package enum Change: String, Codable, Sendable { case opened, renamed, leaving, unchanged }

  package struct Listener: Codable, Hashable, Sendable {
    package var name: String
    package var transport: String
    package var address: String
    package var change: Change
  }

  package var listeners: [Listener]
  /// The sections of the settings that differ from what is in force, and will until a restart.
  package var needsRestart: [String]

  /// - Parameter before: every listener that there was, in its place in `after`.
  package init(
    before: [CallCore.Listener], after: [CallCore.Listener], needsRestart: [String]
  ) {
    listeners = []
    for (place, listener) in after.enumerated() where listener.state != .closed {
      let old = place < before.count ? before[place] : nil
      let change: Change
      if listener.state == .leaving {
        change = .leaving
      } else if old?.state != .open {
        change = .opened
      } else {
        change = old?.name == listener.name ? .unchanged : .renamed
      }
      listeners.append(
        Listener(
          name: listener.name, transport: listener.transport.name, address: "\(listener.bound)",
          change: change))
    }
    self.needsRestart = needsRestart
  }

  package func names(_ change: Change) -> String {
    listeners.filter { $0.change == change }.map(\.name).joined(separator: " ")
  }
}

/// A certificate that listeners of TLS or WSS show.
package struct CertificateResource: Codable, Hashable, Sendable {
  package var listener: String
  /// The name that clients ask for to be shown it; empty: any other.
  package var serverName: String
  package var expires: String
  package var expiresInDays: Int

  package init(listener: String, serverName: String, expires: String, expiresInDays: Int) {
    self.listener = listener
    self.serverName = serverName
    self.expires = expires
    self.expiresInDays = expiresInDays
  }
}
