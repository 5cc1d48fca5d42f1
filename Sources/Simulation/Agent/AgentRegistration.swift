import Base
import Policy

/// What a phone knows of its registration (RFC 3261 §10.2).
package struct AgentRegistration: Sendable {
  package var callID = ""
  package var cseq: UInt32 = 0
  /// What the last 2xx listed, as written by the registrar.
  package var contacts: [String] = []
  package var status = 0
  package var isRegistered = false
  package var challenges = 0
}

extension Agent {
  /// REGISTER with our Contact; 0 removes it. `all` removes every contact of the user (`*`).
  package func register(
    expires: Int = 3_600, all: Bool = false, credentials habit: CredentialHabit = .right,
    contactHeader: String? = nil
  ) {
    let contact = all ? "*" : "<\(self.contact)>"
    register(
      headers: [contactHeader ?? "Contact: \(contact)", "Expires: \(expires)"], habit: habit)
  }

  /// REGISTER without Contact: only asks (RFC 3665 §2.3).
  package func fetchBindings() { register(headers: [], habit: .right) }

  private func register(headers: [String], habit: CredentialHabit) {
    if registration.callID.isEmpty { registration.callID = "\(canary)-r\(unique())" }
    registration.challenges = 0
    registration.status = 0
    let known =
      habit == .right && challenge != nil
      ? credentials.map { authorization(method: "REGISTER", uri: registrarURI, credentials: $0) }
      : nil
    sendRegister(headers: headers, authorization: known ?? [], habit: habit)
  }

  private var registrarURI: String { "sip:\(domain)" }

  private func sendRegister(headers: [String], authorization: [String], habit: CredentialHabit) {
    registration.cseq += 1
    let branch = newBranch()
    let party = "<sip:\(user)@\(domain)>"
    let request = AgentWriter.Request(
      method: .register, uri: registrarURI, branch: branch,
      from: "\"\(canary)\" \(party);tag=\(newTag())", to: party, callID: registration.callID,
      cseq: registration.cseq, headers: headers + authorization)
    begin(
      AgentWriter.request(request, agent: self), branch: branch, isInvite: false,
      callID: registration.callID, to: trunk
    ) { [self] response in
      guard let response else {
        registration.status = 408
        return
      }
      guard response.status >= 200 else { return }
      receiveRegistered(response, headers: headers, habit: habit)
    }
  }

  private func receiveRegistered(
    _ response: AgentMessage, headers: [String], habit: CredentialHabit
  ) {
    registration.status = response.status
    switch response.status {
    case 200:
      registration.contacts = response.values(.contact)
      registration.isRegistered = registration.contacts.contains { $0.contains(contact) }
    case 401:
      registration.challenges += 1
      guard registration.challenges <= 2, habit != .none, var used = credentials,
        let received = AgentChallenge(response)
      else { return }
      if habit == .replayed, let last = lastAuthorization {
        sendRegister(headers: headers, authorization: [last], habit: habit)
        return
      }
      if habit == .wrong { used.password += "x" }
      challenge = received
      sendRegister(
        headers: headers,
        authorization: authorization(method: "REGISTER", uri: registrarURI, credentials: used),
        habit: habit)
    default:
      break
    }
  }
}
