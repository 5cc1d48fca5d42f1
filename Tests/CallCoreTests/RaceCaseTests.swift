import Base
import CallCore
import Policy
import Simulation
import Testing

@Suite struct RaceCaseTests {
  @Test func theListIsLongEnough() { #expect(RaceCase.all.count >= 150) }

  @Test(arguments: RaceCase.Kind.allCases) func races(kind: RaceCase.Kind) throws {
    for race in RaceCase.all where race.kind == kind { try run(race) }
  }

  private func run(_ race: RaceCase) throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in race.callee }
    let call = scene.alice.call("+441234", race.caller)
    if let after = race.operatorAfter {
      scene.world.after(after) {
        for fact in scene.world.facts {
          if case .callAttempted(let record) = fact.event { scene.world.input(.hangUp(record.id)) }
        }
      }
    }
    scene.world.run(for: .seconds(300))
    let records = scene.records
    #expect(records.count == 1, "\(race)")
    let cause = records.first?.cause
    #expect(cause.map { race.causes.contains($0) } == true, "\(race): \(cause.map(\.name) ?? "-")")
    #expect(call.state == .ended, "\(race)")
    for callee in scene.north.calls { #expect(callee.state == .ended, "\(race)") }
    // Glare is settled by whoever waits less (RFC 3261 §14.1): both changes are made in the end.
    switch race.kind {
    case .reofferBoth, .updateBoth, .updateAndReoffer:
      #expect(call.reoffersAnswered.last == 200, "\(race): \(call.reoffersAnswered)")
    default: break
    }
    scene.world.settle()
    scene.world.auditor.checkAtRest(policy: .seconds(181))
    #expect(scene.world.violations == [], "\(race)")
  }
}
