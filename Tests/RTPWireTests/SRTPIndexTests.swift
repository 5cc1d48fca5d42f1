import Base
import RTPWire
import Testing

@Suite struct SRTPIndexTests {
  /// RFC 3711 appendix A, at each of its edges.
  @Test(arguments: [
    // sequence, highest so far, expected
    (UInt16(5), UInt64(4), UInt64(5) as UInt64?),
    (3, 4, 3),
    (32_772, 4, 32_772),
    (32_773, 4, nil),  // would lie before the beginning
    (65_535, 0x1_0000, 65_535),
    (0, 65_535, 0x1_0000),
    (32_766, 65_535, 0x1_0000 + 32_766),
    (32_767, 65_535, 32_767),
    (65_534, 0x5_0002, 0x4_0000 + 65_534),
    (2, 0x4_fffe, 0x5_0002),
    (0, 0xffff_ffff_ffff, 0x1_0000_0000_0000),  // beyond what a key lasts for
  ])
  func estimate(sequence: UInt16, highest: UInt64, expected: UInt64?) {
    #expect(SRTPIndex.estimate(sequence: sequence, highest: highest) == expected)
  }

  /// Each packet of a flow over three rollovers, with every tenth late by up to twenty places.
  @Test func aReorderedFlowIsCountedRight() {
    var highest: UInt64 = 40_000
    for number in UInt64(40_001)..<240_000 {
      let index = number % 10 == 0 ? number - number / 10 % 20 : number
      let found = SRTPIndex.estimate(
        sequence: UInt16(truncatingIfNeeded: index), highest: highest)
      guard found == index else {
        Issue.record("\(index) was taken for \(String(describing: found))")
        return
      }
      highest = max(highest, index)
    }
  }
}

@Suite struct ReplayWindowTests {
  @Test func eachIndexOnce() {
    var window = ReplayWindow()
    for index in [UInt64(100), 101, 105, 103, 102, 228, 230] {
      #expect(window.admits(index))
      window.note(index)
      #expect(!window.admits(index))
    }
    #expect(window.admits(104))
    #expect(!window.admits(101), "seen")
    #expect(window.highest == 230)
  }

  @Test func olderThanTheWindowIsRefused() {
    var window = ReplayWindow()
    window.note(1_000)
    #expect(window.admits(1_000 - 127))
    #expect(!window.admits(1_000 - 128))
    window.note(1_000 - 127)
    #expect(!window.admits(1_000 - 127))
    window.note(1_001)
    #expect(!window.admits(1_000 - 127))
    #expect(!window.admits(1_000))
  }

  @Test func aJumpForgetsNothingThatIsStillInReach() {
    var window = ReplayWindow()
    window.note(0)
    #expect(!window.isEmpty)
    window.note(127)
    #expect(!window.admits(0))
    #expect(window.admits(1))
    window.note(127 + 128)
    #expect(!window.admits(127))
    #expect(window.admits(128))
    window.note(1 << 40)
    #expect(!window.admits(127 + 128))
    #expect(!window.admits(1 << 40))
    #expect(window.admits(1 << 40 - 1))
  }

  @Test func nothingIsSeenAtFirst() {
    let window = ReplayWindow()
    #expect(window.isEmpty)
    #expect(window.admits(0))
    #expect(window.admits(1 << 47))
  }
}

@Suite struct SRTPHeaderTests {
  private func header(_ packet: [UInt8]) -> SRTPHeader? { SRTPHeader(packet.span.rawSpan) }

  @Test func extensionAndSourcesStayReadable() throws {
    var packet: [UInt8] = [0x92, 0x80, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4]
    packet += [UInt8](repeating: 9, count: 8)  // two CSRCs
    packet += [0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]
    packet += [1, 2, 3]
    let header = try #require(self.header(packet))
    #expect(header.size == 28)
    #expect(header.sequence == 7)
    #expect(header.ssrc == 0x0102_0304)
    #expect(self.header(Array(packet[..<27])) == nil)
    #expect(self.header(Array(packet[..<28]))?.size == 28)
  }

  /// Bit and length of padding are encrypted with the payload.
  @Test func paddingIsNotLookedAt() {
    let packet: [UInt8] = [0xa0, 0, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4, 0xff]
    #expect(header(packet)?.size == 12)
  }

  @Test(arguments: [
    [UInt8](repeating: 0x80, count: 11),
    [0x40, 0, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4],
    [0x80, 200, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4],
    [0x8f, 0, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4],
    [0x90, 0, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4, 0xbe, 0xde, 0xff, 0xff],
  ])
  func whatCannotBeRTP(packet: [UInt8]) {
    #expect(header(packet) == nil)
  }
}
