import Base

/// Session timers of an agent (RFC 4028), as refresher or as the one who waits for refreshes.
extension AgentCall {
  private var habit: TimerHabit? { isCaller ? callerScript.timer : calleeScript.timer }

  /// Headers of a refresh of ours.
  var sessionRequest: [String] {
    guard habit != nil, let session else { return [] }
    return [
      "Supported: timer",
      "Session-Expires: \(session.seconds);refresher=\(session.isOurs ? "uac" : "uas")",
    ]
  }

  /// Headers of a 2xx of ours to an INVITE or UPDATE.
  func grantSession(_ request: AgentMessage) -> [String] {
    guard let habit, let asked = request.value(.sessionExpires) else { return [] }
    let wanted = Int(asked.prefix { $0.isNumber }) ?? habit.seconds
    let least = request.value(.minSE).flatMap { Int($0.prefix { $0.isNumber }) } ?? 90
    let seconds = max(min(wanted, habit.seconds), least)
    let named = AgentMessage.parameter("refresher", of: asked)
    let isOurs = named.map { $0 == "uas" } ?? (habit.refreshes ?? false)
    begin(seconds: seconds, isOurs: isOurs)
    return [
      "Session-Expires: \(seconds);refresher=\(isOurs ? "uas" : "uac")", "Supported: timer",
    ] + (isOurs ? [] : ["Require: timer"])
  }

  /// What a 2xx of the trunk's settles.
  func agreeSession(_ response: AgentMessage, isOurRequest: Bool) {
    guard habit != nil, let value = response.value(.sessionExpires),
      let seconds = Int(value.prefix { $0.isNumber })
    else { return }
    let refresher = AgentMessage.parameter("refresher", of: value)
    if refresher == nil {
      world.violate(.method, "\(agent.name): Session-Expires without refresher", callID)
    }
    begin(seconds: seconds, isOurs: refresher == "uac")
  }

  private func begin(seconds: Int, isOurs: Bool) {
    session = (seconds, isOurs, world.now)
    sessionTurn += 1
    let turn = sessionTurn
    if isOurs {
      schedule(.seconds(seconds / 2)) { call in
        if call.sessionTurn == turn { call.refresh() }
      }
      return
    }
    schedule(.seconds(seconds)) { call in
      guard call.sessionTurn == turn, call.state == .answered else { return }
      if call.agent.mayExpectAnswers {
        call.world.violate(.ending, "\(call.agent.name): nobody refreshed the session", call.callID)
      }
      call.hangUp()
    }
  }

  private func refresh() {
    guard state == .answered else { return }
    guard !reofferPending else {
      schedule(.seconds(3)) { $0.refresh() }
      return
    }
    let updates = isCaller ? callerScript.updates : calleeScript.updates
    guard updates else { return reoffer(Reoffer(after: .zero, direction: direction)) }
    send(.update, headers: ["Contact: <\(agent.contact)>"] + ownCapabilities + sessionRequest) {
      [self] response in
      guard let response else { return hangUp() }
      guard response.status >= 200 else { return }
      if response.status < 300 {
        agreeSession(response, isOurRequest: true)
      } else if response.status == 481 || response.status == 408 {
        hangUp()
      } else {
        schedule(.seconds(3)) { $0.refresh() }
      }
    }
  }
}
