import Base
import SIPCore

/// What a call has to do with others since one of its parties asked to hand it on. Nearly no call has one.
///
/// Each call keeps its own record, its channels and its places in limits for as long as it has a party of its own:
///
///     before   transferee ═ call ═ transferor          transferor ═ next ═ target
///     after    transferee ═ call ══════════════ next ═ target      (the transferor has left both)
final class Handover {
  /// Who of the call's own two parties is still in it.
  enum Parties {
    case both
    case one(Leg)
    case none
  }

  var parties = Parties.both
  /// The call whose party has taken the place of the one who left.
  var partner: Session?
  /// A transfer under way that the call has part in.
  var transfer: Transfer?
  /// What the sender of a REFER is still to be told.
  var referral: Referral?
  /// A REFER has come before: the next one's NOTIFYs say which they are of (RFC 3515 §2.4.6).
  var hasReferred = false

  /// The party that is left, once the other has been replaced.
  var remaining: Leg? {
    if case .one(let leg) = parties { return leg }
    return nil
  }

  /// Somebody has taken the leg's place: it only waits to be hung up.
  func hasLeft(_ leg: Leg) -> Bool {
    switch parties {
    case .both: false
    case .one(let remaining): remaining !== leg
    case .none: true
    }
  }
}

/// A call that one of its parties hands to somebody else (RFC 5589), from the REFER, or the INVITE that replaces a
/// dialog (RFC 3891), until the two that are left speak with each other or it has come to nothing.
///
///     blind     REFER ──▶ calling ──target answers──▶ offeringTransferee ──answer──▶ joined
///     attended  REFER ──▶ offeringTarget ──answer───▶ offeringTransferee ──answer──▶ joined
///     replaced  INVITE ─────────────────────────────▶ offeringTransferee ──answer──▶ joined
///     picked up INVITE ──────────────────────────────────────────────────both answered──▶ joined
///
/// An INVITE of whoever replaces that has no offer is made one, and its ACK waited for in `calling`.
///
/// Until the transferee has answered nothing is lost: the call is as it was.
final class Transfer {
  enum Stage { case calling, offeringTarget, offeringTransferee }

  /// What the call to the target is.
  enum Kind {
    /// Made for the transfer.
    case blind
    /// The transferor's own.
    case attended
    /// That of somebody who takes the transferor's place.
    case replacement
    /// The same, while the transferor's phone rings still.
    case pickup
  }

  let kind: Kind
  var stage: Stage
  /// The transferor's call.
  let call: Session
  let transferor: Leg
  /// Whose party the transferee is: the same call, or the one that it has been joined with before.
  let held: Session
  let transferee: Leg
  let next: Session
  /// The transferor's leg of `next`, where that is its own.
  let consultation: Leg?
  /// Whose party the target is: `next`, or the one that it has been joined with before.
  let far: Session
  /// Nil: not known yet, or an application.
  var target: Leg?
  /// The line of the record for a target that is an application.
  var attempt: Int?
  /// The user or trunk that hands the call on, as records name it, and its number as others may see it.
  let name: String
  let number: String
  /// Until a side that is busy with an exchange of its own is asked again.
  var timer = TimerID.none
  var tries = 0
  /// The transferee hears that the target rings.
  var isRingingBack = false

  static let triesAtMost = 20

  init(
    _ kind: Kind, _ stage: Stage, call: Session, transferor: Leg, held: Session, transferee: Leg,
    next: Session, consultation: Leg? = nil, far: Session, target: Leg? = nil, name: String,
    number: String
  ) {
    self.kind = kind
    self.stage = stage
    self.call = call
    self.transferor = transferor
    self.held = held
    self.transferee = transferee
    self.next = next
    self.consultation = consultation
    self.far = far
    self.target = target
    self.name = name
    self.number = number
  }

  /// Each call that has part in it.
  var sessions: [Session] { [call, held, next, far] }

  /// Whose hanging up ends nothing: somebody else is about to take its place.
  func isLeaving(_ leg: Leg) -> Bool {
    kind != .pickup && leg === transferor || leg === consultation
  }

  /// The side whose answer is waited for.
  var asked: Leg? {
    switch stage {
    case .calling: nil
    case .offeringTarget: target
    case .offeringTransferee: transferee
    }
  }
}

/// What the sender of a REFER is told of what becomes of it: the implicit subscription (RFC 3515 §2.4.4).
final class Referral {
  var machine: NotifierSubscription
  let leg: Leg
  /// CSeq of the REFER, where its NOTIFYs must say it.
  let id: UInt32?
  /// Of the status line that the next NOTIFY has as its body.
  var status = 100
  var timer = TimerID.none

  /// Longer than a plan with every hop's time-out rings in practice; the subscription ends with the outcome.
  static let duration = Interval.seconds(600)

  init(_ machine: NotifierSubscription, leg: Leg, id: UInt32?) {
    self.machine = machine
    self.leg = leg
    self.id = id
  }
}

extension Session {
  /// What the call has to do with others, from now on.
  func makeHandover() -> Handover {
    if let handover { return handover }
    let made = Handover()
    handover = made
    return made
  }

  /// The two that speak with each other, of whichever call they are.
  var speakers: (Leg?, Leg?) {
    guard let handover, let own = handover.remaining else { return (caller, callee) }
    return (own, other(own))
  }

  /// Of those the call's own.
  var own: (Leg?, Leg?) {
    switch handover?.parties {
    case nil, .both?: (caller, callee)
    case .one(let leg)?: (leg, nil)
    case .none?: (nil, nil)
    }
  }
}
