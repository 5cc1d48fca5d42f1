/// The offer/answer state of one dialog: RFC 3264 within the messages that may carry it (RFC 3261 §13.2.1
/// and §14, RFC 3262 §5, RFC 3311 §5). The six patterns are those of RFC 6337 §2.2, table 1:
///
///     1  INVITE        ──▶ 2xx              2  2xx      ──▶ ACK
///     3  INVITE        ──▶ reliable 1xx     4  rel. 1xx ──▶ PRACK
///     5  PRACK         ──▶ 2xx of PRACK     6  UPDATE   ──▶ 2xx of UPDATE
///
///                     offer                         answer
///            ┌───────────────────▶ open(by, in) ─────────────────┐
///        ┌───┴──┐                   ▲        │ refused, withdrawn │
///        │ idle │◀──────────────────┼────────┴────────────────────┘
///        └───┬──┘                   │ offer in reliable 1xx or 2xx
///            └──INVITE without──▶ wanted(from)
///
/// Deviations, each because peers do it: a description in an unreliable 1xx counts as a preview of the
/// answer that is still to come; one that comes after the answer is a repetition and is passed over; a
/// reliable 1xx need not carry the offer that an INVITE without one asked for.
package struct OfferAnswer: Equatable, Sendable {
  package enum Party: Equatable, Sendable {
    case us, them
    package var other: Party { self == .us ? .them : .us }
  }

  /// The messages that may carry a description, and what they are in the pattern.
  package enum Carrier: Equatable, Sendable, CaseIterable {
    case invite, provisional, reliable, success, ack, prack, prackSuccess, update, updateSuccess
  }

  package enum State: Equatable, Sendable {
    case idle
    /// An offer waits for its answer.
    case open(by: Party, in: Carrier)
    /// An INVITE came without an offer: this party owes one.
    case wanted(from: Party)
  }

  /// What a message means.
  package enum Verdict: Equatable, Sendable {
    /// It has no description, and needs none.
    case nothing
    case offer, answer
    /// In an unreliable 1xx: what the answer will be.
    case preview
    /// The answer has been given, or a description has no meaning here: passed over.
    case repetition
    /// It should have had a description.
    case missing
    /// An offer while ours is open: 491 (RFC 3261 §14.2, RFC 3311 §5.2).
    case glare
    /// An offer while the peer's own is open: 500 with Retry-After (RFC 3261 §14.2, RFC 3311 §5.2).
    case busy
    /// An offer where none may be (RFC 6337 §2.2): refused. From us: a fault of our own.
    case misplaced
  }

  package private(set) var state = State.idle
  /// One exchange has been completed: a further offer changes something that exists.
  package private(set) var isAgreed = false

  package init() {}

  package var isIdle: Bool { state == .idle }

  /// A message of this dialog, sent or received.
  package mutating func handle(
    _ carrier: Carrier, from party: Party, hasDescription: Bool
  ) -> Verdict {
    switch state {
    case .idle: idle(carrier, party, hasDescription)
    case .open(let by, let request) where by == party:
      offerer(carrier, party, hasDescription, open: request)
    case .open(_, let request): answerer(carrier, party, hasDescription, open: request)
    case .wanted(let from) where from == party: wanted(carrier, party, hasDescription)
    case .wanted: waiting(carrier, party, hasDescription)
    }
  }

  /// The request that bore the offer, or asked for one, was refused or withdrawn, or a reliable 1xx was given
  /// up: what had been agreed stays in force (RFC 3261 §14.1).
  package mutating func refused(_ carrier: Carrier) {
    switch state {
    case .open(_, let request) where request == carrier: state = .idle
    case .wanted where carrier == .invite: state = .idle
    // An INVITE that fails takes along the offers that its provisional and final responses made.
    case .open(_, .reliable) where carrier == .invite, .open(_, .success) where carrier == .invite:
      state = .idle
    case .idle, .open, .wanted: break
    }
  }

  // MARK: States

  private mutating func idle(_ carrier: Carrier, _ party: Party, _ has: Bool) -> Verdict {
    switch carrier {
    case .invite:
      state = has ? .open(by: party, in: .invite) : .wanted(from: party.other)
      return has ? .offer : .nothing
    case .update, .prack:
      guard has else { return .nothing }
      // Pattern 5 and 6 change a session; they cannot begin one.
      guard isAgreed else { return .misplaced }
      state = .open(by: party, in: carrier)
      return .offer
    case .provisional, .reliable, .success, .ack, .prackSuccess, .updateSuccess:
      return has ? .repetition : .nothing
    }
  }

  /// The one who is to answer speaks.
  private mutating func answerer(
    _ carrier: Carrier, _ party: Party, _ has: Bool, open request: Carrier
  ) -> Verdict {
    switch (request, carrier) {
    case (.invite, .provisional): return has ? .preview : .nothing
    case (.invite, .reliable): return has ? answered() : .nothing
    case (.invite, .success), (.success, .ack), (.reliable, .prack), (.prack, .prackSuccess),
      (.update, .updateSuccess):
      if has { return answered() }
      state = .idle
      return .missing
    case (_, .invite): return party == .us ? .misplaced : .glare
    case (_, .update):
      guard has else { return .nothing }
      return party == .us ? .misplaced : .glare
    case (_, .prack):
      guard has else { return .nothing }
      return .misplaced
    case (_, .provisional), (_, .reliable), (_, .success), (_, .ack), (_, .prackSuccess),
      (_, .updateSuccess):
      return has ? .repetition : .nothing
    }
  }

  /// The one whose offer is open speaks again.
  private func offerer(
    _ carrier: Carrier, _ party: Party, _ has: Bool, open request: Carrier
  ) -> Verdict {
    switch carrier {
    case .invite: party == .us ? .misplaced : .busy
    case .update: !has ? .nothing : party == .us ? .misplaced : .busy
    case .prack: has ? .misplaced : .nothing
    case .provisional, .reliable, .success, .ack, .prackSuccess, .updateSuccess:
      has ? .repetition : .nothing
    }
  }

  /// The one who owes an offer speaks.
  private mutating func wanted(_ carrier: Carrier, _ party: Party, _ has: Bool) -> Verdict {
    switch carrier {
    case .reliable:
      guard has else { return .nothing }
      state = .open(by: party, in: .reliable)
      return .offer
    case .success:
      guard has else {
        state = .idle
        return .missing
      }
      state = .open(by: party, in: .success)
      return .offer
    case .invite: return party == .us ? .misplaced : .glare
    case .update: return !has ? .nothing : party == .us ? .misplaced : .glare
    case .prack: return has ? .misplaced : .nothing
    case .provisional, .ack, .prackSuccess, .updateSuccess: return has ? .repetition : .nothing
    }
  }

  /// The one who asked for an offer speaks.
  private func waiting(_ carrier: Carrier, _ party: Party, _ has: Bool) -> Verdict {
    switch carrier {
    case .invite: party == .us ? .misplaced : .busy
    case .update: !has ? .nothing : party == .us ? .misplaced : .busy
    case .prack: has ? .misplaced : .nothing
    case .provisional, .reliable, .success, .ack, .prackSuccess, .updateSuccess:
      has ? .repetition : .nothing
    }
  }

  private mutating func answered() -> Verdict {
    state = .idle
    isAgreed = true
    return .answer
  }
}
