import Base

/// Reliable provisional responses from both ends (RFC 3262), and UPDATE (RFC 3311). Written from the RFCs'
/// prose; the trunk's own machines are not looked at.
extension AgentCall {
  // MARK: The caller

  func capabilities(of script: CallerScript) -> [String] {
    var headers = [allow(updates: script.updates)]
    switch script.reliable {
    case .none: break
    case .supports: headers.append("Supported: 100rel")
    case .requires: headers.append("Require: 100rel")
    }
    if let timer = script.timer {
      headers.append("Supported: timer")
      headers.append("Session-Expires: \(timer.seconds)" + refresher(timer))
    }
    return headers
  }

  func capabilities(of script: CalleeScript) -> [String] { [allow(updates: script.updates)] }

  var ownCapabilities: [String] {
    [allow(updates: isCaller ? callerScript.updates : calleeScript.updates)]
  }

  private func allow(updates: Bool) -> String {
    "Allow: INVITE, ACK, BYE, CANCEL, PRACK, INFO" + (updates ? ", UPDATE" : "")
  }

  private func refresher(_ timer: TimerHabit) -> String {
    timer.refreshes.map { $0 ? ";refresher=uac" : ";refresher=uas" } ?? ""
  }

  func receiveReliable(_ response: AgentMessage) {
    guard let rseq = response.value(.rseq).flatMap({ UInt32($0) }), rseq > 0 else {
      world.violate(.method, "\(agent.name): 100rel without RSeq", callID)
      return
    }
    if callerScript.reliable == .none {
      world.violate(.method, "\(agent.name): reliable without being asked for", callID)
    }
    let last = rseqs[response.toTag]
    guard rseq == (last ?? rseq - 1) + 1 else {
      if let last, rseq > last + 1 {
        world.violate(.method, "\(agent.name): RSeq \(rseq) after \(last)", callID)
      }
      return
    }
    rseqs[response.toTag] = rseq
    let sdp = response.hasBody ? take(response) : nil
    let isOffer = sdp != nil && callerScript.delayedOffer && !agreedTags.contains(response.toTag)
    if sdp != nil { agreedTags.insert(response.toTag) }
    guard callerScript.pracks else { return }
    acknowledgeReliably(response, rseq, offer: isOffer ? sdp : nil, hasAnswer: sdp != nil)
  }

  private func acknowledgeReliably(
    _ response: AgentMessage, _ rseq: UInt32, offer: AgentSDP?, hasAnswer: Bool
  ) {
    pracksSent += 1
    var sdp = offer.flatMap { answer(to: $0, holding: false) }
    let offers = callerScript.offersInPrack && hasAnswer && offer == nil && pracksSent == 1
    if offers {
      sdpVersion += 1
      sdp = description()
    }
    let number = localCSeq + 1
    send(
      .prack, headers: ["RAck: \(rseq) \(response.cseq) INVITE"], sdp: sdp, within: response
    ) { [self] answer in
      guard let answer, answer.status >= 200 else { return }
      // An UPDATE that was sent behind it may have overtaken it on the way (RFC 3261 §12.2.2).
      let isOvertaken = answer.status == 500 && localCSeq > number
      // An offer in it may be refused (RFC 6337 §2.3), as where the callee that it was for has gone.
      let isRefused = [408, 488].contains(answer.status) && offers
      if answer.status >= 300, !isOvertaken, !isRefused {
        // A refusal of the INVITE may be on its way, and explains it.
        schedule(.seconds(2)) { call in
          guard call.state == .early, call.mayExpect else { return }
          call.world.violate(
            .method, "\(call.agent.name): PRACK got \(answer.status)", call.callID)
        }
      }
      if offers, answer.status < 300, take(answer) == nil {
        world.violate(.sdp, "\(agent.name): no answer to the offer in PRACK", callID)
      }
    }
    if hasAnswer, let after = callerScript.updatesEarlyAfter {
      schedule(after) { $0.updateEarly(response) }
    }
  }

  var mayExpect: Bool { agent.mayExpectAnswers && !cancelSent && !wantsCancel }

  /// An offer in the early dialog; refused or not, the call goes on.
  func updateEarly(_ within: AgentMessage?) {
    guard state == .early, !reofferPending else { return }
    reofferPending = true
    sdpVersion += 1
    send(
      .update, headers: ["Contact: <\(agent.contact)>"] + ownCapabilities, sdp: description(),
      within: within
    ) { [self] answer in
      guard let answer else {
        reofferPending = false
        return
      }
      guard answer.status >= 200 else { return }
      reofferPending = false
      reoffersAnswered.append(answer.status)
      if answer.status < 300 { _ = take(answer) }
    }
  }

  // MARK: The callee

  func mayBeReliable(_ invite: AgentMessage) -> Bool {
    invite.lists("100rel", .supported) || invite.lists("100rel", .require)
  }

  func sendReliable(
    _ step: CalleeStep, _ message: AgentMessage, _ transaction: AgentServerTransaction,
    tag: String, headers: [String]
  ) {
    let rseq = sentRSeqs[tag].map { $0 + 1 } ?? UInt32(agent.random.within(1...9_000))
    sentRSeqs[tag] = rseq
    let wantsBody = step.sdp && !agreedTags.contains(tag)
    let sdp = wantsBody ? answerOrOffer() : nil
    state = .early
    localTag = tag
    rang = rang ?? world.now
    outstanding = (rseq, sdp != nil, offerReceived == nil)
    if sdp != nil { agreedTags.insert(tag) }
    agent.answer(
      message, transaction, status: step.status, tag: tag,
      headers: headers + capabilities(of: calleeScript) + ["Require: 100rel", "RSeq: \(rseq)"],
      sdp: sdp)
    if sdp != nil { talk() }
    repeatReliable(rseq, transaction, after: AgentTimers.t1)
    schedule(AgentTimers.end) { call in
      guard call.outstanding?.rseq == rseq, call.state == .early else { return }
      call.outstanding = nil
      guard let message = call.inviteMessage else { return }
      call.note(504)
      call.agent.answer(message, transaction, status: 504, tag: call.localTag)
      call.end(.refused(504))
    }
  }

  private func repeatReliable(
    _ rseq: UInt32, _ transaction: AgentServerTransaction, after: Interval
  ) {
    schedule(after) { call in
      guard call.outstanding?.rseq == rseq, call.state == .early else { return }
      if let response = transaction.response {
        call.agent.transmit(response, to: transaction.from, callID: call.callID)
      }
      call.repeatReliable(rseq, transaction, after: after * 2)
    }
  }

  func receivePrack(_ message: AgentMessage, _ transaction: AgentServerTransaction) {
    let words = (message.value(.rack) ?? "").split(separator: " ")
    guard let outstanding, words.count == 3, UInt32(words[0]) == outstanding.rseq,
      words[2] == "INVITE", UInt32(words[1]) == inviteMessage?.cseq
    else {
      if state == .early, mayExpect {
        world.violate(
          .method, "\(agent.name): PRACK of \(message.value(.rack) ?? "nothing")", callID)
      }
      agent.answer(message, transaction, status: 481, tag: localTag)
      return
    }
    self.outstanding = nil
    pracksReceived += 1
    var sdp: String?
    if outstanding.hasBody, outstanding.offered {
      answeredEarly = take(message) != nil
      if !answeredEarly {
        world.violate(.sdp, "\(agent.name): no answer in the PRACK", callID)
      }
    } else if message.hasBody {
      sdpVersion += 1
      sdp = take(message).flatMap { answer(to: $0, holding: false) }
    }
    agent.answer(message, transaction, status: 200, tag: localTag, sdp: sdp)
    if let after = calleeScript.updatesEarlyAfter, agreedTags.contains(localTag) {
      schedule(after) { $0.updateEarly(nil) }
    }
  }

  // MARK: UPDATE, both

  func receiveUpdate(_ message: AgentMessage, _ transaction: AgentServerTransaction) {
    guard state == .answered || state == .early else {
      agent.answer(message, transaction, status: 481, tag: localTag)
      return
    }
    updatesReceived += 1
    let headers = ["Contact: <\(agent.contact)>"] + grantSession(message)
    guard message.hasBody else {
      refreshesReceived += 1
      agent.answer(message, transaction, status: 200, tag: localTag, headers: headers)
      return
    }
    guard !reofferPending else {
      agent.answer(message, transaction, status: 491, tag: localTag)
      return
    }
    sdpVersion += 1
    guard let sdp = take(message).flatMap({ answer(to: $0) }) else {
      agent.answer(message, transaction, status: 488, tag: localTag)
      return
    }
    agent.answer(
      message, transaction, status: 200, tag: localTag, headers: headers, sdp: sdp)
  }

  /// A body of any type in INFO.
  package func sendInfo(_ text: String, type: String, answered: @escaping (Int) -> Void) {
    localCSeq += 1
    let branch = agent.newBranch()
    var head = String(
      decoding: bytes(.info, branch: branch, cseq: localCSeq), as: UTF8.self)
    head = head.replacing(
      "Content-Length: 0\r\n\r\n",
      with: "Content-Type: \(type)\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
    agent.begin(
      Array(head.utf8), branch: branch, isInvite: false, callID: callID, to: destination
    ) { response in
      if let response, response.status >= 200 { answered(response.status) }
    }
  }
}
