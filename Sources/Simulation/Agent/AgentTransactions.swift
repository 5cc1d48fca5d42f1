package import Base
import SIPWire

/// RFC 3261's timers over UDP (§17, table 4).
package enum AgentTimers {
  package static let t1 = Interval.milliseconds(500)
  package static let t2 = Interval.seconds(4)
  /// 64·T1: timers B, D, F, H, J, L, M.
  package static let end = Interval.seconds(32)
}

/// A request of an agent until its final response and 64·T1 longer. One class for INVITE and the
/// others, straight from the prose of §17.1; the trunk's own machines are not looked at.
final class AgentClientTransaction {
  enum State { case calling, proceeding, completed, done }

  let branch: String
  let isInvite: Bool
  let callID: String
  let request: [UInt8]
  let to: SocketAddress
  var state = State.calling
  /// The ACK of a negative answer, sent again for each copy of it.
  var ack: [UInt8]?
  /// Nil: timer B or F fired.
  let respond: (AgentMessage?) -> Void

  init(
    branch: String, isInvite: Bool, callID: String, request: [UInt8], to: SocketAddress,
    respond: @escaping (AgentMessage?) -> Void
  ) {
    self.branch = branch
    self.isInvite = isInvite
    self.callID = callID
    self.request = request
    self.to = to
    self.respond = respond
  }
}

/// A request to an agent and what was answered, until 64·T1 after the final response.
final class AgentServerTransaction {
  let isInvite: Bool
  let callID: String
  let from: SocketAddress
  var response: [UInt8]?
  var status = 0
  var acknowledged = false
  /// When the CANCEL of an INVITE came.
  var cancelled: Instant?

  init(isInvite: Bool, callID: String, from: SocketAddress) {
    self.isInvite = isInvite
    self.callID = callID
    self.from = from
  }
}

extension Agent {
  func begin(
    _ request: [UInt8], branch: String, isInvite: Bool, callID: String, to: SocketAddress,
    respond: @escaping (AgentMessage?) -> Void
  ) {
    let transaction = AgentClientTransaction(
      branch: branch, isInvite: isInvite, callID: callID, request: request, to: to,
      respond: respond)
    clientTransactions[branch] = transaction
    transmit(request, to: to, callID: callID)
    retransmit(transaction, after: AgentTimers.t1)
    world.after(AgentTimers.end) { [self] in
      guard transaction.state == .calling || (transaction.state == .proceeding && !isInvite) else {
        return
      }
      finish(transaction)
      guard !isMute(callID) else { return }
      if mayExpectAnswers {
        world.violate(.finalResponse, "\(name): no answer to \(branch)", callID)
      }
      transaction.respond(nil)
    }
  }

  /// Timers A and E.
  private func retransmit(_ transaction: AgentClientTransaction, after interval: Interval) {
    if transport.isReliable { return }
    world.after(interval) { [self] in
      let repeats =
        transaction.state == .calling || (transaction.state == .proceeding && !transaction.isInvite)
      guard repeats, clientTransactions[transaction.branch] === transaction else { return }
      transmit(transaction.request, to: transaction.to, callID: transaction.callID)
      var next = interval * 2
      if !transaction.isInvite {
        next = transaction.state == .proceeding ? AgentTimers.t2 : min(next, AgentTimers.t2)
      }
      retransmit(transaction, after: next)
    }
  }

  func receiveResponse(_ message: AgentMessage) {
    // A CANCEL bears the branch of its INVITE (§9.1).
    let key = message.method == .cancel ? message.branch + "cancel" : message.branch
    guard let transaction = clientTransactions[key] else {
      if world.now - born > AgentTimers.end * 4 || message.method == .other { return }
      strays += 1
      return
    }
    if message.status < 200 {
      guard transaction.state == .calling || transaction.state == .proceeding else { return }
      transaction.state = .proceeding
      transaction.respond(message)
      return
    }
    let first = transaction.state == .calling || transaction.state == .proceeding
    if first {
      transaction.state = .completed
      world.after(AgentTimers.end + AgentTimers.t2) { [self] in finish(transaction) }
    }
    if transaction.isInvite, message.status >= 300 {
      if transaction.ack == nil {
        transaction.ack = AgentWriter.ack(of: transaction.request, answered: message)
      }
      if let ack = transaction.ack {
        transmit(ack, to: transaction.to, callID: transaction.callID)
      }
    }
    // Each copy of a 2xx goes to the caller, which acknowledges it (§13.2.2.4).
    if first || (transaction.isInvite && message.status < 300) { transaction.respond(message) }
  }

  private func finish(_ transaction: AgentClientTransaction) {
    transaction.state = .done
    clientTransactions[transaction.branch] = nil
  }

  /// Nothing gets lost on the way, and the engine has been there all the time.
  var mayExpectAnswers: Bool {
    world.shard != nil && world.network.isReliable(self) && world.epoch == 0
  }

  // MARK: Server side

  static func serverKey(_ message: AgentMessage) -> String {
    switch message.method {
    case .ack, .invite: message.branch + "I"
    case .bye, .cancel, .options, .publish, .register, .prack, .update, .info, .refer, .notify,
      .subscribe, .other:
      message.branch + message.methodText
    }
  }

  /// Nil where the request is a copy, which is answered as before.
  func admit(_ message: AgentMessage, from: SocketAddress) -> AgentServerTransaction? {
    let key = Agent.serverKey(message)
    if let known = serverTransactions[key] {
      if let response = known.response {
        transmit(response, to: known.from, callID: known.callID)
      }
      return nil
    }
    let transaction = AgentServerTransaction(
      isInvite: message.method == .invite, callID: message.callID, from: from)
    serverTransactions[key] = transaction
    return transaction
  }

  func answer(
    _ message: AgentMessage, _ transaction: AgentServerTransaction, status: Int, tag: String,
    headers: [String] = [], sdp: String? = nil
  ) {
    guard transaction.status < 200 else { return }
    let response = AgentWriter.response(
      to: message, status: status, tag: tag, agent: self, headers: headers, sdp: sdp)
    transaction.response = response
    transaction.status = status
    transmit(response, to: transaction.from, callID: transaction.callID)
    guard status >= 200 else { return }
    if transaction.isInvite, status < 300 || !transport.isReliable {
      repeatFinal(transaction, response, after: AgentTimers.t1)
    }
    let key = Agent.serverKey(message)
    world.after(AgentTimers.end + AgentTimers.t2) { [self] in serverTransactions[key] = nil }
    if transaction.isInvite {
      let isOwed = !hasBeenGivenUp(transaction)
      world.after(AgentTimers.end) { [self] in
        guard !transaction.acknowledged, !isMute(transaction.callID) else { return }
        if mayExpectAnswers, isOwed, status >= 300 {
          world.violate(.acknowledgement, "\(name): no ACK of \(status)", transaction.callID)
        }
        if status < 300 { calls(transaction.callID)?.neverAcknowledged() }
      }
    }
  }

  /// 64·T1 after its CANCEL the client has destroyed its transaction (RFC 3261 §9.1): an answer that comes then is
  /// acknowledged by nobody.
  private func hasBeenGivenUp(_ transaction: AgentServerTransaction) -> Bool {
    guard let cancelled = transaction.cancelled else { return false }
    let link = world.network.link(of: self)
    return world.now + (link.delay + link.jitter) * 2 >= cancelled + AgentTimers.end
  }

  /// Timer G, and the core's retransmission of a 2xx (§13.3.1.4), until the ACK or 64·T1.
  func repeatFinal(
    _ transaction: AgentServerTransaction, _ response: [UInt8], after interval: Interval,
    since: Interval = .zero
  ) {
    let elapsed = since + interval
    world.after(interval) { [self] in
      guard !transaction.acknowledged, elapsed < AgentTimers.end else { return }
      transmit(response, to: transaction.from, callID: transaction.callID)
      repeatFinal(
        transaction, response, after: min(interval * 2, AgentTimers.t2), since: elapsed)
    }
  }
}
