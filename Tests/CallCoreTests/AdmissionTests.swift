import Base
import CallCore
import Testing

/// The machine behind the border by itself: calls and what they answer.
@Suite struct AdmissionTests {
  private static let hash = KeyedHash(secret0: 7, secret1: 9)
  private let start = Instant(nanoseconds: 1_000_000_000)

  /// The machine cannot be copied, and what the macro looks at is.
  private func holds(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: sourceLocation)
  }

  private func name(_ number: Int) -> HashKey {
    Self.hash.extend(HashKey(low: 1, high: 2), UInt64(number))
  }

  @Test func namesAreCountedOnce() {
    var admission = Admission(AdmissionLimits(), hash: Self.hash)
    let ip = IPAddress(v4: 0xc000_0201)
    let table: [(name: Int, after: Int, verdict: Admission.NameVerdict)] = [
      (1, 0, .answer), (1, 10, .answer), (2, 20, .answer), (3, 30, .answer), (4, 40, .answer),
      (5, 50, .answer), (6, 60, .answer), (7, 70, .answer), (8, 80, .answer), (8, 90, .answer),
      // The ninth, and then none at all.
      (9, 100, .quiet), (1, 110, .quiet), (9, 1_999, .quiet), (9, 2_000, .ban), (1, 3_000, .ban),
      // Ten minutes after the first it is as if it had never come.
      (1, 600_001, .answer),
    ]
    for step in table {
      let verdict = admission.asked(
        for: name(step.name), from: ip, at: start + .milliseconds(step.after))
      #expect(verdict == step.verdict, "\(step)")
    }
  }

  @Test func aProofForgetsWhatWasBefore() {
    var admission = Admission(AdmissionLimits(), hash: Self.hash)
    let ip = IPAddress(v4: 0xc000_0201)
    for i in 0..<9 { _ = admission.asked(for: name(i), from: ip, at: start) }
    holds(admission.asked(for: name(1), from: ip, at: start) == .quiet)
    holds(!admission.isAcquainted(ip, at: start))
    admission.proved(from: ip, network: 0, at: start)
    holds(admission.isAcquainted(ip, at: start))
    holds(admission.asked(for: name(1), from: ip, at: start) == .answer)
    holds(!admission.isAcquainted(ip, at: start + .seconds(3_600)))
    admission.registered(from: ip)
    admission.registered(from: ip)
    admission.unregistered(from: ip)
    holds(admission.isAcquainted(ip, at: start + .seconds(9_000)))
    admission.unregistered(from: ip)
    holds(!admission.isAcquainted(ip, at: start + .seconds(9_000)))
  }

  @Test func neighboursInAnIPv6NetworkAreOne() {
    var admission = Admission(AdmissionLimits(), hash: Self.hash)
    for i in 0..<9 {
      let ip = IPAddress(v6High: 0x2001_0db8_0000_0001, low: UInt64(i))
      let verdict = admission.asked(for: name(i), from: ip, at: start)
      #expect(verdict == (i < 8 ? .answer : .quiet))
    }
    let other = IPAddress(v6High: 0x2001_0db8_0000_0002, low: 1)
    holds(admission.asked(for: name(1), from: other, at: start) == .answer)
  }

  @Test func offencesAreForgiven() {
    var admission = Admission(AdmissionLimits(), hash: Self.hash)
    let ip = IPAddress(v4: 0xc000_0201)
    for _ in 0..<8 { holds(!admission.offended(ip, parts: 5, at: start)) }
    holds(!admission.offended(ip, parts: 5, at: start + .seconds(30)))
    holds(admission.offended(ip, parts: 5, at: start + .seconds(31)))
  }

  /// Never above the rate, whoever comes when, and nearly all of it is let through.
  @Test(arguments: [(1, 1), (10, 3), (100, 2), (100, 50), (1_000, 2)])
  func ratesAreHeldAndUsed(_ rate: Int, _ factor: Int) {
    var limits = AdmissionLimits()
    limits.sourceRate = rate
    limits.blockRate = rate * 10
    limits.networkRate = rate * 10
    var admission = Admission(limits, hash: Self.hash)
    var random = RandomSource(seed: UInt64(rate * 131 + factor))
    let ip = IPAddress(v4: 0xc000_0201)
    var passed: [Instant] = []
    var now = start
    let seconds = 60
    let mean = 1_000_000_000 / (rate * factor)
    while now < start + .seconds(seconds) {
      let above = admission.exceeds(ip, network: 0, isAcquainted: false, at: now)
      if above == nil { passed.append(now) }
      now = now + Interval(nanoseconds: Int64(random.next(below: mean * 2) + 1))
    }
    // In any span: burst and rate.
    let burst = rate * 2
    for (i, at) in passed.enumerated() {
      let ahead = i + burst + rate
      if ahead < passed.count { #expect(passed[ahead] - at >= .milliseconds(999)) }
    }
    #expect(passed.count <= burst + rate * seconds)
    if factor > 1 { #expect(Double(passed.count) >= 0.98 * Double(rate * seconds)) }
  }

  @Test func blocksAndNetworksHaveTheirRates() {
    var limits = AdmissionLimits()
    limits.blockRate = 100
    limits.networkRate = 300
    var admission = Admission(limits, hash: Self.hash)
    var reasons: [AdmissionCounters.Reason: Int] = [:]
    var passed = 0
    for block in 0..<4 {
      for host in 0..<250 {
        let ip = IPAddress(v4: 0x0a00_0000 + UInt32(block << 8 + host))
        if let reason = admission.exceeds(ip, network: 1, isAcquainted: false, at: start) {
          reasons[reason, default: 0] += 1
        } else {
          passed += 1
        }
      }
    }
    #expect(passed == 600)
    #expect(reasons[.blockRate] == 150 && reasons[.networkRate] == 250)
    // Another network is another matter.
    holds(admission.exceeds(IPAddress(v4: 1), network: 0, isAcquainted: false, at: start) == nil)
  }

  /// A million addresses: the memory is what it was after the first one.
  @Test func aMillionSourcesNeedNoMore() {
    var admission = Admission(AdmissionLimits(), hash: Self.hash)
    _ = admission.exceeds(IPAddress(v4: 1), network: 0, isAcquainted: false, at: start)
    _ = admission.asked(for: name(1), from: IPAddress(v4: 1), at: start)
    admission.guessed(name(1), at: start)
    admission.proved(from: IPAddress(v4: 1), network: 0, at: start)
    let memory = admission.memory
    var now = start
    let flooder = IPAddress(v4: 0xc000_0201)
    var fromFlooder = 0
    for i in 0..<1_000_000 {
      let ip = IPAddress(v4: UInt32(truncatingIfNeeded: i &* 2_654_435_761))
      _ = admission.exceeds(ip, network: 0, isAcquainted: false, at: now)
      if i % 10 == 0 {
        let above = admission.exceeds(flooder, network: 1, isAcquainted: false, at: now)
        if above == nil { fromFlooder += 1 }
      }
      now = now + .microseconds(10)
    }
    holds(admission.memory == memory)
    #expect(memory < 4 << 20)
    // Who floods is remembered however many others come: ten seconds of its rate, and what it may at once.
    #expect(fromFlooder <= 1_200 + 60)
  }

  @Test func guessesAreTwentyAMinuteAtMost() {
    var admission = Admission(AdmissionLimits(), hash: Self.hash)
    let bytes = Array("alice".utf8)
    let here = admission.account(bytes.rawSpan, tenant: 0, from: IPAddress(v4: 0xc000_0201))
    let neighbour = admission.account(bytes.rawSpan, tenant: 0, from: IPAddress(v4: 0xc000_02fe))
    let elsewhere = admission.account(bytes.rawSpan, tenant: 0, from: IPAddress(v4: 0xc000_0301))
    #expect(here == neighbour && here != elsewhere)
    var looked: [Instant] = []
    for i in 0..<3_000 {
      let now = start + .milliseconds(i * 100)
      if admission.mayGuess(here, at: now) {
        admission.guessed(here, at: now)
        looked.append(now)
      }
    }
    for i in looked.indices.dropFirst(20) { #expect(looked[i] - looked[i - 20] >= .seconds(60)) }
    #expect(looked.count >= 58)
    holds(admission.mayGuess(elsewhere, at: start))
  }
}
