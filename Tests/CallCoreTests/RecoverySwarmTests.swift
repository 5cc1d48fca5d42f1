import Base
import CallCore
import MediaControl
import Simulation
import Testing

/// The process is killed at any instant of a dozen calls that begin, ring, are answered and end.
@Suite("Calls and a crash at any instant")
struct RecoverySwarmTests {
  @Test("Each call that the disk knew is up, and ends once, whoever hangs up", arguments: 1...40)
  func anyInstant(seed: Int) throws {
    let problems = try run(UInt64(seed), nil)
    #expect(problems == [])
  }

  @Test("Planted bugs are noticed", arguments: 0..<Self.bugs.count)
  func planted(bug: Int) throws {
    var noticed = 0
    for seed in 1...6 where try !run(UInt64(seed), Self.bugs[bug]()).isEmpty { noticed += 1 }
    #expect(noticed > 0, "\(Self.bugs[bug]().name)")
  }

  private static let bugs: [@Sendable () -> Mutation] = [
    {
      editing("our tag is another one", of: .bye) { message in
        (";tag=\(message.fromTag)", ";tag=\(String(message.fromTag.reversed()))")
      }
    },
    {
      editing("CSeq begins anew", of: .bye) { message in
        ("CSeq: \(message.cseq) ", "CSeq: 1 ")
      }
    },
    {
      editing("it is another call", of: .bye) { message in
        ("Call-ID: \(message.callID)", "Call-ID: x\(message.callID)")
      }
    },
    {
      Mutation("records are lost") { fact in
        if case .callEnded = fact.event { return [] }
        return [fact]
      }
    },
    {
      Mutation("records come twice") { fact in
        if case .callEnded = fact.event { return [fact, fact] }
        return [fact]
      }
    },
    {
      Mutation("ports stay closed") { (command: MediaCommand) in
        if case .open = command { return [] }
        return [command]
      }
    },
    {
      Mutation("nobody is asked for new keys") { message, to in
        message.isRequest && message.method == .invite ? [] : [(message.bytes, to)]
      }
    },
    {
      Mutation("nobody is joined") { (command: MediaCommand) in
        if case .bridge = command { return [] }
        return [command]
      }
    },
  ]

  private static func editing(
    _ name: String, of method: AgentMethod,
    _ change: @escaping (AgentMessage) -> (old: String, new: String)
  ) -> Mutation {
    Mutation(name) { message, to in
      guard message.isRequest, message.method == method else { return [(message.bytes, to)] }
      var text = String(decoding: message.bytes, as: UTF8.self)
      let (old, new) = change(message)
      if let range = text.firstRange(of: old) { text.replaceSubrange(range, with: new) }
      return [(Array(text.utf8), to)]
    }
  }

  /// What went wrong.
  private func run(_ seed: UInt64, _ mutation: Mutation?) throws -> [String] {
    var random = RandomSource(seed: seed)
    func interval(_ most: UInt64) -> Interval { .milliseconds(Int(random.next() % most)) }
    let scene = try Scene(Scene.settings(seed: seed))
    let world = scene.world
    // One carrier has its media under keys in every other run: they must be new after the crash.
    let isProtected = seed % 2 == 0
    if isProtected { scene.north.srtp = AgentSRTP() }
    scene.register(scene.alice, scene.bob)
    var calls: [AgentCall] = []
    for i in 0..<12 {
      var script = CallerScript()
      if i % 3 == 0 { script = script.hangingUp(after: interval(3_000)) }
      let caller = i % 2 == 0 ? scene.north : scene.pbx
      calls.append(caller.call(i % 2 == 0 ? "+493010" : "101", script))
      world.run(for: interval(500))
    }
    world.run(for: interval(4_000))
    let before = world.store.durable.count
    var bindings: [Binding] = []
    if case .registrations(let registered)? = world.ask(.registrations) { bindings = registered }
    world.crash()
    world.auditor.forget()
    world.run(for: interval(3_000))
    world.mutation = mutation
    try world.start(restoring: bindings, recovers: true)
    let expected = up(world.store.durable.prefix(before))
    var problems: [String] = []
    let outcome = world.counters.recovery
    if outcome.recovered != expected.count || outcome.released + outcome.lost != 0 {
      problems.append("\(expected.count) calls were up, \(outcome)")
    }
    let all = scene.agents.flatMap(\.calls)
    // Who rang, and whose answer the disk never had, is left to itself.
    let known = Set(expected.flatMap(\.dialogs))
    for call in all where !known.contains(call.callID) { call.die() }
    if isProtected { world.run(for: .milliseconds(500)) }
    for call in expected {
      let sides = call.dialogs.compactMap { name in all.first { $0.callID == name } }
      guard sides.count == 2 else {
        problems.append("\(call.id) has \(sides.count) sides")
        continue
      }
      // Its BYE may have come before the crash, and the record of it not have come to the disk.
      guard sides.allSatisfy({ $0.state == .answered }) else { continue }
      if world.media.partner(of: sides[0].media) != sides[1].media {
        problems.append("\(call.id): the two do not hear each other")
      }
      let first = Int(random.next() % 2)
      sides[first].hangUp()
      world.run(for: .seconds(1))
      if sides[1 - first].ending != .hungUpThere {
        problems.append("\(call.id): the other side was not told")
      }
    }
    world.run(for: .seconds(300))
    let ends = scene.records.filter { record in expected.contains { $0.id == record.id } }
    if Set(ends.map(\.id)).count != expected.count || ends.count != expected.count {
      problems.append("\(expected.count) calls, \(ends.count) records")
    }
    world.settle()
    world.auditor.checkAtRest(policy: .seconds(181))
    return problems + world.violations.map(\.description)
  }

  private struct Known {
    var id: CallID
    /// Call-IDs of both legs.
    var dialogs: [String]
  }

  private func up(_ facts: some Sequence<Fact>) -> [Known] {
    var calls: [CallID: Known] = [:]
    for fact in facts {
      switch fact.event {
      case .callAnswered(let record, let session):
        let legs = SessionRecord(session)?.legs ?? []
        calls[record.id] = Known(
          id: record.id, dialogs: legs.map { String(decoding: $0.callID, as: UTF8.self) })
      case .callEnded(let record): calls[record.id] = nil
      default: break
      }
    }
    return calls.values.sorted { $0.id.serial < $1.id.serial }
  }
}

extension Scene {
  fileprivate var agents: [Agent] { world.agents }
}
