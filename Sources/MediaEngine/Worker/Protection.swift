import Base
import MediaControl
import RTPWire

// SRTP on its way through a worker: opened when it is known to come from the far end's address, and before anything
// in it is believed; protected as the last thing before it leaves. A transport with keys takes in nothing and lets
// out nothing without them.

/// The contexts of a transport with keys; an object, because many transports have none. Keys from SDP are those of RTP
/// and RTCP, a handshake brings others for each.
final class MediaProtection {
  var sender: SRTPSender
  var receiver: SRTPReceiver
  /// Contexts that were left for another key, the last ones.
  private var left: [LeftSender] = []

  private final class LeftSender {
    var sender: SRTPSender
    init(_ sender: consuming SRTPSender) { self.sender = sender }
  }

  /// An offer of ours has so many keys that an answer may choose, and each dialog of a forked call another one.
  private static let mostLeft = 4

  init?(sending: SRTPKey, receiving: SRTPKey) {
    guard let sender = SRTPSender(sending), let receiver = SRTPReceiver(receiving) else {
      return nil
    }
    self.sender = sender
    self.receiver = receiver
  }

  /// The same key keeps its context (RFC 3711 §3.3.1), a new one has a new context (RFC 4568 §7.1.4). One that comes back,
  /// because another dialog of a forked call has answered the same offer, goes on where it was: from its beginning it
  /// would use places of its key stream twice.
  func change(sending: SRTPKey, receiving: SRTPKey) -> Bool {
    guard sender.key == sending || send(under: sending) else { return false }
    if receiver.key != receiving {
      guard let new = SRTPReceiver(receiving) else { return false }
      receiver = new
    }
    return true
  }

  private func send(under key: SRTPKey) -> Bool {
    if let known = left.first(where: { $0.sender.key == key }) {
      swap(&sender, &known.sender)
      return true
    }
    guard var new = SRTPSender(key) else { return false }
    swap(&sender, &new)
    if left.count >= Self.mostLeft { left.removeFirst() }
    left.append(LeftSender(new))
    return true
  }
}

extension Worker {
  /// False when there can be no context: nothing may leave then.
  mutating func secure(_ slot: Int, _ remote: RemoteMedia) -> Bool {
    switch remote.security?.keying {
    case nil:
      endHandshakes(slot)
      protections[slot] = nil
      controlProtections[slot] = nil
      transports[slot].isProtected = false
      return true
    case .given(let sending, let receiving):
      endHandshakes(slot)
      if let protection = protections[slot] {
        guard protection.change(sending: sending, receiving: receiving) else { return false }
      } else {
        guard let protection = MediaProtection(sending: sending, receiving: receiving) else {
          return false
        }
        protections[slot] = protection
        controlProtections[slot] = protection
      }
    case .handshake(let wanted):
      guard expectHandshake(slot, wanted) else { return false }
    }
    transports[slot].isProtected = true
    if remote.proto != .rtpAsSent { beginOwnFlow(slot) }
    return true
  }

  /// What leaves under a key of ours, or with packets of ours in between, is numbered by us, so that no source of the
  /// other side can make a number come twice under it; but for `MediaProtocol.rtpAsSent`, where one that comes twice is
  /// refused (`SRTPSender`). It begins below 2^15: a receiver that misses the beginning still counts right (§3.3.1).
  mutating func beginOwnFlow(_ slot: Int) {
    let peer = Int(transports[slot].peer)
    if peer >= 0 { keepFlow(slot, of: peer) }
    if streams[slot].outgoing.canonicalName == 0 {
      streams[slot].outgoing = OutgoingStream(from: &random)
    }
    if transports[slot].sent == 0 { streams[slot].outgoing.sequence &= 0x7fff }
    if peer >= 0 { transports[slot].isRenumbered = true }
  }

  // MARK: In

  mutating func receiveProtected(_ arrival: Arrival, _ slot: Int) {
    guard transports[slot].hasRemote else { return refuse(slot) }
    if isHandshake(arrival, slot) { return receiveHandshake(arrival, slot, control: false) }
    guard transports[slot].remote.weReceive else {
      counters.unwanted &+= 1
      return
    }
    let isElsewhere =
      transports[slot].latch.state == .fixed && transports[slot].latch.address != arrival.source
    guard
      isElsewhere
        ? mayHaveMoved(to: arrival.source, slot)
        : mayProve(arrival.source, transports[slot].latch, named: transports[slot].remote.rtp)
    else { return refuse(slot) }
    guard let protection = protections[slot] else {
      counters.unkeyed &+= 1
      return
    }
    let outcome = buffer.unprotect(arrival.length, protection)
    guard let length = opened(outcome, slot) else { return }
    guard let header = RTPHeader(buffer.bytes(length)) else { return countMalformed(slot) }
    if isElsewhere {
      move(slot, to: arrival.source)
    } else if transports[slot].latch.prove(arrival.source) == .latched {
      aim(slot)
      facts.append(.latched(transports[slot].id, arrival.source, at: now))
    }
    take(header, length, arrival.stamp, slot)
  }

  /// As `receiveProtected`, of RTCP; nil: dropped.
  mutating func openControl(_ arrival: Arrival, _ slot: Int) -> Int? {
    guard transports[slot].hasRemote,
      mayProve(
        arrival.source, transports[slot].controlLatch, named: transports[slot].remote.rtcp)
    else {
      refuse(slot)
      return nil
    }
    guard let protection = controlProtections[slot] else {
      counters.unkeyed &+= 1
      return nil
    }
    let outcome = buffer.unprotectControl(arrival.length, protection)
    guard let length = opened(outcome, slot) else { return nil }
    guard RTCPReader.isValid(buffer.bytes(length)) else {
      countMalformed(slot)
      return nil
    }
    if transports[slot].controlLatch.prove(arrival.source) == .latched { aim(slot) }
    return length
  }

  /// Who knows the key is the far end, wherever it is: so anybody may try, until somebody has succeeded.
  func mayProve(
    _ source: SocketAddress, _ latch: SourceLatch, named: SocketAddress
  ) -> Bool {
    if latch.state == .fixed { return source == latch.address }
    return source == named || !destinations.isOwn(source)
  }

  private mutating func opened(_ outcome: SRTPOutcome, _ slot: Int) -> Int? {
    switch outcome {
    case .passed(let length): return length
    case .malformed: countMalformed(slot)
    case .replayed:
      transports[slot].replayed &+= 1
      counters.replayed &+= 1
    case .unauthentic where isNewlyKeyed(slot): counters.unkeyed &+= 1
    case .unauthentic, .exhausted:
      transports[slot].unauthentic &+= 1
      counters.unauthentic &+= 1
    }
    return nil
  }

  private mutating func countMalformed(_ slot: Int) {
    transports[slot].malformed &+= 1
    counters.malformed &+= 1
  }

  private mutating func refuse(_ slot: Int) {
    transports[slot].refused &+= 1
    counters.refused &+= 1
  }

  // MARK: Out

  /// The length of what may leave of the packet in the buffer; nil: nothing, and it is counted.
  mutating func sealed(_ length: Int, _ slot: Int) -> Int? {
    guard transports[slot].isProtected else { return length }
    guard let protection = protections[slot] else {
      counters.unkeyed &+= 1
      return nil
    }
    return countSealed(buffer.protect(length, protection))
  }

  mutating func sealedControl(_ length: Int, _ slot: Int) -> Int? {
    guard transports[slot].isProtected else { return length }
    guard let protection = controlProtections[slot] else {
      counters.unkeyed &+= 1
      return nil
    }
    return countSealed(buffer.protectControl(length, protection))
  }

  private mutating func countSealed(_ outcome: SRTPOutcome) -> Int? {
    if case .passed(let length) = outcome { return length }
    counters.unprotectable &+= 1
    return nil
  }
}

extension PacketBuffer {
  fileprivate mutating func unprotect(_ length: Int, _ protection: MediaProtection) -> SRTPOutcome {
    var packet = mutableBytes(length)
    return protection.receiver.unprotect(&packet, length: length)
  }

  fileprivate mutating func unprotectControl(
    _ length: Int, _ protection: MediaProtection
  ) -> SRTPOutcome {
    var packet = mutableBytes(length)
    return protection.receiver.unprotectControl(&packet, length: length)
  }

  fileprivate mutating func protect(_ length: Int, _ protection: MediaProtection) -> SRTPOutcome {
    var packet = mutableBytes(Self.capacity)
    return protection.sender.protect(&packet, length: length)
  }

  fileprivate mutating func protectControl(
    _ length: Int, _ protection: MediaProtection
  ) -> SRTPOutcome {
    var packet = mutableBytes(Self.capacity)
    return protection.sender.protectControl(&packet, length: length)
  }
}
