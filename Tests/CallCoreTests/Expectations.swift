import Base
import CallCore
import MediaControl
import Policy
import SIPCore
import Simulation
import Testing

/// Compares what passed on the wire with a readable ladder. A difference prints the actual one.
func expectLadder(
  _ scene: Scene, _ left: [Agent], _ right: [Agent], times: Bool = false, since: Instant = .zero,
  _ expected: String, sourceLocation: SourceLocation = #_sourceLocation
) {
  let style = LadderStyle(times: times)
  let actual = scene.world.ladder(left: left, right: right, since: since).render(style: style)
  let wanted = expected.split(separator: "\n").map(trimmed)
  let found = actual.split(separator: "\n").map(trimmed)
  if wanted != found {
    Issue.record("another ladder:\n\(actual)\n", sourceLocation: sourceLocation)
  }
}

/// Leading and trailing spaces say nothing.
private func trimmed(_ line: Substring) -> String {
  var line = line.drop { $0 == " " }
  while line.last == " " { line.removeLast() }
  return String(line)
}

extension Scene {
  /// Everything at rest, every invariant held.
  func expectRest(
    policy: Interval = .seconds(181), sourceLocation: SourceLocation = #_sourceLocation
  ) {
    world.settle()
    world.auditor.checkAtRest(policy: policy)
    #expect(world.violations == [], sourceLocation: sourceLocation)
  }

  /// Until the calls under way are over; registrations stay.
  func finish() { world.run(for: .seconds(300)) }

  /// The records of ended calls, in the order of their ends.
  var records: [CallRecord] {
    world.facts.compactMap {
      if case .callEnded(let record) = $0.event { return record }
      return nil
    }
  }

  var refusals: [(status: Int, cause: Cause)] {
    world.facts.compactMap {
      if case .requestRefused(_, let status, let cause, _) = $0.event { return (status, cause) }
      return nil
    }
  }
}
