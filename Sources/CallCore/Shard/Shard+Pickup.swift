import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// Somebody takes a call that rings elsewhere (RFC 5359 §2.16): an INVITE with Replaces that names the dialog which
// dialog-info has shown them. We have begun that dialog, so it may be replaced while it is early (RFC 3891 §3); the
// phones that rang are cancelled, and the caller is answered with what the new party speaks.

extension Shard {
  /// The leg that the names of a dialog-info document stand for. Which of the tags is whose, phones disagree on.
  func legToPickUp(_ dialog: ReplacedDialog) -> Leg? {
    var owner: SlabHandle?
    for text in [dialog.callID, dialog.toTag, dialog.fromTag] {
      let bytes = Array(text.utf8)
      guard let token = mint.read(bytes.rawSpan), token.kind == .pickup,
        owner.map({ $0 == token.owner }) ?? true
      else { return nil }
      owner = token.owner
    }
    return owner.flatMap { leg($0) }
  }

  func pickup(
    _ leg: Leg, _ dialog: ReplacedDialog, _ message: borrowing Message, _ caller: CallerKind
  ) -> Replacement {
    guard let session = leg.session, isOfTenant(caller, session) else {
      return .refused(481, .transferRefused)
    }
    guard case .user(let taker) = caller, let user = user(of: leg, session),
      configuration.view(ofUser: user, by: taker) == .calls
    else { return .refused(403, .transferRefused) }
    switch leg.state {
    case .abandoned, .ending, .ended: return .refused(603, .transferRefused)
    case .confirmed:
      // Nobody is relieved of a call but by a phone of their own.
      guard !dialog.isEarlyOnly, user == taker else { return .refused(486, .transferRefused) }
      return takeover(of: leg, session, message)
    case .early: break
    }
    guard leg.isOurs, leg.branch != nil, session.state == .routing,
      let staying = session.caller, staying.inviteServer?.isProceeding == true
    else { return .refused(481, .transferRefused) }
    guard session.handover?.transfer == nil else { return .refused(491, .transferRefused) }
    // Our answer to the caller would have to make the offer, and wait for theirs.
    guard !session.offer.isNone else { return .refused(488, .mediaUnacceptable) }
    if let cause = isDraining ? .draining : overload() { return .refused(cause.sipStatus, cause) }
    return .accepted(leg, staying, .pickup)
  }

  /// Whose phone the leg is with.
  private func user(of leg: Leg, _ session: Session) -> Int? {
    let name =
      leg.branch?.target?.name ?? (leg.side == .a ? session.record.from : session.record.to)
    guard name.hasPrefix("user:") else { return nil }
    return user(Registrar.UserKey(tenant: session.record.tenant, user: String(name.dropFirst(5))))
  }

  // MARK: Taking it

  /// The record is safe. Whoever takes the call has made an offer, or is made that of the caller.
  func pickUp(_ transfer: Transfer) {
    guard let taker = transfer.target, let server = taker.inviteServer, server.isProceeding,
      transfer.transferor.state == .early, transfer.held.state == .routing
    else { return fail(transfer, 603, .completedElsewhere) }
    guard transfer.next.offer.isNone else { return takeCall(transfer) }
    let text = blocks.bytes(transfer.held.offer)
    guard (try? SessionDescription.parse(text, into: &offered)) != nil,
      relay(offered, text, from: transfer.transferee, to: taker)
    else { return fail(transfer, 488, .mediaUnacceptable) }
    offer(to: taker, server, transfer)
  }

  /// Answers both: each with what the other has said, of which one codec is left that both have.
  private func takeCall(_ transfer: Transfer) {
    let (held, next, caller) = (transfer.held, transfer.next, transfer.transferee)
    guard let taker = transfer.target, let server = caller.inviteServer, server.isProceeding,
      transfer.transferor.state == .early
    else { return fail(transfer, 603, .completedElsewhere) }
    // RFC 3262 §3: the caller has not acknowledged yet what it was told last.
    if caller.provisional.holdsSuccess { return tryAgain(transfer) }
    let theirs = blocks.bytes(next.state == .answered ? taker.description : next.offer)
    guard let codec = commonCodec(held.offer, caller, theirs, taker),
      (try? SessionDescription.parse(theirs, into: &offered)) != nil,
      relay(offered, theirs, from: taker, to: caller, codec: codec, answering: held.openOffer)
    else { return fail(transfer, 488, .mediaUnacceptable) }
    caller.fork = held.nextFork()
    sendSuccess(caller, server)
    body.abandon()
    if next.state != .answered { answerTaker(transfer, taker, codec) }
    giveUp(held, Failure(487, .completedElsewhere))
    held.record.to = transfer.name
    held.record.codec = codec
    answered(held)
    joined(transfer)
  }

  private func answerTaker(_ transfer: Transfer, _ taker: Leg, _ codec: String) {
    let text = blocks.bytes(transfer.held.offer)
    guard let server = taker.inviteServer, server.isProceeding,
      (try? SessionDescription.parse(text, into: &offered)) != nil,
      relay(
        offered, text, from: transfer.transferee, to: taker, codec: codec,
        answering: transfer.next.openOffer)
    else { return }
    transfer.next.record.codec = codec
    sendSuccess(taker, server)
    body.abandon()
    answered(transfer.next)
  }

  private func tryAgain(_ transfer: Transfer) {
    transfer.tries += 1
    guard transfer.tries <= Transfer.triesAtMost else {
      return fail(transfer, 491, .transferFailed)
    }
    restart(&transfer.timer, .transfer, .milliseconds(200), transfer.call.handle)
  }

  func pickupDue(_ transfer: Transfer) {
    if transfer.kind == .pickup { takeCall(transfer) }
  }

  /// `NAME/RATE` of the first speech codec of the one that the other has too; two offers are no answers to each
  /// other, but where one codec is left in both nothing is to be negotiated.
  private func commonCodec(_ offer: Block, _ caller: Leg, _ theirs: RawSpan, _ taker: Leg)
    -> String?
  {
    guard let allowed = codecs(caller, taker) else { return nil }
    let known = speech(blocks.bytes(offer), allowed)
    return speech(theirs, allowed).first { one in
      known.contains { $0.lowercased() == one.lowercased() }
    }
  }

  private func speech(_ text: RawSpan, _ allowed: CodecFilter) -> [String] {
    guard (try? SessionDescription.parse(text, into: &offered)) != nil,
      let line = offered.firstAudio
    else { return [] }
    return offered.formats(of: line).filter { $0.encoding.isSpeech && allowed.allows($0, in: text) }
      .map {
        ($0.hasRTPMap ? text.string($0.name) : "\($0.encoding.name)") + "/\($0.clockRate)"
      }
  }

  // MARK: An INVITE without an offer

  /// Of a call that has been answered: what the one who stays last said that it speaks.
  func offerReplacement(_ transfer: Transfer) {
    guard let target = transfer.target, let server = target.inviteServer, server.isProceeding else {
      return fail(transfer, 481, .transferFailed)
    }
    guard writeDescription(of: transfer.transferee, for: target) else {
      return fail(transfer, 488, .mediaUnacceptable)
    }
    offer(to: target, server, transfer)
  }

  /// `body` is our offer; the answer comes in the ACK.
  private func offer(to leg: Leg, _ server: ServerTransaction, _ transfer: Transfer) {
    sendSuccess(leg, server)
    body.abandon()
    answered(transfer.next)
  }

  /// The ACK of whoever was made an offer. False: it is of no such transfer.
  func replacementAgreed(_ leg: Leg, _ session: Session, isUsable: Bool) -> Bool {
    guard let transfer = session.handover?.transfer, transfer.target === leg,
      transfer.kind == .pickup || transfer.kind == .replacement, transfer.stage == .calling
    else { return false }
    guard isUsable else {
      fail(transfer, 488, .mediaUnacceptable)
      return true
    }
    noteMedia(session, offered, blocks.bytes(leg.description))
    if transfer.kind == .pickup { takeCall(transfer) } else { askTransferee(transfer) }
    return true
  }
}
