import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

/// How a leg whose keys are gone is asked for new ones.
struct KeyRenewal {
  /// Of the peer's description: keys by a handshake, and the protocol.
  var isHandshake = false
  var transport = SDPMedia.Transport.rtpSAVP
  /// Its peer is a phone that has to make a connection first.
  var awaitsConnection = false
  var stage = Stage.asking
  var retries: UInt8 = 0
  var timer = TimerID.none

  enum Stage {
    /// The peer is asked, or will be.
    case asking
    /// It has agreed, and has to show that it means it.
    case agreed
    /// Nothing has shown it, and it is looked at once more.
    case doubted
  }

  /// Of offers that crossed another one, or that came to a busy peer.
  static let mostRetries: UInt8 = 8
  /// How long a peer may take to use what it has agreed to. baresip 1.0.0 and linphone 5.1 answer an offer of another
  /// certificate by 200 and shake hands no more, whatever is offered; the former keeps its keys of SDES too.
  static let patience = Interval.seconds(10)
  static let lastLook = Interval.seconds(1)

  init(awaitsConnection: Bool) { self.awaitsConnection = awaitsConnection }
}

// The keys of SRTP are in the memory of the process alone (RFC 4568 §7). A process that comes after offers each leg that
// had any new ones: of SDES in a re-INVITE with another key (§7.1.4), of DTLS with its own new certificate, which means
// a new handshake (RFC 8842 §3.1, RFC 5763 §6.6).
//
//     recovered ──re-INVITE──▶ asked ──2xx with keys──▶ agreed ──handshake, or packets under the key──▶ as before
//                  ▲             ├──491, 500──▶ again,      └──neither within 10 s──▶ BYE to both sides
//                  └─────────────┘              after a while
//                                └──refused, silent, or without keys──▶ BYE to both sides
//
// A phone whose connection went with the process is asked when it has made another one, and has 64·T1 for that.
//
// Until then the leg has no far end for media: what comes is refused, and what the other side says goes nowhere.

extension Shard {
  /// Reads what is left of the peer's description. False: it cannot be asked for keys.
  func preparesRenewal(_ leg: Leg) -> Bool {
    let text = blocks.bytes(leg.description)
    guard (try? SessionDescription.parse(text, into: &known)) != nil, let line = known.firstAudio
    else { return false }
    let media = known.media[line]
    leg.protection.renewal?.isHandshake = media.hasHandshake
    leg.protection.renewal?.transport = media.transport
    return !media.hasHandshake || !settings.certificateFingerprint.isEmpty
  }

  /// How an offer of new keys is protected.
  func protection(
    for leg: Leg, _ renewal: KeyRenewal, _ agreed: inout LineProtection
  ) throws(Cause) -> SDPProtection {
    if renewal.isHandshake { return try offerHandshake(&agreed, like: renewal.transport) }
    if agreed.offered.isEmpty { try makeOffer(leg, &agreed) }
    return ownOffer(agreed, like: renewal.transport)
  }

  func renewKeys(_ leg: Leg) {
    guard leg.protection.renewal != nil, let session = leg.session, session.state == .answered,
      leg.state == .confirmed
    else { return }
    // An offer of the peer's own has brought some meanwhile.
    guard leg.media?.remote?.security == nil else { return renewalAgreed(leg) }
    if leg.protection.renewal?.awaitsConnection == true {
      return renewLater(leg, after: timers.lifetime)
    }
    guard isQuiet(leg) else { return renewLater(leg, after: .seconds(2)) }
    guard !awaitsPorts(session, leg) else { return renewLater(leg, after: .milliseconds(250)) }
    leg.sdpVersion &+= 1
    if !offerKeys(session, leg) { couldNotRenew(session) }
  }

  /// A line beside speech needs a port, and at the start of the process none may be ready; its speech does not wait for
  /// long.
  private func awaitsPorts(_ session: Session, _ leg: Leg) -> Bool {
    guard ports.free == 0, let renewal = leg.protection.renewal, renewal.retries < 4,
      let other = session.other(leg)
    else { return false }
    return lineCount(other.description) > 1
  }

  /// What the other side said last, under keys that are new.
  private func offerKeys(
    _ session: Session, _ leg: Leg, answering challenge: DigestResponder.Challenge? = nil,
    of bytes: RawSpan = RawSpan()
  ) -> Bool {
    guard writesRenewal(session, leg) else { return false }
    defer { body.abandon() }
    return sendReInvite(leg, hasBody: true, .renewal, challenge, bytes)
  }

  private func writesRenewal(_ session: Session, _ leg: Leg) -> Bool {
    guard let other = session.other(leg) else { return writeOffer(leg) }
    let text = blocks.bytes(other.description)
    guard (try? SessionDescription.parse(text, into: &offered)) != nil else { return false }
    return relay(offered, text, from: other, to: leg)
  }

  private func renewLater(_ leg: Leg, after pause: Interval) {
    guard let session = leg.session, var renewal = leg.protection.renewal else { return }
    guard renewal.retries < KeyRenewal.mostRetries else { return couldNotRenew(session) }
    renewal.retries += 1
    restart(&renewal.timer, .renewal, pause, leg.handle)
    leg.protection.renewal = renewal
  }

  func renewalDue(_ handle: SlabHandle) {
    guard let leg = leg(handle), var renewal = leg.protection.renewal else { return }
    renewal.timer = .none
    leg.protection.renewal = renewal
    guard renewal.stage == .asking else { return proofDue(leg, renewal) }
    guard renewal.awaitsConnection, leg.media?.remote?.security == nil else {
      return renewKeys(leg)
    }
    if let session = leg.session { couldNotRenew(session) }
  }

  /// There is a connection to the phone again: it is asked in a moment, since what came by it may be a BYE.
  func attached(_ leg: Leg) {
    guard leg.protection.renewal?.awaitsConnection == true else { return }
    leg.protection.renewal?.awaitsConnection = false
    renewLater(leg, after: .milliseconds(20))
  }

  /// It has its keys, or needs none any more.
  func endRenewal(_ leg: Leg) {
    guard var renewal = leg.protection.renewal else { return }
    wheel.cancel(&renewal.timer)
    leg.protection.renewal = nil
  }

  private func couldNotRenew(_ session: Session, _ obstacle: RecoveryObstacle = .protected) {
    guard session.state == .answered else { return }
    counters.recovery.recovered -= 1
    counters.recovery.released += 1
    note(obstacle, session)
    release(session, by: .system, .interrupted)
  }

  // MARK: Whether it means it

  private func renewalAgreed(_ leg: Leg) {
    guard var renewal = leg.protection.renewal else { return }
    renewal.stage = .agreed
    renewal.isHandshake = leg.media?.remote?.security?.handshake != nil
    restart(&renewal.timer, .renewal, KeyRenewal.patience, leg.handle)
    leg.protection.renewal = renewal
  }

  private func proofDue(_ leg: Leg, _ known: KeyRenewal) {
    guard let session = leg.session, let media = leg.media else { return }
    switch known.stage {
    case .agreed where known.isHandshake: couldNotRenew(session, .unused)
    case .agreed:
      var renewal = known
      renewal.stage = .doubted
      restart(&renewal.timer, .renewal, KeyRenewal.lastLook * 2, leg.handle)
      leg.protection.renewal = renewal
      let milliseconds = UInt32(clamping: KeyRenewal.lastLook.milliseconds)
      outbox.media.append(.examine(media.transport, afterMilliseconds: milliseconds))
    // Nothing speaks against it.
    case .asking, .doubted: endRenewal(leg)
    }
  }

  /// What media saw in the last look. Who sends nothing may be on hold.
  func renewalExamined(_ session: Session, _ leg: Leg, _ evidence: MediaEvidence) {
    guard evidence.packets == 0, evidence.unopened > 0 else { return endRenewal(leg) }
    couldNotRenew(session, .unused)
  }

  /// False: no side of it is silent because no handshake has followed what was agreed.
  func releaseUnrenewed(_ session: Session) -> Bool {
    let isUnused = [session.caller, session.callee].contains { leg in
      guard let renewal = leg?.protection.renewal else { return false }
      return renewal.stage == .agreed && renewal.isHandshake
    }
    if isUnused { couldNotRenew(session, .unused) }
    return isUnused
  }

  // MARK: What the peer says

  func renewalAnswered(_ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message) {
    guard isOutcome(message, of: transaction) else { return }
    leg.inviteClient = nil
    guard let session = leg.session, session.state == .answered, leg.state == .confirmed else {
      leg.exchange.refused(.invite)
      guard message.status < 300 else { return }
      transaction.acceptedTag = HashKey(low: 0, high: 0)
      return acknowledge(leg, transaction, withBody: false)
    }
    guard message.status < 300 else {
      leg.exchange.refused(.invite)
      return renewalRefused(session, leg, message)
    }
    noteAccepted(leg, transaction, message)
    let verdict = leg.exchange.handle(
      .success, from: .them, hasDescription: hasDescription(message))
    let isAgreed =
      verdict == .answer && describes(message, leg) && leg.media?.remote?.security != nil
      && (session.application == nil || adoptsAnswer(session, leg))
    acknowledge(leg, transaction, withBody: false)
    guard isAgreed else { return couldNotRenew(session) }
    renewalAgreed(leg)
    leg.challengesAnswered = 0
    keepDescription(leg, leg.fork, message)
    changed(session)
  }

  private func renewalRefused(_ session: Session, _ leg: Leg, _ message: borrowing Message) {
    switch message.status {
    case 491: renewLater(leg, after: glareWait(leg))
    // It is busy with another offer (RFC 3261 §14.2).
    case 500: renewLater(leg, after: .seconds(min(Int(message.retryAfter ?? 2), 10)))
    case 422 where raiseInterval(leg, message): renewLater(leg, after: .milliseconds(10))
    case 401, 407:
      guard leg.credentials != nil, leg.challengesAnswered < 2,
        let challenge = DigestResponder.choose(message)
      else { return couldNotRenew(session) }
      leg.challengesAnswered += 1
      if !offerKeys(session, leg, answering: challenge, of: message.bytes) {
        couldNotRenew(session)
      }
    default: couldNotRenew(session)
    }
  }

  /// It keeps silent, or cannot be reached.
  func renewalTimedOut(_ leg: Leg) {
    leg.inviteClient = nil
    leg.exchange.refused(.invite)
    if let session = leg.session { couldNotRenew(session) }
  }
}
