import RTPWire

/// Recorded speech, ready to be sent in either law; 8 kHz.
final class Clip: Sendable {
  private let ulaw: [UInt8]
  private let alaw: [UInt8]

  /// Linear samples at 8 kHz.
  init(linear samples: [Int16]) {
    ulaw = samples.map(G711.ulaw(linear:))
    alaw = samples.map(G711.alaw(linear:))
  }

  init(ulaw samples: [UInt8]) {
    ulaw = samples
    alaw = samples.map { G711.alaw(linear: G711.linear(ulaw: $0)) }
  }

  var count: Int { ulaw.count }

  /// `count` samples from `position` on, behind an RTP header, again from the beginning after the end; the position
  /// behind them.
  func loop(
    from position: Int, _ count: Int, alaw isALaw: Bool, into packet: inout MutableRawSpan
  ) -> Int {
    let samples = isALaw ? alaw : ulaw
    guard position >= 0, position < samples.count else { return 0 }
    var index = position
    for i in 0..<count {
      packet.put(samples[index], at: RTPHeader.size + i)
      index += 1
      if index == samples.count { index = 0 }
    }
    return index
  }

  /// `count` samples from `position` on, behind an RTP header; silence after the end.
  func copy(from position: Int, count: Int, alaw isALaw: Bool, into packet: inout MutableRawSpan) {
    let silence = isALaw ? G711.alawSilence : G711.ulawSilence
    let samples = isALaw ? alaw : ulaw
    for i in 0..<count {
      let index = position + i
      let sample = index >= 0 && index < samples.count ? samples[index] : silence
      packet.put(sample, at: RTPHeader.size + i)
    }
  }
}
