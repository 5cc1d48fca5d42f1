import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// A 2xx that nobody waits for: of another branch of a fork, or of a transaction that is long over (RFC 3261 §13.2.2.4).

extension Shard {
  /// Another branch of a fork answered too: it is acknowledged and ended at once (§13.2.2.4).
  func divorce(
    _ transaction: ClientTransaction, _ message: borrowing Message, _ key: HashKey
  ) {
    let isKnown = transaction.divorcedTags.contains(key)
    let mayEnd = isKnown || transaction.divorcedTags.count < 8
    if mayEnd, !isKnown { transaction.divorcedTags.append(key) }
    endStranger(
      message, cseq: transaction.cseq, destination: transaction.destination,
      listener: transaction.listener, serial: transaction.serial,
      bye: mayEnd ? dueBye(message) : nil)
  }

  /// A 2xx to an INVITE of ours whose transaction is long over: the last copy of an INVITE that nobody
  /// wanted any more found a phone after all. Our sealed branch proves that we asked. False: it was not us.
  func endsLateAnswer(
    _ message: borrowing Message, _ via: Via, _ cseq: CSeq, _ arrival: Arrival
  ) -> Bool {
    guard cseq.method == .invite, (200..<300).contains(message.status) else { return false }
    if !recovered.isEmpty, acknowledgesRecovered(message, cseq) { return true }
    guard ownBranch(message, via) != nil, !isOfLivingDialog(message) else { return false }
    endStranger(
      message, cseq: cseq.number, destination: arrival.source, listener: arrival.listener,
      serial: 0, bye: dueBye(message))
    return true
  }

  /// Each copy of such an answer is acknowledged; a BYE is due on the first, and again where nobody has answered that one:
  /// the peer was away. How many there were before; nil: none is due.
  private func dueBye(_ message: borrowing Message) -> UInt32? {
    let key = hash.extend(tagKey(message), message.bytes.extracting(message.callID))
    if let known = lateAnswers.firstIndex(where: { $0.key == key }) {
      guard lateAnswers[known].isUnanswered else { return nil }
      var answer = lateAnswers.remove(at: known)
      answer.isUnanswered = false
      answer.byes += 1
      lateAnswers.append(answer)
      return answer.byes
    }
    if lateAnswers.count == 16 { lateAnswers.removeFirst() }
    lateAnswers.append(LateAnswer(key: key))
    return 0
  }

  func strangerUnreached(_ leg: Leg) {
    guard let known = lateAnswers.firstIndex(where: { $0.leg == leg.handle }) else { return }
    lateAnswers[known].isUnanswered = true
  }

  /// A late copy of the answer that the dialog began with, or of one to a re-INVITE.
  private func isOfLivingDialog(_ message: borrowing Message) -> Bool {
    guard let from = message.from, let to = message.to,
      let owner = mint.read(message.bytes.extracting(from.tag)), let leg = leg(owner.owner)
    else { return false }
    let text = blocks.bytes(leg.text)
    return text.extracting(leg.remoteTag).equals(message.bytes.extracting(to.tag))
  }

  /// ACK, and BYE, for a dialog that has no leg. All of it is in the 2xx.
  private func endStranger(
    _ message: borrowing Message, cseq: UInt32, destination: SocketAddress,
    listener: ListenerIndex, serial: UInt64, bye: UInt32?
  ) {
    guard let from = message.from, let value = message.first(.from),
      let owner = mint.read(message.bytes.extracting(from.tag)), owner.kind == .tag
    else { return }
    let other = Leg(
      side: .b, isOurs: true, call: CallID(incarnation: settings.incarnation, serial: serial),
      destination: destination, listener: listener,
      network: configuration.network(ofListener: listener) ?? 0)
    // Nobody has a connection made to where such a stray answer says.
    other.followsSource = isReliable(listener)
    guard let handle = legs.insert(other) else { return }
    other.handle = handle
    other.tagOwner = owner.owner
    // Above whatever the dialog used if it had a leg once; gaps are allowed (§12.2.1.1).
    other.localCSeq = cseq &+ 100 &+ (bye ?? 0)
    body.begin()
    other.callID = write(message.bytes, message.callID)
    // We wrote this From ourselves: our tag ends it.
    other.local = write(
      message.bytes, ByteRange(from: value.start, to: max(from.tag.start - 5, value.start)))
    other.target = writeTarget(message, fallback: destination)
    let stored = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let stored else { return end(other) }
    other.text = stored
    guard confirm(other, message) else { return end(other) }
    other.state = .confirmed
    writeAcknowledgement(other, cseq: cseq, withBody: false)
    send(to: other.destination, other.listener, serial: serial, side: other.side)
    guard bye != nil else { return end(other) }
    lateAnswers[lateAnswers.count - 1].leg = handle
    sendBye(other)
  }
}

/// A 2xx that nobody waited for, and the leg that ends its dialog.
struct LateAnswer {
  var key: HashKey
  var leg = SlabHandle.none
  /// Sent so far, after the first.
  var byes: UInt32 = 0
  var isUnanswered = false
}
