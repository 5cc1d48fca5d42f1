import Base
package import MediaControl
package import RTPWire

/// What one side has said, at its places on the time line of a recording: samples since its beginning, by the clock of this
/// machine.
///
/// A packet goes where its time stamp says, seen from the packet before it, so that loss and pauses leave room for what
/// was not said. How far that is from the moment at which it came is watched: of many packets the least late one shows
/// what the two clocks have drifted, and where that comes to 15 ms the next quiet packet is moved; where none comes, any by a
/// few samples at a time (the step is filled with the sample before it, which is hardly heard). Only where it is far off, or after another source, is there a
/// jump. What ends a packet was said when it came, so sides with packets of unlike length stay together.
package struct RecordingTrack {
  /// Milliseconds that there is room for: samples of them are a power of two.
  private static let room = 1_024
  /// A packet whose time stamp puts it further than this from its arrival, in milliseconds, is put where it came.
  private static let farthest = 200
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

  private let band: SpeechBand
  private var samples: [Int16]
  private var decoder: SpeechDecoder?
  /// Of what comes behind its successor: its filter must not take that for the past of what comes next.
  private var lateDecoder: SpeechDecoder?
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

  /// Samples of `band`, whatever the speech has.
  package init(_ band: SpeechBand) {
    self.band = band
    samples = Array(repeating: 0, count: Self.room * band.perMillisecond)
  }

  private var perMillisecond: Int { band.perMillisecond }

  /// A packet of speech that came at `arrival`.
  ///
  /// - Parameters:
  ///   - written: samples before this place have left, those from a second behind it on have no room.
  ///   - mask: what was said before this place is not kept.
  package mutating func take(
    _ header: RTPHeader, _ payload: RawSpan, _ codec: AudioCodec, arrival: Int, written: Int,
    mask: Int
  ) -> Taken {
    if codec != self.codec {
      decoder = SpeechDecoder(codec, band)
      lateDecoder = nil
      self.codec = codec
      hasFlow = false
    }
    guard let decoder else { return .unread }
    let step = Int(Int16(bitPattern: header.sequence &- nextSequence))
    let ticks = Int(Int32(bitPattern: header.timestamp &- nextTimestamp))
    let ahead =
      ticks * 1_000 / Int(codec.clockRate) * perMillisecond
      + ticks * 1_000 % Int(codec.clockRate) * perMillisecond / Int(codec.clockRate)
    if hasFlow, header.ssrc != source || abs(step) > ReceptionStatistics.maxMisorder {
      hasFlow = false
    } else if hasFlow, step < 0 {
      return takeLate(payload, at: nextPlace + ahead, written: written, mask: mask)
    } else if hasFlow, step > 0, ahead > 0, ahead <= Self.longestConcealed * perMillisecond {
      let count = decoder.conceal(milliseconds: ahead / perMillisecond)
      place(decoder, min(count, ahead), at: nextPlace, written: written, mask: mask)
    }
    guard let count = decoder.decode(payload) else { return .unread }
    let came = arrival - count
    var place = nextPlace + ahead
    if !hasFlow || abs(came - place) > Self.farthest * perMillisecond {
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
    self.place(decoder, count, from: first, at: place, written: written, mask: mask)
    nextSequence = header.sequence &+ 1
    nextTimestamp =
      header.timestamp
      &+ UInt32(truncatingIfNeeded: count * Int(codec.clockRate) / (1_000 * perMillisecond))
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
    switch codec {
    case .pcmu, .pcma, .l16, .l16Wide: lateDecoder = lateDecoder ?? SpeechDecoder(codec, band)
    case .g722, .opus, .g729, .gsm, .unknown: return .late
    }
    guard let lateDecoder, let count = lateDecoder.decode(payload) else { return .late }
    let last = last
    self.place(lateDecoder, count, at: place, written: written, mask: mask)
    self.last = last
    return .taken
  }

  private mutating func watch(late: Int, written: Int, mask: Int) {
    leastLate = min(leastLate, late)
    watched += 1
    guard watched >= windowSize else { return }
    let drift = leastLate
    let jump = (windowSize < Self.window ? 5 : 30) * perMillisecond
    watchAnew(windowSize == Self.firstWindow ? Self.secondWindow : Self.window)
    if abs(drift) > jump {
      nextPlace += drift
      due = 0
    } else if abs(drift) >= (due == 0 ? Self.tolerated : 1) * perMillisecond {
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
    let count = min(max(abs(due) / 4, 1), perMillisecond / 2)
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
    _ decoder: SpeechDecoder, _ count: Int, from first: Int = 0, at place: Int, written: Int,
    mask: Int
  ) {
    guard count > first, count <= decoder.samples.count else { return }
    for i in first..<count { put(decoder.samples[i], at: place + i, written: written, mask: mask) }
    last = decoder.samples[count - 1]
  }

  @inline(__always)
  private mutating func put(_ sample: Int16, at place: Int, written: Int, mask: Int) {
    guard place >= written, place >= mask, place < written + samples.count else { return }
    samples[place & (samples.count - 1)] = sample
  }

  /// The sample of a place, which is silent from now on.
  @inline(__always)
  package mutating func remove(at place: Int) -> Int16 {
    let index = place & (samples.count - 1)
    let sample = samples[index]
    samples[index] = 0
    return sample
  }
}
