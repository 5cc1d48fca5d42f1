package import Base
import Policy
import SIPCore
import SIPWire

// The border: what is let in of strangers before anything is kept of them, and who is let in no more.
//
//   access list, bans       before a byte is read               nothing is answered
//   retransmissions, dialogs, trunks, phones where they are registered      pass
//   scanners by name        after reading                       nothing is answered; banned
//   rates                   address, block, network             nothing is answered
//   ninth name unproved     address                             nothing is answered; banned after two seconds
//   everything else         is challenged or refused without keeping anything of it

extension Shard {
  // MARK: Before reading

  /// Nothing is taken from there.
  func isShutOut(_ arrival: Arrival) -> Bool {
    if configuration.hasAccessLists,
      let access = configuration.access(ofListener: arrival.listener),
      !access.admits(arrival.source.ip)
    {
      admission.counters.count(.denied)
      return true
    }
    guard !admission.bans.isEmpty, admission.bans.hits(arrival.source.ip, at: now) else {
      return false
    }
    admission.counters.count(.banned)
    return true
  }

  // MARK: After reading

  func lookUpSender(
    of message: borrowing Message, _ fields: RequestFields, _ arrival: inout Arrival
  ) {
    guard let network = configuration.network(ofListener: arrival.listener) else { return }
    let known = trunk(of: message, fields, network: network, arrival)
    arrival.sender = known.map { .trunk($0) } ?? .stranger
  }

  /// True: the request belongs to nothing here, comes from nobody who is known, and gets no answer.
  func turnsAway(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) -> Bool {
    guard let network = configuration.network(ofListener: arrival.listener),
      trunk(of: message, fields, network: network, arrival) == nil, !isRegistered(arrival)
    else { return false }
    let ip = arrival.source.ip
    let isAcquainted = admission.isAcquainted(ip, at: now)
    if let agent = message.first(.userAgent),
      admission.scanners.matches(message.bytes.extracting(agent))
    {
      admission.counters.count(.scanner)
      let text = message.bytes.string(agent.first(64))
      ban(arrival, .scanner, "User-Agent \(text)")
      return true
    }
    if let reason = admission.exceeds(
      ip, network: network, isAcquainted: isAcquainted, at: now)
    {
      admission.counters.count(reason)
      return true
    }
    if isAcquainted || answersChallenge(message, arrival) { return false }
    switch admission.asked(for: nameKey(message, fields), from: ip, at: now) {
    case .answer: return false
    case .quiet:
      // By a stream nothing is sent again; many phones of one office would wait for half a minute.
      if isReliable(arrival.listener) { return false }
    case .ban:
      ban(arrival, .names, "asked for more than \(Suspicion.names) names and proved none")
    }
    admission.counters.count(.names)
    return true
  }

  /// True: bytes that are no SIP came from nobody who is known, and get no answer.
  func turnsAwayMalformed(_ arrival: Arrival) -> Bool {
    guard let network = configuration.network(ofListener: arrival.listener),
      !isSender(arrival, network: network)
    else { return false }
    let ip = arrival.source.ip
    if let reason = admission.exceeds(
      ip, network: network, isAcquainted: admission.isAcquainted(ip, at: now), at: now)
    {
      admission.counters.count(reason)
      return true
    }
    if admission.offended(ip, parts: Suspicion.malformed, at: now) {
      ban(arrival, .malformed, "much that is no SIP")
    }
    return false
  }

  /// Nobody has forged this source, as far as that can be told from it alone: a phone's or a trunk's address and port, or
  /// the address of somebody who proved something.
  func isKnown(_ arrival: Arrival) -> Bool {
    if admission.isAcquainted(arrival.source.ip, at: now) { return true }
    guard let network = configuration.network(ofListener: arrival.listener) else { return false }
    return isSender(arrival, network: network)
  }

  private func isSender(_ arrival: Arrival, network: Int) -> Bool {
    isRegistered(arrival) || configuration.trunk(source: arrival.source, network: network) != nil
      || locatedTrunk(arrival.source, network: network) != nil
  }

  /// It bears a nonce that this address was given: an answer, right or wrong, and no question for another name.
  private func answersChallenge(_ message: borrowing Message, _ arrival: Arrival) -> Bool {
    guard let at = message.first(.authorization),
      let nonce = AuthParams.parse(message.bytes, at)?.nonce
    else { return false }
    return digest.wasGiven(message.bytes.extracting(nonce), to: nonceSource(arrival))
  }

  private func isRegistered(_ arrival: Arrival) -> Bool {
    registrar.hasContacts(on: Flow(listener: arrival.listener, remote: arrival.source))
  }

  /// Whose name a request without credentials asks for: a REGISTER's is in To, of others it is whom they want. A user
  /// part that is missing is one name too.
  private func nameKey(_ message: borrowing Message, _ fields: RequestFields) -> HashKey {
    let bytes = message.bytes
    let range = message.method == .register ? fields.to.uri : message.requestURI
    let user = SIPURI.parse(bytes, range)?.user ?? .none
    return hash.key(bytes.extracting(user), seed: 0xad05)
  }

  // MARK: Answers to challenges

  /// An answer to a challenge was wrong.
  func guessed(_ account: HashKey, _ nonce: RawSpan, _ arrival: Arrival) {
    admission.guessed(account, at: now)
    guard admission.offended(arrival.source.ip, parts: Suspicion.wrongPassword, at: now) else {
      return
    }
    ban(
      arrival, .passwords, "wrong answers to challenges, one after the other",
      hasOurNonce: digest.wasGiven(nonce, to: nonceSource(arrival)))
  }

  /// Whether one of the account's own phones is registered from the address: it may go on where others have guessed too
  /// often.
  func isRegistered(_ verdict: Verdict?, at ip: IPAddress) -> Bool {
    let key: Registrar.UserKey
    switch verdict {
    case .user(let user): key = userKey(user)
    case .trunk(let trunk):
      let peer = configuration.trunks[trunk]
      key = Registrar.UserKey(tenant: peer.tenant, user: peer.name, isTrunk: true)
    case .challenge, .unknown, nil: return false
    }
    return isRegistered(key, at: ip)
  }

  func isRegistered(_ key: Registrar.UserKey, at ip: IPAddress) -> Bool {
    let place = Admission.place(ip)
    return registrar.entries(key).contains { Admission.place($0.binding.source.ip) == place }
  }

  // MARK: Connections

  /// A connection from there has said nothing in its time, or no SIP.
  package func connectionOffended(
    from source: SocketAddress, on listener: ListenerIndex, at now: Instant
  ) {
    self.now = max(self.now, now)
    let arrival = Arrival(source: source, listener: listener)
    guard admission.offended(source.ip, parts: Suspicion.silentConnection, at: self.now) else {
      return
    }
    ban(arrival, .connections, "connections that said nothing, or no SIP")
  }

  // MARK: Bans

  /// Bans the address, unless it is a trunk's, has a registered phone, or proved something lately.
  private func ban(
    _ arrival: Arrival, _ reason: Ban.Reason, _ evidence: @autoclosure () -> String,
    hasOurNonce: Bool = false
  ) {
    let network = Admission.place(arrival.source.ip)
    guard admission.limits.bansItself, !admission.isAcquainted(arrival.source.ip, at: now),
      !admission.bans.covers(arrival.source.ip, at: now), trunk(within: network) == nil
    else { return }
    guard admission.bans.mayMake(at: now) else {
      admission.counters.bansMissed &+= 1
      return
    }
    let isProven = hasOurNonce || isReliable(arrival.listener)
    let before = isProven ? admission.bans.before(network) : 0
    var time = min(admission.limits.banTime, admission.limits.longestBan)
    for _ in 0..<before where time < admission.limits.longestBan {
      time = min(time * Suspicion.growth, admission.limits.longestBan)
    }
    var ban = Ban(network, reason, evidence(), since: now, until: now + time)
    ban.isProven = isProven
    ban.before = before
    enter(ban)
  }

  private func enter(_ ban: Ban) {
    if let displaced = admission.bans.insert(ban) { ended(displaced, .displaced) }
    admission.counters.bansMade &+= 1
    outbox.border.append(.ban(ban.network, until: ban.until))
    tell(.banned(ban))
    armBans()
  }

  private func ended(_ ban: Ban, _ end: BanEnd) {
    outbox.border.append(.lift(ban.network))
    tell(.banEnded(ban, end))
  }

  /// The next one that ends, to the second.
  private func armBans() {
    guard let next = admission.bans.next else {
      wheel.cancel(&bansTimer)
      return
    }
    let at = max(next, now + .milliseconds(100))
    guard bansTimer.isNone || at < bansTimerAt else { return }
    wheel.cancel(&bansTimer)
    bansTimerAt = at
    bansTimer = wheel.schedule(at: at, kind: ShardTimer.bans.rawValue, owner: 0)
  }

  func bansDue() {
    bansTimer = .none
    for ban in admission.bans.expire(at: now) { ended(ban, .expired) }
    armBans()
  }

  /// The trunk of whose sources, or of whose targets' addresses, the block has one.
  private func trunk(within network: IPNetwork) -> String? {
    if let trunk = configuration.trunk(overlapping: network) { return trunk }
    let located = locatedPeers.first { network.contains($0.source.ip) }
    return located.map { configuration.trunks[$0.trunk].name }
  }

  /// Another configuration, or addresses of names: what is a trunk's now is banned no more.
  func followBans() {
    guard !admission.bans.isEmpty else { return }
    for ban in admission.bans.all where trunk(within: ban.network) != nil {
      if let lifted = admission.bans.remove(ban.network, at: now, remembers: false) {
        ended(lifted, .trusted)
      }
    }
    armBans()
  }

  /// What the edge of connections needs of the networks' access lists.
  func tellAccess() {
    guard configuration.hasAccessLists || hadAccessLists else { return }
    hadAccessLists = configuration.hasAccessLists
    outbox.border.append(
      .access(
        listeners.indices.map {
          configuration.access(ofListener: ListenerIndex(clamping: $0))
        }))
  }

  // MARK: Orders of operators

  func ban(_ network: IPNetwork, reason: String, for time: Interval) -> BanAnswer {
    if let trunk = trunk(within: network) { return .trunk(trunk) }
    let ban = Ban(network, .manual, reason, since: now, until: now + time)
    enter(ban)
    return .done(ban)
  }

  /// Of the block itself, or the one that covers it.
  func liftBan(of network: IPNetwork) -> BanAnswer {
    let known =
      admission.bans.ban(of: network)
      ?? admission.bans.all.first {
        $0.network.prefixLength <= network.prefixLength && $0.network.contains(network.address)
      }
    guard let known,
      let lifted = admission.bans.remove(known.network, at: now, remembers: false)
    else { return .none }
    ended(lifted, .lifted)
    armBans()
    return .done(lifted)
  }
}
