import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

/// One side of a session: a dialog with a peer and the INVITE usage in it (RFC 3261 §12, §13, §14).
///
///     early ──2xx──▶ confirmed ──BYE sent──▶ ending ──answered──▶ ended
///       │                └──────BYE received──────────────────────▲
///       ├──failure sent or received──────────────────────────────▶│
///       └──(ours only) not wanted any more──▶ abandoned ──final───▶│
final class Leg {
  enum State { case early, confirmed, abandoned, ending, ended }

  let side: LegSide
  /// We sent the first INVITE.
  let isOurs: Bool
  let call: CallID
  var state = State.early
  var handle = SlabHandle.none
  var session: Session?
  /// Whose handle our tag names: another leg's when this one is a second branch of its fork.
  var tagOwner = SlabHandle.none

  /// The dialog's identifiers. Those of an early dialog take their place while a request is written in it.
  var dialog = DialogText()
  /// Our tag is made from the leg's handle and this.
  var fork: UInt8 = 0
  var localCSeq: UInt32 = 0
  var remoteCSeq: UInt32 = 0

  /// Where in-dialog requests go, and from where.
  var destination: SocketAddress
  var source: SocketAddress
  var listener: ListenerIndex
  /// Index into the configuration that the call started with.
  var network: Int
  /// The peer, where it is a trunk: index into the session's configuration.
  var trunk: Int?
  /// The trunk's address, where that is watched.
  var watched: TrunkTarget?
  /// What is changed in the trunk's messages; nil: nothing.
  var rules: RuleSet?
  /// Requests follow the observed source address instead of the Contact (a phone behind a NAT), and use the
  /// connection that the peer made: none is made to it.
  var followsSource = false
  /// Whose certificate a connection to this peer must show.
  var security: PeerSecurity?
  /// The listener that a request moved away from because of its size, until the connection stands.
  var largeFrom: ListenerIndex?

  var inviteServer: ServerTransaction?
  var inviteClient: ClientTransaction?
  /// A 2xx of ours that waits for its ACK (§13.3.1.4).
  var success = Block.none
  var successInterval = Interval.zero
  var successTimer = TimerID.none
  var successDeadline = TimerID.none
  var awaitsAck = false
  /// A BYE is due as soon as the ACK allows it (§15).
  var byeWanted = false
  /// The 2xx carried an offer, so the ACK will carry the answer.
  var answerExpectedInAck = false
  /// A 2xx from the peer carried an offer: our ACK waits for the answer from the other side.
  var ackHeld: ClientTransaction?
  var maxForwards: UInt8 = 70

  /// The callee has said more than 100.
  var isRinging = false
  /// What it is an attempt at, until it answers, is lost or given up.
  var branch: Branch?
  /// Until anything but 100 comes, and until somebody answers.
  var responseTimer = TimerID.none
  var answerTimer = TimerID.none
  /// Its CANCEL or BYE says that another phone has dealt with the call (RFC 3326).
  var isCompletedElsewhere = false
  /// The peer's early dialogs by To tag, in order of appearance, and the number of the caller's early
  /// dialog that stands for each.
  var earlyTags: [HashKey] = []
  var forks: [UInt8] = []
  /// Shown to the caller before the peer had a tag.
  var untaggedFork: UInt8?
  /// Challenges answered; more than a few mean the password is wrong.
  var challengesAnswered: UInt8 = 0

  /// Our SDP: session id and version (RFC 8866 §5.2), the port it names, and the far end as last told.
  var sdpSession: UInt64 = 0
  var sdpVersion: UInt32 = 0
  /// A hash of our last description; 0: none that this process wrote.
  var said: UInt32 = 0
  var media: LegMedia?
  /// Its streams beside that; nil: it never had any.
  var further: FurtherStreams?
  var mediaClosing = false
  /// A verdict said that the peer is not heard.
  var isUnheard = false
  /// What offer and answer have come to in the dialog at hand.
  var exchange = OfferAnswer()
  /// The peer's description in force; `.none` before there is one.
  var description = Block.none
  /// A request with an offer of the peer's that the other side is asked about.
  var reoffer: Reoffer?
  /// Early dialogs in which something went reliably (RFC 3262): a callee's by To tag, a caller's by fork.
  var early: [EarlyDialog] = []
  /// What the peer said that it can do.
  var abilities = PeerAbilities()
  /// Reliable provisional responses of ours, the one outstanding and those that wait behind it.
  var provisional = ReliableProvisional()
  var provisionalResend = TimerID.none
  var provisionalExpiry = TimerID.none
  var owed: [OwedProvisional] = []
  /// The callee answered while a reliable response to the caller was unacknowledged (RFC 3262 §3).
  var heldSuccess: HeldSuccess?
  /// The last reliable response that a final one overtook: its PRACK may still come.
  var lastRSeq: UInt32 = 0
  /// What its trunk allows or asks for.
  var earlyMedia = EarlyMedia.pass
  var provisionals = ReliableProvisionals.supported
  var makesOffer = false
  /// Q.850 number in our BYE; 0: none.
  var byeReason: UInt8 = 0
  var passesInfo = true
  /// How digits are to go to it.
  var dtmf = DTMFPolicy.auto
  /// The peer's INFO that the other side is asked about.
  var infoServer: ServerTransaction?
  /// The session timer (RFC 4028), and what it was asked for.
  var timer = LegTimer()
  /// What its trunk allows; empty: everything.
  var codecs: [String] = []
  /// Who may be cut off when silent, in ms; 0: nobody.
  var silence: UInt32 = 0
  var wideLatching = false
  /// What may pass beside speech.
  var streams = SDPStreams.all
  /// Its speech may be converted.
  var transcodes = true
  /// What is done to the speech that it is sent.
  var treatment = SpeechTreatment()
  /// It has refused an offer of less than all that its speech could be made of.
  var offersAll = false
  var hold = LegHold()
  /// The media plane has been told how what it sends is numbered.
  var isNumbered = false
  /// What its peer's speech has last named as telephone-event; nil: there was none yet.
  var events: EventFormats?
  /// When media said last that it is silent.
  var silentAt = Instant.zero
  var protection = LegProtection()
  var credentials: Credentials?
  var realm: String?
  /// What stands for our host and the peer's in From, To and identities; nil: the addresses.
  var domain: String?
  var calledDomain: String?
  var identities: [[UInt8]] = []

  init(
    side: LegSide, isOurs: Bool, call: CallID, destination: SocketAddress, listener: ListenerIndex,
    network: Int
  ) {
    self.side = side
    self.isOurs = isOurs
    self.call = call
    self.destination = destination
    self.source = destination
    self.listener = listener
    self.network = network
  }
}

extension Leg {
  var tagHandle: SlabHandle { tagOwner.isNone ? handle : tagOwner }

  var text: Block {
    get { dialog.text }
    set { dialog.text = newValue }
  }
  var callID: ByteRange {
    get { dialog.callID }
    set { dialog.callID = newValue }
  }
  var local: ByteRange {
    get { dialog.local }
    set { dialog.local = newValue }
  }
  var remote: ByteRange {
    get { dialog.remote }
    set { dialog.remote = newValue }
  }
  var remoteTag: ByteRange {
    get { dialog.remoteTag }
    set { dialog.remoteTag = newValue }
  }
  var target: ByteRange {
    get { dialog.target }
    set { dialog.target = newValue }
  }
  var routes: ByteRange {
    get { dialog.routes }
    set { dialog.routes = newValue }
  }
}

/// A dialog's identifiers, packed in one block; the ranges point into it.
struct DialogText {
  var text = Block.none
  var callID = ByteRange.none
  /// From and To values as we write them, without our tag and with the peer's.
  var local = ByteRange.none
  var remote = ByteRange.none
  var remoteTag = ByteRange.none
  var target = ByteRange.none
  /// The route set as one header value; empty: none.
  var routes = ByteRange.none
}

/// What a peer supports, from Allow, Supported and Require.
struct PeerAbilities: OptionSet {
  var rawValue: UInt8
  static let update = PeerAbilities(rawValue: 1)
  static let info = PeerAbilities(rawValue: 2)
  static let timer = PeerAbilities(rawValue: 4)
  static let reliable = PeerAbilities(rawValue: 8)
  /// It insists on reliable provisional responses.
  static let onlyReliable = PeerAbilities(rawValue: 16)
  /// It asked to be told whether it may play early media (RFC 5009).
  static let earlyMedia = PeerAbilities(rawValue: 32)
}

/// An early dialog with reliable responses. A leg has at most `limit` of them; a further branch of a fork is
/// not acknowledged.
struct EarlyDialog {
  static let limit = 8
  /// Which dialog it is for the caller; of a callee's also by its To tag.
  var fork: UInt8
  var key: HashKey
  /// Of a callee's; a caller's differ in our tag only.
  var dialog = DialogText()
  var destination: SocketAddress
  var exchange: OfferAnswer
  /// The last RSeq, received from a callee or sent to a caller.
  var rseq: UInt32
  /// The last CSeq that the caller used in it: each dialog counts for itself (§12.2.1.1).
  var remoteCSeq: UInt32 = 0
  /// Of a caller's: the callee's RSeq that the PRACK of the response now outstanding acknowledges; 0: none.
  var due: UInt32 = 0
  /// The callee's answer.
  var description = Block.none
}

/// A provisional response to the caller that waits until the one before it is acknowledged.
struct OwedProvisional {
  static let limit = 16
  var status: Int
  var fork: UInt8
  var body: Block
  /// The callee's RSeq that it stands for; 0: none.
  var due: UInt32
}

/// What the caller's 200 will say.
struct HeldSuccess {
  var body: Block
  var fork: UInt8
}

/// How a peer that is reached by TLS proves itself; apart from the leg, because few have it.
final class PeerSecurity {
  let value: TrunkSecurity
  init(_ value: TrunkSecurity) { self.value = value }
}

/// An offer of a peer's on its way through to the other side.
///
/// An object: most calls never see one, and a leg should not have room for it.
final class Reoffer {
  /// Its request, which waits for our response.
  var server: ServerTransaction
  var carrier: OfferAnswer.Carrier
  var fork: UInt8
  /// Who is to answer; nil: it is answered here.
  var asked: Leg?
  /// The description; `.none` for an INVITE that asks for one.
  var offer = Block.none
  var lines = 0
  var remote: RemoteStreams?

  var open: OpenOffer {
    OpenOffer(
      text: offer, lines: lines, mayBeFax: remote?.main?.proto == .udptl,
      speech: remote?.main?.speech, events: remote?.main?.events)
  }

  init(server: ServerTransaction, carrier: OfferAnswer.Carrier, fork: UInt8) {
    self.server = server
    self.carrier = carrier
    self.fork = fork
  }
}

/// A leg's end of the media path.
struct LegMedia {
  var transport: MediaTransportID
  // In an order that leaves no holes.
  var local: LocalMedia
  var closed = false
  private var hasAnswered = false
  /// The one telephone-event that our answer has left of those; nil: what the peer has named holds.
  var answeredEvents: EventFormats.Format?
  var remote: RemoteMedia?
  private var left = SpeechFormats()

  init(transport: MediaTransportID, local: LocalMedia) {
    self.transport = transport
    self.local = local
  }

  /// What our answer has left of the codecs that the peer has offered; nil: it has answered an offer of ours.
  var answered: SpeechFormats? {
    get { hasAnswered ? left : nil }
    set {
      hasAnswered = newValue != nil
      left = newValue ?? SpeechFormats()
    }
  }
}
