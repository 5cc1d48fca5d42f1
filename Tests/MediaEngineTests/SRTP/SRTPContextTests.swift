import Base
import MediaControl
import MediaEngine
import Testing

@Suite struct SRTPContextTests {
  private func pair(_ suite: SRTPSuite) throws -> (Sender, Receiver) {
    let key = try #require(testKey(suite))
    return (try #require(Sender(key)), try #require(Receiver(key)))
  }

  @Test(arguments: SRTPSuite.allCases)
  func thereAndBack(suite: SRTPSuite) throws {
    let (sender, receiver) = try pair(suite)
    for size in [0, 1, 15, 16, 160, 1_400] {
      let packet = speech(UInt16(size), payload: size)
      let sealed = try sender.protect(packet).get()
      #expect(sealed.count == packet.count + suite.tagSize)
      #expect(sealed[..<12] == packet[..<12])
      #expect(size < 15 || sealed[12..<packet.count] != packet[12...])
      #expect(try receiver.unprotect(sealed).get() == packet)
    }
    let plain = report()
    let sealed = try sender.protectControl(plain).get()
    #expect(sealed.count == plain.count + 4 + suite.controlTagSize)
    #expect(sealed[..<8] == plain[..<8] && sealed[8..<24] != plain[8..<24])
    #expect(try receiver.unprotectControl(sealed).get() == plain)
  }

  /// CSRCs and extension stay readable, and are authenticated.
  @Test(arguments: SRTPSuite.allCases)
  func aLongHeader(suite: SRTPSuite) throws {
    let (sender, receiver) = try pair(suite)
    var packet = speech(9)
    packet[0] = 0x91
    packet.insert(contentsOf: [1, 1, 1, 1, 0xbe, 0xde, 0, 1, 0x10, 5, 0, 0], at: 12)
    let sealed = try sender.protect(packet).get()
    #expect(sealed[..<24] == packet[..<24])
    var changed = sealed
    changed[21] ^= 1
    #expect(receiver.unprotect(changed) == .failure(.unauthentic))
    #expect(try receiver.unprotect(sealed).get() == packet)
  }

  /// Over two rollovers, with loss, and every packet of the last window replayed now and then.
  @Test(arguments: SRTPSuite.allCases)
  func rollover(suite: SRTPSuite) throws {
    let (sender, receiver) = try pair(suite)
    var recent: [[UInt8]] = []
    for number in stride(from: 65_000, to: 135_000, by: flowStep) where number % 17 != 0 {
      let packet = speech(UInt16(truncatingIfNeeded: number), payload: 20)
      let sealed = try sender.protect(packet).get()
      guard case .success(packet) = receiver.unprotect(sealed) else {
        Issue.record("\(number) was not taken")
        return
      }
      if number % 10_000 > 9_900 { recent.append(sealed) }
      if number % 10_000 / flowStep == 9_999 / flowStep {
        for old in recent { #expect(receiver.unprotect(old) == .failure(.replayed)) }
        recent = []
      }
    }
  }

  /// A packet of an earlier rollover is not the one with the same sequence number in this one.
  @Test(arguments: SRTPSuite.allCases)
  func anOldPacketAfterARollover(suite: SRTPSuite) throws {
    let (sender, receiver) = try pair(suite)
    let first = try sender.protect(speech(100)).get()
    #expect(try receiver.unprotect(first).get() == speech(100))
    for number in stride(from: 20_000, to: 65_536 + 90, by: 10_000) {
      let sealed = try sender.protect(speech(UInt16(truncatingIfNeeded: number))).get()
      _ = try receiver.unprotect(sealed).get()
    }
    let turned = try sender.protect(speech(90)).get()
    _ = try receiver.unprotect(turned).get()
    #expect(receiver.unprotect(first) == .failure(.unauthentic))
    let again = try sender.protect(speech(100)).get()
    #expect(again != first)
    #expect(try receiver.unprotect(again).get() == speech(100))
  }

  @Test(arguments: SRTPSuite.allCases)
  func lateIsTakenOnceAndForgedNever(suite: SRTPSuite) throws {
    let (sender, receiver) = try pair(suite)
    let late = try sender.protect(speech(10)).get()
    for sequence in UInt16(11)...60 {
      _ = try receiver.unprotect(sender.protect(speech(sequence)).get()).get()
    }
    for place in [0, 3, 11, 12, 40, late.count - 1] where place != 0 {
      var forged = late
      forged[place] ^= 0x40
      let verdict = receiver.unprotect(forged)
      // A changed number may be one that has been; whatever it is, it does not pass.
      #expect(verdict == .failure(.unauthentic) || verdict == .failure(.replayed))
    }
    #expect(try receiver.unprotect(late).get() == speech(10))
    #expect(receiver.unprotect(late) == .failure(.replayed))
  }

  /// What does not authenticate changes nothing: a forged packet far ahead neither moves the window nor the
  /// rollover counter, and a forged source takes no place.
  @Test(arguments: SRTPSuite.allCases)
  func forgeriesLeaveNoTrace(suite: SRTPSuite) throws {
    let (sender, receiver) = try pair(suite)
    _ = try receiver.unprotect(sender.protect(speech(1_000)).get()).get()
    for number in 0..<300 {
      let forged =
        speech(UInt16(number * 200), ssrc: UInt32(number)) + [UInt8](repeating: 7, count: 16)
      #expect(receiver.unprotect(forged) == .failure(.unauthentic))
      var ahead = speech(UInt16(truncatingIfNeeded: 30_000 + number))
      ahead += [UInt8](repeating: 1, count: 16)
      #expect(receiver.unprotect(ahead) == .failure(.unauthentic))
    }
    #expect(try receiver.unprotect(sender.protect(speech(1_001)).get()).get() == speech(1_001))
  }

  @Test(arguments: SRTPSuite.allCases)
  func anotherKeyIsRefused(suite: SRTPSuite) throws {
    let (sender, _) = try pair(suite)
    let receiver = try #require(testKey(suite, 2).flatMap(Receiver.init))
    #expect(receiver.unprotect(try sender.protect(speech(1)).get()) == .failure(.unauthentic))
    #expect(
      receiver.unprotectControl(try sender.protectControl(report()).get()) == .failure(.unauthentic)
    )
    // Plain packets, which are what a protected leg must not take.
    #expect(receiver.unprotect(speech(1)) == .failure(.unauthentic))
    #expect(receiver.unprotect(speech(1, payload: 0)) == .failure(.unauthentic))
    #expect(receiver.unprotectControl(report()) != .success(report()))
  }

  /// One place of the key stream, one packet: whatever the source does.
  @Test(arguments: SRTPSuite.allCases)
  func nothingIsSentTwice(suite: SRTPSuite) throws {
    let (sender, _) = try pair(suite)
    for sequence in UInt16(1_000)...1_200 { _ = try sender.protect(speech(sequence)).get() }
    #expect(sender.protect(speech(1_200)) == .failure(.replayed))
    #expect(sender.protect(speech(1_200, payload: 20)) == .failure(.replayed))
    #expect(sender.protect(speech(1_000)) == .failure(.replayed))
    #expect(sender.protect(speech(60_000)) == .failure(.replayed), "before the beginning")
    #expect(try sender.protect(speech(1_200, ssrc: 1)).get().count > 0)
  }

  @Test func controlPacketsAreCounted() throws {
    let (sender, receiver) = try pair(.aesCM128HMAC80)
    var sent: [[UInt8]] = []
    for ssrc in UInt32(0)..<10 {
      let sealed = try sender.protectControl(report(ssrc: ssrc % 2)).get()
      #expect(sealed[24..<28] == [0x80, 0, 0, UInt8(ssrc)])
      sent.append(sealed)
    }
    for sealed in sent.reversed() { _ = try receiver.unprotectControl(sealed).get() }
    for sealed in sent { #expect(receiver.unprotectControl(sealed) == .failure(.replayed)) }
  }

  /// Not encrypted, with a tag or without: nobody has agreed to that.
  @Test(arguments: SRTPSuite.allCases)
  func anUnencryptedReportIsRefused(suite: SRTPSuite) throws {
    let (_, receiver) = try pair(suite)
    let bare = report() + [0, 0, 0, 1] + [UInt8](repeating: 0, count: suite.controlTagSize)
    #expect(receiver.unprotectControl(bare) == .failure(.unauthentic))
  }

  @Test func tooManySources() throws {
    let (sender, receiver) = try pair(.aeadAES128GCM)
    for ssrc in UInt32(0)..<128 {
      _ = try receiver.unprotect(sender.protect(speech(1, ssrc: ssrc)).get()).get()
    }
    #expect(sender.protect(speech(1, ssrc: 999)) == .failure(.exhausted))
    let other = try #require(testKey(.aeadAES128GCM).flatMap(Sender.init))
    let beyond = try other.protect(speech(1, ssrc: 999)).get()
    #expect(receiver.unprotect(beyond) == .failure(.exhausted))
    #expect(receiver.unprotect(try other.protect(speech(2, ssrc: 5)).get()) != .failure(.exhausted))
  }

  /// RFC 3711 §3.1: between the encrypted part and the tag, and not authenticated.
  @Test(arguments: [SRTPSuite.aesCM128HMAC80, .aesCM128HMAC32, .aeadAES256GCM])
  func identifiers(suite: SRTPSuite) throws {
    let (sender, _) = try pair(suite)
    let named = try #require(testKey(suite, identifier: 1, identifierSize: 2))
    let receiver = try #require(Receiver(named))
    func insert(_ identifier: [UInt8], _ sealed: [UInt8], tag: Int) -> [UInt8] {
      let place = suite.isAEAD ? sealed.count : sealed.count - tag
      return Array(sealed[..<place]) + identifier + Array(sealed[place...])
    }
    let media = try sender.protect(speech(1)).get()
    #expect(receiver.unprotect(media) == .failure(.unauthentic))
    #expect(
      receiver.unprotect(insert([0, 2], media, tag: suite.tagSize)) == .failure(.unauthentic))
    #expect(
      try receiver.unprotect(insert([0, 1], media, tag: suite.tagSize)).get() == speech(1))
    let control = try sender.protectControl(report()).get()
    #expect(
      try receiver.unprotectControl(insert([0, 1], control, tag: suite.controlTagSize)).get()
        == report())
  }

  /// Nothing of any length makes it read or write outside.
  @Test(arguments: SRTPSuite.allCases)
  func shortPackets(suite: SRTPSuite) throws {
    let (sender, receiver) = try pair(suite)
    let packet = speech(1, payload: 40)
    let compound = report() + report()
    for count in 0..<packet.count {
      let short = Array(packet[..<count])
      _ = sender.protect(short)
      #expect(receiver.unprotect(short) != .success(short))
    }
    for count in 0..<compound.count {
      let short = Array(compound[..<count])
      #expect(count >= 8 || sender.protectControl(short) == .failure(.malformed))
      #expect(receiver.unprotectControl(short) != .success(short))
    }
  }

  @Test func aKeyPrintsAsDots() throws {
    let key = try #require(testKey(.aesCM128HMAC80))
    let text = String(reflecting: key) + "\(key)" + String(describing: Optional(key))
    #expect(!text.contains("15, 22"))
    #expect(text.contains("•••"))
  }
}
