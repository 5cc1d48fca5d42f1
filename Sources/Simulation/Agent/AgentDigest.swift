import Policy
import Base

/// A Digest challenge as an agent keeps it, with the count of its uses (RFC 7616 §3.3, §3.4).
package struct AgentChallenge: Hashable, Sendable {
  package var realm: String
  package var nonce: String
  var opaque: String?
  var algorithm: AgentHash.Algorithm
  var qop: Bool
  package var stale: Bool
  /// 407: the answer goes into Proxy-Authorization.
  var proxy: Bool
  var count = 0

  /// The strongest of the response's challenges; nil where there is none that an agent understands.
  package init?(_ response: AgentMessage) {
    let header = response.status == 407 ? AgentHeader.proxyAuthenticate : .wwwAuthenticate
    let all = response.values(header).compactMap {
      AgentChallenge($0, proxy: response.status == 407)
    }
    guard let best = all.first(where: { $0.algorithm == .sha256 }) ?? all.first else { return nil }
    self = best
  }

  private init?(_ value: String, proxy: Bool) {
    let fields = AgentChallenge.fields(value)
    guard value.hasPrefix("Digest "), let realm = fields["realm"], let nonce = fields["nonce"],
      let algorithm = AgentHash.Algorithm(rawValue: fields["algorithm"] ?? "MD5")
    else { return nil }
    self.realm = realm
    self.nonce = nonce
    self.algorithm = algorithm
    self.proxy = proxy
    opaque = fields["opaque"]
    qop = fields["qop"]?.split(separator: ",").contains("auth") ?? false
    stale = fields["stale"]?.lowercased() == "true"
  }

  /// `name=value` and `name="value"`, without escapes: nobody here writes any.
  static func fields(_ value: String) -> [String: String] {
    var fields: [String: String] = [:]
    var rest = value.drop { $0 != " " }
    while let equals = rest.firstIndex(of: "=") {
      let name = rest[..<equals].drop { $0 == " " || $0 == "," }.lowercased()
      var start = rest.index(after: equals)
      let quoted = start < rest.endIndex && rest[start] == "\""
      if quoted { start = rest.index(after: start) }
      let end = rest[start...].firstIndex(of: quoted ? "\"" : ",") ?? rest.endIndex
      fields[name] = String(rest[start..<end])
      rest = end < rest.endIndex ? rest[rest.index(after: end)...] : ""
    }
    return fields
  }

  struct Use {
    var method: String
    var uri: String
    var count: String
    var cnonce: String
  }

  func response(_ credentials: Credentials, _ use: Use) -> String {
    let h1 = AgentHash.hex("\(credentials.username):\(realm):\(credentials.password)", algorithm)
    let h2 = AgentHash.hex("\(use.method):\(use.uri)", algorithm)
    let middle = qop ? "\(nonce):\(use.count):\(use.cnonce):auth" : nonce
    return AgentHash.hex("\(h1):\(middle):\(h2)", algorithm)
  }
}

extension Agent {
  /// The header that answers the challenge in hand.
  func authorization(method: String, uri: String, credentials: Credentials) -> [String] {
    challenge?.count += 1
    guard let challenge else { return [] }
    let digits = String(challenge.count, radix: 16)
    let count = String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    let use = AgentChallenge.Use(
      method: method, uri: uri, count: count, cnonce: "\(canary)c\(unique())")
    var text =
      "\(challenge.proxy ? "Proxy-" : "")Authorization: Digest username=\"\(credentials.username)\", "
      + "realm=\"\(challenge.realm)\", nonce=\"\(challenge.nonce)\", uri=\"\(uri)\", "
      + "response=\"\(challenge.response(credentials, use))\", "
      + "algorithm=\(challenge.algorithm.rawValue)"
    if challenge.qop { text += ", qop=auth, nc=\(count), cnonce=\"\(use.cnonce)\"" }
    if let opaque = challenge.opaque { text += ", opaque=\"\(opaque)\"" }
    lastAuthorization = text
    return [text]
  }

  /// Whether the trunk's INVITE bears the right answer to our own challenge; if not, it is answered.
  func isAuthorised(
    _ message: AgentMessage, _ demands: Credentials, _ transaction: AgentServerTransaction
  ) -> Bool {
    let fields = message.value(.proxyAuthorization).map(AgentChallenge.fields)
    guard let fields, let nonce = fields["nonce"], issuedNonces.contains(nonce) else {
      challengeTrunk(message, transaction, stale: false)
      return false
    }
    if staleNonces.contains(nonce) {
      challengeTrunk(message, transaction, stale: true)
      return false
    }
    let use = AgentChallenge.Use(
      method: message.methodText, uri: fields["uri"] ?? "", count: fields["nc"] ?? "",
      cnonce: fields["cnonce"] ?? "")
    let expected = ownChallenge(nonce: nonce).response(demands, use)
    let fresh = usedCounts.insert("\(nonce) \(use.count)").inserted
    guard fields["username"] == demands.username, fields["response"] == expected, fresh,
      use.uri == message.requestURI
    else {
      answer(message, transaction, status: 403, tag: newTag())
      return false
    }
    return true
  }

  func challengeTrunk(
    _ message: AgentMessage, _ transaction: AgentServerTransaction, stale: Bool
  ) {
    let nonce = "\(canary)n\(unique())"
    issuedNonces.insert(nonce)
    if !stale, stalesNext {
      staleNonces.insert(nonce)
      stalesNext = false
    }
    var header =
      "Proxy-Authenticate: Digest realm=\"\(canary)\", nonce=\"\(nonce)\", "
      + "algorithm=\(demandedAlgorithm.rawValue), qop=\"auth\""
    if stale { header += ", stale=true" }
    answer(message, transaction, status: 407, tag: newTag(), headers: [header])
  }

  private func ownChallenge(nonce: String) -> AgentChallenge {
    AgentChallenge(realm: canary, nonce: nonce, algorithm: demandedAlgorithm)
  }
}

extension AgentChallenge {
  init(
    realm: String, nonce: String, algorithm: AgentHash.Algorithm, qop: Bool = true
  ) {
    self.realm = realm
    self.nonce = nonce
    self.algorithm = algorithm
    proxy = true
    opaque = nil
    self.qop = qop
    stale = false
  }
}
