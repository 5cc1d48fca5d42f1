import Base

/// A subscription of an agent's, as RFC 6665 §4.1 has it: a dialog without a call.
package final class AgentSubscription {
  unowned let agent: Agent
  let uri: String
  let event: String
  let callID: String
  let localTag: String
  var remoteTag = ""
  var cseq: UInt32 = 0
  private var challenges = 0
  var authorises = true

  /// Final answers to its SUBSCRIBEs, and what came to it.
  package internal(set) var answers: [AgentMessage] = []
  package internal(set) var notified: [AgentMessage] = []
  private(set) var notifiedAt = Instant.zero
  /// What its NOTIFYs get.
  package var answer = 200
  package var isDeaf = false

  init(_ agent: Agent, uri: String, event: String) {
    self.agent = agent
    self.uri = uri
    self.event = event
    callID = "\(agent.canary)-s\(agent.unique())"
    localTag = agent.newTag()
  }

  package var statuses: [Int] { answers.map(\.status) }
  package var bodies: [String] { notified.map(\.bodyText) }
  package var states: [String] { notified.map { $0.value(.subscriptionState) ?? "" } }

  /// Once more, in the dialog if there is one; 0: no longer.
  package func subscribe(expires: Int?, headers: [String] = []) {
    challenges = 0
    send(expires: expires, headers: headers)
  }

  private func send(expires: Int?, headers: [String]) {
    cseq += 1
    let branch = agent.newBranch()
    var all = ["Contact: <\(agent.contact)>", "Event: \(event)"] + headers
    if let expires { all.append("Expires: \(expires)") }
    if authorises, agent.challenge != nil, let credentials = agent.credentials {
      all += agent.authorization(method: "SUBSCRIBE", uri: uri, credentials: credentials)
    }
    let request = AgentWriter.Request(
      method: .subscribe, uri: uri, branch: branch,
      from: "\"\(agent.canary)\" <sip:\(agent.user)@\(agent.domain)>;tag=\(localTag)",
      to: "<\(uri)>" + (remoteTag.isEmpty ? "" : ";tag=\(remoteTag)"), callID: callID, cseq: cseq,
      headers: all)
    agent.begin(
      AgentWriter.request(request, agent: agent), branch: branch, isInvite: false, callID: callID,
      to: agent.trunk
    ) { [self] response in
      guard let response, response.status >= 200 else { return }
      if response.status == 401, challenges < 2, authorises, let received = AgentChallenge(response)
      {
        challenges += 1
        agent.challenge = received
        return send(expires: expires, headers: headers)
      }
      answers.append(response)
      if response.status < 300 { remoteTag = response.toTag }
    }
  }

  func receiveNotify(_ message: AgentMessage, _ transaction: AgentServerTransaction) {
    notified.append(message)
    notifiedAt = agent.world.now
    guard !isDeaf else { return }
    agent.answer(message, transaction, status: answer, tag: localTag)
  }
}

extension Agent {
  @discardableResult
  package func subscribe(
    to uri: String, _ event: String, expires: Int? = 300, authorises: Bool = true,
    headers: [String] = []
  ) -> AgentSubscription {
    let subscription = AgentSubscription(self, uri: uri, event: event)
    subscription.authorises = authorises
    subscriptions[subscription.callID] = subscription
    subscription.subscribe(expires: expires, headers: headers)
    return subscription
  }
}
