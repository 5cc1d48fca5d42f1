import Base
import MediaControl
import Testing

/// The pool behind a reference: `#expect` cannot call a mutating function in its condition.
private final class Pool {
  var pool: MediaPortPool
  init(_ addresses: [MediaAddress]) { pool = MediaPortPool(addresses: addresses) }

  @discardableResult
  func add(_ ports: ClosedRange<UInt16>, address: Int = 0, except: [UInt16] = []) -> Int {
    pool.add(address: address, ports: ports, except: except)
  }
  func lease(at now: Instant) -> LocalMedia? { pool.lease(address: 0, at: now) }
  func release(_ lease: LocalMedia, at now: Instant) -> Bool { pool.release(lease, at: now) }
  var free: Int { pool.free }
  var leased: Int { pool.leased }
}

@Suite struct MediaPortPoolTests {
  let address = MediaAddress(name: "lan", bound: .loopbackV4, ports: 20_001...20_010)

  @Test func nothingIsLeasableUntilThePortsAreBound() {
    let pool = Pool([address])
    #expect(pool.lease(at: .zero) == nil)
    #expect(pool.add(20_000...20_011, except: [20_004]) == 3)
    #expect(pool.free == 3)
    // Whole pairs inside the range only: 20 002, 20 006 and 20 008, lowest first.
    let leases = (0..<4).map { _ in pool.lease(at: .zero)?.port }
    #expect(leases == [20_002, 20_006, 20_008, nil])
    #expect(pool.leased == 3)
  }

  @Test func releasedPairsRestAndComeBackInOrder() throws {
    let pool = Pool([address])
    pool.add(address.ports)
    let start = Instant.zero + .seconds(100)
    let all = (0..<4).compactMap { _ in pool.lease(at: start) }
    #expect(all.map(\.port) == [20_002, 20_004, 20_006, 20_008])
    #expect(pool.release(all[2], at: start))
    #expect(pool.release(all[0], at: start + .milliseconds(1)))
    #expect(pool.lease(at: start + .milliseconds(4_999)) == nil)
    #expect(pool.lease(at: start + .seconds(5))?.port == 20_006)
    #expect(pool.lease(at: start + .seconds(5)) == nil)
    #expect(pool.lease(at: start + .milliseconds(5_001))?.port == 20_002)
  }

  @Test func aDoubleOrForeignReleaseIsReportedAndIgnored() throws {
    let pool = Pool([address])
    pool.add(address.ports)
    let lease = try #require(pool.lease(at: .zero))
    #expect(pool.release(lease, at: .zero))
    #expect(!pool.release(lease, at: .zero))
    #expect(!pool.release(LocalMedia(address: 0, port: 20_003), at: .zero))
    #expect(!pool.release(LocalMedia(address: 0, port: 20_010), at: .zero))
    #expect(!pool.release(LocalMedia(address: 0, port: 2), at: .zero))
    #expect(!pool.release(LocalMedia(address: 7, port: 20_002), at: .zero))
    #expect(pool.free == 4)
    #expect(pool.leased == 0)
  }

  @Test func portsThatAppearLaterAreUsableAtOnceAndOnlyOnce() throws {
    let pool = Pool([address])
    pool.add(20_002...20_003)
    let lease = try #require(pool.lease(at: .zero))
    #expect(pool.release(lease, at: .zero))
    #expect(pool.add(address.ports) == 3)
    #expect(pool.add(address.ports) == 0)
    #expect(pool.lease(at: .zero)?.port == 20_004)
    #expect(pool.add(address.ports, address: 9) == 0)
  }

  @Test(arguments: [0...0, 65_535...65_535, 65_534...65_535, 0...65_535] as [ClosedRange<UInt16>])
  func rangesAtTheEdgesHold(ports: ClosedRange<UInt16>) {
    let pool = Pool([MediaAddress(name: "x", bound: .anyV6, ports: ports)])
    #expect(pool.add(ports) == ports.count / 2)
    #expect(pool.free == ports.count / 2)
  }

  /// Random use against a model: no pair twice, none before its rest, none lost.
  @Test func randomUseKeepsTheInvariants() {
    let ports: ClosedRange<UInt16> = 30_000...30_199
    let pool = Pool([MediaAddress(name: "x", bound: .anyV4, ports: ports)])
    pool.add(ports)
    var state: UInt64 = 42
    var now = Instant.zero + .seconds(10)
    var leased: [LocalMedia] = []
    var rested: [UInt16: Instant] = [:]
    for _ in 0..<20_000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      now = now + .milliseconds(Int(state >> 60) * 8)
      if state >> 32 & 1 == 0 {
        guard let lease = pool.lease(at: now) else { continue }
        #expect(!leased.contains(lease))
        if let end = rested[lease.port] { #expect(now - end >= MediaPortPool.quarantine) }
        leased.append(lease)
      } else if !leased.isEmpty {
        let lease = leased.remove(at: Int(state >> 40 & 0xffff) % leased.count)
        rested[lease.port] = now
        let released = pool.release(lease, at: now)
        #expect(released)
      }
      #expect(pool.leased == leased.count)
      #expect(pool.free + pool.leased == 100)
    }
  }
}
