import Base

/// Re-INVITEs, both directions: RFC 3261 §14.
extension AgentCall {
  func scheduleReoffers(_ reoffers: [Reoffer]) {
    for reoffer in reoffers { schedule(reoffer.after) { $0.reoffer(reoffer) } }
  }

  package func reoffer(_ reoffer: Reoffer, isRetry: Bool = false) {
    guard state == .answered, !reofferPending else { return }
    reofferPending = true
    sdpVersion += 1
    let before = (direction, media)
    // An offer in a PRACK may be open still, and is not what this one is.
    let (streams, lines) = (streams, linesOffered)
    direction = reoffer.direction
    if !reoffer.withoutOffer { make(reoffer.change) }
    if reoffer.withoutOffer || reoffer.sdp != nil { linesOffered = 0 }
    if reoffer.movesMedia { move() }
    talk()
    var handled = false
    let method = reoffer.update && !reoffer.withoutOffer ? AgentMethod.update : .invite
    send(
      method, headers: ["Contact: <\(agent.contact)>"] + ownCapabilities + sessionRequest,
      sdp: reoffer.withoutOffer ? nil : reoffer.sdp ?? description()
    ) { [self] response in
      guard let response else {
        reofferPending = false
        hangUp()
        return
      }
      guard response.status >= 200 else { return }
      if response.status < 300 {
        let sdp = handled ? nil : take(response)
        if method == .invite {
          acknowledge(
            response, sdp: reoffer.withoutOffer ? sdp.flatMap { answer(to: $0) } : nil)
        }
        if !handled { agreeSession(response, isOurRequest: true) }
      }
      guard !handled else { return }
      handled = true
      reofferPending = false
      reoffersAnswered.append(response.status)
      if response.status >= 300 {
        // §14.1: the session stays as it was.
        if media != before.1 { world.media.silence(media, at: world.now) }
        (direction, media) = before
        self.streams = streams
        linesOffered = lines
        talk()
      }
      answeredReoffer(reoffer, response, isRetry: isRetry)
    }
  }

  private func answeredReoffer(_ reoffer: Reoffer, _ response: AgentMessage, isRetry: Bool) {
    switch response.status {
    case 491 where !isRetry:
      // §14.1: the owner of the Call-ID waits longer.
      let wait = isCaller ? agent.random.interval(2_100...4_000) : agent.random.interval(0...2_000)
      schedule(wait) { $0.reoffer(reoffer, isRetry: true) }
    case 408, 481:
      hangUp()
    default:
      break
    }
  }

  private func move() {
    world.media.silence(media, at: world.now)
    media = world.network.newMediaAddress(of: agent)
  }

  func receiveReoffer(_ message: AgentMessage, _ transaction: AgentServerTransaction) {
    guard state == .answered else {
      agent.answer(message, transaction, status: 481, tag: localTag)
      return
    }
    guard !refusesReoffers else {
      agent.answer(message, transaction, status: 488, tag: localTag)
      return
    }
    guard !reofferPending else {
      agent.answer(message, transaction, status: 491, tag: localTag)
      return
    }
    if message.has(.sessionExpires), !message.hasBody { refreshesReceived += 1 }
    sdpVersion += 1
    let offer = take(message)
    if message.hasBody, offer == nil {
      agent.answer(message, transaction, status: 488, tag: localTag)
      return
    }
    let sdp: String? =
      offer == nil
      ? description()
      : offer.flatMap { answer(to: $0) }
    guard let sdp else {
      agent.answer(message, transaction, status: 488, tag: localTag)
      return
    }
    unacknowledged[message.cseq] = transaction
    agent.answer(
      message, transaction, status: 200, tag: localTag,
      headers: ["Contact: <\(agent.contact)>"] + grantSession(message), sdp: sdp)
  }
}
