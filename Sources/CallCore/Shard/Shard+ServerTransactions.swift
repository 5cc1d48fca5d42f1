import Base
import Policy
import SIPCore
import SIPWire

// Server transactions: made when a request asks for more than one answer's worth of attention.

extension Shard {
  func server(_ handle: SlabHandle) -> ServerTransaction? {
    servers.isLive(handle) ? servers[handle] : nil
  }

  /// Nil at the limit of transactions or of packet memory: the caller answers 503 statelessly.
  func makeServer(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival,
    isEmergency: Bool = false
  ) -> ServerTransaction? {
    // What lies beyond is for calls for help, and what belongs to calls that run.
    if servers.count >= settings.limits.transactions, fields.to.tag.isEmpty, !isEmergency {
      return nil
    }
    body.begin()
    writeHead(message, fields, arrival, into: &body)
    let head = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let head else { return nil }
    let isInvite = message.method == .invite
    let reliable = isReliable(arrival.listener)
    let transaction = ServerTransaction(
      machine: isInvite
        ? .invite(InviteServerTransaction(reliable: reliable))
        : .nonInvite(NonInviteServerTransaction(reliable: reliable)),
      method: message.method, cseq: fields.cseq.number, key: key,
      replyTo: replyAddress(message, fields.via, arrival), listener: arrival.listener, head: head,
      toTagged: !fields.to.tag.isEmpty)
    guard let handle = servers.insert(transaction), serversByKey.insert(key, handle) else {
      if servers.isLive(transaction.handle) { _ = servers.remove(transaction.handle) }
      var unused = head
      blocks.free(&unused)
      return nil
    }
    transaction.handle = handle
    if reliable {
      allowReturn(transaction, fields.via, arrival)
      noteFlow(transaction)
    }
    if fields.to.tag.isEmpty {
      let merge = mergeKey(message, fields)
      if serversByMerge.insert(merge, handle) { transaction.mergeKey = merge }
    }
    return transaction
  }

  /// Sends and keeps a response. `write` adds header fields of its own; `body` holds the SDP, if any.
  func respond(
    _ transaction: ServerTransaction, _ status: Int, fork: UInt8 = 0, leg: Leg? = nil,
    withBody: Bool = false, extra: StaticString = "", rseq: UInt32 = 0, retryAfter: Int = 0,
    minSE: UInt32 = 0, reason: UInt8 = 0, expires: Int = -1
  ) {
    outbox.datagrams.begin()
    if status == 403, transaction.leg?.session?.record.cause == .identityStale {
      // RFC 8224 §6.2.2: the code is one of many meanings.
      outbox.datagrams.append("SIP/2.0 403 Stale Date\r\n")
    } else {
      writeStatusLine(status, into: &outbox.datagrams)
    }
    outbox.datagrams.append(blocks.bytes(transaction.head))
    if !transaction.toTagged, status > 100 {
      outbox.datagrams.append(";tag=")
      let owner = leg?.handle ?? transaction.handle
      mint.write(
        OwnerToken(kind: leg == nil ? .reply : .tag, fork: fork, owner: owner),
        into: &outbox.datagrams)
    }
    outbox.datagrams.append("\r\n")
    let isOffering =
      transaction.method == .invite || transaction.method == .update
      || transaction.method == .options
    if status > 100 {
      if let leg, status < 300 { writeContact(leg, into: &outbox.datagrams) }
      if rseq != 0 { number("Require: 100rel\r\nRSeq: ", Int(rseq)) }
      if isOffering || status == 405 || status == 501 {
        writeCapabilities(into: &outbox.datagrams)
        if status >= 200 { writeSupported(into: &outbox.datagrams) }
      }
      if retryAfter > 0 { number("Retry-After: ", retryAfter) }
      if minSE > 0 { number("Min-SE: ", Int(minSE)) }
      if expires >= 0 { number("Expires: ", expires) }
      outbox.datagrams.append(extra)
      if status == 401 || status == 407, let session = transaction.leg?.session {
        for line in session.challenge { outbox.datagrams.append(line) }
      }
      writeReason(reason, into: &outbox.datagrams)
      if let leg { writeSessionID(leg, into: &outbox.datagrams) }
    }
    let settles =
      isOffering && transaction.method != .options && (200..<300).contains(status)
      && leg?.state == .confirmed
    if settles, let leg { writeTimerGrant(leg, into: &outbox.datagrams) }
    if status > 100 { writeServer(into: &outbox.datagrams) }
    writeBody(present: withBody, into: &outbox.datagrams)
    changeByRules(leg ?? transaction.leg, transaction.method, status: status)
    commit(response: status, of: transaction)
    if settles, let leg { timerGranted(leg) }
  }

  /// A refusal of somebody who has proved who they are: a repetition gets it again, where its credentials would be
  /// taken for a replay.
  func refuse(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ status: Int,
    _ cause: Cause, _ arrival: Arrival
  ) {
    countRefusal(message.method, status, cause, arrival)
    answer(message, fields, key, status, arrival, extra: status == 503 ? cause.retryHeader : "")
  }

  /// A final answer that begins nothing, in a transaction where there is room for one.
  func answer(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ status: Int,
    _ arrival: Arrival, extra: StaticString = ""
  ) {
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return replyStateless(message, fields, status, arrival)
    }
    respond(transaction, status, extra: extra)
  }

  private func number(_ name: StaticString, _ value: Int) {
    outbox.datagrams.append(name)
    outbox.datagrams.append(decimal: value)
    outbox.datagrams.append("\r\n")
  }

  /// Content-Type, Content-Length, the empty line, and what `body` holds.
  func writeBody(present: Bool, into output: inout OutputBuffer) {
    guard present else { return output.append("Content-Length: 0\r\n\r\n") }
    output.append("Content-Type: application/sdp\r\nContent-Length: ")
    output.append(decimal: body.position)
    output.append("\r\n\r\n")
    body.withOpenBytes { output.append($0) }
  }

  /// Keeps the open record as the transaction's last response, sends it, and moves the machine on.
  func commit(response status: Int, of transaction: ServerTransaction) {
    blocks.free(&transaction.response)
    transaction.response = keepOpenRecord()
    secure(transaction)
    send(
      to: transaction.replyTo, transaction.listener, connectPort: transaction.connectPort,
      serial: transaction.serial, side: transaction.side)
    if status < 200 {
      handleServer(transaction, invite: .sentProvisional, other: .sentProvisional)
    } else if status < 300 {
      handleServer(transaction, invite: .sentSuccess, other: .sentFinal)
    } else {
      handleServer(transaction, invite: .sentFailure, other: .sentFinal)
    }
  }

  func handleServer(
    _ transaction: ServerTransaction, invite: InviteServerTransaction.Event,
    other: NonInviteServerTransaction.Event
  ) {
    var effects = takeEffects()
    defer { giveBack(&effects) }
    switch transaction.machine {
    case .invite(var machine):
      machine.handle(invite, timers: timers, into: &effects)
      transaction.machine = .invite(machine)
    case .nonInvite(var machine):
      machine.handle(other, timers: timers, into: &effects)
      transaction.machine = .nonInvite(machine)
    }
    for effect in effects { carryOut(effect, transaction) }
  }

  private func carryOut(_ effect: TransactionEffect, _ transaction: ServerTransaction) {
    switch effect {
    case .resend:
      guard !transaction.response.isNone else { return }
      counters.retransmissionsSent &+= 1
      secure(transaction)
      resend(
        transaction.response, to: transaction.replyTo, transaction.listener,
        connectPort: transaction.connectPort, serial: transaction.serial, side: transaction.side)
    case .start(.resend, let after):
      restart(&transaction.resendTimer, .serverResend, after, transaction.handle)
    case .start(.expire, let after):
      restart(&transaction.expireTimer, .serverExpire, after, transaction.handle)
    case .stop(.resend): wheel.cancel(&transaction.resendTimer)
    case .stop(.expire): wheel.cancel(&transaction.expireTimer)
    // An ACK in the accepted state is the dialog's business and never comes this way; a failure that was
    // not acknowledged ends the transaction and nothing else (§17.2.1).
    case .deliver, .acknowledge, .timedOut: break
    case .terminated: remove(transaction)
    }
  }

  func fireServer(_ handle: SlabHandle, _ timer: TransactionTimer) {
    guard let transaction = server(handle) else { return }
    switch timer {
    case .resend: transaction.resendTimer = .none
    case .expire: transaction.expireTimer = .none
    }
    handleServer(transaction, invite: .fired(timer), other: .fired(timer))
  }

  private func remove(_ transaction: ServerTransaction) {
    wheel.cancel(&transaction.resendTimer)
    wheel.cancel(&transaction.expireTimer)
    forgetFlow(transaction)
    blocks.free(&transaction.head)
    blocks.free(&transaction.response)
    _ = serversByKey.remove(transaction.key)
    if let merge = transaction.mergeKey, serversByMerge.find(merge) == transaction.handle {
      _ = serversByMerge.remove(merge)
    }
    if let leg = transaction.leg, leg.inviteServer === transaction { leg.inviteServer = nil }
    transaction.leg = nil
    _ = servers.remove(transaction.handle)
  }

  /// A 2xx was acknowledged or given up: the transaction only absorbs retransmissions now.
  func forgetResponses(_ transaction: ServerTransaction) {
    blocks.free(&transaction.head)
    blocks.free(&transaction.response)
  }

  // MARK: Effects

  /// An empty buffer for what a machine asks for. Carrying out one effect may bring the next machine its event,
  /// so there are as many as handlers that wait for each other, used again and again.
  func takeEffects() -> [TransactionEffect] { effectBuffers.popLast() ?? [] }

  func giveBack(_ effects: inout [TransactionEffect]) {
    effects.removeAll(keepingCapacity: true)
    effectBuffers.append(effects)
    effects = []
  }

  // MARK: Sending

  func restart(_ timer: inout TimerID, _ kind: ShardTimer, _ after: Interval, _ owner: SlabHandle) {
    wheel.cancel(&timer)
    timer = wheel.schedule(at: now + after, kind: kind.rawValue, owner: owner.packed)
  }

  /// Closes the open record of the outbox, traces it, and counts it.
  @discardableResult
  func send(
    to destination: SocketAddress, _ listener: ListenerIndex, connectPort: UInt16 = 0,
    serial: UInt64, side: LegSide
  ) -> Bool {
    if serial != 0, !outbox.datagrams.isOverflowing {
      outbox.datagrams.withOpenBytes {
        trace.append(
          serial: serial, at: now, outgoing: true, leg: side, listener: listener,
          remote: destination, message: $0)
      }
    }
    guard isPermitted(destination),
      outbox.datagrams.commit(to: destination, listener: listener, connectPort: connectPort)
    else {
      outbox.datagrams.abandon()
      return false
    }
    counters.messagesSent &+= 1
    return true
  }

  func resend(
    _ block: Block, to destination: SocketAddress, _ listener: ListenerIndex,
    connectPort: UInt16 = 0, serial: UInt64, side: LegSide
  ) {
    outbox.datagrams.begin()
    outbox.datagrams.append(blocks.bytes(block))
    send(to: destination, listener, connectPort: connectPort, serial: serial, side: side)
  }

  /// Never to nowhere, to many, or to ourselves, whatever a Contact or Record-Route says.
  private func isPermitted(_ destination: SocketAddress) -> Bool {
    guard destination.port != 0, !destination.ip.isUnspecified, !destination.ip.isMulticast else {
      return false
    }
    return !isOurs(destination)
  }

  func traceIncoming(
    _ message: borrowing Message, _ serial: UInt64, _ side: LegSide, _ arrival: Arrival
  ) {
    guard serial != 0 else { return }
    trace.append(
      serial: serial, at: now, outgoing: false, leg: side, listener: arrival.listener,
      remote: arrival.source, message: message.bytes)
  }
}
