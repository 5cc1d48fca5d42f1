import Base
import MediaControl
import Policy
import SIPCore

/// A call: a caller's leg, the plan it walks, and the leg that the plan has led to.
///
///     awaitingRecord ──durable──▶ routing ──2xx──▶ answered ──▶ released ──media closed──▶ (gone)
///            └────────── CANCEL, refusal, operator ──────────────▲
final class Session {
  enum State { case awaitingRecord, routing, answered, released }

  let id: CallID
  /// The configuration at the start: names and indexes stay true however often it is replaced.
  let configuration: Configuration
  let tenant: Int
  var state = State.awaitingRecord
  var handle = SlabHandle.none
  var record: CallRecord
  var caller: Leg?
  var callee: Leg?

  var plan: RoutePlan
  var hopIndex = -1
  /// What the hop's target came to, in order, and which is being tried.
  var targets: [CallTarget] = []
  var targetIndex = 0
  /// The caller's SDP, kept until somebody answers: each hop gets it anew.
  var offer = Block.none
  /// Its m-lines: an answer must have as many.
  var offerLines = 0
  /// Why the last target was lost.
  var lastFailure: (status: Int, cause: Cause) = (480, .unreachable)
  /// Early dialogs that the caller has been shown so far, over all hops.
  var forksShown: UInt8 = 0

  var answerTimer = TimerID.none
  var responseTimer = TimerID.none
  var closeTimer = TimerID.none
  var progressTimer = TimerID.none
  /// The caller's number was proved: by our own user's configuration, or inside a trusted network.
  var callerIsAsserted = false
  var ingressSeat: Int?
  var egressSeat: Int?
  var application: MediaApplication?
  /// Who may be cut off when silent, in ms; 0: nobody.
  var callerSilence: UInt32 = 0
  var calleeSilence: UInt32 = 0

  init(
    id: CallID, configuration: Configuration, tenant: Int, record: CallRecord, plan: RoutePlan
  ) {
    self.id = id
    self.configuration = configuration
    self.tenant = tenant
    self.record = record
    self.plan = plan
  }

  func leg(_ side: LegSide) -> Leg? { side == .a ? caller : callee }
  func other(_ leg: Leg) -> Leg? { leg.side == .a ? callee : caller }
}

/// An address to send an INVITE to, and what to write into it.
struct CallTarget {
  var name: String
  var address: SocketAddress
  var listener: ListenerIndex
  var network: Int
  /// The request URI; a registered contact, or user@address of a trunk.
  var uri: String
  var codecs: [String]
  var wideLatching: Bool
  var followsSource: Bool
  var credentials: Credentials?
  var silence: UInt32
}
