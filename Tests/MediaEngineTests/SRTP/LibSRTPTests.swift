import MediaControl
import MediaEngine
import Testing

/// Ours against libsrtp2, in both directions and over rollovers.
@Suite(.enabled(if: LibSRTP.isInstalled, "libsrtp2.so.1 is not installed"))
struct LibSRTPTests {
  @Test(arguments: SRTPSuite.allCases)
  func weSealAndItOpens(suite: SRTPSuite) throws {
    let key = try #require(testKey(suite))
    let ours = try #require(Sender(key))
    let theirs = try #require(LibSRTP(key, .receives))
    // libsrtp wants the beginning of a flow well before its first rollover, as RFC 3711 §3.3.1 does.
    for number in stride(from: 20_000, to: 90_000, by: flowStep) where number % 23 != 0 {
      let packet = speech(UInt16(truncatingIfNeeded: number), payload: 1 + number % 20)
      guard theirs.unprotect(try ours.protect(packet).get()) == packet else {
        Issue.record("\(suite): packet \(number)")
        return
      }
    }
    for number in 0..<300 {
      let plain = report(ssrc: UInt32(number % 3))
      guard theirs.unprotectControl(try ours.protectControl(plain).get()) == plain else {
        Issue.record("\(suite): report \(number)")
        return
      }
    }
  }

  @Test(arguments: SRTPSuite.allCases)
  func itSealsAndWeOpen(suite: SRTPSuite) throws {
    let key = try #require(testKey(suite))
    let ours = try #require(Receiver(key))
    let theirs = try #require(LibSRTP(key, .sends))
    var kept: [UInt8] = []
    for number in stride(from: 20_000, to: 90_000, by: flowStep) where number % 23 != 0 {
      let packet = speech(UInt16(truncatingIfNeeded: number), payload: 1 + number % 20)
      let sealed = try #require(theirs.protect(packet))
      guard ours.unprotect(sealed) == .success(packet) else {
        Issue.record("\(suite): packet \(number)")
        return
      }
      if number % 1_000 < flowStep { kept = sealed }
      if number % 1_000 / flowStep == 10 { #expect(ours.unprotect(kept) == .failure(.replayed)) }
    }
    for number in 0..<300 {
      let plain = report(ssrc: UInt32(number % 3))
      let sealed = try #require(theirs.protectControl(plain))
      guard ours.unprotectControl(sealed) == .success(plain) else {
        Issue.record("\(suite): report \(number)")
        return
      }
    }
  }
}
