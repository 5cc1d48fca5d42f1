import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

/// A call: a caller's leg, the plan it walks with a leg for each target that rings, and the leg that
/// answered.
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
  /// Early dialogs that the caller has been shown so far, over all hops.
  var forksShown: UInt8 = 0
  /// The m-lines of the caller's offer: an answer must have as many.
  var offerLines: UInt8 = 0
  /// It was looked whether somebody wants a recording.
  var isRecordingDecided = false
  var handle = SlabHandle.none
  var record: CallRecord
  var caller: Leg?
  /// With whom the caller is connected: while several ring, the one whose early media is passed on; in
  /// the end the one that answered.
  var callee: Leg?

  var plan: RoutePlan
  /// The walk along the plan, while nobody has answered.
  var strand: Strand?
  /// Who had sent the call on before it came to us, and how often it has been sent on here.
  var receivedDiversions: [Diversion] = []
  var diversionCount = 0
  /// Numbers that redirections have named: none is followed twice.
  var redirectedTo: Set<String> = []
  /// How long walks of it may still wait for a name.
  var nameTimer = TimerID.none
  /// The caller's SDP, kept until somebody answers: each hop gets it anew.
  var offer = Block.none
  /// What we speak of it.
  var offerSpeech = SpeechFormats()

  var patienceTimer = TimerID.none
  var closeTimer = TimerID.none
  var progressTimer = TimerID.none
  /// Header lines of the caller's INVITE that a rule lets cross.
  var passed: [[UInt8]] = []
  /// It is made by a phone whose registration a PBX keeps, and goes to that PBX.
  var phone: PhoneCall?
  /// How the PBX challenged it: header lines for the phone.
  var challenge: [[UInt8]] = []
  /// Who calls, as far as others may learn it.
  var identity = CallerIdentity(number: nil, origin: .unknown)
  /// The device that the caller named (RFC 5627); nil: any.
  var device: (user: String, instance: String)?
  /// What the side that ended the call gave as its reason.
  var reason = ReleaseReason()
  /// Both halves of the Session-ID, where the caller has one (RFC 7989).
  var names: (caller: SessionUUID, callee: SessionUUID)?
  var ingressSeat: Int?
  var egressSeat: Int?
  /// Places in limits besides those of trunks: for the caller, and for the way out.
  var ingressLimits: [Int] = []
  var egressLimits: [Int] = []
  /// A call for help that has one of the places reserved for those: no limit holds for it. Its index in the
  /// configuration's emergencies.
  var emergency: Int?
  var application: MediaApplication?
  /// Of the call, now.
  var recording: ActiveRecording?
  /// What it has to do with other calls; nil for nearly all.
  var handover: Handover?

  init(
    id: CallID, configuration: Configuration, tenant: Int, record: CallRecord, plan: RoutePlan
  ) {
    self.id = id
    self.configuration = configuration
    self.tenant = tenant
    self.record = record
    self.plan = plan
  }

  /// The number of a further early dialog; the last one stands for all beyond it.
  func nextFork() -> UInt8 {
    defer { forksShown = min(forksShown + 1, 15) }
    return forksShown
  }
  /// With whom a leg of the call is connected, be that somebody of another call.
  func other(_ leg: Leg) -> Leg? {
    guard let handover else { return leg.side == .a ? callee : caller }
    switch handover.parties {
    case .both: return leg.side == .a ? callee : caller
    case .one(let own): return leg === own ? handover.partner?.handover?.remaining : nil
    case .none: return nil
    }
  }
}

extension Session {
  /// The caller's first offer, for who answers it.
  var openOffer: OpenOffer? {
    guard !offer.isNone else { return nil }
    return OpenOffer(
      text: offer, lines: Int(offerLines), mayBeFax: caller?.media?.remote?.proto == .udptl,
      speech: offerSpeech)
  }
}

/// An address to send an INVITE to, and what to write into it.
struct CallTarget {
  var name: String
  var address: SocketAddress
  var listener: ListenerIndex
  /// Of TLS: whose certificate the peer must show.
  var security: TrunkSecurity?
  var network: Int
  /// The request URI; a registered contact, or user@address of a trunk.
  var uri: String
  var codecs: [String]
  var streams = SDPStreams.all
  var transcodes = true
  var treatment = SpeechTreatment()
  var dtmf = DTMFPolicy.auto
  var wideLatching: Bool
  var followsSource: Bool
  var credentials: Credentials?
  var silence: UInt32
  /// Index into the session's configuration; nil: a user's phone.
  var trunk: Int?
  /// What stands for the caller's and the called side's host; nil: the addresses.
  var domain: String?
  var calledDomain: String?
  /// The Route that the request bears, as one header value (RFC 3608 §6.1).
  var routes: [UInt8] = []
  /// Identities that the provider gave us; the first is its default one.
  var identities: [[UInt8]] = []
  /// Challenges of another realm are not answered.
  var realm: String?
  var dialog = DialogPolicy()
  var srtp = SRTPRules()
  /// What is known of its health; nil: nobody watches it (a phone's contact).
  var watched: TrunkTarget?
}

extension CallTarget {
  /// What every call to a trunk has from the trunk, wherever its address comes from.
  init(
    _ peer: Trunk, _ trunk: Int, network: Int, address: SocketAddress, listener: ListenerIndex,
    uri: String
  ) {
    self.init(
      name: "trunk:" + peer.name, address: address, listener: listener,
      security: peer.ownSecurity, network: network,
      uri: uri, codecs: peer.codecs, wideLatching: peer.wideLatching, followsSource: false,
      credentials: peer.credentials, silence: UInt32(clamping: peer.mediaTimeout.milliseconds),
      trunk: trunk, dialog: DialogPolicy(peer))
    srtp = peer.srtp
    streams = peer.streams
    transcodes = peer.transcode
    treatment = peer.treatment
    dtmf = peer.dtmf
  }
}
