import Base
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// One side of a recording on virtual packets: what was said when is found where it was said.
@Suite struct RecordingTrackTests {
  /// Somebody who counts in a clock of his own, and says something loud now and then.
  private struct Speaker {
    var track = RecordingTrack(.narrow)
    /// Of the sender's clock, in millionths.
    var drift = 0.0
    var packetMilliseconds = 20
    var ssrc: UInt32 = 7
    var firstTimestamp: UInt32 = 0xffff_f000
    /// When the network was slow, in samples.
    var jitter: (Int) -> Int = { _ in 0 }
    var isLost: (Int) -> Bool = { _ in false }
    /// Loud samples as they were said, and as they were found, by the time line.
    private(set) var said: [Int] = []
    private(set) var found: [Int] = []
    private var written = 0
    private var wasLoud = false
    var mask = 0
    /// Of what is said between the loud samples.
    var level: Int16 = 0

    private var samples: Int { packetMilliseconds * 8 }

    /// Packet `number` of those that begin at `start`; `marker`: its first sample is loud.
    mutating func say(_ number: Int, from start: Int, marker: Bool) {
      let begin = start + Int(Double(number * samples) * (1 + drift / 1_000_000))
      let arrival = begin + samples + 400 + jitter(number)
      collect(upTo: arrival - 2_560)
      guard !isLost(number) else { return }
      var payload = [UInt8](repeating: G711.ulaw(linear: level), count: samples)
      if marker {
        for i in 0..<8 { payload[i] = G711.ulaw(linear: 16_000) }
        said.append(begin + 400)
      }
      let header = RTPHeader(
        payloadType: 0, marker: false, sequence: UInt16(truncatingIfNeeded: number),
        timestamp: firstTimestamp &+ UInt32(truncatingIfNeeded: number * samples), ssrc: ssrc)
      _ = track.take(
        header, payload.rawSpan, .pcmu, arrival: arrival, written: written, mask: mask)
    }

    mutating func collect(upTo end: Int) {
      while written < end {
        let isLoud = track.remove(at: written) > 8_000
        if isLoud && !wasLoud { found.append(written) }
        wasLoud = isLoud
        written += 1
      }
    }

    /// The largest distance between what was said and what was found, in milliseconds; nil: not as many were found.
    var shift: Int? {
      guard said.count == found.count else { return nil }
      return zip(said, found).map { abs($0 - $1) }.max().map { $0 / 8 }
    }
  }

  /// Twelve minutes, in which such clocks part by 144 ms.
  @Test(arguments: [(200.0, Int16(0)), (-200, 0), (200, 1_000), (-200, 1_000)])
  func clocksThatDrift(drift: Double, level: Int16) throws {
    var speaker = Speaker()
    speaker.drift = drift
    speaker.level = level
    speaker.jitter = { $0 % 7 * 24 }
    for number in 0..<36_000 { speaker.say(number, from: 8_000, marker: number % 500 == 250) }
    speaker.collect(upTo: 12 * 60 * 8_000 + 20_000)
    #expect(speaker.said.count == 72)
    let found = speaker.shift
    let shift = try #require(found, "\(speaker.found.count) were found")
    #expect(shift <= 20, "\(shift) ms")
  }

  @Test func lossLeavesRoom() throws {
    var speaker = Speaker()
    speaker.isLost = { $0 % 10 == 3 || (200..<260).contains($0) }
    for number in 0..<1_000 { speaker.say(number, from: 0, marker: number % 50 == 0 && number > 0) }
    speaker.collect(upTo: 1_000 * 160 + 8_000)
    // Two of them were in the hole.
    #expect(speaker.said.count == 17)
    let shift = speaker.shift
    #expect(try #require(shift) <= 1)
  }

  /// The first packet was late, as it is when a path is found: the others are not put as late.
  @Test func aLateFirstPacket() throws {
    var speaker = Speaker()
    speaker.jitter = { $0 == 0 ? 1_200 : 0 }
    for number in 0..<300 { speaker.say(number, from: 0, marker: number % 50 == 49) }
    speaker.collect(upTo: 60_000)
    let shift = speaker.shift
    #expect(try #require(shift) <= 6)
  }

  /// A hold of a minute: time stamps went on with some phones, and began anew with others.
  @Test(arguments: [true, false])
  func afterAPause(sameFlow: Bool) throws {
    var speaker = Speaker()
    for number in 0..<100 { speaker.say(number, from: 0, marker: number == 50) }
    if !sameFlow { speaker.firstTimestamp = 77 }
    if sameFlow {
      for number in 3_100..<3_300 { speaker.say(number, from: 0, marker: number == 3_200) }
    } else {
      speaker.ssrc = 8
      for number in 0..<200 { speaker.say(number, from: 3_100 * 160, marker: number == 100) }
    }
    speaker.collect(upTo: 3_400 * 160)
    #expect(speaker.said.count == 2)
    let shift = speaker.shift
    #expect(try #require(shift) <= 1)
  }

  /// Sides with packets of 20 and of 60 ms, and a path that got longer: they stay together.
  @Test func unlikePackets() throws {
    var (short, long) = (Speaker(), Speaker())
    long.packetMilliseconds = 60
    for number in 0..<900 { short.say(number, from: 0, marker: number % 90 == 45) }
    for number in 0..<300 { long.say(number, from: 0, marker: number % 30 == 15) }
    for end in [900 * 160 + 8_000] {
      short.collect(upTo: end)
      long.collect(upTo: end)
    }
    #expect(short.found.count == 10 && short.found.count == long.found.count)
    let apart = zip(short.found, long.found).map { abs($0 - $1) / 8 }.max()
    #expect(try #require(apart) <= 5)
  }

  @Test func aLongerPath() throws {
    var speaker = Speaker()
    speaker.jitter = { $0 < 500 ? 0 : 960 }
    for number in 0..<1_000 { speaker.say(number, from: 0, marker: number % 100 == 99) }
    speaker.collect(upTo: 1_000 * 160 + 8_000)
    // Heard 120 ms later from packet 500 on: as soon as that is known, it stands where it was heard.
    let late = zip(speaker.said, speaker.found).map { ($1 - $0) / 8 }
    #expect(late.count == 10 && late.prefix(5).allSatisfy { abs($0) <= 1 })
    #expect(late.suffix(4).allSatisfy { abs($0 - 120) <= 5 })
  }

  /// What came twice or out of turn is there once, in its place.
  @Test func outOfTurn() {
    var track = RecordingTrack(.narrow)
    func header(_ number: Int) -> RTPHeader {
      RTPHeader(
        payloadType: 0, marker: false, sequence: UInt16(number),
        timestamp: UInt32(number * 160), ssrc: 1)
    }
    for number in [1, 2, 4, 3, 3, 5] {
      let payload = [UInt8](repeating: G711.ulaw(linear: Int16(number * 1_000)), count: 160)
      let taken = track.take(
        header(number), payload.rawSpan, .pcmu, arrival: number * 160 + 160, written: 0, mask: 0)
      #expect(taken == .taken)
    }
    for number in 1...5 {
      let sample = track.remove(at: number * 160 + 80)
      #expect(abs(Int(sample) - number * 1_000) < 200, "\(number): \(sample)")
    }
  }

  /// Speech of both bands has one place on a time line of 16 kHz, also what comes behind its successor.
  @Test(arguments: [AudioCodec.pcmu, .l16, .l16Wide]) func outOfTurnInAWideTrack(codec: AudioCodec)
  {
    var track = RecordingTrack(.wide)
    let ticks = Int(codec.clockRate) / 50
    for number in [1, 2, 4, 3, 5] {
      let level = Int16(number * 1_000)
      let payload =
        codec == .pcmu
        ? [UInt8](repeating: G711.ulaw(linear: level), count: ticks)
        : (0..<ticks).flatMap { _ in [UInt8(level >> 8), UInt8(truncatingIfNeeded: level)] }
      let header = RTPHeader(
        payloadType: 0, marker: false, sequence: UInt16(number),
        timestamp: UInt32(number * ticks), ssrc: 1)
      let taken = track.take(
        header, payload.rawSpan, codec, arrival: (number + 1) * 320, written: 0, mask: 0)
      #expect(taken == .taken)
    }
    for number in 1...5 {
      // From where a filter of 47 taps has seen only this packet, and up to its end.
      for place in [60, 200, 310] {
        let sample = track.remove(at: number * 320 + place)
        #expect(abs(Int(sample) - number * 1_000) < 200, "\(number), \(place): \(sample)")
      }
    }
  }

  /// Nothing that was said before the mask is kept, whenever it comes.
  @Test func whatIsMasked() throws {
    var speaker = Speaker()
    speaker.mask = 16_000
    for number in 0..<300 { speaker.say(number, from: 0, marker: number % 25 == 0) }
    speaker.collect(upTo: 60_000)
    #expect(!speaker.found.isEmpty && speaker.found.allSatisfy { $0 >= 16_000 })
    #expect(speaker.found.count == speaker.said.count { $0 >= 16_000 })
  }

  @Test func whatIsNotSpoken() {
    var track = RecordingTrack(.narrow)
    let header = RTPHeader(payloadType: 96, marker: false, sequence: 1, timestamp: 0, ssrc: 1)
    let payload = [UInt8](repeating: 1, count: 160)
    let taken = track.take(
      header, payload.rawSpan, .unknown, arrival: 160, written: 0, mask: 0)
    #expect(taken == .unread)
  }
}
