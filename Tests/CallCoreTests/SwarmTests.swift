import Base
import CallCore
import Simulation
import Testing

/// Seeded random runs against the invariants. A failure prints its seed: `make sim SEED=…` repeats it.
@Suite struct SwarmTests {
  // The quick loop takes a sample in debug, where a call costs twenty times as much; what ships runs all.
  #if DEBUG
    static let worlds = 8
    static let lossSeeds: UInt64 = 1
    static let crashSeeds = 3
    static let transferSeeds = 1
    static let streamSeeds = 1
    static let lampSeeds = 1
    static let crossingSeeds = 1
    static let keySeeds = 2
    static let adornedSeeds = 1
    static let found = 2
  #else
    static let worlds = 160
    static let lossSeeds: UInt64 = 4
    static let crashSeeds = 12
    static let transferSeeds = 16
    static let streamSeeds = 16
    static let lampSeeds = 8
    static let crossingSeeds = 4
    static let keySeeds = 12
    static let adornedSeeds = 8
    static let found = SwarmTests.findings.count
  #endif
  static let callsPerWorld = 260

  @Test(arguments: 0..<8) func wildCalls(part: Int) throws {
    for number in 0..<(SwarmTests.worlds / 8) {
      let seed = UInt64(part * 1_000 + number + 1)
      let outcome = try Swarm(SwarmSettings(seed: seed, calls: SwarmTests.callsPerWorld)).run()
      #expect(outcome.isClean, "\n\(outcome.report)\nmake sim SEED=\(seed)")
      #expect(outcome.answered > outcome.calls / 10)
    }
  }

  /// Phones hand every second call on, blind or after a word with the target.
  @Test(arguments: 0..<2) func transfers(part: Int) throws {
    var done = 0
    for number in 0..<SwarmTests.transferSeeds {
      var settings = SwarmSettings(
        seed: UInt64(60_000 + part * 1_000 + number), calls: SwarmTests.callsPerWorld)
      settings.transfers = 0.5
      let swarm = try Swarm(settings)
      let outcome = swarm.run()
      #expect(outcome.isClean, "\n\(outcome.report)")
      done += swarm.transfersDone
    }
    #expect(done > 0)
  }

  /// Everybody's messages are full of what is nobody else's affair (SEC-3): none of it reaches another.
  @Test(arguments: 0..<2) func adorned(part: Int) throws {
    for number in 0..<SwarmTests.adornedSeeds {
      var settings = SwarmSettings(
        seed: UInt64(69_000 + part * 1_000 + number), calls: SwarmTests.callsPerWorld)
      settings.isAdorned = true
      settings.transfers = part == 0 ? 0 : 0.3
      settings.lamps = part == 0 ? 0 : 20
      let outcome = try Swarm(settings).run()
      #expect(outcome.isClean, "\n\(outcome.report)")
    }
  }

  /// Some phones, the PBX and a carrier speak by connections, which break now and then.
  @Test(arguments: 0..<2) func streams(part: Int) throws {
    for number in 0..<SwarmTests.streamSeeds {
      var settings = SwarmSettings(
        seed: UInt64(65_000 + part * 1_000 + number), calls: SwarmTests.callsPerWorld)
      settings.streams = true
      settings.transfers = part == 0 ? 0 : 0.3
      let outcome = try Swarm(settings).run()
      #expect(outcome.isClean, "\n\(outcome.report)")
      #expect(outcome.answered > outcome.calls / 10)
    }
  }

  /// Some phones and a carrier must be encrypted, by keys in SDP or by DTLS, and pictures come and go: nothing of theirs is
  /// ever plain, and no key is that of two flows.
  @Test(arguments: 0..<2) func keys(part: Int) throws {
    for number in 0..<SwarmTests.keySeeds {
      var settings = SwarmSettings(
        seed: UInt64(64_000 + part * 1_000 + number), calls: SwarmTests.callsPerWorld)
      settings.keys = true
      settings.transfers = part == 0 ? 0 : 0.3
      let outcome = try Swarm(settings).run()
      #expect(outcome.isClean, "\n\(outcome.report)")
      #expect(outcome.answered > outcome.calls / 10)
    }
  }

  /// Several phones ring together, and both sides of a call offer at the same time.
  @Test(arguments: 0..<2) func crossings(part: Int) throws {
    for number in 0..<SwarmTests.crossingSeeds {
      var settings = SwarmSettings(
        seed: UInt64(66_000 + part * 1_000 + number), calls: SwarmTests.callsPerWorld)
      settings.crosses = true
      settings.link = part == 0 ? .perfect : nil
      let outcome = try Swarm(settings).run()
      #expect(outcome.isClean, "\n\(outcome.report)")
    }
  }

  /// Phones watch one another's calls, and hand some on.
  @Test(arguments: 0..<2) func lamps(part: Int) throws {
    var seen = (lit: 0, dark: 0)
    for number in 0..<SwarmTests.lampSeeds {
      var settings = SwarmSettings(
        seed: UInt64(68_000 + part * 1_000 + number), calls: SwarmTests.callsPerWorld)
      settings.lamps = 20
      settings.transfers = part == 0 ? 0 : 0.3
      let swarm = try Swarm(settings)
      let outcome = swarm.run()
      #expect(outcome.isClean, "\n\(outcome.report)")
      seen.lit += swarm.lampsSeen.lit
      seen.dark += swarm.lampsSeen.dark
    }
    #if !DEBUG
      #expect(seen.lit > 100 && seen.dark > 100)
    #endif
  }

  /// Worlds in which something was found, and of how many of a hundred calls were handed on.
  static let findings: [(seed: UInt64, transfers: Int)] = [
    (700_011, 0), (800_039, 0), (700_043, 0), (700_046, 0), (710_034, 0), (710_010, 0),
    (710_045, 0), (800_041, 0), (700_001, 50), (700_007, 50), (700_026, 50), (700_029, 50),
    (700_036, 50), (700_039, 50),
  ]

  @Test(arguments: 0..<SwarmTests.found) func foundBefore(number: Int) throws {
    let (seed, transfers) = SwarmTests.findings[number]
    var settings = SwarmSettings(seed: seed, calls: SwarmTests.callsPerWorld)
    settings.transfers = Double(transfers) / 100
    let outcome = try Swarm(settings).run()
    #expect(outcome.isClean, "\n\(outcome.report)")
  }

  /// C1's figures.
  @Test(arguments: [(0.1, 0.999), (0.3, 0.99)]) func setupUnderLoss(loss: Double, share: Double)
    throws
  {
    var expected = 0
    var succeeded = 0
    for seed in 1...SwarmTests.lossSeeds {
      var settings = SwarmSettings(seed: seed + 50_000, calls: 500)
      settings.temper = .gentle
      settings.link = LinkQuality(
        loss: loss, duplication: 0.02, delay: .milliseconds(15), jitter: .milliseconds(30))
      let outcome = try Swarm(settings).run()
      #expect(outcome.isClean, "\n\(outcome.report)")
      expected += outcome.expected
      succeeded += outcome.succeeded
    }
    #expect(Double(succeeded) >= Double(expected) * share, "\(succeeded) of \(expected)")
  }

  /// H3, I1 as far as the engine goes: whatever the instant, no INVITE was sent whose attempt is not in
  /// what the store kept, and the next process works.
  @Test(arguments: 1...SwarmTests.crashSeeds) func crashes(seed: Int) throws {
    let swarm = try Swarm(SwarmSettings(seed: UInt64(seed) + 90_000, calls: 120))
    let report = try swarm.runWithCrash()
    #expect(report.isEmpty, "\n\(report)")
  }

  @Test func aSeedRepeatsItself() throws {
    let runs = try (0..<2).map { _ in
      try Swarm(SwarmSettings(seed: 4_711, calls: 80)).run().datagrams
    }
    #expect(runs[0] == runs[1] && runs[0] > 500)
  }

  /// Where a planted bug shows: in calls, in calls that are handed on, or in lamps.
  struct Plant: Sendable, CustomTestStringConvertible {
    let name: String
    var settings: SwarmSettings
    /// Stands in the text of some violation.
    let shows: String
    var testDescription: String { name }

    static let all =
      PlantedBugs.all.map { Plant($0, seed: 77, calls: 120) }
      + PlantedBugs.ofTransfers.map {
        Plant($0, seed: 78, calls: 60, shows: "NOTIFY") { $0.transfers = 0.5 }
      } + PlantedBugs.ofLamps.map { Plant($0, seed: 79, calls: 120) { $0.lamps = 20 } }
      + PlantedBugs.ofKeys.map {
        Plant($0, seed: 80, calls: 120, shows: $0.name.contains("plain") ? "plain" : "a key") {
          $0.keys = true
        }
      }

    private init(
      _ bug: (name: String, make: PlantedBugs.Maker), seed: UInt64, calls: Int,
      shows: String = "", _ change: (inout SwarmSettings) -> Void = { _ in }
    ) {
      name = bug.name
      settings = SwarmSettings(seed: seed, calls: calls)
      settings.link = .perfect
      settings.mutation = bug.make
      self.shows = shows
      change(&settings)
    }
  }

  /// The invariants can fail: each planted bug is noticed.
  @Test(arguments: Plant.all) func plantedBug(_ plant: Plant) throws {
    let outcome = try Swarm(plant.settings).run()
    #expect(
      outcome.violations.contains { plant.shows.isEmpty || $0.text.contains(plant.shows) },
      "nothing noticed that \(plant.name)")
  }
}
