import MediaControl

/// A call with one party, which speaks with that of another call since a transfer (`Handover`).
struct JoinedHalf {
  let session: Session
  let stored: SessionRecord
}

extension Shard {
  /// Two calls are one conversation again, each with its own record. Nil: they are.
  func join(_ one: JoinedHalf, _ other: JoinedHalf) -> RecoveryObstacle? {
    guard one.stored.partner == other.session.id, other.stored.partner == one.session.id,
      let mine = one.only, let theirs = other.only
    else { return .joined }
    for (half, leg, partner) in [(one, mine, other), (other, theirs, one)] {
      let handover = half.session.makeHandover()
      handover.parties = .one(leg)
      handover.partner = partner.session
    }
    if let obstacle = reopen(one.session, one.stored) ?? reopen(other.session, other.stored) {
      return obstacle
    }
    guard let here = mine.media, let there = theirs.media else { return .ports }
    outbox.media.append(.bridge(here.transport, there.transport))
    return nil
  }
}

extension JoinedHalf {
  fileprivate var only: Leg? {
    guard stored.legs.count == 1 else { return nil }
    return session.caller ?? session.callee
  }
}
