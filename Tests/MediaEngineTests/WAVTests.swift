import Foundation
import MediaEngine
import Testing

@Suite struct WAVTests {
  private func read(_ bytes: [UInt8]) -> [Int16]? { try? WAV.samples(of: bytes).get() }
  private func problem(_ bytes: [UInt8]) -> AnnouncementError.Reason? {
    if case .failure(let problem) = WAV.samples(of: bytes) { problem.reason } else { nil }
  }

  @Test func monoPassesAndStereoIsMixed() {
    #expect(read(wav([1, -2, 30_000], rate: 8_000, channels: 1)) == [1, -2, 30_000])
    #expect(read(wav([100, 300, -7, -9], rate: 8_000, channels: 2)) == [200, -8])
  }

  @Test func sixteenKilohertzIsHalvedWithoutAliases() throws {
    func tone(_ hertz: Double) -> [Int16] {
      (0..<16_000).map { Int16(10_000 * sin(2 * .pi * hertz * Double($0) / 16_000)) }
    }
    func level(_ hertz: Double) throws -> Double {
      let samples = try #require(read(wav(tone(hertz), rate: 16_000, channels: 1)))
      #expect(samples.count == 8_000)
      let middle = samples.dropFirst(100).dropLast(100)
      let power = middle.reduce(0) { $0 + Double($1) * Double($1) } / Double(middle.count)
      return 10 * log10(power / (10_000.0 * 10_000 / 2))
    }
    for hertz in [300.0, 1_000, 3_000] { #expect(abs(try level(hertz)) < 0.2) }
    for hertz in [5_000.0, 6_000, 7_500] { #expect(try level(hertz) < -40) }
  }

  @Test func whatCannotBePlayedIsNamed() {
    let good = wav([1, 2, 3], rate: 8_000, channels: 1)
    #expect(problem([]) == .notWAV)
    #expect(problem(Array("RIFF1234WAVE".utf8)) == .notWAV)
    #expect(problem(Array(good.prefix(50))) == .notWAV)
    #expect(problem(wav([], rate: 8_000, channels: 1)) == .empty)
    #expect(
      problem(wav([1], rate: 44_100, channels: 1))
        == .unsupported(format: 1, channels: 1, rate: 44_100, bits: 16))
    #expect(
      problem(wav([1], rate: 8_000, channels: 1, format: 7, bits: 8))
        == .unsupported(format: 7, channels: 1, rate: 8_000, bits: 8))
    #expect(problem(wav([1], rate: 8_000, channels: 0)) != nil)
    let error = AnnouncementError(
      name: "n", path: "/p",
      reason: .unsupported(format: 1, channels: 1, rate: 44_100, bits: 16))
    #expect(error.description.contains("sox in.wav -r 8000"))
  }

  @Test func noCutOrChangeTraps() {
    let good = wav([1, 2, 3, 4], rate: 16_000, channels: 2)
    for length in 0...good.count { _ = read(Array(good.prefix(length))) }
    for index in good.indices {
      for value in [0, 1, 0x7f, 0xff] as [UInt8] {
        var bytes = good
        bytes[index] = value
        _ = read(bytes)
      }
    }
  }
}
