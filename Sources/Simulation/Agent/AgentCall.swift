package import Base

/// Why an agent's side of a call is over.
package enum AgentEnding: Hashable, Sendable {
  case hungUpHere, hungUpThere
  /// The final response that the caller got, or that the callee gave.
  case refused(Int)
  case cancelled
  case neverAcknowledged
  case timedOut
  case died
}

/// One side of a call as its agent sees it: a dialog with its media, or the attempt at one.
package final class AgentCall {
  package enum State: Sendable { case starting, early, answered, ended }

  unowned let agent: Agent
  package let isCaller: Bool
  package let callID: String
  package internal(set) var localTag: String
  package internal(set) var remoteTag = ""
  /// Of a caller before the answer: the last early dialog's.
  var earlyTag = ""
  /// From or To of our requests without the tag.
  var localParty: String
  var remoteParty: String
  /// The other side's Contact.
  var target: String
  var localCSeq: UInt32
  var remoteCSeq: UInt32 = 0

  package internal(set) var state = State.starting
  package internal(set) var ending: AgentEnding?
  package internal(set) var died = false
  /// Its connection broke, and with it went what nobody sends again: it may never hear of its end.
  var isCutOff = false
  /// Copies of a BYE to it that got lost on the way: where all eleven did (RFC 3261 §17.1.2.2), it cannot know.
  var byesLost = 0
  /// Statuses received by a caller or sent by a callee, in order, without copies of the same.
  package internal(set) var statuses: [Int] = []
  package let started: Instant
  package internal(set) var rang: Instant?
  package internal(set) var answeredAt: Instant?
  package internal(set) var endedAt: Instant?

  package internal(set) var media: SocketAddress
  package internal(set) var remoteMedia: SocketAddress?
  package internal(set) var remoteDirection = AgentSDP.Direction.sendrecv
  /// What the trunk said last.
  package internal(set) var remoteSDP: AgentSDP?
  var direction = AgentSDP.Direction.sendrecv
  /// The first line is of a fax, or has port 0; and the lines beside it.
  package internal(set) var isFax = false
  var isMuted = false
  package internal(set) var beside: [AgentLine] = []
  /// The lines of the offer that is open; 0: the other side makes it.
  var linesOffered = 0
  package var payloads: [Int] = []
  /// Every re-INVITE is answered 488.
  package var refusesReoffers = false
  /// Every offer is answered by a line of speech, whatever it is of.
  package var answersSpeech = false
  /// Every offer is answered by port 0 in each line.
  package var rejectsByPort = false
  var sdpVersion = 1
  package internal(set) var reoffersAnswered: [Int] = []
  var reofferPending = false

  // Caller
  var callerScript = CallerScript()
  var dialled = ""
  var invite: (branch: String, cseq: UInt32)?
  var challenges = 0
  var wantsCancel = false
  package internal(set) var cancelSent = false
  var copiesOf2xx = 0
  var acks: [UInt32: [UInt8]] = [:]

  // Callee
  var calleeScript = CalleeScript()
  var inviteMessage: AgentMessage?
  var inviteTransaction: AgentServerTransaction?
  var offerReceived: AgentSDP?
  var forkTags: [Int: String] = [:]
  var unacknowledged: [UInt32: AgentServerTransaction] = [:]
  package internal(set) var cancelReceived = false
  package internal(set) var acknowledged = false
  /// The To tag of a second branch that answered, until it is hung up.
  package internal(set) var secondAnswer: (tag: String, acknowledged: Bool, ended: Bool)?
  var second: AgentServerTransaction?

  // Reliable provisional responses, session timers, offers outside of INVITE
  /// The last RSeq, by the To tag of the early dialog.
  var rseqs: [String: UInt32] = [:]
  /// Early dialogs in which the answer came reliably.
  var agreedTags: Set<String> = []
  var outstanding: (rseq: UInt32, hasBody: Bool, offered: Bool)?
  /// The last RSeq of ours, by our To tag: the branches of a fork are user agents of their own, and each numbers for
  /// itself (RFC 3262 §3, §4).
  var sentRSeqs: [String: UInt32] = [:]
  /// What was answered or offered reliably before the 200.
  var answeredEarly = false
  package internal(set) var pracksSent = 0
  package internal(set) var pracksReceived = 0
  package internal(set) var updatesReceived = 0
  package internal(set) var refreshesReceived = 0
  package internal(set) var infos: [String] = []
  package var answersInfo = true
  /// The session timer as it was agreed: who refreshes, and when it was last done.
  package internal(set) var session: (seconds: Int, isOurs: Bool, at: Instant)?
  var sessionTurn = 0
  package internal(set) var byeReason: String?

  // Transfers
  /// What a REFER of ours was answered, and what its NOTIFYs said: the sipfrag's status, and the state.
  package internal(set) var referAnswers: [Int] = []
  package internal(set) var notified: [(status: Int, state: String)] = []
  package internal(set) var referred: Transferring?

  var world: World { agent.world }

  init(calling number: String, agent: Agent, script: CallerScript) {
    self.agent = agent
    isCaller = true
    dialled = number
    callerScript = script
    payloads = script.payloads
    callID = "\(agent.canary)-\(agent.unique())"
    localTag = agent.newTag()
    let own = script.callerURI ?? "sip:\(script.callerNumber ?? agent.user)@\(agent.domain)"
    localParty = "\"\(agent.canary)\" <\(own)>"
    target = script.requestURI ?? "sip:\(number)@\(AgentText.hostPort(agent.trunk))"
    remoteParty = "<sip:\(number)@\(agent.domain)>"
    localCSeq = UInt32(agent.random.within(1...50_000))
    started = agent.world.now
    media = agent.world.network.newMediaAddress(of: agent)
  }

  init(answering invite: AgentMessage, agent: Agent) {
    self.agent = agent
    isCaller = false
    callID = invite.callID
    localTag = agent.newTag()
    remoteTag = invite.fromTag
    localParty = invite.value(.to) ?? ""
    remoteParty = AgentCall.withoutTag(invite.value(.from) ?? "")
    target = invite.uri(.contact) ?? ""
    localCSeq = UInt32(agent.random.within(1...50_000))
    remoteCSeq = invite.cseq
    started = agent.world.now
    media = agent.world.network.newMediaAddress(of: agent)
  }

  static func withoutTag(_ party: String) -> String {
    party.firstRange(of: ";tag=").map { String(party[..<$0.lowerBound]) } ?? party
  }

  /// Whether a request is of this dialog: both tags right (§12.2.2).
  func owns(_ message: AgentMessage) -> Bool {
    if let second = secondAnswer, message.toTag == second.tag { return true }
    if isCaller, state != .answered, message.toTag == localTag,
      rseqs[message.fromTag] != nil
    {
      return true
    }
    return message.toTag == localTag && message.fromTag == remoteTag
  }

  func note(_ status: Int) {
    if statuses.last != status { statuses.append(status) }
  }

  func end(_ ending: AgentEnding) {
    guard self.ending == nil else { return }
    self.ending = ending
    state = .ended
    endedAt = world.now
    world.media.silence(media, at: world.now)
  }

  /// Nothing of this call is sent or heard from here on.
  package func die() {
    guard state != .ended else { return }
    died = true
    agent.deadCalls.insert(callID)
    end(.died)
  }

  func schedule(_ after: Interval?, _ action: @escaping (AgentCall) -> Void) {
    guard let after else { return }
    world.after(after) { [self] in
      if !agent.isMute(callID) { action(self) }
    }
  }

  // MARK: Within the dialog

  /// A request of this dialog; the answer comes to `respond`, nil after timer B or F.
  @discardableResult
  package func send(
    _ method: AgentMethod, headers: [String] = [], sdp: String? = nil,
    within early: AgentMessage? = nil, respond: @escaping (AgentMessage?) -> Void = { _ in }
  ) -> UInt32 {
    localCSeq += 1
    let branch = agent.newBranch()
    let known = (remoteTag, target)
    if let early {
      remoteTag = early.toTag
      target = early.uri(.contact) ?? target
    }
    let bytes = bytes(method, branch: branch, cseq: localCSeq, headers: headers, sdp: sdp)
    let destination = destination
    (remoteTag, target) = known
    agent.begin(
      bytes, branch: branch, isInvite: method == .invite, callID: callID, to: destination,
      respond: respond)
    return localCSeq
  }

  /// The address in the other side's Contact, which must be one of the trunk's.
  var destination: SocketAddress {
    guard let address = AgentText.address(inURI: target) else {
      world.violate(.dialog, "\(agent.name): no address in Contact \(target)", callID)
      return agent.trunk
    }
    return address
  }

  func bytes(
    _ method: AgentMethod, branch: String, cseq: UInt32, headers: [String] = [], sdp: String? = nil
  ) -> [UInt8] {
    AgentWriter.request(
      AgentWriter.Request(
        method: method, uri: target, branch: branch, from: "\(localParty);tag=\(localTag)",
        to: "\(remoteParty);tag=\(remoteTag)", callID: callID, cseq: cseq, headers: headers,
        sdp: sdp), agent: agent)
  }

  /// BYE where the call is up, CANCEL where it is not yet.
  package func hangUp() {
    switch state {
    case .answered:
      send(.bye)
      end(.hungUpHere)
    case .starting, .early:
      if isCaller { requestCancel() }
    case .ended:
      break
    }
  }

  func acknowledge(_ response: AgentMessage, sdp: String?) {
    let bytes =
      acks[response.cseq]
      ?? self.bytes(.ack, branch: agent.newBranch(), cseq: response.cseq, sdp: sdp)
    acks[response.cseq] = bytes
    agent.transmit(bytes, to: destination, callID: callID)
  }

  func receiveRequest(_ message: AgentMessage, _ transaction: AgentServerTransaction) {
    // A second branch's dialog counts for itself, and sees a BYE at most.
    if message.toTag == localTag {
      // Overtaken on the way (§12.2.2). Whether the trunk counts upwards is seen where it sends.
      guard message.cseq > remoteCSeq else {
        agent.answer(message, transaction, status: 500, tag: localTag)
        return
      }
      remoteCSeq = message.cseq
    }
    switch message.method {
    case .bye:
      receiveBye(message, transaction)
    case .invite:
      receiveReoffer(message, transaction)
    case .prack:
      receivePrack(message, transaction)
    case .update:
      receiveUpdate(message, transaction)
    case .info:
      infos.append(message.bodyText)
      guard answersInfo else { return }
      agent.answer(message, transaction, status: 200, tag: localTag)
    case .options:
      agent.answer(message, transaction, status: 200, tag: localTag)
    case .notify:
      receiveNotify(message, transaction)
    case .ack, .cancel, .publish, .register, .refer, .subscribe, .other:
      agent.answer(message, transaction, status: 501, tag: localTag)
    }
  }

  private func receiveBye(_ message: AgentMessage, _ transaction: AgentServerTransaction) {
    agent.answer(message, transaction, status: 200, tag: localTag)
    byeReason = message.value(.reason)
    if message.toTag == secondAnswer?.tag {
      secondAnswer?.ended = true
      return
    }
    for pending in unacknowledged.values { pending.acknowledged = true }
    unacknowledged = [:]
    end(.hungUpThere)
  }

  // MARK: Media

  func talk() {
    guard state != .ended, direction == .sendrecv || direction == .sendonly else {
      world.media.silence(media, at: world.now)
      return
    }
    world.media.talk(media, at: world.now)
  }

  func description() -> String {
    var sdp = AgentSDP(
      media: isMuted ? SocketAddress(media.ip, 0) : media, payloads: payloads,
      direction: direction)
    sdp.isFax = isFax
    sdp.beside = beside
    linesOffered = 1 + beside.count
    if let srtp = agent.srtp, !srtp.offers.isEmpty {
      sdp.profile = srtp.profile
      sdp.crypto = srtp.offers
    } else if let dtls = agent.dtls {
      sdp.profile = dtls.profile
      sdp.handshake = AgentSDP.Handshake(dtls, setup: dtls.setup)
    }
    return sdp.text(canary: agent.canary, version: sdpVersion)
  }

  /// What the trunk says of its own end.
  func take(_ message: AgentMessage) -> AgentSDP? {
    guard message.hasBody else { return nil }
    guard let sdp = AgentSDP(message.bodyText) else {
      world.violate(.sdp, "\(agent.name): unreadable SDP", callID)
      return nil
    }
    // RFC 3264 §6 and §8: an answer has the lines of its offer, and an offer no fewer than there were.
    let isAnswer = message.status > 0 && linesOffered > 0
    // The ACK may be of an INVITE before.
    let isLate = message.method == .ack
    if !isLate, isAnswer ? sdp.streams != linesOffered : sdp.streams < 1 + beside.count {
      world.violate(.sdp, "\(agent.name): \(sdp.streams) streams", callID)
    }
    remoteMedia = sdp.media
    remoteDirection = sdp.direction
    remoteSDP = sdp
    return sdp
  }
}
