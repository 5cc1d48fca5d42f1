import Base
import MediaControl

// DTLS-SRTP (RFC 5763, RFC 5764) in a worker: what comes is told from RTP by its first byte (RFC 7983 §7) and handed to
// the handshake that it belongs to. That costs nothing but a comparison on the way of a packet of RTP.
//
//     ClientHello ──no cookie──▶ HelloVerifyRequest, and nothing is kept
//          └──good cookie──▶ a place among two, and one of so many a second ──▶ handshake ──▶ whose certificate?
//                                                                                  named by SDP: its keys are in force
//                                                                                  another: that handshake is gone
//
// Nothing that cannot be attributed ends anything: alerts without protection, hellos of strangers, and records of
// addresses that have no handshake are counted and dropped.

extension Worker {
  /// How long a beginning of ours is put off when there are more.
  private static var budgetDelay: Interval { .milliseconds(50) }

  // MARK: What is wanted

  /// False where there is nothing to do it with.
  mutating func expectHandshake(_ slot: Int, _ wanted: MediaHandshake) -> Bool {
    guard settings.identity != nil else { return false }
    let before = handshakes[slot]?.wanted
    if before != wanted {
      if let before, before.fingerprints != wanted.fingerprints {
        // Somebody else is meant: what was agreed on with the one before means nothing.
        endHandshakes(slot)
      }
      if before == nil {
        // Keys from SDP may have been in force.
        protections[slot] = nil
        controlProtections[slot] = nil
      }
      let known = handshakes[slot] ?? TransportHandshakes()
      known.wanted = wanted
      for component in [known.media, known.control] {
        component.dropPending()
        component.retries = 0
        component.begins = wanted.role == .client ? now : nil
      }
      handshakes[slot] = known
    }
    transports[slot].hasHandshake = true
    return true
  }

  /// Now is when the far end begins to listen: what nobody has answered is said again several times, for libssl's next
  /// repetition may be a second away.
  mutating func hastenHandshakes(_ slot: Int) {
    guard let known = handshakes[slot], known.wanted?.role == .client else { return }
    for component in [known.media, known.control] where component.done == nil {
      component.retries = 0
      if component.pending.isEmpty {
        component.begins = component.begins ?? now
      } else if component.unheard != nil {
        component.nudges = now + ComponentHandshakes.firstNudge
        component.nudgeDelay = ComponentHandshakes.firstNudge
      }
    }
    driveHandshakes(slot)
  }

  /// The far end's address is another now: what is agreed on stays in force until there is something new.
  mutating func renewHandshakes(_ slot: Int) {
    guard let known = handshakes[slot], known.wanted?.role == .client else { return }
    for component in [known.media, known.control] {
      component.dropPending()
      component.retries = 0
      component.begins = now
    }
  }

  /// After the far end's address is known, or has changed: the client's beginning, and what has come before.
  mutating func followHandshakes(_ slot: Int) {
    guard let known = handshakes[slot], known.wanted != nil else { return }
    for isControl in [false, true] {
      let component = known.component(control: isControl)
      guard let early = component.early else { continue }
      component.early = nil
      guard buffer.load(early.datagram) else { continue }
      let arrival = Arrival(source: early.source, length: early.datagram.count, stamp: 0)
      receiveHandshake(arrival, slot, control: isControl)
    }
    driveHandshakes(slot)
  }

  /// Everything is over, and the far ends are told.
  mutating func endHandshakes(_ slot: Int) {
    guard let known = handshakes[slot] else { return }
    for isControl in [false, true] {
      guard let association = known.component(control: isControl).done else { continue }
      association.finish()
      flush(association, slot, control: isControl)
    }
    handshakes[slot] = nil
    protections[slot] = nil
    controlProtections[slot] = nil
    transports[slot].hasHandshake = false
    timers.cancel(timer(.handshake, slot))
  }

  /// The far end has its keys a little later than we do, and there are phones that speak before: what cannot be opened
  /// then is no sign of a wrong key.
  func isNewlyKeyed(_ slot: Int) -> Bool {
    guard transports[slot].hasHandshake, let known = handshakes[slot] else { return false }
    return now - known.keyedAt < .seconds(1)
  }

  /// For whoever asks why nothing is heard.
  func handshakeProgress(_ slot: Int) -> HandshakeProgress {
    guard transports[slot].hasHandshake, protections[slot] == nil else { return .settled }
    return handshakes[slot]?.toldWrongFingerprint == true ? .wrongFingerprint : .unfinished
  }

  // MARK: In

  /// A ClientHello may come before the answer that says who begins (RFC 5763 §5): the last one is kept. False: it is
  /// nothing of that kind.
  mutating func keepEarlyHello(_ arrival: Arrival, _ slot: Int, control: Bool) -> Bool {
    guard !transports[slot].hasRemote, settings.identity != nil, arrival.length <= 1_500,
      DTLSHello.isHello(buffer.bytes(arrival.length))
    else { return false }
    // Of several fragments the first is the one that gets an answer.
    guard HelloFragment(buffer.bytes(arrival.length))?.isFirst ?? true else { return true }
    let known = handshakes[slot] ?? TransportHandshakes()
    handshakes[slot] = known
    let bytes = buffer.bytes(arrival.length).array(ByteRange(0, arrival.length))
    known.component(control: control).early = (arrival.source, bytes)
    return true
  }

  /// Whether the datagram is one of DTLS on a transport that speaks it.
  func isHandshake(_ arrival: Arrival, _ slot: Int) -> Bool {
    transports[slot].hasHandshake && DTLSHello.isDTLS(buffer.bytes(arrival.length))
  }

  mutating func receiveHandshake(_ arrival: Arrival, _ slot: Int, control: Bool) {
    guard transports[slot].hasRemote, let known = handshakes[slot], let wanted = known.wanted else {
      return
    }
    let component = known.component(control: control)
    let remote = transports[slot].remote
    let latch = control ? transports[slot].controlLatch : transports[slot].latch
    let named = control ? remote.rtcp : remote.rtp
    guard
      mayProve(arrival.source, latch, named: named)
        || !control && mayHaveMoved(to: arrival.source, slot)
    else { return countStray(slot) }
    if DTLSHello.isHello(buffer.bytes(arrival.length)) {
      guard wanted.role == .server else { return countStray(slot) }
      return receiveHello(arrival, slot, control: control, component)
    }
    guard !DTLSHello.isUnprotectedAlert(buffer.bytes(arrival.length)),
      let association = component.association(with: arrival.source)
    else { return countStray(slot) }
    let step = association.receive(buffer.bytes(arrival.length))
    take(step, association, slot, control: control)
    armHandshakes(slot)
  }

  /// Several fragments may come in one datagram, each in a record of its own (RFC 6347 §4.1.1).
  private mutating func receiveHello(
    _ arrival: Arrival, _ slot: Int, control: Bool, _ component: ComponentHandshakes
  ) {
    var at = 0
    for _ in 0..<HelloAssembly.inDatagram {
      guard let fragment = HelloFragment(buffer.bytes(arrival.length), at: at) else { break }
      at = fragment.end
      receiveHello(fragment, arrival, slot, control: control, component)
    }
    if at == 0 { countStray(slot) }
  }

  private mutating func receiveHello(
    _ fragment: HelloFragment, _ arrival: Arrival, _ slot: Int, control: Bool,
    _ component: ComponentHandshakes
  ) {
    let rank = rank(arrival.source, slot, control: control)
    guard fragment.isFirst else {
      // A repeated one of a handshake that is under way is no beginning of another.
      guard
        component.assembly?.has(fragment, from: arrival.source) == true
          || component.association(with: arrival.source) == nil
      else { return }
      let whole = component.assemble(
        fragment, in: buffer.bytes(arrival.length), nil, from: arrival.source, rank, at: now)
      if let whole {
        accept(whole.hello, whole.datagram, arrival, rank, slot, control: control, component)
      }
      return
    }
    guard let hello = DTLSHello(buffer.bytes(arrival.length), fragment) else {
      return countStray(slot)
    }
    let socket = 2 * slot + (control ? 1 : 0)
    let hasCookie = cookies.accepts(
      hello, in: buffer.bytes(arrival.length), from: arrival.source, at: socket, now: now)
    guard hasCookie else {
      counters.helloCookies &+= 1
      let length = buffer.request(
        cookies, hello, from: arrival.source, at: socket, now: now)
      if length > 0 { send(length, to: arrival.source, slot, control: control) }
      return
    }
    // libssl repeats its flight by itself.
    guard !component.knows(hello.random, from: arrival.source) else { return }
    if fragment.isWhole {
      return accept(hello, nil, arrival, rank, slot, control: control, component)
    }
    let whole = component.assemble(
      fragment, in: buffer.bytes(arrival.length), hello, from: arrival.source, rank, at: now)
    if let whole {
      accept(whole.hello, whole.datagram, arrival, rank, slot, control: control, component)
    }
  }

  /// A handshake begins, with a hello that has shown a good cookie. `datagram`: with all of it; nil: it is the one that
  /// has just come.
  private mutating func accept(
    _ hello: DTLSHello, _ datagram: [UInt8]?, _ arrival: Arrival, _ rank: SourceRank, _ slot: Int,
    control: Bool, _ component: ComponentHandshakes
  ) {
    guard let identity = settings.identity else { return }
    guard component.mayBegin(rank, at: now),
      component.makeRoom(for: arrival.source, rank, at: now), handshakeBudget.take(at: now)
    else {
      counters.handshakesRefused &+= 1
      return
    }
    guard
      let association = DTLSAssociation(
        identity, .server, with: arrival.source, hello: hello.random, at: now)
    else { return }
    component.add(association, rank)
    let step =
      if let datagram {
        association.accept(datagram.span.rawSpan)
      } else {
        association.accept(buffer.bytes(arrival.length))
      }
    take(step, association, slot, control: control)
    armHandshakes(slot)
  }

  private func rank(_ source: SocketAddress, _ slot: Int, control: Bool) -> SourceRank {
    let remote = transports[slot].remote
    let latch = control ? transports[slot].controlLatch : transports[slot].latch
    let named = control ? remote.rtcp : remote.rtp
    if source == named || latch.state == .fixed && source == latch.address { return .address }
    return source.ip == named.ip || source.ip == remote.signallingSource ? .host : .stranger
  }

  private mutating func countStray(_ slot: Int) {
    transports[slot].refused &+= 1
    counters.handshakesStray &+= 1
  }

  // MARK: What becomes of it

  private mutating func take(
    _ step: DTLSAssociation.Step, _ association: DTLSAssociation, _ slot: Int, control: Bool
  ) {
    flush(association, slot, control: control)
    guard let known = handshakes[slot] else { return }
    let component = known.component(control: control)
    switch step {
    case .working: break
    case .done:
      if component.done !== association {
        finish(association, known, component, slot, control: control)
      }
    case .failed:
      counters.handshakesFailed &+= 1
      drop(association, component, control: control)
    case .ended:
      // Closed by the far end, which has said so under its key: the packets that are still on their way are its own.
      component.drop(association)
    }
  }

  private mutating func drop(
    _ association: DTLSAssociation, _ component: ComponentHandshakes, control: Bool
  ) {
    let wasOurs = association.role == .client && component.isPending(association)
    component.drop(association)
    let limit =
      control ? ComponentHandshakes.maxControlRetries : ComponentHandshakes.maxRetries
    guard wasOurs, component.retries < limit else { return }
    component.retries += 1
    component.begins = now + ComponentHandshakes.retryDelay
  }

  /// RFC 5763 §5: only now is there a certificate that the handshake has proven to be the far end's own.
  private mutating func finish(
    _ association: DTLSAssociation, _ known: TransportHandshakes, _ component: ComponentHandshakes,
    _ slot: Int, control: Bool
  ) {
    guard let wanted = known.wanted, association.shows(wanted.fingerprints) else {
      counters.handshakesOfOthers &+= 1
      association.finish()
      flush(association, slot, control: control)
      drop(association, component, control: control)
      if !known.toldWrongFingerprint {
        known.toldWrongFingerprint = true
        facts.append(.handshake(transports[slot].id, .wrongFingerprint))
      }
      return
    }
    guard let keys = association.keys,
      let protection = MediaProtection(sending: keys.sending, receiving: keys.receiving)
    else {
      counters.handshakesFailed &+= 1
      return drop(association, component, control: control)
    }
    counters.handshakesDone &+= 1
    component.settle(on: association)
    association.rest()
    let source = association.peer
    if control {
      controlProtections[slot] = protection
      if transports[slot].controlLatch.prove(source) != .accepted { aim(slot) }
      return
    }
    protections[slot] = protection
    known.keyedAt = now
    known.toldWrongFingerprint = false
    let isElsewhere =
      transports[slot].latch.state == .fixed && transports[slot].latch.address != source
    if isElsewhere {
      move(slot, to: source)
    } else if transports[slot].latch.prove(source) == .latched {
      aim(slot)
      facts.append(.latched(transports[slot].id, source, at: now))
    }
    facts.append(.handshake(transports[slot].id, .agreed(keys.sending.suite)))
  }

  // MARK: Out

  /// Sends what waits, no datagram of it larger than `DTLSAssociation.mtu`.
  private mutating func flush(_ association: DTLSAssociation, _ slot: Int, control: Bool) {
    var offset = 0
    while true {
      let length = buffer.load(association, from: &offset)
      guard length > 0 else { break }
      send(length, to: association.peer, slot, control: control)
    }
    association.sent()
  }

  private mutating func send(_ length: Int, to address: SocketAddress, _ slot: Int, control: Bool) {
    guard
      destinations.allows(
        address, from: ports.boundAddress(ofSlot: slot),
        signalling: transports[slot].remote.signallingSource)
    else { return }
    let socket = ports.sockets[2 * slot + (control ? 1 : 0)]
    if !buffer.send(length, from: socket, to: SendTarget(address)) { counters.sendFailures &+= 1 }
  }

  // MARK: Time

  /// Repeats what was not answered, gives up what takes too long, and begins what is ours to begin.
  mutating func driveHandshakes(_ slot: Int) {
    guard transports[slot].isOpen, let known = handshakes[slot] else { return }
    for isControl in [false, true] {
      let component = known.component(control: isControl)
      for item in component.pending {
        let association = item.association
        if now - association.began >= component.patience(association) {
          take(.failed, association, slot, control: isControl)
        } else if let left = association.timeout, left <= .milliseconds(1) {
          take(association.expire(), association, slot, control: isControl)
        }
      }
      if let begins = component.begins, begins <= now, isInUse(slot) {
        beginHandshake(slot, component, control: isControl)
      }
      if let nudges = component.nudges, nudges <= now {
        nudge(component, slot, control: isControl)
      }
    }
    armHandshakes(slot)
  }

  private mutating func nudge(_ component: ComponentHandshakes, _ slot: Int, control: Bool) {
    component.nudges = nil
    guard let association = component.unheard else { return }
    let length = buffer.repeated(association)
    if length > 0 { send(length, to: association.peer, slot, control: control) }
    component.nudgeDelay = component.nudgeDelay * 2
    if component.nudgeDelay <= ComponentHandshakes.lastNudge {
      component.nudges = now + component.nudgeDelay
    }
  }

  /// Before there is another side, the far end has no answer of ours and does not listen.
  private func isInUse(_ slot: Int) -> Bool {
    transports[slot].peer >= 0 || applications[slot].isActive || transports[slot].isEcho
  }

  private mutating func beginHandshake(
    _ slot: Int, _ component: ComponentHandshakes, control: Bool
  ) {
    component.begins = nil
    let remote = transports[slot].remote
    let latch = control ? transports[slot].controlLatch : transports[slot].latch
    let address = latch.state == .open ? (control ? remote.rtcp : remote.rtp) : latch.address
    let target = control ? transports[slot].controlTarget : transports[slot].target
    // Nowhere to go yet: a later description says more.
    guard transports[slot].hasRemote, !target.isNowhere, let identity = settings.identity else {
      return
    }
    guard handshakeBudget.take(at: now) else {
      counters.handshakesRefused &+= 1
      component.begins = now + Self.budgetDelay
      return
    }
    guard let association = DTLSAssociation(identity, .client, with: address, at: now) else {
      return
    }
    component.dropPending()
    component.add(association, .address)
    take(association.begin(), association, slot, control: control)
  }

  private mutating func armHandshakes(_ slot: Int) {
    guard let known = handshakes[slot] else { return }
    let mayBegin = isInUse(slot)
    let next = min(
      known.media.next(after: now, mayBegin: mayBegin),
      known.control.next(after: now, mayBegin: mayBegin))
    if next == .distantFuture {
      timers.cancel(timer(.handshake, slot))
    } else {
      timers.arm(timer(.handshake, slot), at: next)
    }
  }
}

extension PacketBuffer {
  /// False where it does not fit.
  fileprivate mutating func load(_ bytes: [UInt8]) -> Bool {
    guard bytes.count <= Self.capacity else { return false }
    var packet = mutableBytes(bytes.count)
    for (i, byte) in bytes.enumerated() {
      packet.storeBytes(of: byte, toByteOffset: i, as: UInt8.self)
    }
    return true
  }

  fileprivate mutating func load(_ association: DTLSAssociation, from offset: inout Int) -> Int {
    var packet = mutableBytes(Self.capacity)
    return association.datagram(from: &offset, into: &packet)
  }

  fileprivate mutating func repeated(_ association: DTLSAssociation) -> Int {
    var packet = mutableBytes(Self.capacity)
    return association.repeated(into: &packet)
  }

  fileprivate mutating func request(
    _ cookies: DTLSCookies, _ hello: DTLSHello, from source: SocketAddress, at socket: Int,
    now: Instant
  ) -> Int {
    var packet = mutableBytes(256)
    return cookies.request(hello, from: source, at: socket, now: now, into: &packet)
  }
}
