import Base

/// How an agent hands its call on.
package struct Transferring: Sendable {
  package enum Goodbye: Hashable, Sendable {
    /// As soon as the REFER is accepted, when the transfer has succeeded, or never: the trunk hangs up.
    case atOnce, afterSuccess, never
  }
  package var goodbye = Goodbye.afterSuccess
  /// Wants no NOTIFY (RFC 4488).
  package var isSilent = false
  /// In place of the Refer-To that it would write.
  package var referTo: String?
  package init() {}

  package func with(_ change: (inout Transferring) -> Void) -> Transferring {
    var copy = self
    change(&copy)
    return copy
  }
}

/// REFER and the NOTIFYs of its subscription, as a transferor sees them: RFC 3515, RFC 5589.
extension AgentCall {
  /// Blind: the other party is to be connected with a number.
  package func transfer(to number: String, _ how: Transferring = Transferring()) {
    refer("<sip:\(number)@\(agent.domain)>", how)
  }

  /// Attended: the other party is to be connected with that of another call of the agent's.
  package func transfer(to other: AgentCall, _ how: Transferring = Transferring()) {
    let tag = other.remoteTag.isEmpty ? other.earlyTag : other.remoteTag
    let called = other.dialled.isEmpty ? agent.user : other.dialled
    refer(
      "<sip:\(called)@\(agent.domain)?Replaces=\(other.callID)%3Bto-tag%3D\(tag)"
        + "%3Bfrom-tag%3D\(other.localTag)>", how)
  }

  func scheduleTransfer(_ plan: TransferPlan?) {
    guard let plan else { return }
    schedule(plan.after) { $0.carryOut(plan) }
  }

  private func carryOut(_ plan: TransferPlan) {
    guard state == .answered else { return }
    let how = Transferring().with {
      $0.goodbye = plan.goodbye
      $0.isSilent = plan.isSilent
    }
    guard let time = plan.consults else { return transfer(to: plan.number, how) }
    let script = CallerScript().with {
      $0.payloads = payloads
      $0.hangUpAfter = time + .seconds(20)
    }
    let consultation = agent.prepareCall(plan.number, script)
    agent.onConsultation(consultation, self)
    consultation.start()
    schedule(time) { call in
      guard consultation.state == .answered || consultation.state == .early else { return }
      call.transfer(to: consultation, how)
    }
    // Who gets no answer in all that time gives up.
    consultation.schedule(.seconds(40)) { $0.hangUp() }
  }

  private func refer(_ target: String, _ how: Transferring) {
    guard state == .answered else { return }
    referred = how
    var headers = ["Contact: <\(agent.contact)>", "Refer-To: \(how.referTo ?? target)"]
    headers.append("Referred-By: <sip:\(agent.canary)@\(agent.domain)>")
    if how.isSilent { headers.append("Refer-Sub: false") }
    send(.refer, headers: headers) { [self] response in
      guard let response else {
        referAnswers.append(408)
        return
      }
      guard response.status >= 200 else { return }
      referAnswers.append(response.status)
      if response.status < 300, how.isSilent, response.value(.referSub) != "false" {
        world.violate(.method, "\(agent.name): Refer-Sub was not granted", callID)
      }
      if response.status < 300, how.goodbye == .atOnce { hangUp() }
    }
  }

  func receiveNotify(_ message: AgentMessage, _ transaction: AgentServerTransaction) {
    guard let referred, !referred.isSilent, message.value(.event)?.hasPrefix("refer") == true else {
      world.violate(.method, "\(agent.name): a NOTIFY that nobody subscribed to", callID)
      agent.answer(message, transaction, status: 481, tag: localTag)
      return
    }
    agent.answer(message, transaction, status: 200, tag: localTag)
    let words = message.bodyText.split(separator: " ")
    let status = words.count > 1 ? Int(words[1]) ?? 0 : 0
    notified.append((status, message.value(.subscriptionState) ?? ""))
    if (200..<300).contains(status), referred.goodbye == .afterSuccess {
      schedule(.milliseconds(20)) { $0.hangUp() }
    }
  }
}
