package import Base
import CallCore
import Policy

extension Auditor {
  private static let life = AgentTimers.end
  /// Two re-INVITEs that nobody answers, and a side that is busy for as long as it is asked again.
  private static let handover = AgentTimers.end * 2 + .seconds(80)

  /// What must hold when nothing is under way any more. `policy` is the longest that a call may rest
  /// on a timer of the configuration after its last message (ringing, media time-out).
  package func checkAtRest(policy: Interval) {
    checkFinals()
    checkSuccesses()
    checkClients()
    checkLegs()
    checkRecords(policy: policy)
    checkEngine()
    checkAgents()
  }

  private func checkFinals() {
    for server in inviteServers.values where server.finals.count != 1 {
      fail(
        .finalResponse, "\(server.finals.count) final responses: \(server.finals.sorted())",
        server.callID)
    }
  }

  /// RFC 3261 §13.3.1.4: again after 0.5, 1, 2, 4, 4 … s until the ACK, at most 64·T1, then BYE.
  private func checkSuccesses() {
    for success in successes.values {
      for (number, pair) in zip(success.sent, success.sent.dropFirst()).enumerated() {
        let expected = min(Interval.milliseconds(500 << min(number, 3)), AgentTimers.t2)
        let gap = pair.1 - pair.0
        if gap < expected || gap > expected + .milliseconds(60) {
          fail(
            .retransmission, "2xx copy \(number + 2) after \(gap.milliseconds) ms", success.callID)
        }
      }
      guard success.acknowledged == nil, let first = success.sent.first,
        let last = success.sent.last
      else { continue }
      let leg = legs[success.callID]
      if let bye = leg?.bye, bye - first < Auditor.life { continue }
      if last - first < .seconds(27) {
        fail(
          .acknowledgement, "2xx given up after \((last - first).milliseconds) ms", success.callID)
      }
      if let bye = leg?.bye, bye > first + Auditor.life + .seconds(1) {
        fail(
          .acknowledgement, "BYE \((bye - first).milliseconds) ms after a 2xx without ACK",
          success.callID)
      }
      if leg?.byeTags.contains(success.tag) != true {
        fail(.acknowledgement, "no BYE after a 2xx without ACK", success.callID)
      }
    }
  }

  private func checkLegs() {
    var callers: [Int: Leg] = [:]
    // Where a call has been handed on, or somebody asked about it, its first leg is not the one that the others
    // end with.
    var handedOn = Set(referred.compactMap { legs[$0]?.plan })
    for leg in legs.values where !leg.isOurs {
      guard let plan = leg.plan else { continue }
      if callers.updateValue(leg, forKey: plan) != nil { handedOn.insert(plan) }
    }
    for (callID, leg) in legs {
      for tag in leg.successTags.subtracting(leg.byeTags) {
        fail(
          .orphan, "\(leg.isOurs ? "our" : "their") leg answered as \(tag) and never hung up",
          callID)
      }
      guard leg.isOurs, let plan = leg.plan, let caller = callers[plan],
        !handedOn.contains(plan)
      else { continue }
      checkLoser(leg, callID, since: caller.firstSuccess)
      guard let end = caller.released else {
        fail(.orphan, "a B leg, and its A leg has no end", callID)
        continue
      }
      // RFC 3261 §9.1: the CANCEL waits for a first provisional response.
      let limit = max(end, leg.firstProvisional ?? end) + Auditor.life + .seconds(1)
      // A late answer may come at the very end of the transaction, and its BYE lives as long again.
      if leg.firstProvisional != nil {
        if let released = leg.released {
          if released > limit {
            fail(
              .orphan, "B leg ended \((released - end).milliseconds) ms after its A leg", callID)
          }
        } else {
          fail(.orphan, "B leg rang and was never given up", callID)
        }
      }
      if leg.lastSent > limit + Auditor.life {
        fail(
          .orphan, "B leg still sends \((leg.lastSent - end).milliseconds) ms after the end", callID
        )
      }
    }
  }

  /// RFC 3261 §16.7 step 10, which whoever forks is held to: once one has answered, the others are cancelled at once, or
  /// as soon as they may be (§9.1).
  private func checkLoser(_ leg: Leg, _ callID: String, since answer: Instant?) {
    guard let answer, leg.firstSuccess == nil, leg.started < answer,
      let first = leg.firstProvisional
    else { return }
    let due = max(answer, first) + .seconds(1)
    guard leg.lost.map({ $0 > due }) ?? true, leg.refused.map({ $0.at > due }) ?? true else {
      return
    }
    if leg.cancelled.map({ $0 > due }) ?? true {
      fail(.orphan, "rings on where another has answered", callID)
    }
  }

  private func checkRecords(policy: Interval) {
    for (_, track) in calls {
      let callID = track.record.sipCallID
      guard track.ended == 1, let record = track.final, let end = record.end else {
        fail(.record, "\(track.ended) records of one attempt", callID)
        continue
      }
      // A transfer has no INVITE of its own to be compared with.
      guard !record.isTransfer, let leg = legs[callID] else { continue }
      compare("answer", record.answer, leg.firstSuccess, callID)
      compare("ringing", record.ringing, leg.firstRinging, callID)
      if leg.firstSuccess != nil {
        // Whoever hands a call on leaves it, and its record goes on.
        let leaves = consulted.contains(callID) ? Auditor.handover : .seconds(1)
        if let bye = leg.bye, end > bye + leaves, !record.isJoined, !referred.contains(callID) {
          fail(.record, "record ends \((end - bye).milliseconds) ms after the BYE", callID)
        }
      } else if let refused = leg.refused {
        if record.status != refused.status {
          fail(.record, "status \(record.status) in the record, \(refused.status) sent", callID)
        }
        compare("end", end, refused.at, callID)
      }
      let other = legs.values.filter { $0.isOurs && $0.plan != nil && $0.plan == leg.plan }
      let last = other.map(\.lastReceived).filter { $0 <= end }.reduce(leg.lastReceived, max)
      let isCutShort: [Cause?] = [.hungUpByOperator, .durationLimit, .costlyLimit]
      if !isCutShort.contains(record.cause), last < end,
        end - last > Auditor.life + policy + .seconds(1)
      {
        fail(.ending, "ended \((end - last).milliseconds) ms after its last message", callID)
      }
    }
    for (callID, leg) in legs where !leg.isOurs && leg.firstSuccess != nil {
      if attemptOfCaller[callID] == nil { fail(.record, "answered without a record", callID) }
    }
  }

  private func compare(_ what: String, _ said: Instant?, _ seen: Instant?, _ callID: String) {
    guard said != seen else { return }
    if let said, let seen, abs((said - seen).milliseconds) <= 10 { return }
    fail(.record, "\(what): record says \(stamp(said)), wire says \(stamp(seen))", callID)
  }

  private func stamp(_ instant: Instant?) -> String {
    instant.map { "\($0.nanoseconds / 1_000_000) ms" } ?? "never"
  }

  private func checkEngine() {
    guard world.shard != nil else { return }
    let counters = world.counters
    let kept = [
      ("sessions", counters.sessions), ("transactions", counters.transactions),
      ("ports", counters.portsLeased),
      ("timers", counters.timers - counters.bindings - counters.subscriptions),
      // An OPTIONS under way has its own.
      ("copies of messages", max(counters.messageBlocks - counters.probes, 0)),
      ("unconfirmed facts", world.store.isStalled ? 0 : counters.unconfirmedFacts),
    ]
    for (name, count) in kept where count != 0 { fail(.rest, "\(count) \(name) at rest", "") }
    if world.media.openCount != 0 {
      fail(.rest, "\(world.media.openCount) media ports at rest", "")
    }
    if world.media.opens != world.media.closes {
      fail(.rest, "\(world.media.opens) media opened, \(world.media.closes) closed", "")
    }
    if case .trunks(let trunks)? = world.ask(.trunks) {
      for trunk in trunks where trunk.calls != 0 {
        fail(.rest, "trunk \(trunk.name) still counts \(trunk.calls) calls", "")
      }
    }
    let known = counters.recovery.recovered + counters.recovery.released
    if counters.callsAttempted + UInt64(known) != counters.callsEnded {
      fail(
        .rest,
        "\(counters.callsAttempted) attempted, \(known) recovered, \(counters.callsEnded) ended", ""
      )
    }
  }

  private func checkAgents() {
    for agent in world.agents {
      // Whoever never said a word cannot be told that it is over (RFC 3261 §9.1).
      for call in agent.calls
      where call.state != .ended && !call.isCutOff && call.byesLost < 11
        && (call.isCaller || !call.statuses.isEmpty)
      {
        fail(
          .ending, "\(agent.name): \(call.isCaller ? "caller" : "callee") still \(call.state)",
          call.callID)
      }
      for call in agent.calls {
        if let second = call.secondAnswer, !second.ended, !call.died, !call.isCutOff,
          call.byesLost < 11
        {
          fail(.orphan, "\(agent.name): second answer never hung up", call.callID)
        }
      }
    }
  }
}
