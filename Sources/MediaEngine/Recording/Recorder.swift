import Base
import MediaControl
import RTPWire

/// A recording as the worker has it: two tracks on one time line, and how far they have been handed to the writer.
///
/// An object, because few calls have one.
final class Recorder {
  enum Phase {
    /// Both sides hear the announcement; nothing is recorded.
    case announcing
    case running
  }

  let order: RecordingOrder
  /// Its number at the worker and at the writer.
  let index: Int32
  /// The transport that was named for it, by slot, and whose channel it is; -1: it has gone.
  var main = -1
  var channel: RecordingChannel
  /// The transports whose packets come here, by slot.
  var tapped: [Int] = []
  var phase = Phase.running
  /// The transports that the announcement still plays to, by slot.
  var hearers: [Int] = []
  var isPaused = false
  /// There is a time line, which begins there.
  private(set) var begin: Instant?
  /// Samples that have left.
  var written = 0
  /// What was said before is not kept.
  var mask = 0
  /// Of its samples: chosen once, as a file has one rate.
  private(set) var band = SpeechBand.narrow
  var left = RecordingTrack(.narrow)
  var right = RecordingTrack(.narrow)
  var unread: UInt64 = 0
  /// Blocks that found the queue full.
  var lostBlocks: UInt64 = 0

  /// How many milliseconds after its moment a sample leaves: until then a late packet has its place.
  static let delay = 320

  init(_ order: RecordingOrder, index: Int32) {
    self.order = order
    self.index = index
    channel = order.channel
  }

  /// The time line begins.
  func begin(at instant: Instant, _ band: SpeechBand) {
    begin = instant
    guard band != self.band else { return }
    self.band = band
    (left, right) = (RecordingTrack(band), RecordingTrack(band))
  }

  /// The moment as a place on the time line.
  func place(of instant: Instant) -> Int {
    guard let begin, instant > begin else { return 0 }
    return Int((instant - begin).nanoseconds / (1_000_000 / Int64(band.perMillisecond)))
  }

  func take(
    _ header: RTPHeader, _ payload: RawSpan, _ codec: AudioCodec, _ channel: RecordingChannel,
    at arrival: Instant
  ) {
    guard phase == .running, begin != nil, !isPaused else { return }
    let place = place(of: arrival)
    let taken =
      switch channel {
      case .left:
        left.take(header, payload, codec, arrival: place, written: written, mask: mask)
      case .right:
        right.take(header, payload, codec, arrival: place, written: written, mask: mask)
      }
    if taken == .unread { unread &+= 1 }
  }

  /// Nothing is kept of what was said before this moment and has not been heard yet.
  func keepNothing(before instant: Instant) {
    mask = place(of: instant)
    left.loseTrack()
    right.loseTrack()
  }

  /// What has been said `delay` ago, block by block; all of it where the recording ends.
  func hand(to ring: borrowing FrameRing, upTo now: Instant, isLast: Bool) {
    guard begin != nil else { return }
    let end = place(of: now) - (isLast ? 0 : Self.delay * band.perMillisecond)
    while end - written >= (isLast ? 1 : FrameRing.frames) {
      if !ring.push(index, &left, &right, from: written) { lostBlocks &+= 1 }
      written += FrameRing.frames
    }
  }
}
