package import Base
package import CryptoCore
package import SIPWire

// What a user writes down: plain values with the field names of YAML, REST and the command line.
// `Configuration` is what the engine reads, compiled from these once and never changed.

package struct Tenant: Hashable, Sendable {
  package var name: String
  /// Host names of SIP URIs that belong to this tenant; the first is its digest realm.
  package var domains: [String]
  /// What our challenges offer, in this order (RFC 8760 §2.4). Many phones give up on a response that also
  /// offers what they don't know, so MD5 alone is the default.
  package var digestAlgorithms: [DigestAlgorithm]
  /// How the tenant's users, and PBXs that do not say otherwise, dial. Nil: numbers are taken as they come.
  package var numbers: NumberPlan?
  /// Calls of all its users and trunks, at once and a second. Nil: unlimited.
  package var maxCalls: Int?
  package var callsPerSecond: Int?
  /// What its users, trunks and forwards may cost.
  package var toll = TollRules()
  /// The trunk that is told what was heard of each call (RFC 6035). Nil: nobody.
  package var qualityCollector: String?
  /// Seconds between reports to it in the midst of a call; 0: none. And the MOS x 100 below which a side of a call is told
  /// of at once. Nil: never.
  package var qualityInterval = 0
  package var qualityAlert: Int?
  /// What is heard of a side that puts the other on hold and says nothing itself, an application's name.
  package var musicOnHold: String?
  /// Digits by which its users and PBXs begin and end a recording in the midst of a call.
  package var recordingCode: String?
  /// Recordings of its calls that began earlier are removed. Nil: as the process has it (`RecordingRetention`).
  package var recordingRetentionDays: Int?
  /// Whose tones its callers hear where we make them (`NationalTones`). Nil: of the country of its numbers.
  package var tones: String?

  package init(
    name: String, domains: [String] = [], digestAlgorithms: [DigestAlgorithm] = [.md5]
  ) {
    self.name = name
    self.domains = domains
    self.digestAlgorithms = digestAlgorithms
  }
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
  /// Who may come at all, trunks, phones and strangers alike.
  package var access = AccessRules()

  package init(
    name: String, listeners: [String], media: [String], advertisedSignalling: IPAddress? = nil,
    advertisedMedia: IPAddress? = nil, trusted: Bool = false
  ) {
    self.name = name
    self.listeners = listeners
    self.media = media
    self.advertisedSignalling = advertisedSignalling
    self.advertisedMedia = advertisedMedia
    self.trusted = trusted
  }
}

/// Blocks of addresses that may come, and that may not; of those that hold an address the longest decides. What is in
/// none may come unless `allow` has any.
package struct AccessRules: Hashable, Sendable {
  package var allow: [IPNetwork] = []
  package var deny: [IPNetwork] = []

  package init() {}

  package var isEmpty: Bool { allow.isEmpty && deny.isEmpty }
}

package enum TrunkKind: String, Sendable, CaseIterable { case pbx, carrier }

package struct Credentials: Hashable, Sendable {
  package var username: String
  package var password: String

  package init(username: String, password: String) {
    self.username = username
    self.password = password
  }
}

/// `10.0.0.0/8`, `192.0.2.7` or `127.0.0.1:5070`: a source that speaks as a trunk.
package struct SourceMatch: Hashable, Sendable {
  package var network: IPAddress
  package var prefixLength: UInt8
  package var port: UInt16?

  package init(network: IPAddress, prefixLength: UInt8, port: UInt16? = nil) {
    self.network = network
    self.prefixLength = prefixLength
    self.port = port
  }

  /// One address, whatever its port unless one is given.
  package init(_ address: IPAddress, port: UInt16? = nil) {
    self.init(network: address, prefixLength: address.family == .v4 ? 32 : 128, port: port)
  }
}

/// A header field whose value tells which of several trunks of one source address speaks. Anybody can write
/// one, so it counts only beside the source.
package struct HeaderMatch: Hashable, Sendable {
  package var name: String
  package var value: String

  package init(name: String, value: String) {
    self.name = name
    self.value = value
  }
}

/// How a trunk's targets are watched with OPTIONS, and how they go and come back.
package struct ProbePolicy: Hashable, Sendable {
  /// Nil: a target that failed is asked until it answers, and one that has others beside it is asked
  /// regularly too. True: each regularly. False: no OPTIONS is ever sent.
  package var enabled: Bool?
  package var interval = ResourceDefaults.probeInterval
  /// Failures in a row until a target is down, and answers in a row until it is back.
  package var failures = ResourceDefaults.probeFailures
  package var successes = ResourceDefaults.probeSuccesses
  /// How long the share of calls of a target that came back takes to grow to all of it.
  package var slowStart = ResourceDefaults.slowStart

  package init() {}
}

package struct Trunk: Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var kind: TrunkKind
  package var network: String
  /// Where calls for this trunk go, in order of preference. Empty: inbound only.
  package var targets: [SIPTarget]
  /// Who may speak as this trunk without a password. Empty: the targets' addresses.
  package var sources: [SourceMatch]
  /// What we answer the trunk's challenges with.
  package var credentials: Credentials?
  /// What the trunk must answer our challenge with. Nil: its source address is enough.
  package var authentication: Credentials?
  /// Its password before that one. Not in `Credentials`, which calls keep.
  package var previousAuthentication: PreviousPassword?
  /// Concurrent calls and call attempts a second, both directions together. Nil: unlimited.
  package var maxCalls: Int?
  package var callsPerSecond: Int?
  /// Allowed payload formats in order; empty: all.
  package var codecs: [String]
  /// What may pass beside speech.
  package var streams = SDPStreams.all
  /// Speech of it, and for it, may be turned into another codec where the two sides of a call have none in common.
  package var transcode = true
  /// How speech is sent to it.
  package var playout = PlayoutPolicy.off
  package var silenceSuppression = SilenceSuppressionPolicy.off
  /// Whether its calls are recorded, and the announcement, an application's name, that both sides hear first.
  package var record = RecordPolicy.off
  package var recordingNotice: String?
  /// As for tenants; nil: as its tenant has it.
  package var musicOnHold: String?
  /// How digits go to it, and come from it in its speech.
  package var dtmf = DTMFPolicy.auto
  /// Learn the media address from any source for the first 5 packets (see `LatchPolicy.window`).
  package var wideLatching: Bool
  package var mediaTimeout: Interval
  /// A kind of peer whose settings it has where it says nothing itself (`InteropProfile`).
  package var profile: String?
  /// In what form it has numbers. Nil: as they are.
  package var numbers: TrunkNumbers?
  /// From which numbers it may call. Nil: any.
  package var callerID: CallerPolicy?
  /// What is changed in its messages, one after another.
  package var rules: [HeaderRule] = []
  /// What its media may be.
  package var srtp = SRTPRules()
  /// How we register with it; nil: we don't.
  package var register: TrunkRegistration?
  /// Its PBX keeps the registrations of its own phones, which come to it through us; nil: it keeps none.
  package var passing: RegistrationPassing?
  /// Tells it from other trunks of the same sources; nil: the source is enough.
  package var matchHeader: HeaderMatch?
  /// RFC 4028: whether session timers are asked for and granted, how long, how short at least, and who is to
  /// refresh where the peer leaves it to us.
  package var sessionTimers = true
  package var sessionExpires = ResourceDefaults.sessionExpires
  package var minSessionExpires = ResourceDefaults.minSessionExpires
  package var sessionRefresher = SessionRefresher.auto
  /// What the other side hears of this trunk's early media.
  package var earlyMedia = EarlyMedia.pass
  /// An INVITE without an offer gets one of ours on its way to this trunk.
  package var earlyOffer = false
  /// Whether this trunk may, must or must not send provisional responses reliably (RFC 3262).
  package var reliableProvisionals = ReliableProvisionals.supported
  /// Digits in INFO pass, from this trunk and to it.
  package var dtmfInfo = true
  package var redirects = RedirectPolicy.reject
  package var transfer = TransferPolicy.deny
  package var diversion = DiversionHeaders.none
  /// What requests to the targets travel by; the listener of the network that has it is used.
  package var transport = TrunkTransport.udp
  /// Of TLS: how the peer is to prove itself. Nil: by a certificate for the target's address, of one of the
  /// system's authorities.
  package var security: TrunkSecurity?
  /// Of TLS: the domain of which its own connections to us must show a certificate. Nil: none is asked for.
  package var clientName: String?
  package var probe = ProbePolicy()
  /// Of a PBX: what its calls may cost.
  package var toll = TollRules()
  /// RFC 7339: our requests say that we send less when its responses ask for that.
  package var overloadControl = false
  /// Whether its calls are signed and verified (RFC 8224).
  package var stir = TrunkSTIR()

  package init(
    name: String, tenant: String, kind: TrunkKind, network: String, targets: [SocketAddress] = [],
    sources: [SourceMatch] = [], credentials: Credentials? = nil,
    authentication: Credentials? = nil, maxCalls: Int? = nil, callsPerSecond: Int? = nil,
    codecs: [String] = [], wideLatching: Bool = false,
    mediaTimeout: Interval = ResourceDefaults.mediaTimeout
  ) {
    self.name = name
    self.tenant = tenant
    self.kind = kind
    self.network = network
    self.targets = targets.map { SIPTarget($0) }
    self.sources = sources
    self.credentials = credentials
    self.authentication = authentication
    self.maxCalls = maxCalls
    self.callsPerSecond = callsPerSecond
    self.codecs = codecs
    self.wideLatching = wideLatching
    self.mediaTimeout = mediaTimeout
  }
}

/// Whether speech for a peer is kept until its time has come: `adaptive` as long as the network makes necessary, so that
/// it leaves in order and evenly.
package enum PlayoutPolicy: String, Sendable, CaseIterable { case off, adaptive }

/// Whether silence is left out of speech that we make for a peer, where it has named comfort noise (RFC 3389).
package enum SilenceSuppressionPolicy: String, Sendable, CaseIterable { case off, allow }

/// How digits go to a peer. Those that it says itself by telephone-event or in INFO are taken whatever this is.
package enum DTMFPolicy: String, Sendable, CaseIterable {
  /// As telephone-event (RFC 4733) where offer and answer have it; else as tones where the speech carries them; else in
  /// INFO where the peer's Allow has that.
  case auto
  /// As `auto`, but never in INFO.
  case rtp
  /// In INFO.
  case info
  /// As tones; telephone-event is neither offered nor agreed to.
  case inband
}

package enum SessionRefresher: String, Sendable, CaseIterable { case auto, us, them }

/// What a caller gets of a callee's media before the answer: what comes; ringing of its own; or what the
/// callee's P-Early-Media authorises (RFC 5009).
package enum EarlyMedia: String, Sendable, CaseIterable { case pass, ringback, authorized }

package enum ReliableProvisionals: String, Sendable, CaseIterable { case off, supported, required }

package struct User: Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var network: String
  package var `extension`: String
  package var password: String
  package var previous: PreviousPassword?
  /// Shown to trunks as the caller; nil: the extension.
  package var callerID: String?
  /// Further numbers that the user may ask to be seen as (P-Preferred-Identity).
  package var callerIDs: [String] = []
  /// Calls that the user makes, at once and a second. Nil: unlimited.
  package var maxCalls: Int?
  package var callsPerSecond: Int?
  package var maxContacts: Int
  package var mediaTimeout: Interval
  package var forward = Forwarding()
  package var redirects = RedirectPolicy.follow
  package var transfer = TransferPolicy.allow
  /// What the tenant's other users may see of this one's calls.
  package var busyLamp = BusyLampView.state
  /// Users who see the calls whatever `busyLamp` says, and may take one that rings.
  package var pickup: [String] = []
  /// What may pass beside speech.
  package var streams = SDPStreams.all
  /// As for trunks.
  package var codecs: [String] = []
  package var transcode = true
  package var playout = PlayoutPolicy.off
  package var silenceSuppression = SilenceSuppressionPolicy.off
  /// Whether its calls are recorded, and the announcement, an application's name, that both sides hear first.
  package var record = RecordPolicy.off
  package var recordingNotice: String?
  /// As for tenants; nil: as its tenant has it.
  package var musicOnHold: String?
  package var dtmf = DTMFPolicy.auto
  /// What its phones' media may be.
  package var srtp = SRTPRules()
  /// How its phones must come.
  package var transport = UserTransport.any
  /// From where alone its password is good. Empty: from anywhere.
  package var sources: [SourceMatch] = []
  /// What its calls may cost.
  package var toll = TollRules()
  /// Its phones are told what came of the verification of who calls (RFC 8224).
  package var verstat = false

  package init(
    name: String, tenant: String, network: String, extension: String, password: String,
    callerID: String? = nil, maxContacts: Int = ResourceDefaults.maxContacts,
    mediaTimeout: Interval = ResourceDefaults.mediaTimeout
  ) {
    self.name = name
    self.tenant = tenant
    self.network = network
    self.extension = `extension`
    self.password = password
    self.callerID = callerID
    self.maxContacts = maxContacts
    self.mediaTimeout = mediaTimeout
  }
}

/// What a user's registrations and calls are taken by: whatever its network has, or TLS alone, WSS included.
package enum UserTransport: String, Sendable, CaseIterable { case any, tls }

package enum ApplicationKind: String, Sendable, CaseIterable {
  case echo, milliwatt, announcement, quality, music

  /// It plays a file, which music may do without.
  package var playsFile: Bool {
    switch self {
    case .announcement, .music: true
    case .echo, .milliwatt, .quality: false
    }
  }
}

package struct Application: Hashable, Sendable {
  package var name: String
  package var tenant: String
  /// What a user of the tenant dials for it; nil: only reached as a destination.
  package var `extension`: String?
  package var kind: ApplicationKind
  /// WAV, 8 or 16 kHz mono, of an announcement or of music; music without one is our own.
  package var file: String?

  package init(
    name: String, tenant: String, kind: ApplicationKind, extension: String? = nil,
    file: String? = nil
  ) {
    self.name = name
    self.tenant = tenant
    self.extension = `extension`
    self.kind = kind
    self.file = file
  }
}

package enum Destination: Hashable, Sendable {
  case user(String)
  case trunk(String)
  case application(String)
  case number(String)
  /// All of them at once; never one inside another.
  case ring([Destination])
}

/// One link of a chain: where to, how long, and on which outcomes the next link is tried.
package struct DestinationHop: Hashable, Sendable {
  package var to: Destination
  package var timeout: Interval
  package var continueOn: [Cause]

  package init(
    to: Destination, timeout: Interval = ResourceDefaults.hopTimeout,
    continueOn: [Cause] = ResourceDefaults.continueOn
  ) {
    self.to = to
    self.timeout = timeout
    self.continueOn = continueOn
  }
}

/// A DID (or any number that is ours) and the chain that it leads to.
package struct Number: Hashable, Sendable {
  package var number: String
  package var tenant: String
  /// None while it is `available`.
  package var destinations: [DestinationHop]
  package var state = NumberState.assigned

  package init(number: String, tenant: String, destinations: [DestinationHop]) {
    self.number = number
    self.tenant = tenant
    self.destinations = destinations
  }
}

/// Where a number of the inventory stands.
package enum NumberState: String, Sendable, CaseIterable {
  /// It leads to its destinations.
  case assigned
  /// In stock: nobody has it, and who calls it is told so.
  case available
  /// It keeps its destinations, and leads nowhere until it is assigned again.
  case suspended
}

package struct RouteCarrier: Hashable, Sendable {
  package var trunk: String
  /// Lower is tried first; within one priority the order is drawn by weight (RFC 2782).
  package var priority: Int
  package var weight: Int

  package init(
    trunk: String, priority: Int = ResourceDefaults.carrierPriority,
    weight: Int = ResourceDefaults.carrierWeight
  ) {
    self.trunk = trunk
    self.priority = priority
    self.weight = weight
  }
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

  package init(
    name: String, tenant: String, prefix: String, strip: Int = 0, prepend: String = "",
    carriers: [RouteCarrier], timeout: Interval = ResourceDefaults.carrierTimeout,
    failoverOn: [Cause] = ResourceDefaults.failoverOn
  ) {
    self.name = name
    self.tenant = tenant
    self.prefix = prefix
    self.strip = strip
    self.prepend = prepend
    self.carriers = carriers
    self.timeout = timeout
    self.failoverOn = failoverOn
  }
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
  package var pools: [Pool] = []
  package var classes: [NumberClass] = []
  package var emergencies: [Emergency] = []

  package init() {}
}
