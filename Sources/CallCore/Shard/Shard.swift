package import Base
import CryptoCore
import MediaControl
package import Policy
import SIPCore
import SIPWire

/// One thread's share of the trunk: bytes and time in, effects out. It owns every transaction, dialog, call
/// and binding that began here, and knows no socket, clock or thread.
///
/// Its parts lie in the files beside this one: requests and responses as they arrive, the transactions, the
/// registrar, admission, the plan that a call walks, dialogs, media.
package final class Shard {
  package let settings: ShardSettings
  /// Those of the settings, and what came and went since.
  var listeners: [Listener]
  package let outbox: Outbox

  var configuration: Configuration
  var now: Instant
  var isDraining = false
  var hasDrained = false
  /// Dialogs that were hung up on a 2xx that came when everything was over; the last 16.
  var lateAnswers: [LateAnswer] = []

  let index = HeaderIndex()
  /// For reading again what we wrote ourselves, while `index` still belongs to the message at hand.
  let ownIndex = HeaderIndex()
  /// For what rules made of a message.
  let ruleIndex = HeaderIndex()
  let timers = TransactionTimers()
  let mint: TokenMint
  let hash: KeyedHash
  var random: RandomSource
  var digest: DigestVerifier
  /// What an unknown name's password is compared with: random, so the work is the same and in vain.
  let impossiblePassword: String
  /// What nearly every message repeats, as it is written: our address for each listener, who we are.
  var ourAddresses: [SocketAddress] = []
  var addressTexts: [[UInt8]] = []
  let serverLine: [UInt8]
  let userAgentLine: [UInt8]

  var wheel: TimingWheel
  let blocks: PacketMemory
  var trace: TraceRing
  /// Where a body is written before its length is known.
  var body = OutputBuffer(byteLimit: 1 << 16, recordLimit: 1)
  /// Where a session record is written before it becomes the bytes of a fact.
  var recordText = OutputBuffer(byteLimit: 1 << 19, recordLimit: 1)
  var offered = SessionDescription()
  /// A description that is looked at beside that.
  var known = SessionDescription()
  var effectBuffers: [[TransactionEffect]] = []

  var servers: Slab<ServerTransaction?>
  var serversByKey: KeyTable<SlabHandle>
  var serversByMerge: KeyTable<SlabHandle>
  /// INVITEs that came by connections and are not done with.
  var serversByFlow: [Flow: [SlabHandle]] = [:]
  /// The domains of the certificates that the far ends of connections have shown; the edge bounds them with those.
  var provenFlows: [Flow: [String]] = [:]
  /// Peers that would not be connected to when a request was too long for a datagram, and until when that
  /// is remembered.
  var withoutStream: [SocketAddress: Instant] = [:]
  var clients: Slab<ClientTransaction?>
  var clientsByDestination: KeyTable<Int32>
  var legs: Slab<Leg?>
  var sessions: Slab<Session?>
  var sessionsBySerial: [UInt64: Session] = [:]
  /// Calls that are being recorded.
  var recordings: [RecordingID: Session] = [:]
  var lastRecording: UInt64 = 0
  /// Dialogs of an earlier process; none in most lives of a shard, and ever fewer.
  var recovered = RecoveredDialogs()
  /// What its peers have still to be told.
  var dues = RecoveryDues()
  var detached = DetachedLegs()
  /// Digits that go to a leg in INFO; few legs ever have any.
  var infoQueues: [SlabHandle: InfoQueue] = [:]
  /// By session, of those whose collector hears of them in their midst.
  var qualityWatches: [SlabHandle: QualityWatch] = [:]
  /// Legs whose digits may be a code; few are.
  var codeWatches: [SlabHandle: CodeWatch] = [:]
  /// Calls whose record the store has not confirmed, in order of their facts.
  var awaitingRecord: [(sequence: UInt64, session: Session)] = []
  /// Calls whose record is confirmed and whose first hop has not begun yet: a store that comes back after a
  /// stall must not start thousands between two drains.
  var ready: [Session] = []
  var registrar: Registrar
  var subscriptions: Subscriptions
  var mailboxes: [Registrar.UserKey: MessageSummary] = [:]
  /// Our registrations with providers by their serials, those that are being removed among them, and the
  /// present one of each trunk.
  var upstreams: [UInt64: UpstreamRegistration] = [:]
  var upstreamsByTrunk: [TrunkSeats.Key: UInt64] = [:]
  /// Those that depend on a connection.
  var upstreamsByFlow: [Flow: [UInt64]] = [:]
  var lastUpstream: UInt64 = 0
  /// Phones' REGISTERs that wait for their PBX.
  var passedRegisters: [UInt64: PassedRegister] = [:]
  var lastPassed: UInt64 = 0
  /// By trunk's seat: when one of its targets last came back. What it kept before, it may have forgotten.
  var passingRenewed: [Int: Instant] = [:]
  var seats: TrunkSeats
  var limits = LimitSeats()
  var toll = TollWatch()
  var tollTimer = TimerID.none
  /// Emergency calls that have a reserved place.
  var emergencyCalls: [String: Int] = [:]
  var targets: TrunkTargets
  let started: Instant
  var qualityReportsPending = 0
  var admission: Admission
  var bansTimer = TimerID.none
  var bansTimerAt = Instant.zero
  var hadAccessLists = false
  var load: LoadMeter
  var loadTimer = TimerID.none
  /// Listeners that are leaving, and since when no leg has used them.
  var leavingListeners: [ListenerIndex: Instant?] = [:]
  var leavingTimer = TimerID.none
  /// What the stream of facts says of it.
  var toldBehind = false
  var names = TargetNames()
  /// What PASSporTs are signed and verified with; nil: there is nothing.
  var identities: IdentityDesk?
  var awaitingName: [(session: Session, strand: Strand)] = []
  /// Whom the addresses of names speak for; the inner nil: several.
  var locatedSources: [LocatedSource: Int?] = [:]
  var locatedPeers: Set<LocatedPeer> = []
  var ports: MediaPortPool
  var mediaKeys: MediaKeySource

  var lastCallSerial: UInt64 = 0
  var lastFactSequence: UInt64 = 0
  var durableSequence: UInt64 = 0
  var counters = ShardCounters()
  /// Facts about what strangers send are told up to this rate and counted beyond it: a flood must not
  /// become a flood of facts.
  var noise = TokenBucket(rate: 50, burst: 200)
  /// STUN keep-alives that are answered: 100 000 phones at one in 25 s each, and room for their clumps.
  var keepAlives = TokenBucket(rate: 5_000, burst: 20_000)
  /// Challenged INVITEs that are kept for a ladder.
  var preludes = TokenBucket(rate: 50, burst: 100)
  var dropCounts = [UInt64](repeating: 0, count: DropReason.allCases.count)
  var refusalCounts = [UInt64](repeating: 0, count: Cause.allCases.count)

  /// Nil when `settings.secret` is shorter than 32 bytes or libcrypto refuses it.
  package init?(settings: ShardSettings, configuration: Configuration, now: Instant) {
    guard settings.secret.count >= 32, let mint = TokenMint(settings: settings),
      let digest = DigestVerifier(secret: settings.secret)
    else { return nil }
    let limits = settings.limits
    // Ordinary calls are refused at their limits; what lies beyond is for emergencies.
    let reserve = ResourceLimits.emergencyReserved
    self.settings = settings
    listeners = settings.listeners
    self.configuration = configuration
    self.now = now
    self.mint = mint
    self.digest = digest
    let secret = settings.secret.withWords
    hash = KeyedHash(secret0: secret.0, secret1: secret.1)
    random = RandomSource(seed: secret.2 ^ settings.incarnation)
    impossiblePassword = String(secret.1, radix: 36)
    serverLine = Array("Server: \(settings.serverName)\r\n".utf8)
    userAgentLine = Array("User-Agent: \(settings.serverName)\r\n".utf8)
    wheel = TimingWheel(start: now)
    blocks = PacketMemory(limitBytes: limits.blockBytes)
    trace = TraceRing(byteLimit: limits.traceBytes)
    servers = Slab(limit: limits.transactions + reserve * 8, placeholder: nil)
    serversByKey = KeyTable(capacity: 1_024, limit: limits.transactions + reserve * 8)
    serversByMerge = KeyTable(capacity: 1_024, limit: limits.transactions + reserve * 8)
    clientsByDestination = KeyTable(limit: limits.transactions)
    clients = Slab(limit: limits.transactions + reserve * 8, placeholder: nil)
    // Abandoned legs outlive their session by up to 64·T1, so there are more of them.
    legs = Slab(limit: (limits.sessions + reserve) * 4, placeholder: nil)
    sessions = Slab(limit: limits.sessions + reserve, placeholder: nil)
    registrar = Registrar(limit: limits.bindings)
    subscriptions = Subscriptions(limit: limits.subscriptions)
    seats = TrunkSeats()
    targets = TrunkTargets(limit: limits.targets)
    started = now
    admission = Admission(limits.admission, hash: hash)
    load = LoadMeter(listeners: settings.listeners.count, at: now)
    ports = MediaPortPool(addresses: settings.mediaAddresses)
    mediaKeys = MediaKeySource(
      secret: settings.secret, incarnation: settings.incarnation, shard: settings.shard)
    outbox = Outbox(limits: limits)
    restore(settings.remembered)
    follow(configuration)
  }

  /// Takes over a configuration: for the next call, the next limit, the next address that is written.
  func follow(_ next: Configuration) {
    configuration = next
    seats.follow(next)
    limits.follow(next)
    followNames()
    followTargets()
    nameListeners()
    followRegistrations()
    followSubscriptions()
    followMailboxes()
    followBans()
    tellAccess()
  }

  /// One datagram. Everything it causes is in `outbox` when this returns.
  package func receive(
    _ bytes: RawSpan, from source: SocketAddress, on listener: ListenerIndex, at now: Instant
  ) {
    self.now = max(self.now, now)
    let arrival = Arrival(source: source, listener: listener)
    // A keep-alive (RFC 5626 §3.5.1, or the zero bytes that some phones send) asks for nothing.
    guard bytes.byteCount > 4, !isShutOut(arrival) else { return }
    if STUN.isBindingRequest(bytes) { return answerKeepAlive(bytes, arrival) }
    counters.messagesReceived &+= 1
    do throws(SIPParseError) {
      let message = try Message.parse(bytes, using: index)
      if message.isRequest {
        receiveRequest(message, arrival)
      } else {
        receiveResponse(message, arrival)
      }
    } catch {
      if !turnsAwayMalformed(arrival) { refuseUnparsable(bytes, error, arrival) }
    }
    if subscriptions.hasStale { tellWatchers() }
  }

  /// Fires due timers, at most `limits.timersPerAdvance`; true when more are due, so that a stall of the
  /// machine is worked off in pieces with a drain between them.
  package func advance(to now: Instant) -> Bool {
    self.now = max(self.now, now)
    var budget = settings.limits.timersPerAdvance
    defer { if subscriptions.hasStale { tellWatchers() } }
    startReady()
    while let expired = wheel.popExpired(until: self.now) {
      fire(expired.kind, SlabHandle(packed: expired.owner), owner: expired.owner)
      budget -= 1
      if budget == 0 { return true }
    }
    return false
  }

  /// When `advance` is due next; nil while no timer runs.
  package var nextDeadline: Instant? { ready.isEmpty ? wheel.nextDeadline : now }

  private func fire(_ kind: UInt8, _ handle: SlabHandle, owner: UInt64) {
    guard let timer = ShardTimer(rawValue: kind) else { return }
    switch timer {
    case .serverResend: fireServer(handle, .resend)
    case .serverExpire: fireServer(handle, .expire)
    case .clientResend: fireClient(handle, .resend)
    case .clientExpire: fireClient(handle, .expire)
    case .successResend: resendSuccess(handle)
    case .successDeadline: giveUpSuccess(handle)
    case .answer: answerTimedOut(handle)
    case .code: codeTimedOut(handle)
    case .response: responseTimedOut(handle)
    case .patience: patienceEnded(handle)
    case .duration: durationEnded(handle)
    case .toll: tollDue()
    case .mediaClose: mediaCloseTimedOut(handle)
    case .progress: progressDue(handle)
    case .binding: expireBinding(owner)
    case .upstream: upstreamDue(owner)
    case .keepAlive: keepAliveDue(owner)
    case .passing: passingDue(owner)
    case .provisionalResend: fireProvisional(handle, .resend)
    case .provisionalExpire: fireProvisional(handle, .expire)
    case .sessionTimer: sessionTimerDue(handle)
    case .target: targetDue(handle)
    case .name: nameTimedOut(handle)
    case .load: loadDue()
    case .transfer: transferDue(handle)
    case .subscription: subscriptionDue(handle)
    case .leavingListeners: leavingListenersDue()
    case .watch: watchDue(handle)
    case .watchPause: watchPauseDue(handle)
    case .bans: bansDue()
    case .quality: qualityDue(handle)
    case .identity: identityTimedOut(handle)
    case .recovery: recoveryDue()
    case .renewal: renewalDue(handle)
    }
  }
}

/// What a timer of the shard's wheel is for.
enum ShardTimer: UInt8 {
  case serverResend, serverExpire, clientResend, clientExpire
  case successResend, successDeadline
  case answer, response, patience, mediaClose, progress
  case code
  case binding, upstream, keepAlive, target, name
  case provisionalResend, provisionalExpire, sessionTimer
  case load
  case transfer, subscription, watch, watchPause
  case leavingListeners
  case passing
  case duration, toll
  case bans
  case quality
  case identity
  case recovery, renewal
}

/// Where a message came from.
struct Arrival {
  /// What its sender is without proof, once that was looked up: it is asked at the border and again where the
  /// request is taken.
  enum Sender { case unasked, stranger, trunk(Int) }

  var source: SocketAddress
  var listener: ListenerIndex
  var sender = Sender.unasked
}

extension [UInt8] {
  /// The first 24 bytes as three integers; the caller has checked that there are 32.
  fileprivate var withWords: (UInt64, UInt64, UInt64) {
    func word(_ at: Int) -> UInt64 {
      var value: UInt64 = 0
      for i in 0..<8 where at + i < count { value = value << 8 | UInt64(self[at + i]) }
      return value
    }
    return (word(8), word(16), word(24))
  }
}
