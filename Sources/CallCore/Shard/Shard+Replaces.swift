import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// An INVITE that takes the place of a dialog (RFC 3891 §3): whoever sends it is connected with the other party of
// the call, and the one that it replaces is hung up.

/// What a Replaces came to: the leg that is replaced and the one that stays, or the status of the refusal.
enum Replacement {
  case accepted(Leg, Leg, Transfer.Kind)
  case refused(Int, Cause)
}

extension Shard {
  /// False: the INVITE replaces nothing, and is one like any other.
  func replaces(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ caller: CallerKind,
    network: Int, _ arrival: Arrival
  ) -> Bool {
    guard message.first(.replaces) != nil else { return false }
    switch replacement(message, caller) {
    case .refused(let status, let cause): refuse(message, fields, key, status, cause, arrival)
    case .accepted(let leaving, let staying, let kind):
      guard let transaction = makeServer(message, fields, key, arrival) else {
        refuse(message, fields, 503, .capacity, arrival)
        return true
      }
      takePlace(
        of: leaving, with: staying, kind, message, fields, transaction, caller, network: network,
        arrival)
    }
    return true
  }

  private func replacement(_ message: borrowing Message, _ caller: CallerKind) -> Replacement {
    guard message.count(.replaces) == 1, let value = message.first(.replaces),
      let dialog = ReplacedDialog(message.bytes.string(value))
    else { return .refused(400, .malformed) }
    if let ringing = legToPickUp(dialog) { return pickup(ringing, dialog, message, caller) }
    // A trunk without the right learns nothing of what dialogs there are.
    guard mayTransfer(caller) else { return .refused(403, .transferRefused) }
    guard let leg = leg(ourTag: dialog.toTag, theirs: dialog.fromTag, dialog.callID),
      let session = leg.session, isOfTenant(caller, session)
    else { return .refused(481, .transferRefused) }
    switch leg.state {
    // Only who rings may be relieved of it, by the names that dialog-info has for that.
    case .early: return .refused(481, .transferRefused)
    case .abandoned, .ending, .ended: return .refused(603, .transferRefused)
    case .confirmed: break
    }
    if session.state == .answered, session.other(leg)?.session != nil, dialog.isEarlyOnly {
      return .refused(486, .transferRefused)
    }
    return takeover(of: leg, session, message)
  }

  /// Of a call that has been answered.
  func takeover(
    of leg: Leg, _ session: Session, _ message: borrowing Message
  ) -> Replacement {
    guard session.state == .answered, let other = session.other(leg), let held = other.session
    else {
      return .refused(603, .transferRefused)
    }
    guard isFreeForTransfer(session), isFreeForTransfer(held) else {
      return .refused(491, .transferRefused)
    }
    if let cause = isDraining ? .draining : overload() { return .refused(cause.sipStatus, cause) }
    return .accepted(leg, other, .replacement)
  }

  func isOfTenant(_ caller: CallerKind, _ session: Session) -> Bool {
    guard let tenant = tenant(of: caller) else { return false }
    return configuration.tenants[tenant].name == session.record.tenant
  }

  private func takePlace(
    of leaving: Leg, with staying: Leg, _ kind: Transfer.Kind, _ message: borrowing Message,
    _ fields: RequestFields, _ transaction: ServerTransaction, _ caller: CallerKind, network: Int,
    _ arrival: Arrival
  ) {
    guard let call = leaving.session, let held = staying.session, let tenant = tenant(of: caller)
    else { return respond(transaction, 481) }
    let id = nextCallID()
    let identity = try? identify(message, fields, caller).get()
    let isCaller = staying.side == .a
    var record = CallRecord(
      id: id, tenant: call.record.tenant, from: name(of: caller),
      to: isCaller ? held.record.from : held.record.to,
      calledNumber: isCaller ? held.identity.shown : held.record.calledNumber,
      callerNumber: identity?.shown ?? CallerIdentity.anonymous, source: arrival.source,
      sipCallID: message.bytes.string(fields.callID.first(256)), setup: now)
    counters.callsAttempted &+= 1
    transaction.serial = id.serial
    traceIncoming(message, id.serial, .a, arrival)
    respond(transaction, 100)
    var holding = CallerHolding()
    if let cause = hold(caller, tenant: tenant, in: &holding) {
      return refuseCall(&record, transaction, cause)
    }
    guard
      let next = enter(
        record, tenant: tenant, plan: RoutePlan(hops: []), identity: identity, &holding)
    else { return refuseCall(&record, transaction, .capacity) }
    guard makeCallerLeg(next, message, fields, transaction, caller, network: network, arrival),
      let target = next.caller
    else {
      if next.caller == nil { respond(transaction, 503, extra: Cause.capacity.retryHeader) }
      return refuseBeforeRecord(next, .capacity)
    }
    guard takeOffer(next, message, caller) else { return }
    begin(
      Transfer(
        kind, .calling, call: call, transferor: leaving, held: held, transferee: staying,
        next: next, far: next, target: target, name: record.from,
        number: identity?.shown ?? CallerIdentity.anonymous))
    awaitRecord(next)
  }

  /// The new party is told what the one that stays has answered to its offer, which is in `offered`.
  func answerReplacement(_ transfer: Transfer) -> Bool {
    let next = transfer.next
    guard let leg = transfer.target, let server = leg.inviteServer, server.isProceeding,
      relay(
        offered, blocks.bytes(transfer.transferee.description), from: transfer.transferee, to: leg,
        answering: next.openOffer)
    else { return false }
    noteMedia(next, offered, blocks.bytes(transfer.transferee.description))
    sendSuccess(leg, server)
    body.abandon()
    answered(next)
    return true
  }
}
