package import Base

// What a user writes down: plain values with the field names of YAML, REST and the command line.
// `Configuration` is what the engine reads, compiled from these once and never changed.

package struct Tenant: Hashable, Sendable {
  package var name: String
  /// Host names of SIP URIs that belong to this tenant; the first is its digest realm.
  package var domains: [String]
}

/// A realm: the listeners and media addresses that belong together, what stands in SIP and SDP in
/// their place behind a NAT, and whether the identity headers of its peers are believed (RFC 3325).
package struct Network: Hashable, Sendable {
  package var name: String
  package var listeners: [String]
  package var media: [String]
  package var advertisedSignalling: IPAddress?
  package var advertisedMedia: IPAddress?
  package var trusted: Bool
}

package enum TrunkKind: String, Sendable, CaseIterable { case pbx, carrier }

package struct Credentials: Hashable, Sendable {
  package var username: String
  package var password: String
}

/// `10.0.0.0/8`, `192.0.2.7` or `127.0.0.1:5070`: a source that speaks as a trunk.
package struct SourceMatch: Hashable, Sendable {
  package var network: IPAddress
  package var prefixLength: UInt8
  package var port: UInt16?
}

package struct Trunk: Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var kind: TrunkKind
  package var network: String
  /// Where calls for this trunk go, in order of preference. Empty: inbound only.
  package var targets: [SocketAddress]
  /// Who may speak as this trunk without a password. Empty: the targets' addresses.
  package var sources: [SourceMatch]
  /// What we answer the trunk's challenges with.
  package var credentials: Credentials?
  /// What the trunk must answer our challenge with. Nil: its source address is enough.
  package var authentication: Credentials?
  /// Concurrent calls and call attempts a second, both directions together. Nil: unlimited.
  package var maxCalls: Int?
  package var callsPerSecond: Int?
  /// Allowed payload formats in order; empty: all.
  package var codecs: [String]
  /// Learn the media address from any source for the first 5 packets (see `LatchPolicy.window`).
  package var wideLatching: Bool
  package var mediaTimeout: Interval
}

package struct User: Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var network: String
  package var `extension`: String
  package var password: String
  /// Shown to trunks as the caller; nil: the extension.
  package var callerID: String?
  package var maxContacts: Int
  package var mediaTimeout: Interval
}

package enum ApplicationKind: String, Sendable, CaseIterable {
  case echo, milliwatt, announcement, quality
}

package struct Application: Hashable, Sendable {
  package var name: String
  package var tenant: String
  /// What a user of the tenant dials for it; nil: only reached as a destination.
  package var `extension`: String?
  package var kind: ApplicationKind
  /// WAV, 8 or 16 kHz mono, of an announcement.
  package var file: String?
}

package enum Destination: Hashable, Sendable {
  case user(String)
  case trunk(String)
  case application(String)
  case number(String)
}

/// One link of a chain: where to, how long, and on which outcomes the next link is tried.
package struct DestinationHop: Hashable, Sendable {
  package var to: Destination
  package var timeout: Interval
  package var continueOn: [Cause]
}

/// A DID (or any number that is ours) and the chain that it leads to.
package struct Number: Hashable, Sendable {
  package var number: String
  package var tenant: String
  package var destinations: [DestinationHop]
}

package struct RouteCarrier: Hashable, Sendable {
  package var trunk: String
  package var priority: Int
  package var weight: Int
}

/// A row of a tenant's dial plan: calls to numbers with this prefix, longest first.
package struct Route: Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var prefix: String
  /// Digits removed from the front and put before the rest, towards the carrier.
  package var strip: Int
  package var prepend: String
  package var carriers: [RouteCarrier]
  /// How long a carrier may stay silent (no response but 100) before the next one is tried.
  package var timeout: Interval
  package var failoverOn: [Cause]
}

/// Everything telephonic, as one document.
package struct Resources: Hashable, Sendable {
  package var tenants: [Tenant] = []
  package var networks: [Network] = []
  package var trunks: [Trunk] = []
  package var users: [User] = []
  package var numbers: [Number] = []
  package var routes: [Route] = []
  package var applications: [Application] = []

  package init() {}
}
