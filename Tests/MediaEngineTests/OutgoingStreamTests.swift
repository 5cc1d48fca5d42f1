import MediaEngine
import Testing

/// How long a flow was silent goes into its timestamps, of which half mean "earlier".
@Suite struct OutgoingStreamTests {
  private static let hour: UInt64 = 3_600_000_000_000

  /// Whatever the date is: the first packet of a flow is as far from its origin as a packet is long.
  @Test func whatHasSaidNothingHasNoSilence() {
    let stream = OutgoingStream()
    for wall in [0, 1, 1_796_000_000_000_000_000, UInt64.max] {
      #expect(stream.silence(at: wall, atLeast: 20) == 20)
    }
  }

  @Test func silenceFitsIntoATimestamp() {
    var stream = OutgoingStream()
    stream.wall = 1_796_000_000_000_000_000
    #expect(stream.silence(at: stream.wall + 3_000_000_000, atLeast: 20) == 3_000)
    #expect(stream.silence(at: stream.wall + 1_000_000, atLeast: 20) == 20)
    // A clock that was set back.
    #expect(stream.silence(at: stream.wall - Self.hour, atLeast: 20) == 20)
    for hours in [1, 13, 24, 100_000] as [UInt64] {
      let silence = stream.silence(at: stream.wall + hours * Self.hour, atLeast: 20)
      #expect(silence * 48 < 1 << 31 && silence == 3_600_000)
    }
  }
}
