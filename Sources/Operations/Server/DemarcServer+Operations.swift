import Base
package import CallCore
import Edge
import Foundation
import MediaControl
import Persistence
import Policy
import SIPWire
import Synchronization

// What the local API asks of a server.

extension DemarcServer: ServerOperations {
  package func status() async throws -> StatusResource {
    let now = MonotonicClock.now
    let counters = try await shardCounters()
    let media = settings.media.map { address in
      StatusResource.Address(
        name: address.name,
        address: "\(address.bound) ports \(address.ports.lowerBound)-\(address.ports.upperBound)")
    }
    var status = StatusResource(
      version: Version.text,
      state: isDraining.load(ordering: .relaxed) ? "draining" : "running",
      started: Timestamp.text(WallTime.process.milliseconds(at: startedAt)),
      uptimeSeconds: Double((now - startedAt).milliseconds) / 1_000,
      processId: Int(ProcessInfo.processInfo.processIdentifier), revision: revision,
      listeners: addresses.map {
        StatusResource.Address(
          name: $0.name, address: "\($0.bound)", transport: $0.transport.name,
          leaving: $0.state == .leaving ? true : nil)
      },
      media: media, socket: settings.socket, store: settings.store,
      metrics: metricsAddress.map { "http://\($0)/metrics" }, activeCalls: counters.sessions,
      callsAttempted: counters.callsAttempted, callsAnswered: counters.callsAnswered,
      registrations: counters.bindings, mediaPortsFree: counters.portsFree,
      unconfirmedFacts: counters.unconfirmedFacts)
    status.overload = OverloadResource(counters)
    return status
  }

  package func calls() async throws -> [CallResource] {
    guard case .calls(let records) = try await queries.ask(.calls) else { return [] }
    let (wall, now) = (WallTime.process, MonotonicClock.now)
    return records.map { CallResource($0, wall: wall, now: now) }
  }

  package func call(_ id: CallID) async throws -> CallResource? {
    if let record = try await knownRecord(id) {
      return CallResource(record, wall: .process, now: MonotonicClock.now)
    }
    let store = store
    return try await fromStore { try store.record(id) }.map { CallResource($0) }
  }

  /// Of a call that lives or ended lately.
  private func knownRecord(_ id: CallID) async throws -> CallRecord? {
    if case .call(let record?) = try await queries.ask(.call(id)) { return record }
    stream.flush()
    return recent.record(of: id)
  }

  package func ladder(_ id: CallID, includesText: Bool) async throws -> LadderResource? {
    guard case .ladder(let traced) = try await queries.ask(.ladder(id)), !traced.isEmpty else {
      return nil
    }
    return LadderResource(
      call: id, traced: traced, record: try await knownRecord(id), includesText: includesText,
      wall: .process)
  }

  package func hangUp(_ id: CallID) async throws -> Bool {
    guard case .call(.some) = try await queries.ask(.call(id)) else { return false }
    post.send(.hangUp(id))
    return true
  }

  package func records(_ filter: RecordFilter) async throws -> PageResource<CallResource> {
    let store = store
    let query = RecordQuery(filter)
    let page = try await fromStore { try store.records(query) }
    return PageResource(items: page.records.map { CallResource($0) }, nextCursor: page.next)
  }

  package func exportRecords(
    _ filter: RecordFilter, format: RecordFormat
  ) async throws -> ExportBatch {
    let store = store
    var query = RecordQuery(filter)
    query.order = .oldestFirst
    query.limit = 500
    let wanted: RecordExport.Format = format == .csv ? .csv : .jsonl
    return try await fromStore { [query] in
      let page = try store.records(query)
      var lines = query.cursor == nil ? RecordExport.header(wanted) : []
      for record in page.records { lines += RecordExport.line(record, wanted) }
      return ExportBatch(lines: lines, nextCursor: page.next)
    }
  }

  package func purgeRecords(before milliseconds: Int64) async throws -> Int {
    let store = store
    return try await fromStore { try store.purge(endedBefore: milliseconds) }
  }

  package func resources(_ view: ResourceView) async throws -> [UInt8] {
    try keeper.view(view)
  }

  package func check(_ document: [UInt8]) async throws -> ApplyResource {
    let keeper = keeper
    return try await blocking.run { try keeper.check(document) }
  }

  package func apply(_ document: [UInt8]) async throws -> ApplyResource {
    let keeper = keeper
    let applied = try await blocking.run { try keeper.apply(document) }
    // Files that resources name may have been replaced with them; the listeners' are looked at on the way. Not
    // for a document that changes nothing: new contexts cost every peer a full handshake.
    if applied.changed { _ = try? await reloadCertificates() }
    return applied
  }

  package func rotateStoreKey() async throws -> StoreKeyResource {
    let keeper = keeper
    return try await blocking.run { try keeper.rotateKey() }
  }

  package func rotatePassword(
    of user: String, tenant: String?, _ order: PasswordOrderResource
  ) async throws -> NewPasswordResource {
    let keeper = keeper
    let overlap = Int64(order.overlapSeconds ?? PasswordOrderResource.standardSeconds) * 1_000
    return try await blocking.run {
      try keeper.rotatePassword(of: user, tenant: tenant, overlap: overlap)
    }
  }

  package func numbers() async throws -> [NumberResource] {
    keeper.current.resources.numbers.map(NumberResource.init)
  }

  package func history(
    ofNumber number: String, tenant: String?
  ) async throws -> [NumberEventResource] {
    let (store, revision) = (store, revision)
    let events = try await fromStore {
      try NumberHistory.events(of: number, tenant: tenant, in: store, upTo: revision)
    }
    guard !events.isEmpty else { throw ResourceKeeper.unknown(number) }
    return events
  }

  package func change(number: String, _ change: NumberChange) async throws -> NumberResource {
    let keeper = keeper
    return try await blocking.run { try keeper.change(number: number, change) }
  }

  package func trunks() async throws -> [TrunkStateResource] {
    guard case .trunks(let statuses) = try await queries.ask(.trunks) else { return [] }
    let known = Dictionary(
      statuses.map { (TrunkKey(tenant: $0.tenant, name: $0.name), $0) },
      uniquingKeysWith: { first, _ in first })
    var upstream: [TrunkKey: UpstreamStatus] = [:]
    for status in try await upstreamStatuses() {
      upstream[TrunkKey(tenant: status.tenant, name: status.trunk)] = status
    }
    let (wall, now) = (WallTime.process, MonotonicClock.now)
    return keeper.current.trunks.map { trunk in
      let key = TrunkKey(tenant: trunk.tenant, name: trunk.name)
      var resource = TrunkStateResource(trunk, known[key], wall: wall, now: now)
      resource.registration = upstream[key]?.state.rawValue
      return resource
    }
  }

  func upstreamStatuses() async throws -> [UpstreamStatus] {
    guard case .upstreams(let statuses) = try await queries.ask(.upstreams) else { return [] }
    return statuses
  }

  package func upstreamRegistrations() async throws -> [UpstreamRegistrationResource] {
    let statuses = try await upstreamStatuses()
    let (wall, now) = (WallTime.process, MonotonicClock.now)
    return statuses.map { UpstreamRegistrationResource($0, wall: wall, now: now) }
  }

  package func registrations() async throws -> [RegistrationResource] {
    guard case .registrations(let bindings) = try await queries.ask(.registrations) else {
      return []
    }
    let (wall, now) = (WallTime.process, MonotonicClock.now)
    return bindings.sorted { ($0.tenant, $0.user, $0.contact) < ($1.tenant, $1.user, $1.contact) }
      .map { binding in
        let index = Int(binding.listener)
        var resource = RegistrationResource(
          tenant: binding.tenant, user: binding.user, contact: binding.contact,
          source: "\(binding.source)",
          listener: settings.listeners.indices.contains(index)
            ? settings.listeners[index].name : "",
          expires: Timestamp.text(wall.milliseconds(at: binding.expires)),
          expiresInSeconds: max(0, (binding.expires - now).wholeSeconds),
          userAgent: binding.userAgent)
        resource.kind = binding.isTrunk ? "trunk" : "user"
        if let passed = binding.passed {
          resource.kind = "phone"
          resource.passedTo = passed.trunk
          resource.token = passed.token
          resource.keptInSeconds = max(0, (passed.kept - now).wholeSeconds)
        }
        resource.q = Double(binding.preference) / 1_000
        resource.path = binding.path.isEmpty ? nil : binding.path
        resource.instance = binding.instance.isEmpty ? nil : binding.instance
        resource.flow = binding.flow == 0 ? nil : binding.flow
        resource.numberBlock = binding.isNumberBlock
        if settings.listeners.indices.contains(index) {
          resource.transport = settings.listeners[index].transport.name
        }
        return resource
      }
  }

  func shardCounters() async throws -> ShardCounters {
    guard case .counters(let counters) = try await queries.ask(.counters) else {
      return ShardCounters()
    }
    return counters
  }

  private func fromStore<Value: Sendable>(
    _ work: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    do {
      return try await blocking.run(work)
    } catch let error as StoreError {
      throw APIFailure(.unavailable, error.message, remedy: error.remedy)
    }
  }
}

extension RecordQuery {
  init(_ filter: RecordFilter) {
    self.init()
    tenant = filter.tenant
    since = filter.since
    until = filter.until
    party = filter.party
    number = filter.number
    state = filter.state.flatMap { CallState(rawValue: $0) }
    cause = filter.cause.flatMap { name in Cause.allCases.first { $0.name == name } }
    limit = filter.limit
    cursor = filter.cursor
  }
}

extension OverloadResource {
  init?(_ counters: ShardCounters) {
    guard counters.refusedStrangers > 0 else { return nil }
    self.init(
      waitMilliseconds: counters.standingWait.seconds * 1_000,
      refusedStrangersPercent: Double(counters.refusedStrangers) / 10,
      refusedKnownPercent: Double(counters.refusedKnown) / 10)
  }
}

extension TrunkStateResource {
  init(_ trunk: Trunk, _ status: TrunkStatus?, wall: WallTime, now: Instant) {
    self.init(
      name: trunk.name, tenant: trunk.tenant, kind: trunk.kind.rawValue, network: trunk.network)
    targets = trunk.targets.map { "\($0)" }
    transport = trunk.transport.rawValue
    maxCalls = trunk.maxCalls
    callsPerSecond = trunk.callsPerSecond
    guard let status else { return }
    calls = status.calls
    attempts = status.attempts
    refusedByLimit = status.refusedByLimit
    usable = status.usable
    addresses = status.targets.map { TargetStateResource($0, wall: wall, now: now) }
  }
}

extension TargetStateResource {
  init(_ status: TargetStatus, wall: WallTime, now: Instant) {
    let isReturning = status.state == .usable && status.share < 1_000
    self.init(
      address: "\(status.address)", name: status.name,
      state: isReturning ? "returning" : status.state.rawValue, reason: status.reason.rawValue,
      since: Timestamp.text(wall.milliseconds(at: status.since)))
    sinceSeconds = max(0, (now - status.since).wholeSeconds)
    sharePercent = status.share / 10
    roundTripMilliseconds = status.roundTrip.map { Double($0.nanoseconds / 10_000) / 100 }
    nextProbeInSeconds = status.nextProbe.map { Double(max(0, ($0 - now).milliseconds)) / 1_000 }
    probes = status.probes
    probesFailed = status.probesFailed
    askedLossPercent = status.askedLoss > 0 ? status.askedLoss : nil
    leftOut = status.leftOut
  }
}

extension CallResource {
  /// From the store: wall-clock times and monotonic durations as they were written.
  init(_ record: StoredRecord) {
    self.init(
      id: "\(record.id)", tenant: record.tenant, state: record.state.rawValue,
      setup: Timestamp.text(record.setup))
    from = record.from
    to = record.to
    callerNumber = record.callerNumber
    calledNumber = record.calledNumber
    source = record.source.isEmpty ? nil : record.source
    sipCallId = record.sipCallID
    ringing = record.ringing.map { Timestamp.text($0) }
    answer = record.answer.map { Timestamp.text($0) }
    end = record.end.map { Timestamp.text($0) }
    seconds = record.talk.map { Double($0) / 1_000 }
    releasedBy = record.releasedBy?.rawValue
    status = record.status == 0 ? nil : record.status
    cause = record.cause?.name
    codec = record.codec.isEmpty ? nil : record.codec
    quality = CallQualityResource(caller: record.fromCaller, callee: record.fromCallee)
    attempts = record.attempts.map { attempt in
      var resource = CallAttemptResource(
        target: attempt.target, started: Timestamp.text(attempt.started))
      resource.address = attempt.address.isEmpty ? nil : attempt.address
      resource.ended = attempt.duration.map { Timestamp.text(attempt.started + $0) }
      resource.status = attempt.status == 0 ? nil : attempt.status
      resource.cause = attempt.cause?.name
      resource.forwardedBy = attempt.forwardedBy.isEmpty ? nil : attempt.forwardedBy
      return resource
    }
    notes = record.notes.isEmpty ? nil : record.notes
    recordings = record.recordings.isEmpty ? nil : record.recordings.map(RecordingResource.init)
  }
}

extension UpstreamRegistrationResource {
  init(_ status: UpstreamStatus, wall: WallTime, now: Instant) {
    self.init(
      tenant: status.tenant, trunk: status.trunk, registrar: status.registrar,
      addressOfRecord: status.addressOfRecord, state: status.state.rawValue,
      registered: status.isRegistered, since: Timestamp.text(wall.milliseconds(at: status.since)))
    reason = status.reason.isEmpty ? nil : status.reason
    self.status = status.status == 0 ? nil : status.status
    if let until = status.expires {
      expires = Timestamp.text(wall.milliseconds(at: until))
      expiresInSeconds = max(0, (until - now).wholeSeconds)
    }
    nextInSeconds = status.next.map { max(0, ($0 - now).wholeSeconds) }
    address = status.address.map { "\($0)" }
    identities = status.identities
    attempts = status.attempts
    failures = status.failures
  }
}
