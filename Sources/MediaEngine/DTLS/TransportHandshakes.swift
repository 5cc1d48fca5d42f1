import Base
import MediaControl

/// What a transport's two sockets have of DTLS. RTP and RTCP have an association each, as we take up no rtcp-mux
/// (RFC 5764 §4.1.2); an object, because most transports have none.
final class TransportHandshakes {
  /// Nil: the far end has not been described yet, but has begun.
  var wanted: MediaHandshake?
  let media = ComponentHandshakes()
  let control = ComponentHandshakes()
  /// Since when there are keys for RTP.
  var keyedAt = Instant.zero
  /// The engine has been told of a wrong certificate.
  var toldWrongFingerprint = false

  func component(control: Bool) -> ComponentHandshakes { control ? self.control : media }
}

/// The associations of one socket: the one that stands, and those that may come to replace it. Whoever fails, only
/// his own is gone: the one that stands does so until another has been finished by whom the fingerprint names.
final class ComponentHandshakes {
  /// Handshakes under way at a time.
  static let limit = 2
  /// The first of further repetitions comes after so long, and none after more than this.
  static let firstNudge = Interval.milliseconds(50)
  static let lastNudge = Interval.milliseconds(500)
  /// How long a handshake may take: ours are repeated by us, those of others are a stranger's until they are over.
  static let clientPatience = Interval.seconds(30)
  static let serverPatience = Interval.seconds(10)
  /// A client whose handshake has failed begins again after so long, so many times.
  static let retryDelay = Interval.seconds(1)
  static let maxRetries = 10
  /// Of RTCP, as there are far ends that shake hands for RTP alone.
  static let maxControlRetries = 1

  struct Pending {
    let association: DTLSAssociation
    let rank: SourceRank
  }

  /// What one socket may ask for: so many calls cost so much, whoever knows their ports. Strangers cannot use up what is
  /// for the address that SDP names.
  private var fromStrangers = TokenBucket(rate: 2, burst: 4)
  private var fromItsAddress = TokenBucket(rate: 5, burst: 10)

  var done: DTLSAssociation?
  private(set) var pending: [Pending] = []
  /// The last ClientHello that came before it was said whom to expect.
  var early: (source: SocketAddress, datagram: [UInt8])?
  /// A ClientHello in fragments, as far as they have come.
  private(set) var assembly: HelloAssembly?
  /// As the client: when to begin, once there is somebody to speak for; nil: not again.
  var begins: Instant?
  var retries = 0
  /// As the client: when to say again what nobody has answered, beside libssl's own repetitions, and how long after that.
  var nudges: Instant?
  var nudgeDelay = Interval.zero

  /// The association that a datagram from there belongs to, other than a ClientHello.
  func association(with source: SocketAddress) -> DTLSAssociation? {
    if let found = pending.first(where: { $0.association.peer == source }) {
      return found.association
    }
    return done?.peer == source ? done : nil
  }

  func isPending(_ association: DTLSAssociation) -> Bool {
    pending.contains { $0.association === association }
  }

  /// Whether a handshake of this hello is there already: it has been repeated.
  func knows(_ hello: DTLSHello.Random, from source: SocketAddress) -> Bool {
    let isPending = pending.contains {
      $0.association.peer == source && $0.association.hello == hello
    }
    return isPending || done?.peer == source && done?.hello == hello
  }

  /// Puts a fragment of a ClientHello in its place. `hello`: of the first one, whose cookie was good. What has become
  /// whole by it is taken out.
  func assemble(
    _ fragment: HelloFragment, in datagram: RawSpan, _ hello: DTLSHello?,
    from source: SocketAddress, _ rank: SourceRank, at now: Instant
  ) -> (hello: DTLSHello, datagram: [UInt8])? {
    if assembly?.has(fragment, from: source) != true {
      guard !fragment.part.isEmpty,
        assembly?.yields(to: rank, from: source, isProven: hello != nil, at: now) ?? true,
        let new = HelloAssembly(fragment, from: source, rank, at: now)
      else { return nil }
      assembly = new
    }
    assembly?.take(fragment, datagram, hello)
    guard let whole = assembly?.whole else { return nil }
    assembly = nil
    return whole
  }

  /// Whether its handshakes are not too many.
  func mayBegin(_ rank: SourceRank, at now: Instant) -> Bool {
    rank == .address ? fromItsAddress.take(at: now) : fromStrangers.take(at: now)
  }

  /// Whether one more of this rank may begin. It takes the place of one of its own address, else of a stranger's that
  /// is less likely to be the far end's, or of one that has made no haste.
  func makeRoom(for source: SocketAddress, _ rank: SourceRank, at now: Instant) -> Bool {
    pending.removeAll { $0.association.peer == source }
    guard pending.count >= Self.limit else { return true }
    let lower = pending.indices.filter { pending[$0].rank < rank }
    if let last = lower.min(by: { pending[$0].rank < pending[$1].rank }) {
      pending.remove(at: last)
      return true
    }
    let slow = pending.firstIndex {
      $0.rank == rank && now - $0.association.began >= .seconds(1)
    }
    guard let slow else { return false }
    pending.remove(at: slow)
    return true
  }

  func add(_ association: DTLSAssociation, _ rank: SourceRank) {
    pending.append(Pending(association: association, rank: rank))
  }

  func drop(_ association: DTLSAssociation) {
    pending.removeAll { $0.association === association }
    if done === association { done = nil }
  }

  /// Those under way go; what stands does not.
  func dropPending() {
    pending = []
    assembly = nil
    nudges = nil
  }

  /// What of ours nobody has answered.
  var unheard: DTLSAssociation? {
    pending.first { $0.association.role == .client && !$0.association.isHeard }?.association
  }

  /// It stands from now on, and whatever else was under way is over.
  func settle(on association: DTLSAssociation) {
    done = association
    pending = []
    early = nil
    assembly = nil
    begins = nil
    nudges = nil
    retries = 0
  }

  /// When there is something to do next.
  func next(after now: Instant, mayBegin: Bool) -> Instant {
    var next = mayBegin ? begins ?? .distantFuture : .distantFuture
    next = min(next, nudges ?? .distantFuture)
    for item in pending {
      let association = item.association
      next = min(next, association.began + patience(association))
      if let left = association.timeout {
        // libssl measures by a clock of its own.
        next = min(next, now + max(left, .milliseconds(2)))
      }
    }
    return next
  }

  func patience(_ association: DTLSAssociation) -> Interval {
    association.role == .client ? Self.clientPatience : Self.serverPatience
  }
}
