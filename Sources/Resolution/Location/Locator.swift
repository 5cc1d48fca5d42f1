package import Base

/// RFC 3263 §4: from a name to the addresses, ports and transports where its server is found, kept fresh for
/// as long as somebody wants it.
///
///     explicit port ───────────────────────────────────▶ A, AAAA
///     transport known, no port ───────▶ SRV ──none─────▶ A, AAAA at the default port
///     neither ─▶ NAPTR ──▶ SRV           │
///                  └─none─▶ SRV of each transport ──none─▶ A, AAAA
///
/// There is no state for where a search stands: it is evaluated over the cache again whenever something new
/// is in there, and asks for what is missing. What it found holds until its first TTL ends; then it is
/// evaluated again, and the old answer serves until the new one is whole.
package struct Locator {
  package enum Effect: Equatable, Sendable {
    case send(Resolver.Ticket, to: SocketAddress, [UInt8])
    case sendStream(Resolver.Ticket, to: SocketAddress, [UInt8])
    case close(Resolver.Ticket)
    /// News about a name; the last news holds.
    case located(LocationRequest, Location)
  }

  private struct Watch {
    var told: Location?
    /// When it is to be evaluated again; nil: as soon as an answer comes.
    var due: Instant?
  }

  /// Names that are kept fresh, and addresses that one of them may have.
  package static let watchLimit = 4_096
  static let addressLimit = 64
  static let hostLimit = 32

  package private(set) var resolver: Resolver
  private var watches: [LocationRequest: Watch] = [:]
  private var steps: [Resolver.Effect] = []

  package init(_ settings: ResolverSettings) { resolver = Resolver(settings) }

  package var watched: Int { watches.count }

  package var nextDeadline: Instant? {
    var next = resolver.nextDeadline
    for watch in watches.values {
      if let due = watch.due { next = next.map { min($0, due) } ?? due }
    }
    return next
  }

  // MARK: Events

  /// From now on `located` tells of it, at once if it is known. At the limit: failed, and that is all.
  package mutating func watch(
    _ request: LocationRequest, at now: Instant, random: inout RandomSource,
    into effects: inout [Effect]
  ) {
    if let known = watches[request]?.told { return effects.append(.located(request, known)) }
    guard watches[request] == nil else { return }
    guard watches.count < Self.watchLimit else {
      return effects.append(.located(request, Location(.failed)))
    }
    watches[request] = Watch()
    evaluate(request, now, &random, &effects)
    carry(now, &random, &effects)
  }

  package mutating func forget(_ request: LocationRequest) { watches[request] = nil }

  package mutating func received(
    _ bytes: RawSpan, on ticket: Resolver.Ticket, at now: Instant, random: inout RandomSource,
    into effects: inout [Effect]
  ) {
    resolver.received(bytes, on: ticket, at: now, random: &random, into: &steps)
    carry(now, &random, &effects)
  }

  package mutating func failed(
    _ ticket: Resolver.Ticket, at now: Instant, random: inout RandomSource,
    into effects: inout [Effect]
  ) {
    resolver.failed(ticket, at: now, random: &random, into: &steps)
    carry(now, &random, &effects)
  }

  package mutating func advance(
    to now: Instant, random: inout RandomSource, into effects: inout [Effect]
  ) {
    resolver.advance(to: now, random: &random, into: &steps)
    carry(now, &random, &effects)
    let due = watches.filter { $0.value.due.map { $0 <= now } ?? false }.keys
    for request in due.sorted(by: { $0.order < $1.order }) {
      watches[request]?.due = nil
      evaluate(request, now, &random, &effects)
    }
    carry(now, &random, &effects)
  }

  package mutating func follow(
    _ settings: ResolverSettings, at now: Instant, random: inout RandomSource,
    into effects: inout [Effect]
  ) {
    resolver.follow(settings)
    for request in watches.keys.sorted(by: { $0.order < $1.order }) {
      evaluate(request, now, &random, &effects)
    }
    carry(now, &random, &effects)
  }

  /// Hands the resolver's effects on. News sends those back to work that wait for them.
  private mutating func carry(
    _ now: Instant, _ random: inout RandomSource, _ effects: inout [Effect]
  ) {
    while !steps.isEmpty {
      let batch = steps
      steps.removeAll(keepingCapacity: true)
      var hasNews = false
      for step in batch {
        switch step {
        case .send(let ticket, let to, let bytes):
          effects.append(.send(ticket, to: to, bytes))
        case .sendStream(let ticket, let to, let bytes):
          effects.append(.sendStream(ticket, to: to, bytes))
        case .close(let ticket): effects.append(.close(ticket))
        case .settled: hasNews = true
        }
      }
      guard hasNews else { continue }
      let waiting = watches.filter { $0.value.due == nil }.keys
      for request in waiting.sorted(by: { $0.order < $1.order }) {
        evaluate(request, now, &random, &effects)
      }
    }
  }

  // MARK: Evaluation

  private mutating func evaluate(
    _ request: LocationRequest, _ now: Instant, _ random: inout RandomSource,
    _ effects: inout [Effect]
  ) {
    var search = Search(request: request, now: now)
    search.run(&resolver)
    for question in search.missing where !resolver.isAsking(question) {
      resolver.ask(question, at: now, random: &random, into: &steps)
    }
    guard search.missing.isEmpty else { return }
    // Not at the very end of the TTL, and not all names of one TTL at once.
    let left = max(search.until - now, .milliseconds(500))
    let spread = Interval(nanoseconds: Int64(random.next(below: Int(left.nanoseconds / 20) + 1)))
    watches[request]?.due =
      search.until == .distantFuture ? now + .seconds(60) : now + left + spread
    let location = search.location
    guard watches[request]?.told != location else { return }
    watches[request]?.told = location
    effects.append(.located(request, location))
  }
}

extension LocationRequest {
  /// So that a run depends on nothing but its seed.
  fileprivate var order: String {
    "\(host) \(port ?? 0) \(transport?.rawValue ?? 9) \(isSecure) \(usesV4) \(usesV6)"
      + transports.map { "\($0)" }.joined()
  }
}

/// One walk over the cache.
private struct Search {
  let request: LocationRequest
  let now: Instant
  var missing: [DNSQuestion] = []
  /// The first TTL to end of all that was used.
  var until = Instant.distantFuture
  var isStale = false
  var hasFailed = false
  var addresses: [LocatedAddress] = []
  private var hosts = 0

  init(request: LocationRequest, now: Instant) {
    self.request = request
    self.now = now
  }

  var location: Location {
    if !addresses.isEmpty { return Location(isStale ? .stale : .found, addresses) }
    return Location(hasFailed ? .failed : .none)
  }

  /// §4.1: which transports may be used at all.
  private var allowed: [LocatedTransport] {
    request.transports.filter { transport in
      if request.isSecure || request.transport == .tls { return transport == .tls }
      return request.transport.map { $0 == transport } ?? true
    }
  }

  mutating func run(_ resolver: inout Resolver) {
    let transports = allowed
    guard let first = transports.first else { return }
    if let port = request.port {
      // §4.1, §4.2: whoever names a port wants no SRV; the transport is the scheme's own.
      let transport =
        request.transport ?? (request.isSecure ? .tls : transports.contains(.udp) ? .udp : first)
      return addHost(request.host, port, transport, rank: 0, weight: 0, &resolver)
    }
    if request.transport == nil, !request.isSecure || transports.count > 1 {
      if followPointers(transports, &resolver) || !missing.isEmpty { return }
    }
    var rank = 0
    for transport in transports where missing.isEmpty {
      guard let name = request.host.service(transport.serviceLabels) else { continue }
      addServices(name, transport, &rank, &resolver)
    }
    if addresses.isEmpty, missing.isEmpty {
      // §4.2: no SRV anywhere, so the name is a host's.
      addHost(request.host, first.defaultPort, first, rank: 0, weight: 0, &resolver)
    }
  }

  /// §4.1: NAPTR records say which transports there are, the server's preference first. True: they led to
  /// something.
  private mutating func followPointers(
    _ transports: [LocatedTransport], _ resolver: inout Resolver
  ) -> Bool {
    var pointers: [(order: UInt16, preference: UInt16, LocatedTransport, DNSName)] = []
    for value in values(DNSQuestion(request.host, .naptr), &resolver) {
      guard
        case .pointer(let order, let preference, let flags, let services, false, let target) = value,
        flags == [UInt8(ascii: "s")],
        let transport = transports.first(where: { services == Array($0.naptrService.utf8) })
      else { continue }
      pointers.append((order, preference, transport, target))
    }
    pointers.sort { ($0.order, $0.preference) < ($1.order, $1.preference) }
    var rank = 0
    for pointer in pointers.prefix(8) { addServices(pointer.3, pointer.2, &rank, &resolver) }
    return !addresses.isEmpty
  }

  /// The SRV records of one service, their priorities below those that were added before.
  private mutating func addServices(
    _ name: DNSName, _ transport: LocatedTransport, _ rank: inout Int, _ resolver: inout Resolver
  ) {
    var services: [(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)] = []
    for value in values(DNSQuestion(name, .srv), &resolver) {
      // RFC 2782: the root for a target says that the service is decidedly not there.
      guard case .service(let priority, let weight, let port, let target) = value, !target.isRoot,
        port != 0
      else { continue }
      services.append((priority, weight, port, target))
    }
    services.sort {
      ($0.priority, "\($0.target)", $0.port) < ($1.priority, "\($1.target)", $1.port)
    }
    var last: UInt16?
    for service in services.prefix(Locator.hostLimit) {
      if let last, last != service.priority { rank += 1 }
      last = service.priority
      addHost(
        service.target, service.port, transport, rank: rank, weight: Int(service.weight), &resolver)
    }
    if last != nil { rank += 1 }
  }

  private mutating func addHost(
    _ name: DNSName, _ port: UInt16, _ transport: LocatedTransport, rank: Int, weight: Int,
    _ resolver: inout Resolver
  ) {
    var found: [IPAddress] = []
    // RFC 7984: both families are asked, and IPv6 goes first where we have it (RFC 6724).
    if request.usesV6 { found += addresses(DNSQuestion(name, .aaaa), &resolver) }
    if request.usesV4 { found += addresses(DNSQuestion(name, .a), &resolver) }
    for address in found.prefix(16) where addresses.count < Locator.addressLimit {
      addresses.append(
        LocatedAddress(
          SocketAddress(address, port), transport, rank: rank, weight: weight, host: hosts))
    }
    hosts += 1
  }

  private mutating func addresses(
    _ question: DNSQuestion, _ resolver: inout Resolver
  ) -> [IPAddress] {
    var found: [IPAddress] = []
    for value in values(question, &resolver) {
      // Nobody's server is everybody, nobody or a group.
      guard case .address(let address) = value, !address.isUnspecified, !address.isMulticast else {
        continue
      }
      if !found.contains(address) { found.append(address) }
    }
    // A server that turns its answers round at each question has not changed.
    return found.sorted { ($0.high, $0.low) < ($1.high, $1.low) }
  }

  private mutating func values(
    _ question: DNSQuestion, _ resolver: inout Resolver
  ) -> [DNSRecord.Value] {
    switch resolver.knowledge(of: question, at: now) {
    case .records(let values, let until, let stale):
      self.until = min(self.until, until)
      isStale = isStale || stale
      return values
    case .none(let until):
      self.until = min(self.until, until)
      return []
    case .failed(let until):
      self.until = min(self.until, until)
      hasFailed = true
      return []
    case .unknown:
      if !missing.contains(question) { missing.append(question) }
      return []
    }
  }
}
