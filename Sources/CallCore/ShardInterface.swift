package import Base
package import MediaControl
package import Policy
package import SIPCore
package import SIPWire
package import Resolution

/// A socket that the edge reads for a shard; its index in `ShardSettings.listeners`.
package typealias ListenerIndex = UInt16

package struct Listener: Hashable, Sendable {
  /// A listener that a reload takes away is left by what uses it before its socket closes. Its place in the list
  /// stays: legs and transactions name listeners by it.
  package enum State: Sendable { case open, leaving, closed }

  package var name: String
  package var bound: SocketAddress
  package var transport: Transport
  package var state = State.open
  package init(name: String, bound: SocketAddress, transport: Transport = .udp) {
    self.name = name
    self.bound = bound
    self.transport = transport
  }
}

/// What a shard is told once, at its start.
package struct ShardSettings: Sendable {
  package var node: UInt16 = 1
  package var shard: UInt16 = 0
  /// Milliseconds since 1970 at start: makes call names and tokens unique over restarts.
  package var incarnation: UInt64
  /// 32 random bytes: seals tokens and keys hash tables. From the edge, so that a run can be replayed.
  package var secret: [UInt8]
  package var listeners: [Listener]
  package var mediaAddresses: [MediaAddress]
  package var serverName = "Demarc"
  /// Of its codecs the one that the media plane speaks only where its library is installed.
  package var speaksG729 = false
  /// Of recordings for which nobody asks for another.
  package var recordingFormat = RecordingFormat.wav
  /// SHA-256 of the certificate that media shows in DTLS handshakes; empty: it has none, and DTLS-SRTP is refused.
  package var certificateFingerprint: [UInt8] = []
  package var limits = ShardLimits()
  /// Of the process before this one.
  package var remembered = BorderMemory()
  package init(
    incarnation: UInt64, secret: [UInt8], listeners: [Listener], mediaAddresses: [MediaAddress]
  ) {
    self.incarnation = incarnation
    self.secret = secret
    self.listeners = listeners
    self.mediaAddresses = mediaAddresses
  }
}

/// Every bound of a shard; at each there is an answer, not growth.
package struct ShardLimits: Sendable {
  package var sessions = 20_000
  package var transactions = 200_000
  /// Bytes of messages that transactions and dialogs keep.
  package var blockBytes = 512 << 20
  package var bindings = 100_000
  package var subscriptions = 50_000
  /// Calls that are recorded at once.
  package var recordings = 200
  /// Phones' REGISTERs that wait for their PBX.
  package var passedRegistrations = 5_000
  /// Addresses of trunks that are watched.
  package var targets = 10_000
  /// Bytes of messages kept for ladders.
  package var traceBytes = 64 << 20
  /// Datagrams and bytes that may wait for the socket between two drains.
  package var outputDatagrams = 4_096
  package var outputBytes = 8 << 20
  /// Facts that the store has not confirmed; above it new calls get 503.
  package var unconfirmedFacts = 50_000
  package var timersPerAdvance = 2_000
  /// Calls that begin to be routed between two drains.
  package var startsPerAdvance = 500
  /// How long a call may wait for its record before it is refused.
  package var recordPatience = Interval.seconds(5)
  /// How long a call may wait for the first answer to its target's name.
  package var namePatience = Interval.seconds(3)
  package var admission = AdmissionLimits()
  package init() {}
}

/// Everything but datagrams and time that reaches a shard.
package enum ShardInput: Sendable {
  case media(MediaFact)
  /// The store has every fact up to this sequence on disk.
  case durable(upTo: UInt64)
  case configuration(Configuration)
  /// The listeners as they are from now on, each known one in its place, and the resources compiled for them.
  case listeners([Listener], Configuration)
  /// What was registered before a restart, with expiries already on this process's clock.
  case restoreBindings([Binding])
  case restoreMailboxes([MailboxStatus])
  /// The kernel reported the destination of something we sent as unreachable.
  case unreachable(SocketAddress)
  /// The far end of this connection has shown a certificate of these domains, in lower case (RFC 5922 §7.1). Good
  /// until the connection is lost.
  case flowProven(ListenerIndex, SocketAddress, domains: [String])
  /// The connection from this listener to this address is gone, could not be made, or is not there and may
  /// not be made.
  case flowLost(ListenerIndex, SocketAddress)
  /// What a name of `Outbox.names` came to, now and whenever that changes.
  case located(LocationRequest, Location)
  /// What waits in a user's mailbox from now on.
  case mailbox(tenant: String, user: String, MessageSummary)
  /// What PASSporTs are signed and verified with; nil: nothing.
  case identity(IdentityMaterial?)
  /// The time of day, for PASSporTs: said anew now and then, since clocks are set.
  case wallClock(WallAnchor)
  /// What came of a URL of `Outbox.certificates`.
  case certificate(url: String, CertificateAnswer)
  /// Refuse new calls, let running ones end; `.drained` follows when none is left.
  case drain
  case hangUp(CallID)
  case query(ShardQuery, token: UInt64)
}

package enum ShardQuery: Sendable {
  case calls
  case call(CallID)
  case ladder(CallID)
  /// An order and its answer, in one with what only asks because it has an answer too.
  case recording(CallID, RecordingAction)
  /// How accounts stand whose outside calls were noticed; and an order for one ("user:NAME", "trunk:NAME").
  case toll
  case tollOrder(TollOrder, tenant: String, account: String)
  case registrations
  case trunks
  /// Our own registrations with providers.
  case upstreams
  /// Who is told of whose state, and what waits in mailboxes.
  case subscriptions
  case mailboxes
  /// Who is banned; and orders, in one with what only asks because they have an answer too.
  case bans
  case ban(IPNetwork, reason: String, for: Interval)
  case liftBan(IPNetwork)
  case counters
}

package enum ShardAnswer: Sendable {
  case calls([CallRecord])
  case call(CallRecord?)
  case ladder([TracedMessage])
  case recording(RecordingAnswer)
  case toll([TollStatus])
  /// How many calls were ended, or blocks lifted.
  case tollOrder(Int)
  case registrations([Binding])
  case trunks([TrunkStatus])
  case upstreams([UpstreamStatus])
  case subscriptions([SubscriptionStatus])
  case mailboxes([MailboxStatus])
  case bans([Ban])
  case ban(BanAnswer)
  case counters(ShardCounters)
}

/// What an operator's order came to.
package enum BanAnswer: Sendable {
  /// The ban that was made, or lifted.
  case done(Ban)
  /// The address is this trunk's, or the block has one of it.
  case trunk(String)
  /// No ban covers it.
  case none
}

/// A SIP message as it crossed the edge.
package struct TracedMessage: Hashable, Sendable {
  package var at: Instant
  package var outgoing: Bool
  package var leg: LegSide
  package var local: SocketAddress
  package var remote: SocketAddress
  package var transport = Transport.udp
  package var bytes: [UInt8]

  package init(
    at: Instant, outgoing: Bool, leg: LegSide, local: SocketAddress, remote: SocketAddress,
    bytes: [UInt8]
  ) {
    self.at = at
    self.outgoing = outgoing
    self.leg = leg
    self.local = local
    self.remote = remote
    self.bytes = bytes
  }
}

package struct TrunkStatus: Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var calls: Int
  package var attempts: UInt64
  package var refusedByLimit: UInt64
  package var usable: Bool
  /// In order of preference.
  package var targets: [TargetStatus] = []

  package init(
    name: String, tenant: String, calls: Int = 0, attempts: UInt64 = 0,
    refusedByLimit: UInt64 = 0, usable: Bool = true
  ) {
    self.name = name
    self.tenant = tenant
    self.calls = calls
    self.attempts = attempts
    self.refusedByLimit = refusedByLimit
    self.usable = usable
  }
}

/// How one address of a trunk does.
package struct TargetStatus: Hashable, Sendable {
  package var address: SocketAddress
  /// As the configuration names it.
  package var name: String
  package var state: TargetHealth.State
  package var reason: TargetReason
  package var since: Instant
  /// The share of calls that it may have now, in thousandths.
  package var share: Int
  package var roundTrip: Interval?
  package var nextProbe: Instant?
  package var probes: UInt64
  package var probesFailed: UInt64
  /// Of a hundred new calls, how many it asks not to be sent now (RFC 7339); and how many were not, so far.
  package var askedLoss = 0
  package var leftOut: UInt64 = 0

  package init(address: SocketAddress, name: String, since: Instant) {
    self.address = address
    self.name = name
    self.since = since
    state = .usable
    reason = .new
    share = 1_000
    probes = 0
    probesFailed = 0
  }
}

package struct ShardCounters: Hashable, Sendable {
  package var messagesReceived: UInt64 = 0
  package var messagesSent: UInt64 = 0
  package var retransmissionsReceived: UInt64 = 0
  package var retransmissionsSent: UInt64 = 0
  /// ACKs that belong to nothing we keep: mostly for refusals that were answered statelessly.
  package var strayAcks: UInt64 = 0
  package var dropped: [String: UInt64] = [:]
  package var refused: [String: UInt64] = [:]
  package var callsAttempted: UInt64 = 0
  package var callsAnswered: UInt64 = 0
  package var callsEnded: UInt64 = 0
  /// What has become of the calls that were up when the process before this one ended.
  package var recovery = RecoveryOutcome()
  package var sessions = 0
  package var transactions = 0
  package var timers = 0
  /// OPTIONS under way, which `transactions` and `timers` leave out: watching never rests.
  package var probes = 0
  /// Copies of messages and descriptions that calls and transactions hold.
  package var messageBlocks = 0
  package var portsLeased = 0
  package var portsFree = 0
  package var bindings = 0
  package var subscriptions = 0
  /// NOTIFYs that told watchers something, and those that were refused or lost.
  package var notifies: UInt64 = 0
  package var notifiesFailed: UInt64 = 0
  /// Reports of quality that were sent to collectors, of those the ones that were refused or lost, and those for which
  /// too many had no answer yet.
  package var qualityReports: UInt64 = 0
  package var qualityReportsFailed: UInt64 = 0
  package var qualityReportsDropped: UInt64 = 0
  package var admission = AdmissionCounters()
  /// Proofs by a password that is no more than accepted still.
  package var previousPasswords: UInt64 = 0
  /// Registrations that are carried to PBXs.
  package var passing = PassingCounters()
  package var identity = IdentityCounters()
  package var unconfirmedFacts = 0
  /// Of a thousand new calls of strangers, and of users and trunks, how many are refused for load.
  package var refusedStrangers = 0
  package var refusedKnown = 0
  /// How long messages wait at least before they are taken, at the listener where it is longest.
  package var standingWait = Interval.zero
  /// Times that new calls began to be refused for load.
  package var overloads: UInt64 = 0
  /// STUN keep-alives that were answered (RFC 5626 §3.5.2).
  package var keepAlives: UInt64 = 0
  /// Calls that were moved to TCP because of their size (RFC 3261 §18.1.1), and back.
  package var movedToStream: UInt64 = 0
  package var movedBack: UInt64 = 0
  /// Bytes that the ring of messages for ladders holds.
  package var traceBytes = 0
  package init() {}
}

/// What a shard tells the edge of a connection before it sends by it.
package struct FlowHint: Sendable {
  package enum Kind: Sendable {
    /// Requests to this address of the peer may use the connection that it opened (RFC 5923).
    case alias(SocketAddress)
    /// Whose certificate a connection to it must show.
    case secure(TrunkSecurity)
  }
  package var listener: ListenerIndex
  package var remote: SocketAddress
  package var kind: Kind
}

// The shard itself (Shard.swift):
//
//   package final class Shard {
//     package init(settings: ShardSettings, configuration: Configuration, now: Instant)
//     /// One datagram. Everything it causes is in `outbox` when this returns.
//     package func receive(_ bytes: RawSpan, from: SocketAddress, on: ListenerIndex, at now: Instant)
//     package func handle(_ input: ShardInput, at now: Instant)
//     /// Fires due timers, at most `limits.timersPerAdvance`; true: more are due, call again after a drain.
//     package func advance(to now: Instant) -> Bool
//     /// When `advance` must be called next; nil: no timer is running.
//     package var nextDeadline: Instant? { get }
//     package let outbox: Outbox
//   }
//
//   package final class Outbox {
//     package var datagrams: OutputBuffer       // Base: records of (listener, destination, byte range)
//     package var media: [MediaCommand]
//     package var facts: [Fact]
//     package var answers: [(token: UInt64, answer: ShardAnswer)]
//     package func removeAll()                   // keeps the capacity; called by the edge after a drain
//   }
