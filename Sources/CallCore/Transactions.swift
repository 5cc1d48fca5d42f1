import Base
import SIPCore
import SIPWire

/// A request that a peer sent and that we answer.
final class ServerTransaction {
  enum Machine {
    case invite(InviteServerTransaction)
    case nonInvite(NonInviteServerTransaction)
  }

  var machine: Machine
  let method: Method
  let cseq: UInt32
  let key: HashKey
  /// Call-ID, From tag and CSeq: the same request over another path (§8.2.2.2).
  var mergeKey: HashKey?
  /// Where its responses go (§18.2.2, RFC 3581), and from which listener.
  let replyTo: SocketAddress
  let listener: ListenerIndex
  /// Where a connection may be made to for them when the request's own is gone; 0: nowhere.
  var connectPort: UInt16 = 0
  /// Whose certificate that connection must show.
  var security: PeerSecurity?
  /// A response between status line and To tag: Via, From, Call-ID, CSeq, Record-Route, To.
  var head: Block
  /// The request's To had a tag already, so responses add none.
  let toTagged: Bool
  /// The last response, for retransmission.
  var response = Block.none
  var resendTimer = TimerID.none
  var expireTimer = TimerID.none
  var handle = SlabHandle.none
  /// The leg that it belongs to, until either ends; and the call's serial and side for the trace.
  var leg: Leg?
  var serial: UInt64 = 0
  var side = LegSide.a

  init(
    machine: Machine, method: Method, cseq: UInt32, key: HashKey, replyTo: SocketAddress,
    listener: ListenerIndex, head: Block, toTagged: Bool
  ) {
    self.machine = machine
    self.method = method
    self.cseq = cseq
    self.key = key
    self.replyTo = replyTo
    self.listener = listener
    self.head = head
    self.toTagged = toTagged
  }

  /// No final response has been sent yet.
  var isProceeding: Bool {
    switch machine {
    case .invite(let invite): invite.state == .proceeding
    case .nonInvite(let other): other.state == .trying || other.state == .proceeding
    }
  }
}

/// A request of ours.
final class ClientTransaction {
  enum Machine {
    case invite(InviteClientTransaction)
    case nonInvite(NonInviteClientTransaction)
  }
  /// What its outcome means to the leg.
  enum Purpose {
    case invite, reInvite, bye, cancel, register, prack, update, refresh, info, probe
    case join, notify, report, renewal
  }

  /// Who sends a request that belongs to no leg and is told of its outcome; none once that is of no interest.
  enum Sender {
    case none
    case registration(UpstreamRegistration)
    case subscription(EventSubscription)
    /// A REGISTER that is carried for a phone.
    case passed(PassedRegister)
    case probe(TrunkTarget)
    /// What was heard of a leg, for who collects such.
    case report(QualityPublication)
  }

  var machine: Machine
  let method: Method
  let purpose: Purpose
  let cseq: UInt32
  let destination: SocketAddress
  let listener: ListenerIndex
  /// Of a stream: where a connection may be made to; 0: only the one there is will do.
  let connectPort: UInt16
  /// As sent: for retransmission, and for the CANCEL and ACK that must repeat parts of it.
  var request: Block
  /// The ACK that answered the final response, sent again when that comes again.
  var acknowledgement = Block.none
  var acknowledgeTo: SocketAddress?
  var resendTimer = TimerID.none
  var expireTimer = TimerID.none
  var handle = SlabHandle.none
  var leg: Leg?
  var sender = Sender.none
  var serial: UInt64 = 0
  var side = LegSide.b
  /// INVITE only: its CANCEL, and that one is wanted as soon as a provisional response allows it (§9.1).
  var cancel: ClientTransaction?
  var cancelWanted = false
  /// It is counted among those that wait for its destination.
  var isWaiting = false
  /// Retransmissions so far.
  var copies: UInt8 = 0
  /// Which early dialog it was sent in, as the caller counts them.
  var fork: UInt8 = 0
  /// The To tag of the first 2xx; a 2xx with another tag is another branch of a fork.
  var acceptedTag: HashKey?
  var divorcedTags: [HashKey] = []

  init(
    machine: Machine, method: Method, purpose: Purpose, cseq: UInt32, destination: SocketAddress,
    listener: ListenerIndex, connectPort: UInt16, request: Block
  ) {
    self.machine = machine
    self.method = method
    self.purpose = purpose
    self.cseq = cseq
    self.destination = destination
    self.listener = listener
    self.connectPort = connectPort
    self.request = request
  }

  /// Whom a probe asks.
  var probed: TrunkTarget? { if case .probe(let target) = sender { target } else { nil } }

  /// No final response yet.
  var isPending: Bool {
    switch machine {
    case .invite(let invite): invite.isPending
    case .nonInvite(let other): other.state != .completed && other.state != .terminated
    }
  }
}
