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

  /// The dialog's identifiers, packed in one block; the ranges point into it.
  var text = Block.none
  var callID = ByteRange.none
  /// From and To values as we write them, without our tag and with the peer's.
  var local = ByteRange.none
  var remote = ByteRange.none
  var remoteTag = ByteRange.none
  var target = ByteRange.none
  /// The route set as one header value; empty: none.
  var routes = ByteRange.none
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
  /// What is changed in the trunk's messages; nil: nothing.
  var rules: RuleSet?
  /// Requests follow the observed source address instead of the Contact (a phone behind a NAT).
  var followsSource = false

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
  var maxForwards = 70

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
  var challengesAnswered = 0

  /// Our SDP: session id and version (RFC 8866 §5.2), the port it names, and the far end as last told.
  var sdpSession: UInt64 = 0
  var sdpVersion: UInt64 = 0
  var media: LegMedia?
  var mediaClosing = false
  /// What a re-INVITE described, until the other side has agreed.
  var pendingRemote: RemoteMedia?
  /// What its trunk allows; empty: everything.
  var codecs: [String] = []
  /// Who may be cut off when silent, in ms; 0: nobody.
  var silence: UInt32 = 0
  var wideLatching = false
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
}

/// A leg's end of the media path.
struct LegMedia {
  var transport: MediaTransportID
  var local: LocalMedia
  var remote: RemoteMedia?
  /// What the far end's last counters said.
  var quality = StreamQuality()
  var closed = false
}
