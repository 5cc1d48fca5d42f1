import Base
import MediaControl
import RTPWire

/// One flow of speech, listened to for the tones of digits: its packets in their order, decoded, through the detector.
final class ToneReceiver {
  let format: SpeechFormats.Format
  private let decoder: SpeechDecoder
  /// Of silence in the place of tones; made when there are some.
  private var encoder: SpeechEncoder?
  private var detector = DTMFDetector()
  private let zeros = [Int16](repeating: 0, count: SpeechDecoder.longest)
  /// Of the packet that was taken last.
  private var count = 0

  private var hasHeard = false
  private var ssrc: UInt32 = 0
  private var sequence: UInt16 = 0
  /// Where the next packet begins, if nothing is missing.
  private var timestamp: UInt32 = 0

  /// Nil: a codec that we do not speak.
  init?(_ format: SpeechFormats.Format) {
    guard let decoder = SpeechDecoder(format.codec, .narrow) else { return nil }
    self.format = format
    self.decoder = decoder
  }

  var isActive: Bool { detector.digit != nil }
  /// The packet belongs to a digit, or may.
  var isSuspicious: Bool { detector.isSuspicious }

  /// A late or repeated packet has no place any more, and brings nothing.
  func take(_ packet: RawSpan, _ header: RTPHeader) -> DigitSteps {
    var steps = DigitSteps()
    count = 0
    let clock = Int(format.codec.clockRate)
    if hasHeard, header.ssrc == ssrc {
      let ahead = Int16(bitPattern: header.sequence &- sequence &- 1)
      if ahead < 0, ahead > -Int16(ReceptionStatistics.maxMisorder) { return steps }
      let missing = Int(Int32(bitPattern: header.timestamp &- timestamp)) * 8_000 / clock
      if ahead > 0, missing > 0 {
        steps.note(detector.skip(missing))
      } else if missing != 0 {
        // Nothing was lost: for so long there was silence.
        steps.note(detector.forget())
      }
    } else {
      steps.note(detector.forget())
    }
    hasHeard = true
    ssrc = header.ssrc
    sequence = header.sequence
    count = decoder.decode(packet.extracting(header.payload)) ?? 0
    timestamp = header.timestamp &+ UInt32(truncatingIfNeeded: count * clock / 8_000)
    for i in 0..<count {
      if let change = detector.take(decoder.samples[i]) { steps.note(change) }
    }
    return steps
  }

  func forget() -> DigitSteps {
    var steps = DigitSteps()
    steps.note(detector.forget())
    return steps
  }

  /// Silence over the payload of the packet that was taken last, in its codec, where silence is as long as speech.
  func silence(_ packet: inout MutableRawSpan, _ header: RTPHeader) {
    guard format.codec != .opus, count > 0 else { return }
    if encoder == nil { encoder = SpeechEncoder(format.codec, .narrow) }
    _ = encoder?.encode(zeros, count: count, into: &packet, at: header.payload.start)
  }
}
