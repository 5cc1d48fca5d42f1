import Foundation
import MediaControl
import Testing

@Suite struct QualityTests {
  /// G.107 table B.1: R and MOS.
  @Test(arguments: [
    (93.2, 4.41), (90, 4.34), (80, 4.02), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1), (-5, 1),
    (100, 4.5), (120, 4.5),
  ])
  func ratingBecomesMOS(rating: Double, mos: Double) {
    #expect(abs(Quality.mos(rating: rating) - mos) < 0.0051)
  }

  @Test func mosRisesWithRating() {
    var last = 0.0
    for tenth in 0...1_000 {
      let mos = Quality.mos(rating: Double(tenth) / 10)
      #expect(mos >= last)
      last = mos
    }
  }

  @Test func cleanG711IsTheBest() {
    for codec in [AudioCodec.pcmu, .pcma] {
      #expect(Quality(expected: 1_000, lost: 0, jitter: 2_000, codec: codec).mos == 441)
    }
    #expect(Quality(expected: 1_000, lost: 0, jitter: 0, codec: .unknown).mos == 0)
    #expect(Quality(expected: 0, lost: 0, jitter: 0, codec: .pcmu).mos == 0)
  }

  /// Ie,eff of G.711 with concealment: 95 Ppl / (Ppl + 25.1).
  @Test(arguments: [(1, 89.56), (2, 86.19), (5, 77.42), (10, 66.13), (20, 51.07), (50, 29.95)])
  func randomLoss(percent: UInt64, rating: Double) throws {
    let quality = Quality(expected: 10_000, lost: percent * 100, jitter: 0, codec: .pcmu)
    let computed = try #require(quality.rating)
    #expect(abs(computed - rating) < 0.01)
  }

  @Test func burstsAreWorseThanRandomLoss() {
    var quality = Quality(expected: 10_000, lost: 500, lossRuns: 475, jitter: 0, codec: .pcma)
    #expect(abs(quality.burstRatio - 1) < 0.001)
    let random = quality.mos
    quality.lossRuns = 50
    #expect(abs(quality.burstRatio - 9.5) < 0.001)
    #expect(quality.mos < random)
  }

  /// The table against the formula of §7.4.
  @Test func delayFollowsTheFormula() {
    for delay in stride(from: 0.0, through: 1_000, by: 1) {
      var formula = 0.0
      if delay > 100 {
        let x = log2(delay / 100)
        formula =
          25 * (pow(1 + pow(x, 6), 1 / 6) - 3 * pow(1 + pow(x / 3, 6), 1 / 6) + 2)
      }
      #expect(abs(Quality.delayImpairment(milliseconds: delay) - formula) < 0.14)
    }
    #expect(Quality.delayImpairment(milliseconds: 1e12) == 43.79)
  }

  @Test func absurdFiguresStayInRange() {
    for expected in [1, 2, UInt64.max] {
      for lost in [0, 1, UInt64.max] {
        for jitter in [0, UInt32.max] {
          let quality = Quality(
            expected: expected, lost: lost, lossRuns: 1, jitter: jitter, roundTrip: jitter,
            packetTime: .max, codec: .pcmu)
          #expect((100...441).contains(quality.mos))
        }
      }
    }
  }
}
