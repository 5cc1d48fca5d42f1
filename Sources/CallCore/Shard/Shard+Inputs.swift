package import Base
import MediaControl
import Policy
import SIPCore

// What reaches a shard besides datagrams and time.

extension Shard {
  package func handle(_ input: ShardInput, at now: Instant) {
    self.now = max(self.now, now)
    switch input {
    case .media(let fact): mediaReported(fact)
    case .durable(let sequence): confirmed(upTo: sequence)
    case .configuration(let next):
      follow(next)
      tell(.configurationApplied(revision: next.revision))
    case .listeners(let listeners, let next): follow(listeners, next)
    case .restoreBindings(let bindings): restore(bindings)
    case .restoreMailboxes(let mailboxes): restore(mailboxes)
    case .unreachable(let address): unreachable(address)
    case .flowProven(let listener, let address, let domains):
      provenFlows[Flow(listener: listener, remote: address)] = domains
    case .flowLost(let listener, let address): flowLost(listener, address)
    case .located(let request, let location): located(request, location)
    case .mailbox(let tenant, let user, let summary):
      setMailbox(Registrar.UserKey(tenant: tenant, user: user), summary)
    case .identity(let material): follow(material)
    case .wallClock(let wall): identities?.follow(wall)
    case .certificate(let url, let answer): certificateArrived(url, answer)
    case .drain:
      isDraining = true
      removeRegistrations()
      endSubscriptions()
      reportDrained()
    case .hangUp(let id):
      if let session = sessionsBySerial[id.serial], session.id == id {
        release(session, by: .operator, .hungUpByOperator)
      }
    case .query(let query, let token): outbox.answers.append((token, answer(query)))
    }
    if subscriptions.hasStale { tellWatchers() }
  }

  /// The store has these facts: calls that waited for theirs begin to be routed.
  private func confirmed(upTo sequence: UInt64) {
    durableSequence = max(durableSequence, min(sequence, lastFactSequence))
    var count = 0
    while count < awaitingRecord.count, awaitingRecord[count].sequence <= durableSequence {
      count += 1
    }
    guard count > 0 else { return }
    ready.append(contentsOf: awaitingRecord[..<count].map(\.session))
    awaitingRecord.removeFirst(count)
    startReady()
  }

  /// Begins the first hop of calls whose record is safe, at most `limits.startsPerAdvance` at a time.
  func startReady() {
    guard !ready.isEmpty else { return }
    let starting = Array(ready.prefix(settings.limits.startsPerAdvance))
    ready.removeFirst(starting.count)
    for session in starting where session.state == .awaitingRecord {
      wheel.cancel(&session.patienceTimer)
      if identities != nil, awaitsIdentity(session) { continue }
      startPlan(session)
    }
  }

  func reportDrained() {
    guard isDraining, !hasDrained, sessions.count == 0, legs.count == 0, upstreams.isEmpty else {
      return
    }
    hasDrained = true
    tell(.drained)
  }

  /// ICMP says that nobody listens there: what waits for an answer from it need not wait.
  private func unreachable(_ address: SocketAddress) {
    guard awaits(address) else { return }
    for handle in clients.handles {
      guard let transaction = client(handle), transaction.destination == address else { continue }
      handleClient(transaction, timer: nil)
    }
  }

  private func answer(_ query: ShardQuery) -> ShardAnswer {
    switch query {
    case .calls:
      .calls(sessionsBySerial.values.map(\.record).sorted { $0.id.serial < $1.id.serial })
    case .call(let id): .call(sessionsBySerial[id.serial].flatMap { $0.id == id ? $0.record : nil })
    case .ladder(let id):
      .ladder(
        id.incarnation == settings.incarnation || sessionsBySerial[id.serial]?.id == id
          ? trace.messages(serial: id.serial, listeners: listeners) : [])
    case .recording(let id, let action): .recording(recording(action, of: id))
    case .toll: .toll(toll.statuses)
    case .tollOrder(let order, let tenant, let account):
      .tollOrder(carryOut(order, TollWatch.Account(tenant: tenant, name: account)))
    case .registrations: .registrations(registrar.all)
    case .trunks: .trunks(trunkStatuses)
    case .upstreams: .upstreams(upstreamStatuses)
    case .subscriptions: .subscriptions(subscriptionStatuses)
    case .mailboxes: .mailboxes(mailboxStatuses)
    case .bans: .bans(admission.bans.all)
    case .ban(let network, let reason, let time):
      .ban(ban(network, reason: reason, for: time))
    case .liftBan(let network): .ban(liftBan(of: network))
    case .counters: .counters(currentCounters)
    }
  }
}
