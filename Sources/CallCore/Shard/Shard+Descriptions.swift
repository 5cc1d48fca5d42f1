import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// What is kept of the descriptions and Contacts that are in force in a dialog.

extension Shard {
  /// The peer's description that is now in force in the dialog.
  func keepDescription(_ leg: Leg, _ fork: UInt8, _ message: borrowing Message) {
    setDescription(leg, fork, blocks.store(message.bytes.extracting(message.body)) ?? .none)
  }

  func setDescription(_ leg: Leg, _ fork: UInt8, _ block: Block) {
    if let i = leg.early.firstIndex(where: { $0.fork == fork }) {
      blocks.free(&leg.early[i].description)
      leg.early[i].description = block
    } else {
      blocks.free(&leg.description)
      leg.description = block
    }
  }

  func description(of leg: Leg, _ fork: UInt8, _ session: Session) -> Block {
    if let early = leg.early.first(where: { $0.fork == fork }), !early.description.isNone {
      return early.description
    }
    if leg.description.isNone, leg.side == .a { return session.offer }
    return leg.description
  }

  /// §12.2.2: a new Contact is the new target of the dialog.
  func refreshTarget(_ leg: Leg, _ message: borrowing Message) {
    // An UPDATE may be answered when its dialog is gone, and nobody would give back what is kept then.
    guard message.first(.contact) != nil, !leg.text.isNone else { return }
    let old = blocks.bytes(leg.text)
    var next = DialogText()
    body.begin()
    next.callID = write(old, leg.callID)
    next.local = write(old, leg.local)
    next.remote = write(old, leg.remote)
    next.target = writeTarget(message, fallback: leg.source)
    next.routes = write(old, leg.routes)
    let stored = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let stored else { return }
    next.remoteTag = ByteRange(
      next.remote.start + leg.remoteTag.start - leg.remote.start, Int(leg.remoteTag.count))
    next.text = stored
    let isElsewhere = !old.extracting(leg.target).equals(
      blocks.bytes(stored).extracting(next.target))
    blocks.free(&leg.dialog.text)
    leg.dialog = next
    leg.destination = nextHop(leg)
    if isElsewhere { tellMoved(leg) }
  }

  /// What recovery would read has changed with where the peer is.
  func tellMoved(_ leg: Leg) {
    guard let session = leg.session, session.state == .answered, leg.state == .confirmed else {
      return
    }
    tell(.sessionChanged(session: establishedRecord(session).encoded), call: session.id)
  }
}
