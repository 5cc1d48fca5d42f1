import Base
import Policy

extension Agent {
  /// Dials a number through the trunk.
  @discardableResult
  package func call(_ number: String, _ script: CallerScript = CallerScript()) -> AgentCall {
    let call = prepareCall(number, script)
    call.start()
    return call
  }

  /// A call that has its Call-ID, and begins with `start`.
  func prepareCall(_ number: String, _ script: CallerScript) -> AgentCall {
    let call = AgentCall(calling: number, agent: self, script: script)
    calls.append(call)
    callsByID[call.callID] = call
    return call
  }
}

/// The calling side: RFC 3261 §13.2, §9.1, §22.2.
extension AgentCall {
  func start() {
    if !callerScript.delayedOffer { make(callerScript.change) }
    sendInvite(authorization: challengeAnswer())
    schedule(callerScript.cancelAfter) { $0.requestCancel() }
    schedule(callerScript.dieAfter) { $0.die() }
  }

  /// Credentials for a challenge that the agent knows from before, as phones do.
  private func challengeAnswer() -> [String] {
    guard callerScript.credentials == .right, agent.challenge != nil,
      let credentials = agent.credentials
    else { return [] }
    return agent.authorization(method: "INVITE", uri: target, credentials: credentials)
  }

  private func sendInvite(authorization: [String]) {
    localCSeq += 1
    let branch = agent.newBranch()
    invite = (branch, localCSeq)
    var headers = ["Contact: <\(agent.contact)>", "X-Inside: \(agent.canary)"]
    headers += callerScript.extraHeaders + capabilities(of: callerScript) + authorization
    let bytes = AgentWriter.request(
      AgentWriter.Request(
        method: .invite, uri: target, branch: branch, from: "\(localParty);tag=\(localTag)",
        to: remoteParty, callID: callID, cseq: localCSeq, headers: headers,
        sdp: callerScript.delayedOffer ? nil : callerScript.sdp ?? description()), agent: agent)
    agent.begin(bytes, branch: branch, isInvite: true, callID: callID, to: agent.trunk) {
      [self] response in
      guard let response else {
        note(408)
        end(.timedOut)
        return
      }
      receiveResponse(response)
    }
  }

  private func receiveResponse(_ response: AgentMessage) {
    check(response)
    switch response.status {
    case 100..<200: receiveProvisional(response)
    case 200..<300: receiveAnswer(response)
    case 401, 407: receiveChallenge(response)
    default:
      note(response.status)
      end(cancelSent && response.status == 487 ? .cancelled : .refused(response.status))
    }
  }

  private func check(_ response: AgentMessage) {
    if response.fromTag != localTag {
      world.violate(.dialog, "\(agent.name): From tag \(response.fromTag) came back", callID)
    }
    if response.status > 100, response.toTag.isEmpty {
      world.violate(.dialog, "\(agent.name): \(response.status) without To tag", callID)
    }
  }

  private func receiveProvisional(_ response: AgentMessage) {
    guard state == .starting || state == .early else { return }
    note(response.status)
    if response.status > 100 {
      if state == .starting { rang = world.now }
      state = .early
      earlyTag = response.toTag
      if response.lists("100rel", .require) {
        receiveReliable(response)
      } else {
        if callerScript.reliable == .requires {
          world.violate(
            .method, "\(agent.name): \(response.status) is not reliable, as was required", callID)
        }
        if response.hasBody { _ = take(response) }
      }
    }
    if wantsCancel { sendCancel() }
  }

  private func receiveAnswer(_ response: AgentMessage) {
    copiesOf2xx += 1
    if state == .starting || state == .early {
      note(response.status)
      remoteTag = response.toTag
      target = response.uri(.contact) ?? ""
      remoteParty = AgentCall.withoutTag(response.value(.to) ?? remoteParty)
      state = .answered
      answeredAt = world.now
      let isAgreed = agreedTags.contains(response.toTag)
      let sdp = take(response)
      if sdp == nil, !isAgreed {
        world.violate(.sdp, "\(agent.name): 200 without SDP", callID)
      }
      if sdp != nil, isAgreed, callerScript.delayedOffer {
        world.violate(.sdp, "\(agent.name): a second offer in the 200", callID)
      }
      acknowledgeInvite(response, offer: callerScript.delayedOffer && !isAgreed ? sdp : nil)
      agreeSession(response, isOurRequest: true)
      if cancelSent {
        // The answer crossed our CANCEL (§9.1, §15).
        hangUp()
        return
      }
      talk()
      schedule(callerScript.hangUpAfter) { $0.hangUp() }
      scheduleReoffers(callerScript.reoffers)
      scheduleTransfer(callerScript.transfer)
    } else if response.toTag == remoteTag {
      acknowledgeInvite(response, offer: nil)
    } else {
      world.violate(.dialog, "\(agent.name): a second To tag answered", callID)
    }
  }

  private func acknowledgeInvite(_ response: AgentMessage, offer: AgentSDP?) {
    let own = offer.flatMap { answer(to: $0, holding: false) }
    let sdp = own == nil ? nil : callerScript.sdp ?? own
    switch callerScript.ack {
    case .prompt: acknowledge(response, sdp: sdp)
    case .never: break
    case .fromCopy(let first):
      // Built at the first copy, which alone is looked at for its SDP.
      if acks[response.cseq] == nil {
        acks[response.cseq] = bytes(
          .ack, branch: agent.newBranch(), cseq: response.cseq, sdp: sdp)
      }
      if copiesOf2xx >= first { acknowledge(response, sdp: sdp) }
    }
  }

  private func receiveChallenge(_ response: AgentMessage) {
    note(response.status)
    challenges += 1
    guard let credentials = agent.credentials, callerScript.credentials != .none, challenges <= 2,
      let challenge = AgentChallenge(response)
    else {
      end(.refused(response.status))
      return
    }
    var used = credentials
    if callerScript.credentials == .wrong { used.password += "x" }
    if callerScript.credentials == .replayed, let last = agent.lastAuthorization {
      sendInvite(authorization: [last])
      return
    }
    agent.challenge = challenge
    sendInvite(authorization: agent.authorization(method: "INVITE", uri: target, credentials: used))
  }

  func requestCancel() {
    guard state == .starting || state == .early else { return }
    wantsCancel = true
    if !statuses.isEmpty, let last = statuses.last, last < 200 { sendCancel() }
  }

  private func sendCancel() {
    guard !cancelSent, let invite else { return }
    cancelSent = true
    let bytes = AgentWriter.request(
      AgentWriter.Request(
        method: .cancel, uri: target, branch: invite.branch, from: "\(localParty);tag=\(localTag)",
        to: remoteParty, callID: callID, cseq: invite.cseq), agent: agent)
    agent.begin(
      bytes, branch: invite.branch + "cancel", isInvite: false, callID: callID, to: agent.trunk
    ) { _ in }
    // §9.1: no final response within 64·T1 of the CANCEL.
    schedule(AgentTimers.end) { call in
      if call.state == .starting || call.state == .early { call.end(.timedOut) }
    }
  }
}
