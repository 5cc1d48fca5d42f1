import Base

/// The called side: RFC 3261 §13.3, §9.2; a script says what it answers and when. Several To tags stand
/// for the branches of a forking proxy behind this address.
extension AgentCall {
  func receiveInvite(
    _ message: AgentMessage, _ transaction: AgentServerTransaction, script: CalleeScript
  ) {
    calleeScript = script
    payloads = script.payloads
    inviteMessage = message
    inviteTransaction = transaction
    forkTags[0] = localTag
    if message.hasBody { offerReceived = take(message) }
    if script.dieAfter == .zero {
      die()
      return
    }
    if script.trying { agent.answer(message, transaction, status: 100, tag: "") }
    for step in script.steps { schedule(step.after) { $0.perform(step) } }
    schedule(script.dieAfter) { $0.die() }
  }

  func perform(_ step: CalleeStep) {
    guard let message = inviteMessage, let transaction = inviteTransaction,
      state == .starting || state == .early
    else { return }
    if outstanding != nil {
      // One reliable response at a time, and no 2xx before its PRACK (RFC 3262 §3).
      schedule(.milliseconds(100)) { $0.perform(step) }
      return
    }
    let tag = forkTags[step.fork] ?? agent.newTag()
    forkTags[step.fork] = tag
    note(step.status)
    var headers = ["Contact: <\(agent.contact)>"]
    if (300..<400).contains(step.status), !calleeScript.redirectsTo.isEmpty {
      headers = calleeScript.redirectsTo.map { "Contact: \($0)" }
    }
    headers += calleeScript.extraHeaders
    if let seconds = calleeScript.retryAfter, step.status >= 300 {
      headers.append("Retry-After: \(seconds)")
    }
    if step.status >= 300 {
      agent.answer(message, transaction, status: step.status, tag: tag, headers: headers)
      end(.refused(step.status))
      return
    }
    if step.status >= 200 { localTag = tag }
    if step.status < 200, step.reliable, mayBeReliable(message) {
      return sendReliable(step, message, transaction, tag: tag, headers: headers)
    }
    let isAgreed = agreedTags.contains(tag)
    guard let sdp = isAgreed && !calleeScript.repeatsAnswer ? "" : step.sdp ? answerOrOffer() : ""
    else {
      agent.answer(message, transaction, status: 488, tag: tag, headers: headers)
      end(.refused(488))
      return
    }
    if step.status < 200 {
      state = .early
      rang = rang ?? world.now
      // Without an offer there is nothing that an unreliable response may answer (RFC 3261 §13.2.1).
      let body = sdp.isEmpty || offerReceived == nil ? nil : sdp
      agent.answer(message, transaction, status: step.status, tag: tag, headers: headers, sdp: body)
      if body != nil { talk() }
    } else {
      accept(message, transaction, headers: headers, sdp: sdp)
    }
  }

  /// Nil: the offer has nothing that this agent speaks.
  func answerOrOffer() -> String? {
    if let sdp = calleeScript.sdp { return sdp }
    guard let offer = offerReceived else { return description() }
    return answer(to: offer, holding: false)
  }

  private func accept(
    _ message: AgentMessage, _ transaction: AgentServerTransaction, headers: [String], sdp: String
  ) {
    state = .answered
    answeredAt = world.now
    localParty = AgentCall.withoutTag(localParty)
    unacknowledged[message.cseq] = transaction
    let grant = grantSession(message)
    agent.answer(
      message, transaction, status: 200, tag: localTag,
      headers: headers + capabilities(of: calleeScript) + grant, sdp: sdp.isEmpty ? nil : sdp)
    talk()
    if calleeScript.hangsUpUnacknowledged {
      schedule(calleeScript.hangUpAfter) { $0.hangUp() }
    }
    schedule(calleeScript.secondAnswerAfter) {
      $0.answerFromAnotherBranch(headers: headers, sdp: sdp)
    }
  }

  /// A second 2xx with its own To tag: to be acknowledged and hung up by the trunk.
  private func answerFromAnotherBranch(headers: [String], sdp: String) {
    guard let message = inviteMessage, let first = inviteTransaction, secondAnswer == nil else {
      return
    }
    let tag = agent.newTag()
    secondAnswer = (tag, false, false)
    let bytes = AgentWriter.response(
      to: message, status: 200, tag: tag, agent: agent, headers: headers, sdp: sdp)
    let transaction = AgentServerTransaction(isInvite: true, callID: callID, from: first.from)
    second = transaction
    agent.transmit(bytes, to: first.from, callID: callID)
    agent.repeatFinal(transaction, bytes, after: AgentTimers.t1)
  }

  func receiveAck(_ message: AgentMessage) {
    if let tag = secondAnswer?.tag, message.toTag == tag {
      secondAnswer?.acknowledged = true
      second?.acknowledged = true
      return
    }
    guard owns(message) else { return }
    if let pending = unacknowledged.removeValue(forKey: message.cseq) {
      pending.acknowledged = true
      if pending === inviteTransaction { confirm(message) }
    }
  }

  private func confirm(_ ack: AgentMessage) {
    acknowledged = true
    if offerReceived == nil, !answeredEarly {
      let answer = take(ack)
      // Without an answer there is no session: the trunk has to end it (RFC 3261 §13.2.1).
      if answer == nil {
        schedule(AgentTimers.end) { call in
          guard call.state == .answered else { return }
          call.world.violate(
            .sdp, "\(call.agent.name): no answer in the ACK, and no BYE", call.callID)
        }
      }
    }
    guard state == .answered else { return }
    if !calleeScript.hangsUpUnacknowledged {
      let spent = world.now - (answeredAt ?? world.now)
      if let after = calleeScript.hangUpAfter {
        schedule(
          after > spent ? Interval(nanoseconds: after.nanoseconds - spent.nanoseconds) : .zero
        ) {
          $0.hangUp()
        }
      }
    }
    scheduleReoffers(calleeScript.reoffers)
    scheduleTransfer(calleeScript.transfer)
  }

  func receiveCancel(_ invite: AgentServerTransaction) {
    cancelReceived = true
    guard invite === inviteTransaction, let message = inviteMessage,
      state == .starting || state == .early, !calleeScript.answersCancelled
    else { return }
    note(487)
    agent.answer(message, invite, status: 487, tag: localTag)
    end(.cancelled)
  }

  /// 64·T1 after a 2xx without its ACK (§13.3.1.4).
  func neverAcknowledged() {
    guard !isCaller || reoffersAnswered.isEmpty, state == .answered else { return }
    send(.bye)
    end(.neverAcknowledged)
  }
}
