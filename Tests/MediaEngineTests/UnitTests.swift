import Base
import MediaControl
import MediaEngine
import Testing

@Suite struct LatchTests {
  let sdp = IPAddress(v4: 0xc000_0201)
  let signalling = IPAddress(v4: 0xc633_6401)
  let stranger = SocketAddress(IPAddress(v4: 0xcb00_7101), 4_000)

  private func admit(
    _ latch: inout SourceLatch, _ source: SocketAddress, _ policy: LatchPolicy = .signalled
  ) -> SourceLatch.Verdict {
    latch.admit(
      source, media: SocketAddress(sdp, 4_000), signalling: signalling, policy: policy)
  }

  @Test func onlySignalledAddressesLatchByDefault() {
    var latch = SourceLatch()
    for _ in 0..<10 {
      let verdict = admit(&latch, stranger)
      #expect(verdict == .refused)
    }
    let first = admit(&latch, SocketAddress(signalling, 999))
    #expect(first == .latched)
    let again = admit(&latch, SocketAddress(signalling, 999))
    #expect(again == .accepted)
    let otherPort = admit(&latch, SocketAddress(signalling, 998))
    #expect(otherPort == .refused)
    let fromSDP = admit(&latch, SocketAddress(sdp, 999))
    #expect(fromSDP == .refused)
  }

  /// Somebody at the same IP, a NAT's or a host's, is first; then the far end itself speaks.
  @Test func thePortOfSDPTakesALatchByAddressAlone() {
    var latch = SourceLatch()
    let first = admit(&latch, SocketAddress(sdp, 999))
    #expect(first == .latched)
    let named = admit(&latch, SocketAddress(sdp, 4_000))
    #expect(named == .displaced)
    latch.move(to: SocketAddress(sdp, 4_000))
    let again = admit(&latch, SocketAddress(sdp, 999))
    #expect(again == .refused)
    #expect(latch.address == SocketAddress(sdp, 4_000))
  }

  /// Where it has been found once, by its flow or by its port, nobody takes it by that.
  @Test func aFlowThatMovedStaysWhereItIs() {
    var latch = SourceLatch()
    _ = admit(&latch, SocketAddress(sdp, 4_000))
    latch.move(to: SocketAddress(sdp, 999))
    let old = admit(&latch, SocketAddress(sdp, 4_000))
    #expect(old == .refused)
  }

  @Test func aSignalledSourceEndsTheWindow() {
    var latch = SourceLatch()
    let early = admit(&latch, stranger, .window)
    #expect(early == .latched)
    let real = admit(&latch, SocketAddress(sdp, 1), .window)
    #expect(real == .latched)
    #expect(latch.state == .fixed)
    let late = admit(&latch, stranger, .window)
    #expect(late == .refused)
  }

  @Test func theMajorityOfTheWindowWins() {
    let real = SocketAddress(IPAddress(v4: 0xcb00_7102), 5_000)
    for order in [
      [stranger, real, real, stranger, real], [real, real, real, stranger, stranger],
      [stranger, stranger, real, real, real], [real, stranger, real, real, stranger],
    ] {
      var latch = SourceLatch()
      for source in order { _ = admit(&latch, source, .window) }
      #expect(latch.state == .fixed)
      #expect(latch.address == real)
    }
  }
}

@Suite struct DestinationTests {
  let bound = IPAddress(v4: 0xc000_0201)
  let peer = IPAddress(v4: 0xc633_6401)

  @Test func forbiddenNetsAreRefused() {
    let destinations = Destinations(
      [MediaAddress(name: "wan", bound: bound, ports: 20_000...20_999)], interfaces: [])
    func allows(_ ip: IPAddress, _ port: UInt16 = 4_000, signalling: IPAddress? = nil) -> Bool {
      destinations.allows(
        SocketAddress(ip, port), from: bound, signalling: signalling ?? peer)
    }
    #expect(allows(peer))
    #expect(!allows(peer, 0))
    #expect(allows(bound, 30_000))  // another program of this machine
    #expect(!allows(.anyV4))
    #expect(!allows(IPAddress(v4: 0xe000_0001)))
    #expect(!allows(IPAddress(v4: 0xffff_ffff)))
    #expect(!allows(IPAddress(v4: 0xa9fe_a9fe)))  // 169.254.169.254
    #expect(!allows(.loopbackV4))
    #expect(allows(.loopbackV4, signalling: .loopbackV4))
    #expect(!allows(.loopbackV6))  // another family
  }

  @Test func aWildcardIsEveryAddressOfTheMachine() {
    let destinations = Destinations(
      [MediaAddress(name: "any", bound: .anyV4, ports: 20_000...20_999)], interfaces: [bound])
    #expect(destinations.isOwn(SocketAddress(bound, 20_001)))
    #expect(destinations.isOwn(SocketAddress(.loopbackV4, 20_001)))
    #expect(!destinations.isOwn(SocketAddress(peer, 20_001)))
  }
}

@Suite struct DeadlineHeapTests {
  @Test func agreesWithSorting() {
    var heap = DeadlineHeap(count: 200)
    var model: [Int: UInt64] = [:]
    var random = RandomSource(seed: 11)
    var now: UInt64 = 0
    for _ in 0..<20_000 {
      let timer = random.next(below: 200)
      switch random.next(below: 5) {
      case 0...2:
        let due = now + UInt64(random.next(below: 1_000))
        heap.arm(timer, at: Instant(nanoseconds: due))
        model[timer] = due
      case 3:
        heap.cancel(timer)
        model[timer] = nil
      default:
        now += UInt64(random.next(below: 100))
        while let (fired, due) = heap.pop(at: Instant(nanoseconds: now)) {
          #expect(model[fired] == due.nanoseconds)
          #expect(model.values.min() == due.nanoseconds)
          model[fired] = nil
        }
        #expect(model.values.allSatisfy { $0 > now })
      }
      #expect(heap.next?.nanoseconds == model.values.min())
      #expect(heap.count == model.count)
    }
  }
}

@Suite struct SpokenResultTests {
  @Test(arguments: [
    (0, [SpokenWord.zero]), (7, [.seven]), (19, [.nineteen]), (20, [.twenty]),
    (42, [.forty, .two]), (100, [.one, .hundred]), (315, [.three, .hundred, .fifteen]),
    (5_000, [.nine, .hundred, .ninety, .nine]), (-3, [.zero]),
  ])
  func numbers(value: Int, words: [SpokenWord]) {
    #expect(SpokenResult.whole(value) == words)
  }

  @Test func theWholeSentence() {
    let quality = Quality(expected: 1_000, lost: 25, jitter: 12_400, codec: .pcmu)
    #expect(
      SpokenResult.words(quality) == [
        .pause, .qualityTest, .pause, .loss, .two, .point, .five, .percent, .pause, .jitter,
        .twelve, .milliseconds, .pause, .meanOpinionScore, .four, .point, .two, .pause, .good,
      ])
    let nothing = Quality(expected: 0, lost: 0, jitter: 0, codec: .pcmu)
    #expect(SpokenResult.words(nothing).last == .noAudioReceived)
    let poor = Quality(expected: 1_000, lost: 300, jitter: 0, codec: .pcmu)
    #expect(SpokenResult.words(poor).last == .poor)
  }

  @Test func everyWordIsRecorded() {
    for word in SpokenWord.allCases where word != .pause {
      let seconds = Double(SpokenResult.recording(word).count) / 8_000
      #expect((0.2...1.5).contains(seconds), "\(word)")
    }
    #expect(SpokenResult.recording(.pause).isEmpty)
  }
}
