import Base
package import MediaControl
package import RTPWire

/// What one side has said, at its places on the time line of a recording: samples of 8 kHz since its beginning, by the
/// clock of this machine.
///
/// A packet goes where its time stamp says, seen from the packet before it, so that loss and pauses leave room for what
/// was not said. How far that is from the moment at which it came is watched: of many packets the least late one shows
/// what the two clocks have drifted, and where that comes to 15 ms the next quiet packet is moved; where none comes, any by a
/// few samples at a time (the step is filled with the sample before it, which is hardly heard). Only where it is far off, or after another source, is there a
/// jump. What ends a packet was said when it came, so sides with packets of unlike length stay together.
package struct RecordingTrack {
  package static let perMillisecond = 8
  /// Samples that there is room for, a second: a power of two.
  package static let capacity = 8_192
  /// A packet whose time stamp puts it further than this from its arrival is put where it came.
  package static let farthest = 200 * perMillisecond
  /// Packets that are looked at for the drift of the clocks; a few at first, since the first one may have been late.
  private static let firstWindow = 10
  private static let secondWindow = 25
  private static let window = 50
  private static let longestConcealed = 60
  /// Windows in which a quiet packet is waited for.
  private static let patience = 10
  /// Milliseconds that a side may be off before it is moved.
  private static let tolerated = 15

  package enum Taken: Hashable { case taken, late, unread }

  private var samples = [Int16](repeating: 0, count: capacity)
  private var decoder: SpeechDecoder?
  private var codec = AudioCodec.unknown

  private var hasFlow = false
  private var source: UInt32 = 0
  /// What the next packet has, and its first sample's place, when nothing is missing.
  private var nextSequence: UInt16 = 0
  private var nextTimestamp: UInt32 = 0
  private var nextPlace = 0
  private var last: Int16 = 0

  /// The least lateness of the packets in the window, in samples.
  private var leastLate = Int.max
  private var watched = 0
  private var windowSize = firstWindow
  /// By how much places are to be moved; 0: not at all. And for how many windows already.
  private var due = 0
  private var dueWindows = 0

  package init() {}

  /// A packet of speech that came at `arrival`.
  ///
  /// - Parameters:
  ///   - written: samples before this place have left, those from `capacity` behind it on have no room.
  ///   - mask: what was said before this place is not kept.
  package mutating func take(
    _ header: RTPHeader, _ payload: RawSpan, _ codec: AudioCodec, arrival: Int, written: Int,
    mask: Int
  ) -> Taken {
    if codec != self.codec {
      decoder = SpeechDecoder(codec, .narrow)
      self.codec = codec
      hasFlow = false
    }
    guard let decoder else { return .unread }
    let step = Int(Int16(bitPattern: header.sequence &- nextSequence))
    let ticks = Int(Int32(bitPattern: header.timestamp &- nextTimestamp))
    let ahead =
      ticks * 1_000 / Int(codec.clockRate) * Self.perMillisecond
      + ticks * 1_000 % Int(codec.clockRate) * Self.perMillisecond / Int(codec.clockRate)
    if hasFlow, header.ssrc != source || abs(step) > ReceptionStatistics.maxMisorder {
      hasFlow = false
    } else if hasFlow, step < 0 {
      return takeLate(payload, at: nextPlace + ahead, written: written, mask: mask)
    } else if hasFlow, step > 0, ahead > 0, ahead <= Self.longestConcealed * Self.perMillisecond {
      let count = decoder.conceal(milliseconds: ahead / Self.perMillisecond)
      place(min(count, ahead), at: nextPlace, written: written, mask: mask)
    }
    guard let count = decoder.decode(payload) else { return .unread }
    let came = arrival - count
    var place = nextPlace + ahead
    if !hasFlow || abs(came - place) > Self.farthest {
      place = came
      restart(header)
    }
    var first = 0
    if due != 0, isQuiet(count) {
      place += due
      // What was said before stays as it is.
      first = max(0, -due)
      due = 0
      dueWindows = 0
      watchAnew(Self.window)
    }
    self.place(count, from: first, at: place, written: written, mask: mask)
    nextSequence = header.sequence &+ 1
    nextTimestamp =
      header.timestamp
      &+ UInt32(truncatingIfNeeded: count * Int(codec.clockRate) / (1_000 * Self.perMillisecond))
    nextPlace = place + count
    watch(late: came - place, written: written, mask: mask)
    return .taken
  }

  /// What comes next has no place of its own: after a pause in which nothing was looked at.
  package mutating func loseTrack() { hasFlow = false }

  private mutating func restart(_ header: RTPHeader) {
    hasFlow = true
    source = header.ssrc
    watchAnew(Self.firstWindow)
    due = 0
    dueWindows = 0
  }

  /// Behind its successor: a codec without a memory still has its place, in others it was concealed.
  private mutating func takeLate(_ payload: RawSpan, at place: Int, written: Int, mask: Int)
    -> Taken
  {
    guard codec == .pcmu || codec == .pcma || codec == .l16, let decoder,
      let count = decoder.decode(payload)
    else { return .late }
    let last = last
    self.place(count, at: place, written: written, mask: mask)
    self.last = last
    return .taken
  }

  private mutating func watch(late: Int, written: Int, mask: Int) {
    leastLate = min(leastLate, late)
    watched += 1
    guard watched >= windowSize else { return }
    let drift = leastLate
    let jump = (windowSize < Self.window ? 5 : 30) * Self.perMillisecond
    watchAnew(windowSize == Self.firstWindow ? Self.secondWindow : Self.window)
    if abs(drift) > jump {
      nextPlace += drift
      due = 0
    } else if abs(drift) >= (due == 0 ? Self.tolerated : 1) * Self.perMillisecond {
      due = drift
      dueWindows += 1
      if dueWindows > Self.patience { creep(written: written, mask: mask) }
    } else {
      due = 0
    }
    if due == 0 { dueWindows = 0 }
  }

  private mutating func watchAnew(_ size: Int) {
    leastLate = .max
    watched = 0
    windowSize = size
  }

  /// Nothing quiet has come for long: by half a millisecond, where it is heard least.
  private mutating func creep(written: Int, mask: Int) {
    let count = min(max(abs(due) / 4, 1), 4)
    if due > 0 {
      for i in 0..<count { put(last, at: nextPlace + i, written: written, mask: mask) }
      nextPlace += count
    } else {
      nextPlace -= count
    }
  }

  /// Of what was decoded last: nobody hears that it is moved.
  private func isQuiet(_ count: Int) -> Bool {
    guard let decoder else { return false }
    for i in 0..<min(count, decoder.samples.count) where abs(Int(decoder.samples[i])) > 256 {
      return false
    }
    return true
  }

  private mutating func place(
    _ count: Int, from first: Int = 0, at place: Int, written: Int, mask: Int
  ) {
    guard let decoder, count > first, count <= decoder.samples.count else { return }
    for i in first..<count { put(decoder.samples[i], at: place + i, written: written, mask: mask) }
    last = decoder.samples[count - 1]
  }

  @inline(__always)
  private mutating func put(_ sample: Int16, at place: Int, written: Int, mask: Int) {
    guard place >= written, place >= mask, place < written + Self.capacity else { return }
    samples[place & (Self.capacity - 1)] = sample
  }

  /// The sample of a place, which is silent from now on.
  @inline(__always)
  package mutating func remove(at place: Int) -> Int16 {
    let index = place & (Self.capacity - 1)
    let sample = samples[index]
    samples[index] = 0
    return sample
  }
}
