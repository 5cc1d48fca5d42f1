import Base
import SIPCore
import SIPWire

// Client transactions: what we ask of peers, resent until they answer.

extension Shard {
  func client(_ handle: SlabHandle) -> ClientTransaction? {
    clients.isLive(handle) ? clients[handle] : nil
  }

  /// A transaction without its request yet: the branch needs the slot. `open` … write … `launch`.
  func openClient(
    _ method: Method, _ purpose: ClientTransaction.Purpose, cseq: UInt32, leg: Leg
  ) -> ClientTransaction? {
    // The machine is replaced by a running one in `launch`.
    var unused = takeEffects()
    defer { giveBack(&unused) }
    let transaction = ClientTransaction(
      machine: method == .invite
        ? .invite(InviteClientTransaction(timers: timers, into: &unused))
        : .nonInvite(NonInviteClientTransaction(timers: timers, into: &unused)),
      method: method, purpose: purpose, cseq: cseq, destination: leg.destination,
      listener: leg.listener, connectPort: connectPort(leg), request: .none)
    guard let handle = clients.insert(transaction) else { return nil }
    transaction.handle = handle
    transaction.leg = leg
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    return transaction
  }

  /// Keeps what has been written as the request, sends it and starts the machine's timers.
  func launch(_ transaction: ClientTransaction) {
    changeByRules(transaction)
    transaction.request = keepOpenRecord()
    waiting(for: transaction.destination, 1)
    transaction.isWaiting = true
    if let leg = transaction.leg { secure(leg) }
    send(
      to: transaction.destination, transaction.listener, connectPort: transaction.connectPort,
      serial: transaction.serial, side: transaction.side)
    var effects = takeEffects()
    defer { giveBack(&effects) }
    let reliable = isReliable(transaction.listener)
    switch transaction.method {
    case .invite:
      transaction.machine = .invite(
        InviteClientTransaction(reliable: reliable, timers: timers, into: &effects))
    default:
      transaction.machine = .nonInvite(
        NonInviteClientTransaction(reliable: reliable, timers: timers, into: &effects))
    }
    for effect in effects { carryOut(effect, transaction) }
    if carriesNonInvite(transaction) {
      restart(
        &transaction.expireTimer, .clientExpire, timers.carriedLifetime, transaction.handle)
    }
  }

  /// Somebody's UPDATE, PRACK or INFO waits for what this one brings.
  private func carriesNonInvite(_ transaction: ClientTransaction) -> Bool {
    switch transaction.purpose {
    case .info: return true
    case .update, .prack, .reInvite:
      guard let leg = transaction.leg, let reoffer = leg.session?.other(leg)?.reoffer else {
        return false
      }
      return reoffer.server.method != .invite
    case .invite, .bye, .cancel, .register, .refresh, .probe, .join, .notify, .report, .renewal:
      return false
    }
  }

  func writeVia(_ transaction: ClientTransaction, into output: inout OutputBuffer) {
    writeViaStart(transaction.listener, into: &output)
    mint.write(OwnerToken(kind: .branch, fork: 0, owner: transaction.handle), into: &output)
    writeListens(to: transaction.probed ?? transaction.leg?.watched, into: &output)
    output.append("\r\n")
  }

  /// Up to the unique part of the branch. `rport` asks for the port that our NAT shows (RFC 3581 §3).
  func writeViaStart(_ listener: ListenerIndex, into output: inout OutputBuffer) {
    output.append("Via: SIP/2.0/")
    output.append(transport(listener).token)
    output.append(" ")
    writeOurAddress(listener, into: &output)
    output.append(";rport;branch=z9hG4bK")
  }

  // MARK: Events

  func handleClient(
    _ transaction: ClientTransaction, invite event: InviteClientTransaction.Event,
    _ message: borrowing Message
  ) {
    guard case .invite(var machine) = transaction.machine else { return }
    var effects = takeEffects()
    defer { giveBack(&effects) }
    machine.handle(event, timers: timers, into: &effects)
    transaction.machine = .invite(machine)
    for effect in effects {
      switch effect {
      case .acknowledge: acknowledgeFailure(transaction, message)
      case .deliver: inviteAnswered(transaction, message)
      case .resend, .start, .stop, .timedOut, .terminated: carryOut(effect, transaction)
      }
    }
  }

  func handleClient(
    _ transaction: ClientTransaction, other event: NonInviteClientTransaction.Event,
    _ message: borrowing Message
  ) {
    guard case .nonInvite(var machine) = transaction.machine else { return }
    var effects = takeEffects()
    defer { giveBack(&effects) }
    machine.handle(event, timers: timers, into: &effects)
    transaction.machine = .nonInvite(machine)
    for effect in effects {
      if effect == .deliver {
        if message.status >= 200 { requestAnswered(transaction, message) }
      } else {
        carryOut(effect, transaction)
      }
    }
  }

  /// A timer, or the transport's word that nothing gets there.
  func handleClient(_ transaction: ClientTransaction, timer: TransactionTimer?) {
    var effects = takeEffects()
    defer { giveBack(&effects) }
    switch transaction.machine {
    case .invite(var machine):
      machine.handle(
        timer.map { .fired($0) } ?? .transportError, timers: timers, into: &effects)
      transaction.machine = .invite(machine)
    case .nonInvite(var machine):
      machine.handle(
        timer.map { .fired($0) } ?? .transportError, timers: timers, into: &effects)
      transaction.machine = .nonInvite(machine)
    }
    for effect in effects {
      if effect == .timedOut {
        clientTimedOut(transaction, isTransport: timer == nil)
      } else {
        carryOut(effect, transaction)
      }
    }
  }

  private func carryOut(_ effect: TransactionEffect, _ transaction: ClientTransaction) {
    switch effect {
    case .resend:
      guard !transaction.request.isNone else { return }
      transaction.copies &+= 1
      // An INVITE that nobody wants any more goes on asking for the provisional response that a CANCEL
      // needs, but not with the last copy, which timer B leaves no time to cancel.
      if transaction.cancelWanted, transaction.copies > 5 { return }
      counters.retransmissionsSent &+= 1
      resend(
        transaction.request, to: transaction.destination, transaction.listener,
        connectPort: transaction.connectPort, serial: transaction.serial, side: transaction.side)
    case .start(.resend, let after):
      restart(&transaction.resendTimer, .clientResend, after, transaction.handle)
    case .start(.expire, let after):
      restart(&transaction.expireTimer, .clientExpire, after, transaction.handle)
    case .stop(.resend): wheel.cancel(&transaction.resendTimer)
    case .stop(.expire):
      // A first INVITE may ring for as long as its hop allows. A re-INVITE has nobody who would wait for
      // a person, and one without a leg nobody at all: they end 64·T1 after the provisional response.
      if transaction.purpose == .reInvite || transaction.purpose == .refresh
        || transaction.purpose == .join || transaction.purpose == .renewal
        || transaction.leg == nil
      {
        restart(
          &transaction.expireTimer, .clientExpire,
          carriesNonInvite(transaction) ? timers.carriedLifetime : timers.lifetime,
          transaction.handle)
      } else {
        wheel.cancel(&transaction.expireTimer)
      }
    case .deliver, .acknowledge, .timedOut: break  // need the message or the owner: see above
    case .terminated: remove(transaction)
    }
  }

  func fireClient(_ handle: SlabHandle, _ timer: TransactionTimer) {
    guard let transaction = client(handle) else { return }
    switch timer {
    case .resend: transaction.resendTimer = .none
    case .expire:
      transaction.expireTimer = .none
      // §9.1: 64·T1 after the CANCEL nobody will send a final response any more.
      if case .invite(let machine) = transaction.machine, machine.isProceeding {
        clientTimedOut(transaction, isTransport: false)
        return remove(transaction)
      }
    }
    handleClient(transaction, timer: timer)
  }

  func remove(_ transaction: ClientTransaction) {
    wheel.cancel(&transaction.resendTimer)
    wheel.cancel(&transaction.expireTimer)
    blocks.free(&transaction.request)
    blocks.free(&transaction.acknowledgement)
    if let leg = transaction.leg, leg.inviteClient === transaction { leg.inviteClient = nil }
    if let target = transaction.probed {
      forgetProbe(transaction, target)
      targets.probes[transaction.handle] = nil
    }
    transaction.leg = nil
    transaction.sender = .none
    transaction.cancel = nil
    if clients.remove(transaction.handle) != nil, transaction.isWaiting {
      waiting(for: transaction.destination, -1)
    }
  }

  /// How many transactions have a peer's address: an ICMP message about any other costs nothing.
  private func waiting(for destination: SocketAddress, _ change: Int32) {
    let key = hash.key(destination, seed: 0x400)
    let count = (clientsByDestination.find(key) ?? 0) &+ change
    if count > 0 {
      _ = clientsByDestination.insert(key, count)
    } else {
      _ = clientsByDestination.remove(key)
    }
  }

  func awaits(_ destination: SocketAddress) -> Bool {
    clientsByDestination.contains(hash.key(destination, seed: 0x400))
  }

  /// The open record of the outbox as a block; `.none` for one that was cut off, or when there is no room:
  /// it is then sent at most once and not repeated.
  func keepOpenRecord() -> Block {
    guard !outbox.datagrams.isOverflowing else { return .none }
    return outbox.datagrams.withOpenBytes { blocks.store($0) } ?? .none
  }

  /// What a transaction in its last state still needs is only the ACK that it may have to repeat.
  func forgetRequest(_ transaction: ClientTransaction) { blocks.free(&transaction.request) }

  // MARK: ACK for a failure, CANCEL

  /// So that a phone counts the call as taken and not as missed (RFC 3326 §3.2).
  static var completedElsewhere: StaticString {
    "Reason: SIP ;cause=200 ;text=\"Call completed elsewhere\"\r\n"
  }

  /// §17.1.1.3: request URI, From, Call-ID, CSeq number, Route and the Via as in the INVITE, To as in the
  /// response. Built once, repeated for each repetition of the response.
  private func acknowledgeFailure(
    _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    if transaction.acknowledgement.isNone {
      outbox.datagrams.begin()
      guard writeFollowUp(transaction, "ACK", to: message.bytes, message.first(.to) ?? .none) else {
        return outbox.datagrams.abandon()
      }
      transaction.acknowledgement = keepOpenRecord()
      outbox.datagrams.abandon()
      forgetRequest(transaction)
    } else {
      counters.retransmissionsReceived &+= 1
    }
    guard !transaction.acknowledgement.isNone else { return }
    resend(
      transaction.acknowledgement, to: transaction.destination, transaction.listener,
      connectPort: transaction.connectPort, serial: transaction.serial, side: transaction.side)
  }

  /// Sends the CANCEL now if a provisional response has been seen, else as soon as one is (§9.1).
  func cancel(_ transaction: ClientTransaction) {
    guard transaction.cancel == nil, case .invite(let machine) = transaction.machine else { return }
    guard machine.isProceeding, let leg = transaction.leg else {
      transaction.cancelWanted = machine.isPending
      return
    }
    transaction.cancelWanted = false
    restart(&transaction.expireTimer, .clientExpire, timers.lifetime, transaction.handle)
    guard
      let cancel = openClient(.cancel, .cancel, cseq: transaction.cseq, leg: leg)
    else { return }
    outbox.datagrams.begin()
    guard writeFollowUp(transaction, "CANCEL", to: RawSpan(), .none) else {
      outbox.datagrams.abandon()
      return remove(cancel)
    }
    transaction.cancel = cancel
    launch(cancel)
  }

  /// A request that repeats the INVITE's routing: CANCEL with its To, ACK with the response's.
  private func writeFollowUp(
    _ transaction: ClientTransaction, _ method: StaticString, to bytes: RawSpan, _ to: ByteRange
  ) -> Bool {
    let stored = blocks.bytes(transaction.request)
    guard let request = try? Message.parse(stored, using: ownIndex) else { return false }
    outbox.datagrams.append(method)
    outbox.datagrams.append(" ")
    outbox.datagrams.append(stored, request.requestURI)
    outbox.datagrams.append(" SIP/2.0\r\nVia: ")
    outbox.datagrams.append(stored, request.first(.via) ?? .none)
    outbox.datagrams.append("\r\nMax-Forwards: 70\r\nFrom: ")
    outbox.datagrams.append(stored, request.first(.from) ?? .none)
    outbox.datagrams.append("\r\nTo: ")
    if to.isEmpty {
      outbox.datagrams.append(stored, request.first(.to) ?? .none)
    } else {
      outbox.datagrams.append(bytes, to)
    }
    outbox.datagrams.append("\r\nCall-ID: ")
    outbox.datagrams.append(stored, request.callID)
    outbox.datagrams.append("\r\nCSeq: ")
    outbox.datagrams.append(decimal: Int(transaction.cseq))
    outbox.datagrams.append(" ")
    outbox.datagrams.append(method)
    outbox.datagrams.append("\r\n")
    if let route = request.first(.route) {
      outbox.datagrams.append("Route: ")
      outbox.datagrams.append(stored, route)
      outbox.datagrams.append("\r\n")
    }
    if to.isEmpty, transaction.leg?.isCompletedElsewhere == true {
      outbox.datagrams.append(Self.completedElsewhere)
    }
    outbox.datagrams.append("Content-Length: 0\r\n\r\n")
    return true
  }
}
