package import Base

/// What a resolver asks, how long it waits and what it keeps.
package struct ResolverSettings: Hashable, Sendable {
  /// Asked in turn; none: only `hosts` is known.
  package var servers: [SocketAddress] = []
  /// For one server; the second round waits twice as long.
  package var timeout = Interval.seconds(1)
  /// Names that need no server (RFC 6761 §6.3, /etc/hosts).
  package var hosts: [DNSName: [IPAddress]] = [:]
  package var limits = ResolverLimits()

  package init() {}
}

package struct ResolverLimits: Hashable, Sendable {
  package var cached = 10_000
  package var outstanding = 512
  /// A TTL of 0 is still good for so long, one of a year for no longer than the other.
  package var leastTTL = Interval.seconds(5)
  package var mostTTL = Interval.seconds(86_400)
  /// The same for "there is none" (RFC 2308 §5); and where no SOA says how long.
  package var mostNegativeTTL = Interval.seconds(900)
  package var plainNegativeTTL = Interval.seconds(30)
  /// How long a failure is believed before the servers are asked again.
  package var failureTTL = Interval.seconds(10)
  /// How long an answer outlives its TTL while no server answers (RFC 8767).
  package var stale = Interval.seconds(3 * 86_400)
  package var aliases = 8
  /// Wrong replies on one socket until the question is asked by TCP, where nobody can guess.
  package var wrongReplies = 8

  package init() {}
}

package struct ResolverCounters: Hashable, Sendable {
  package var questions: UInt64 = 0
  package var timeouts: UInt64 = 0
  package var failures: UInt64 = 0
  /// Replies with another id or question than what was asked, or that could not be read.
  package var wrongReplies: UInt64 = 0
  package var truncated: UInt64 = 0
  /// Answers used beyond their TTL because no server answered.
  package var stale: UInt64 = 0
  package var refused: UInt64 = 0
  package var cached = 0
  package var outstanding = 0

  package init() {}
}

/// A stub resolver with a cache: questions and datagrams in, datagrams and news out.
///
///     asked ──send──▶ waiting ──reply──▶ cached
///              ▲         │ time-out, ICMP, SERVFAIL: the next server, a new id, a new socket
///              └─────────┘ TC, or too many wrong replies: the same server by TCP
///
/// Each try has an id of its own and a socket of its own, so that a forger must guess both of 16 bits
/// (RFC 5452 §9). A reply counts when it comes from the server, bears the id, and repeats the question.
package struct Resolver {
  package typealias Ticket = UInt32

  package enum Effect: Equatable, Sendable {
    /// Open a socket of its own, from a port that nobody can guess, and send.
    case send(Ticket, to: SocketAddress, [UInt8])
    /// The same by TCP, with the length before it (RFC 1035 §4.2.2).
    case sendStream(Ticket, to: SocketAddress, [UInt8])
    case close(Ticket)
    /// The cache has news of it.
    case settled(DNSQuestion)
  }

  /// What is known of a question.
  package enum Knowledge: Equatable, Sendable {
    case records([DNSRecord.Value], until: Instant, isStale: Bool)
    case none(until: Instant)
    case failed(until: Instant)
    case unknown
  }

  private struct Entry {
    /// Nil: there is none.
    var values: [DNSRecord.Value]?
    var expires: Instant
    var staleUntil: Instant
    /// Set while servers fail: not to be asked before.
    var retryAt: Instant?
  }

  private struct Try {
    var ticket: Ticket
    var question: DNSQuestion
    /// What is on the wire: an alias of the question's name after a chain that led elsewhere.
    var asked: DNSQuestion
    var aliases = 0
    var leastTTL = Interval(nanoseconds: .max)
    var id: UInt16 = 0
    var server = 0
    var tries = 0
    var isStream = false
    var isExtended = true
    var wrong = 0
    var deadline: Instant
  }

  package private(set) var settings: ResolverSettings
  package private(set) var counters = ResolverCounters()
  private var cache: [DNSQuestion: Entry] = [:]
  private var tries: [Try] = []
  private var lastTicket: Ticket = 0
  /// The server that answered last is asked first.
  private var preferred = 0

  package init(_ settings: ResolverSettings) { self.settings = settings }

  /// Other servers or hosts: what is cached stays, what is asked goes on with the new ones.
  package mutating func follow(_ settings: ResolverSettings) {
    self.settings = settings
    preferred = 0
  }

  package var nextDeadline: Instant? { tries.map(\.deadline).min() }

  package var currentCounters: ResolverCounters {
    var counters = counters
    counters.cached = cache.count
    counters.outstanding = tries.count
    return counters
  }

  // MARK: Asking

  package func isAsking(_ question: DNSQuestion) -> Bool {
    tries.contains { $0.question == question }
  }

  /// What the cache has. `counts` a stale answer as used.
  package mutating func knowledge(of question: DNSQuestion, at now: Instant) -> Knowledge {
    if let hosts = hostAddresses(question) { return hosts }
    guard let entry = cache[question] else { return .unknown }
    let waits = entry.retryAt.map { now < $0 } ?? false
    if now < entry.expires {
      guard let values = entry.values else { return .none(until: entry.expires) }
      return .records(values, until: entry.expires, isStale: false)
    }
    guard let values = entry.values, waits, now < entry.staleUntil, let retryAt = entry.retryAt
    else {
      return waits && entry.values == nil ? .failed(until: entry.retryAt ?? now) : .unknown
    }
    counters.stale &+= 1
    return .records(values, until: retryAt, isStale: true)
  }

  private func hostAddresses(_ question: DNSQuestion) -> Knowledge? {
    guard question.type == .a || question.type == .aaaa else { return nil }
    let family: IPAddress.Family = question.type == .a ? .v4 : .v6
    var known = settings.hosts[question.name]
    if known == nil, question.name == Self.localhost { known = [.loopbackV4, .loopbackV6] }
    guard let known else { return nil }
    let own = known.filter { $0.family == family }
    return own.isEmpty
      ? Knowledge.none(until: .distantFuture)
      : .records(own.map { .address($0) }, until: .distantFuture, isStale: false)
  }

  private static let localhost = DNSName("localhost")

  package mutating func ask(
    _ question: DNSQuestion, at now: Instant, random: inout RandomSource,
    into effects: inout [Effect]
  ) {
    guard !isAsking(question) else { return }
    guard tries.count < settings.limits.outstanding, !settings.servers.isEmpty else {
      counters.refused &+= 1
      keepFailure(question, now)
      effects.append(.settled(question))
      return
    }
    var attempt = Try(ticket: 0, question: question, asked: question, deadline: now)
    attempt.server = preferred
    tries.append(attempt)
    send(tries.count - 1, now, &random, &effects)
  }

  private mutating func send(
    _ i: Int, _ now: Instant, _ random: inout RandomSource, _ effects: inout [Effect]
  ) {
    lastTicket &+= 1
    var attempt = tries[i]
    attempt.ticket = lastTicket
    attempt.id = UInt16(truncatingIfNeeded: random.next() >> 16)
    attempt.wrong = 0
    counters.questions &+= 1
    let servers = settings.servers
    let server = servers[attempt.server % servers.count]
    let rounds = attempt.tries / servers.count
    attempt.deadline = now + settings.timeout * (rounds == 0 ? 1 : 2)
    let bytes = DNSQuery.bytes(id: attempt.id, attempt.asked, extended: attempt.isExtended)
    effects.append(
      attempt.isStream
        ? .sendStream(attempt.ticket, to: server, bytes) : .send(attempt.ticket, to: server, bytes))
    tries[i] = attempt
  }

  // MARK: Replies

  package mutating func received(
    _ bytes: RawSpan, on ticket: Ticket, at now: Instant, random: inout RandomSource,
    into effects: inout [Effect]
  ) {
    guard let i = tries.firstIndex(where: { $0.ticket == ticket }) else { return }
    let reply = try? DNSReply.parse(bytes)
    guard let reply, reply.id == tries[i].id, reply.question == tries[i].asked else {
      return wrongReply(i, now, &random, &effects)
    }
    if reply.isTruncated {
      counters.truncated &+= 1
      guard !tries[i].isStream else { return nextServer(i, now, &random, &effects) }
      return switchToStream(i, now, &random, &effects)
    }
    switch reply.code {
    case .success, .nameError:
      preferred = tries[i].server
      take(reply, i, now, &random, &effects)
    case .formatError where tries[i].isExtended:
      // RFC 6891 §7: once more without what it does not know.
      effects.append(.close(tries[i].ticket))
      tries[i].isExtended = false
      send(i, now, &random, &effects)
    case .formatError, .serverFailure, .notImplemented, .refused, .other:
      counters.failures &+= 1
      nextServer(i, now, &random, &effects)
    }
  }

  /// Somebody guesses, or answers what he was asked before. The right reply may still come.
  private mutating func wrongReply(
    _ i: Int, _ now: Instant, _ random: inout RandomSource, _ effects: inout [Effect]
  ) {
    counters.wrongReplies &+= 1
    tries[i].wrong += 1
    if tries[i].isStream { return nextServer(i, now, &random, &effects) }
    if tries[i].wrong >= settings.limits.wrongReplies {
      switchToStream(i, now, &random, &effects)
    }
  }

  private mutating func switchToStream(
    _ i: Int, _ now: Instant, _ random: inout RandomSource, _ effects: inout [Effect]
  ) {
    effects.append(.close(tries[i].ticket))
    tries[i].isStream = true
    send(i, now, &random, &effects)
  }

  /// The socket says that nothing gets there, or TCP broke off.
  package mutating func failed(
    _ ticket: Ticket, at now: Instant, random: inout RandomSource, into effects: inout [Effect]
  ) {
    guard let i = tries.firstIndex(where: { $0.ticket == ticket }) else { return }
    counters.failures &+= 1
    nextServer(i, now, &random, &effects)
  }

  package mutating func advance(
    to now: Instant, random: inout RandomSource, into effects: inout [Effect]
  ) {
    while let i = tries.firstIndex(where: { $0.deadline <= now }) {
      counters.timeouts &+= 1
      nextServer(i, now, &random, &effects)
    }
  }

  /// Two rounds over the servers, three tries at least; then it is a failure.
  private mutating func nextServer(
    _ i: Int, _ now: Instant, _ random: inout RandomSource, _ effects: inout [Effect]
  ) {
    effects.append(.close(tries[i].ticket))
    tries[i].tries += 1
    guard tries[i].tries < max(3, settings.servers.count * 2), !settings.servers.isEmpty else {
      let question = tries[i].question
      tries.remove(at: i)
      keepFailure(question, now)
      effects.append(.settled(question))
      return
    }
    tries[i].server = (tries[i].server + 1) % settings.servers.count
    tries[i].isStream = false
    send(i, now, &random, &effects)
  }

  // MARK: What an answer says

  private mutating func take(
    _ reply: DNSReply, _ i: Int, _ now: Instant, _ random: inout RandomSource,
    _ effects: inout [Effect]
  ) {
    var name = tries[i].asked.name
    let type = tries[i].asked.type
    var values: [DNSRecord.Value] = []
    // Only what hangs together with the question counts, alias by alias (RFC 5452 §6).
    while true {
      for record in reply.answers where record.name == name && record.type == type {
        values.append(record.value)
        tries[i].leastTTL = min(tries[i].leastTTL, .seconds(Int(record.ttl)))
      }
      if !values.isEmpty { break }
      guard let alias = reply.answers.first(where: { $0.name == name && $0.type == .cname }),
        case .alias(let target) = alias.value
      else { break }
      tries[i].aliases += 1
      guard tries[i].aliases <= settings.limits.aliases else {
        counters.failures &+= 1
        return finish(i, nil, now, settings.limits.plainNegativeTTL, &effects)
      }
      tries[i].leastTTL = min(tries[i].leastTTL, .seconds(Int(alias.ttl)))
      name = target
    }
    if !values.isEmpty { return finish(i, values, now, tries[i].leastTTL, &effects) }
    if name != tries[i].asked.name, reply.code == .success, reply.authority.isEmpty {
      // A server that did not follow the alias itself.
      effects.append(.close(tries[i].ticket))
      tries[i].asked.name = name
      tries[i].isStream = false
      return send(i, now, &random, &effects)
    }
    finish(i, nil, now, negativeTTL(reply), &effects)
  }

  /// RFC 2308 §5: the lesser of the SOA's own TTL and its MINIMUM.
  private func negativeTTL(_ reply: DNSReply) -> Interval {
    guard let soa = reply.authority.first, case .authority(let minimum) = soa.value else {
      return settings.limits.plainNegativeTTL
    }
    return min(.seconds(Int(min(soa.ttl, minimum))), settings.limits.mostNegativeTTL)
  }

  private mutating func finish(
    _ i: Int, _ values: [DNSRecord.Value]?, _ now: Instant, _ ttl: Interval,
    _ effects: inout [Effect]
  ) {
    effects.append(.close(tries[i].ticket))
    let question = tries[i].question
    tries.remove(at: i)
    let limits = settings.limits
    let expires = now + min(max(ttl, limits.leastTTL), limits.mostTTL)
    keep(
      question,
      Entry(
        values: values.map { Array($0.prefix(64)) }, expires: expires,
        staleUntil: expires + limits.stale))
    effects.append(.settled(question))
  }

  /// A failure leaves what was known as it was, for as long as stale answers may live.
  private mutating func keepFailure(_ question: DNSQuestion, _ now: Instant) {
    let retryAt = now + settings.limits.failureTTL
    if cache[question] != nil {
      cache[question]?.retryAt = retryAt
    } else {
      keep(question, Entry(values: nil, expires: now, staleUntil: now, retryAt: retryAt))
    }
  }

  /// At the limit what would expire first makes room: a search that only a full cache pays.
  private mutating func keep(_ question: DNSQuestion, _ entry: Entry) {
    if cache[question] == nil, cache.count >= settings.limits.cached,
      let first = cache.min(by: { $0.value.expires < $1.value.expires })?.key
    {
      cache[first] = nil
    }
    cache[question] = entry
  }
}
