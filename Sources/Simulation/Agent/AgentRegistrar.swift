package import Base
package import Policy

/// A provider's registrar as an agent plays it (RFC 3261 §10.3): it challenges, grants, and has its moods.
package struct AgentRegistrar: Sendable {
  /// One answer in place of the usual one.
  package enum Mood: Hashable, Sendable {
    /// A final status with header fields.
    case status(Int, headers: [String])
    case silence
    /// A challenge although the response was right: the nonce is too old.
    case stale
  }

  /// What the trunk must prove; nil: everybody is let in.
  package var demands: Credentials?
  /// At most this is granted.
  package var grants = 3_600
  package var leastExpires = 0
  /// 407 in place of 401.
  package var isProxy = false
  /// The text of the challenges, each without the nonce; nil: one of the agent's own.
  package var challenges: [String]?
  /// What is to come first; then it is as usual.
  package var moods: [Mood] = []
  /// Beside the Contact of a 200.
  package var headers: [String] = []
  /// The Contact of a 200; nil: as it was sent, with what was granted.
  package var contact: (@Sendable (String, Int) -> [String])?

  /// Requests as they came.
  package internal(set) var requests: [AgentMessage] = []
  package internal(set) var times: [Instant] = []
  /// The Contact's URI that is registered now.
  package internal(set) var binding: String?

  package init(demands: Credentials? = nil) { self.demands = demands }
}

extension Agent {
  func receiveRegister(_ message: AgentMessage, _ transaction: AgentServerTransaction) {
    registrar?.requests.append(message)
    registrar?.times.append(world.now)
    guard let own = registrar else { return }
    if let mood = own.moods.first {
      registrar?.moods.removeFirst()
      switch mood {
      case .silence: return
      case .status(let status, let headers):
        return answer(message, transaction, status: status, tag: newTag(), headers: headers)
      case .stale: return challengeRegister(message, transaction, isStale: true)
      }
    }
    if let demands = own.demands, !isProved(message, demands) {
      return challengeRegister(message, transaction, isStale: false)
    }
    grant(message, transaction, own)
  }

  private func grant(
    _ message: AgentMessage, _ transaction: AgentServerTransaction, _ own: AgentRegistrar
  ) {
    let asked = message.value(.expires).flatMap { Int($0) } ?? 3_600
    guard asked == 0 || asked >= own.leastExpires else {
      return answer(
        message, transaction, status: 423, tag: newTag(),
        headers: ["Min-Expires: \(own.leastExpires)"])
    }
    let uri = message.uri(.contact) ?? ""
    registrar?.binding = asked == 0 ? nil : uri
    let granted = min(asked, own.grants)
    let contacts =
      own.contact.map { $0(uri, granted) }
      ?? (asked == 0 ? [] : ["Contact: <\(uri)>;expires=\(granted)"])
    answer(message, transaction, status: 200, tag: newTag(), headers: contacts + own.headers)
  }

  private func challengeRegister(
    _ message: AgentMessage, _ transaction: AgentServerTransaction, isStale: Bool
  ) {
    let name = registrar?.isProxy == true ? "Proxy-Authenticate" : "WWW-Authenticate"
    let texts =
      registrar?.challenges ?? ["realm=\"\(canary)\", algorithm=MD5, qop=\"auth\""]
    let headers = texts.map { text in
      let nonce = "\(canary)n\(unique())"
      issuedNonces.insert(nonce)
      return "\(name): Digest \(text), nonce=\"\(nonce)\"" + (isStale ? ", stale=true" : "")
    }
    let status = registrar?.isProxy == true ? 407 : 401
    answer(message, transaction, status: status, tag: newTag(), headers: headers)
  }

  /// The response is right, the nonce one of ours, and its count new (RFC 7616 §3.4).
  private func isProved(_ message: AgentMessage, _ demands: Credentials) -> Bool {
    let header: AgentHeader = registrar?.isProxy == true ? .proxyAuthorization : .authorization
    guard let fields = message.value(header).map(AgentChallenge.fields),
      let nonce = fields["nonce"], issuedNonces.contains(nonce),
      let algorithm = AgentHash.Algorithm(rawValue: fields["algorithm"] ?? "MD5")
    else { return false }
    let use = AgentChallenge.Use(
      method: message.methodText, uri: fields["uri"] ?? "", count: fields["nc"] ?? "",
      cnonce: fields["cnonce"] ?? "")
    let challenge = AgentChallenge(
      realm: fields["realm"] ?? "", nonce: nonce, algorithm: algorithm,
      qop: fields["qop"] != nil)
    let fresh = usedCounts.insert("\(nonce) \(use.count)").inserted
    return fields["username"] == demands.username && use.uri == message.requestURI
      && fields["response"] == challenge.response(demands, use) && fresh
  }
}
