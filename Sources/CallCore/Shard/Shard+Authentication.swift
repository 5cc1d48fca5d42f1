import Base
import CryptoCore
import Policy
import SIPCore
import SIPWire

// Who speaks: by source address, or by digest (RFC 3261 §22, RFC 8760).

extension Shard {
  enum Verdict {
    case trunk(Int)
    case user(Int)
    /// No credentials, or such that prove nothing: the same answer, so that nobody learns which names exist.
    case challenge(isStale: Bool)
    /// From a network that nobody here belongs to.
    case unknown
  }

  /// In this order: the trunk whose registration the call came by; the one whose source and header it has;
  /// the one whose certificate its connection has shown; the one whose source it has; whoever its credentials
  /// name. A trunk that has `authentication` proves itself by that, whatever led to it; its certificate and its
  /// sources, where it names them, it must have as well.
  func identify(
    _ message: borrowing Message, _ fields: RequestFields, network: Int, _ arrival: Arrival
  ) -> Verdict {
    let known = trunk(of: message, fields, network: network, arrival)
    if let known, configuration.trunks[known].authentication == nil { return .trunk(known) }
    return authenticate(message, fields, network: network, arrival)
  }

  /// What a request's sender is without proof: by registration, source and header, certificate, source.
  func trunk(
    of message: borrowing Message, _ fields: RequestFields, network: Int, _ arrival: Arrival
  ) -> Int? {
    switch arrival.sender {
    case .trunk(let trunk): return trunk
    case .stranger: return nil
    case .unasked: break
    }
    return trunk(ofRegistration: message, network: network, arrival)
      ?? trunk(ofHeader: message, network: network, arrival)
      ?? knownTrunk(fields.via, network: network, arrival)
      ?? locatedTrunk(arrival.source, network: network)
  }

  /// By digest alone. The credentials' realm chooses the tenant, so two tenants may have the same names.
  func authenticate(
    _ message: borrowing Message, _ fields: RequestFields, network: Int, _ arrival: Arrival
  ) -> Verdict {
    let bytes = message.bytes
    guard let tenant = tenant(message, fields, network: network) else { return .unknown }
    var i = message.next(.authorization, after: -1)
    while let at = i {
      i = message.next(.authorization, after: at)
      guard let credentials = AuthParams.parse(bytes, message.header(at).value),
        let username = credentials.username, let realm = credentials.realm,
        bytes.string(realm) == configuration.realm(ofTenant: tenant)
      else { continue }
      let name = Quoting.string(bytes, username)
      let (password, verdict) = account(name, tenant: tenant, network: network, arrival)
      let guesser = guesser(bytes, username, tenant: tenant, arrival)
      // As if it were wrong, and without looking at it: more guesses are worth nothing.
      if !admission.mayGuess(guesser, at: now), !isRegistered(verdict, at: arrival.source.ip) {
        admission.counters.count(.guesses)
        return .challenge(isStale: false)
      }
      var result = verify(message, credentials, password, tenant, arrival)
      var isPrevious = false
      // Of whoever has none too, so that the work says nothing of it.
      if result == .refused, configuration.acceptsPreviousPasswords {
        result = verify(message, credentials, previousPassword(verdict), tenant, arrival)
        isPrevious = result == .accepted
      }
      if result == .accepted, let verdict {
        if isPrevious { notePrevious(verdict, arrival) }
        admission.proved(from: arrival.source.ip, network: network, at: now)
        return verdict
      }
      if result == .refused {
        guessed(guesser, bytes.extracting(credentials.nonce ?? .none), arrival)
      }
      if result != .stale { refusalCounts[Int(Cause.authenticationFailed.rawValue)] &+= 1 }
      if result != .stale, noise.take(at: now) {
        tell(
          .authenticationFailed(
            username: name, source: arrival.source,
            reason: verdict == nil ? stranger(name, tenant: tenant, arrival) : "wrong response"))
      }
      // One guess a request, whatever number of fields it brings.
      return .challenge(isStale: result == .stale)
    }
    return .challenge(isStale: false)
  }

  /// Why a name proves nobody; for whoever reads the log, not for the one who wrote it.
  private func stranger(_ name: String, tenant: Int, _ arrival: Arrival) -> String {
    guard let user = configuration.user(username: name, tenant: tenant),
      !configuration.allows(arrival.source, proofOfUser: user)
    else { return "no such user here" }
    return "not one of the user's sources"
  }

  /// A user whose phones must come by TLS has come by something else. Said after the proof, so that nobody learns
  /// which names exist.
  func lacksTLS(_ verdict: Verdict, _ arrival: Arrival) -> Bool {
    guard case .user(let user) = verdict, configuration.users[user].transport == .tls else {
      return false
    }
    return !transport(arrival.listener).isSecure
  }

  /// A nonce is good for the address that it was given to; its port may change behind a NAT.
  func nonceSource(_ arrival: Arrival) -> UInt16 {
    let key = hash.key(SocketAddress(arrival.source.ip, 0), seed: 0x500)
    return UInt16(truncatingIfNeeded: key.low)
  }

  /// However a name is quoted, its guesses are counted together.
  func guesser(
    _ bytes: RawSpan, _ username: ByteRange, tenant: Int, _ arrival: Arrival
  ) -> HashKey {
    if let name = Quoting.unquoted(bytes, username) {
      return admission.account(name.rawSpan, tenant: tenant, from: arrival.source.ip)
    }
    return admission.account(
      bytes.extracting(username), tenant: tenant, from: arrival.source.ip)
  }

  private func verify(
    _ message: borrowing Message, _ credentials: AuthParams, _ password: String, _ tenant: Int,
    _ arrival: Arrival
  ) -> DigestVerifier.Verdict {
    let bytes = message.bytes
    return digest.verify(
      bytes, credentials, method: bytes.extracting(message.methodToken),
      realm: configuration.realm(ofTenant: tenant), password: password,
      allowing: configuration.tenants[tenant].digestAlgorithms,
      body: bytes.extracting(message.body), source: nonceSource(arrival), at: now)
  }

  /// The one before the present one while its time lasts; else one that nobody has.
  private func previousPassword(_ verdict: Verdict?) -> String {
    let previous =
      switch verdict {
      case .user(let user): configuration.users[user].previous
      case .trunk(let trunk): configuration.trunks[trunk].previousAuthentication
      case .challenge, .unknown, nil: PreviousPassword?.none
      }
    guard let previous, wallClock < previous.until else { return impossiblePassword }
    return previous.password
  }

  /// Milliseconds since 1970, by the one moment of the wall clock that is known here: that of the start.
  private var wallClock: Int64 {
    Int64(clamping: settings.incarnation) &+ Int64((now - started).milliseconds)
  }

  private func notePrevious(_ verdict: Verdict, _ arrival: Arrival) {
    counters.previousPasswords &+= 1
    let (tenant, account): (String, String)
    switch verdict {
    case .user(let user):
      (tenant, account) = (
        configuration.users[user].tenant, "user:" + configuration.users[user].name
      )
    case .trunk(let trunk):
      let peer = configuration.trunks[trunk]
      (tenant, account) = (peer.tenant, "trunk:" + peer.name)
    case .challenge, .unknown: return
    }
    guard noise.take(at: now) else { return }
    tell(.previousPasswordUsed(tenant: tenant, account: account, source: arrival.source))
  }

  /// The password to check and what it would prove. An unknown name costs the same work with a password
  /// that nobody has.
  private func account(
    _ name: String, tenant: Int, network: Int, _ arrival: Arrival
  ) -> (password: String, verdict: Verdict?) {
    if let user = configuration.user(username: name, tenant: tenant),
      configuration.network(ofUser: user) == network,
      configuration.allows(arrival.source, proofOfUser: user)
    {
      return (configuration.users[user].password, .user(user))
    }
    if let trunk = configuration.trunk(username: name, tenant: tenant),
      configuration.network(ofTrunk: trunk) == network,
      shows(arrival, certificateOf: trunk),
      configuration.allows(arrival.source, proofOfTrunk: trunk),
      let secret = configuration.trunks[trunk].authentication
    {
      return (secret.password, .trunk(trunk))
    }
    return (impossiblePassword, nil)
  }

  func tenant(
    _ message: borrowing Message, _ fields: RequestFields, network: Int
  ) -> Int? {
    let bytes = message.bytes
    if let uri = SIPURI.parse(bytes, message.requestURI),
      let tenant = configuration.tenant(domain: bytes.string(uri.host))
    {
      return tenant
    }
    if let uri = SIPURI.parse(bytes, fields.from.uri),
      let tenant = configuration.tenant(domain: bytes.string(uri.host))
    {
      return tenant
    }
    return configuration.tenant(ofNetwork: network)
  }

  /// 401 with a challenge, or 403 where no credentials would help. Stateless: a guesser costs no memory.
  func refuseAuthentication(
    _ verdict: Verdict, _ message: borrowing Message, _ fields: RequestFields, network: Int,
    _ arrival: Arrival
  ) {
    guard case .challenge(let isStale) = verdict,
      let tenant = tenant(message, fields, network: network)
    else { return refuse(message, fields, 403, .sourceUnknown, arrival) }
    refusalCounts[Int(Cause.authenticationRequired.rawValue)] &+= 1
    beginStateless(message, fields, 401, arrival)
    let realm = configuration.realm(ofTenant: tenant)
    for (place, algorithm) in configuration.tenants[tenant].digestAlgorithms.enumerated() {
      // The first is the tenant's favourite. To a small request of a stranger the others may be too much.
      let length = Self.challengeBytes + realm.utf8.count
      if place > 0, !hasRoom(for: length, message, arrival) { break }
      digest.writeChallenge(
        realm: realm, algorithm: algorithm, isStale: isStale, source: nonceSource(arrival),
        at: now, into: &outbox.datagrams)
    }
    endStateless(message, fields, arrival, serial: beginPrelude(message, fields, arrival))
  }

  /// A WWW-Authenticate at its longest, without the realm.
  private static let challengeBytes = 128

  // MARK: What comes before a call

  /// Keeps an INVITE that is challenged under a number made of its Call-ID, so that the ladder of the call that
  /// may come of it begins there. Bounded in number a second: strangers must not drive the ladders of real
  /// calls out of the ring. 0: not kept.
  private func beginPrelude(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) -> UInt64 {
    guard message.method == .invite, preludes.take(at: now) else { return 0 }
    let number = preludeNumber(message, fields)
    traceIncoming(message, number, .a, arrival)
    return number
  }

  /// Call serials never get so high.
  private func preludeNumber(_ message: borrowing Message, _ fields: RequestFields) -> UInt64 {
    hash.key(message.bytes, fields.callID, seed: 0x600).low | 1 << 63
  }

  /// The INVITE came again with credentials and is a call now.
  func adoptPrelude(
    _ message: borrowing Message, _ fields: RequestFields, by id: CallID
  ) {
    guard message.first(.authorization) != nil || message.first(.proxyAuthorization) != nil else {
      return
    }
    trace.adopt(preludeNumber(message, fields), by: id.serial)
  }
}
