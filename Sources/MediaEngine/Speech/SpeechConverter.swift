import Base
package import MediaControl
package import RTPWire

/// Turns the speech of one flow into packets of another: another codec, another clock, packets of another length. What
/// comes out is a flow of our own. Its time is that of what came in, whatever the two clocks are; its numbers count the
/// packets that we make.
///
/// There is no buffer for what comes late: the far end has one, and two would add their delays. What is missing for up to
/// 60 ms is concealed, since only the decoder knows how; what is missing for longer is a pause, which the time stamps
/// show. What comes behind its successor is dropped, since its place is filled.
package struct SpeechConverter {
  /// A gap of more is no pause, but another clock.
  private static let longestPause = 10_000
  private static let longestConcealed = 60

  package enum Taken { case taken, late, unusable }

  /// What the other side does not say while it is silent: nothing; what a packet of comfort noise has told of; or what its
  /// own decoder makes of nothing (annex B of G.729, discontinuous Opus).
  private enum Silence { case none, told, decoded }

  /// A packet made of it, without its header.
  package struct Made {
    package var size: Int
    package var timestamp: UInt32
    package var marker: Bool
    package var kind = Kind.speech
  }

  package enum Kind: Sendable {
    case speech
    /// Speech that had been left out, with more to come at once.
    case held
    /// Comfort noise (RFC 3389), in the place of speech.
    case noise
    /// Silence that is left out.
    case nothing
  }

  /// Leaves silence out of what is made; nil: nothing is.
  package var suppressor: SilenceSuppressor?

  package let from: SpeechFormats.Format
  package let to: SpeechFormats.Format
  /// Milliseconds in a packet that is made.
  package let packetMilliseconds: Int
  private let band: SpeechBand
  private let decoder: SpeechDecoder
  private let encoder: SpeechEncoder

  /// Decoded and not sent yet.
  private var samples: [Int16]
  private var filled = 0
  /// Of the first sample of `samples`, on the clock of what leaves.
  private var timestamp: UInt32
  private var isAfterPause = true
  /// Where in `samples` a pause lies, and how long it is; nil: none.
  private var pauseAt: Int?
  private var pausedTicks: UInt32 = 0

  private var loudness = Loudness()
  private var silence = Silence.none
  private var noise = ComfortNoise()
  /// Samples of noise that have been made since speech ended.
  private var noised = 0
  private var hasBegun = false
  private var source: UInt32 = 0
  /// What the next packet has when nothing is missing.
  private var nextSequence: UInt16 = 0
  private var nextTimestamp: UInt32 = 0

  /// `timestamp`: of the first packet that is made.
  package init?(
    from: SpeechFormats.Format, to: SpeechFormats.Format, packetMilliseconds: Int,
    timestamp: UInt32
  ) {
    let band = SpeechBand.between(from.codec, to.codec)
    guard let decoder = SpeechDecoder(from.codec, band), let encoder = SpeechEncoder(to.codec, band)
    else { return nil }
    self.from = from
    self.to = to
    self.packetMilliseconds = packetMilliseconds
    self.band = band
    self.decoder = decoder
    self.encoder = encoder
    self.timestamp = timestamp
    samples = [Int16](repeating: 0, count: 2 * SpeechDecoder.longest)
  }

  private var packetSamples: Int { packetMilliseconds * band.perMillisecond }

  private func ticks(ofSamples count: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: count * Int(to.codec.clockRate) / band.rawValue)
  }

  // MARK: In

  /// A packet of `from`; what can be made then comes by `next`.
  package mutating func take(_ header: RTPHeader, _ payload: RawSpan) -> Taken {
    if !hasBegun || header.ssrc != source || isFarAway(header.sequence) {
      restart(header)
    } else if Int16(bitPattern: header.sequence &- nextSequence) < 0 {
      return .late
    }
    bridgeGap(to: header, payload)
    guard let count = decoder.decode(payload) else { return .unusable }
    append(count)
    silence = isSilence(payload) ? .decoded : .none
    nextSequence = header.sequence &+ 1
    let rate = Int(from.codec.clockRate)
    nextTimestamp =
      header.timestamp &+ UInt32(truncatingIfNeeded: count * rate / band.rawValue)
    return .taken
  }

  /// Speech of our own, which nothing is missing of.
  mutating func takeNext(_ payload: RawSpan) {
    if let count = decoder.decode(payload) { append(count) }
  }

  /// Nothing is said for so long.
  package mutating func pause(milliseconds: Int) {
    pause(samples: milliseconds * band.perMillisecond)
  }

  /// The time, on the clock of what leaves, of a packet of the same source that is no speech, such as a digit.
  mutating func time(beside header: RTPHeader) -> UInt32 {
    guard hasBegun, header.ssrc == source else { return timestamp }
    if Int16(bitPattern: header.sequence &- nextSequence) >= 0 {
      nextSequence = header.sequence &+ 1
    }
    let ahead = Int(Int32(bitPattern: header.timestamp &- nextTimestamp))
    let moved = ahead * Int(to.codec.clockRate) / Int(from.codec.clockRate)
    return timestamp &+ ticks(ofSamples: filled) &+ UInt32(truncatingIfNeeded: moved)
  }

  private func isFarAway(_ sequence: UInt16) -> Bool {
    abs(Int(Int16(bitPattern: sequence &- nextSequence))) > ReceptionStatistics.maxMisorder
  }

  private mutating func restart(_ header: RTPHeader) {
    if hasBegun { pause(samples: 0) }
    hasBegun = true
    source = header.ssrc
    nextSequence = header.sequence
    nextTimestamp = header.timestamp
  }

  private mutating func bridgeGap(to header: RTPHeader, _ payload: RawSpan) {
    let made = noised
    noised = 0
    let ahead = Int(Int32(bitPattern: header.timestamp &- nextTimestamp))
    let missing = ahead * 1_000 / Int(from.codec.clockRate)
    guard missing > 0, missing <= Self.longestPause else { return }
    if header.sequence != nextSequence, missing <= Self.longestConcealed {
      conceal(milliseconds: missing, before: payload)
    } else {
      let silent = ahead * band.rawValue / Int(from.codec.clockRate) - made
      if silent > 0 { pause(samples: silent) }
    }
  }

  /// Nothing is said for a time: what was begun is filled up with silence, and the rest shows in the time stamps alone.
  private mutating func pause(samples count: Int) {
    let rest = count - fillUp()
    if pauseAt != filled { pausedTicks = 0 }
    pauseAt = filled
    pausedTicks &+= rest > 0 ? ticks(ofSamples: rest) : 0
  }

  @discardableResult
  private mutating func fillUp() -> Int {
    guard filled > 0, filled < packetSamples else { return 0 }
    let silent = packetSamples - filled
    for i in filled..<packetSamples { samples[i] = 0 }
    filled = packetSamples
    return silent
  }

  private mutating func append(_ count: Int) {
    let count = min(count, samples.count - filled)
    for i in 0..<count { samples[filled + i] = decoder.samples[i] }
    filled += count
  }

  // MARK: By a clock of ours

  package enum Played { case played, leftOut, unusable }

  /// Less than a packet has been taken.
  package var isShort: Bool { filled < packetSamples }
  /// Of what has been taken nothing is left.
  package var isEmpty: Bool { filled == 0 }
  /// The time that comes next, on the clock of what leaves.
  package var position: UInt32 { timestamp &+ ticks(ofSamples: filled) &+ pausedTicks }

  /// What comes next, or is left out where more is kept than needed.
  package mutating func play(_ payload: RawSpan, surplus: JitterBuffer.Surplus) -> Played {
    guard let count = decoder.decode(payload) else { return .unusable }
    silence = isSilence(payload) ? .decoded : .none
    let isQuiet = loudness.isQuiet(decoder.samples, count)
    if surplus == .anyway || surplus == .whereQuiet && isQuiet { return .leftOut }
    append(count)
    return .played
  }

  /// Something that stands in for what is missing.
  package mutating func conceal(milliseconds: Int) {
    append(decoder.conceal(milliseconds: min(milliseconds, Self.longestConcealed)))
  }

  /// The same for what lies before `payload`, which may tell something of it.
  package mutating func conceal(milliseconds: Int, before payload: RawSpan) {
    guard decoder.recovers, let duration = SpeechDecoder.duration(of: payload, from.codec) else {
      return conceal(milliseconds: milliseconds)
    }
    let told = min(Int(duration / (from.codec.clockRate / 1_000)), milliseconds)
    if milliseconds > told { conceal(milliseconds: milliseconds - told) }
    append(decoder.recover(payload, milliseconds: told))
  }

  /// Of what is made here.
  func expectLoss(percent: Int) { encoder.expectLoss(percent: percent) }

  // MARK: Silence that is told of

  /// The other side is silent, and not away: noise may be made in its place.
  package var isSilent: Bool { silence != .none }

  /// A packet of comfort noise (RFC 3389).
  package mutating func hush(_ payload: RawSpan) {
    noise.take(payload, isWide: band == .wide)
    silence = .told
  }

  package mutating func addNoise(milliseconds: Int) {
    let before = filled
    switch silence {
    case .none: return
    case .decoded: append(decoder.conceal(milliseconds: milliseconds))
    case .told:
      let count = min(milliseconds * band.perMillisecond, samples.count - filled)
      for i in 0..<max(count, 0) { samples[filled + i] = noise.next() }
      filled += max(count, 0)
    }
    noised &+= filled - before
  }

  /// Ends in a silence descriptor (RFC 3551 §4.5.6), or is one of the packets of nothing that Opus sends in between.
  private func isSilence(_ payload: RawSpan) -> Bool {
    switch from.codec {
    case .g729: payload.byteCount % 10 == 2
    case .opus: payload.byteCount <= 2
    case .pcmu, .pcma, .g722, .gsm, .l16, .l16Wide, .unknown: false
    }
  }

  /// What was begun goes out with silence behind it; false: nothing was.
  package mutating func finishPacket() -> Bool { fillUp() > 0 }

  // MARK: Out

  /// The next packet's payload, written to `packet` from `offset` on; nil: not enough has been taken yet.
  package mutating func next(into packet: inout MutableRawSpan, at offset: Int) -> Made? {
    if pauseAt == 0 {
      timestamp &+= pausedTicks
      isAfterPause = true
      pauseAt = nil
      pausedTicks = 0
    }
    let count = packetSamples
    guard filled >= count else { return nil }
    let made: Made
    switch suppressor?.judge(samples, count, milliseconds: packetMilliseconds) ?? .speech {
    case .speech:
      let size = encoder.encode(samples, count: count, into: &packet, at: offset)
      made = Made(size: size, timestamp: timestamp, marker: isAfterPause)
      isAfterPause = false
    case .speechBehindHeld:
      isAfterPause = false
      let held = suppressor?.heldSamples ?? samples
      let size = encoder.encode(held, count: count, into: &packet, at: offset)
      return Made(
        size: size, timestamp: timestamp &- ticks(ofSamples: count), marker: true, kind: .held)
    case .noise(let level):
      made = Made(
        size: packet.put(noise: level, at: offset), timestamp: timestamp, marker: false,
        kind: .noise)
      isAfterPause = true
    case .nothing:
      made = Made(size: 0, timestamp: timestamp, marker: false, kind: .nothing)
      isAfterPause = true
    }
    for i in 0..<filled - count { samples[i] = samples[count + i] }
    filled -= count
    pauseAt = pauseAt.map { $0 - count }
    timestamp &+= ticks(ofSamples: count)
    return made
  }
}

extension MutableRawSpan {
  /// Its size; 0 where it does not fit.
  fileprivate mutating func put(noise level: UInt8, at offset: Int) -> Int {
    guard offset >= 0, offset < byteCount else { return 0 }
    storeBytes(of: level & 0x7f, toByteOffset: offset, as: UInt8.self)
    return 1
  }
}
