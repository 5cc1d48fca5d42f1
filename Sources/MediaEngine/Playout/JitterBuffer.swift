package import Base
package import RTPWire

/// Packets of one source, kept until their time to be played has come: in order, once each, and evenly.
///
///     take (packet, arrival) ──▶ │ places by sequence number │ ──▶ next (time): packet, lost, hold or pause
///                                     transit: arrival - time stamp
///                                     base:    its least of the last seconds       (skew of the clocks)
///                                     target:  what 99.5 % of transit - base stay below
///
///            ┌────────── first packet has waited for the target ──────────┐
///            │                                                            ▼
///        ┌────────┐    the next number has a later time stamp (DTX),  ┌─────────┐
///        │ paused │ ◀──── or nothing came for 60 ms, or comfort noise │ playing │
///        └────────┘                                                   └─────────┘
///
/// Whoever plays asks `next` for as much as it needs at each tick of its own clock. What is missing is waited for, by
/// `hold`, as long as less than the target has been waited for it: so the delay grows at once when packets begin to be
/// late. It shrinks where a packet may be left out because it is quiet (`Surplus`), and by every pause. The clocks
/// drift apart by no more than that makes good: 20 ms in 100 s at 200 ppm. Delay moves by whole packets.
///
/// Time is an argument; nothing is allocated after the beginning; what a peer controls is bounded by the places.
package struct JitterBuffer: Sendable {
  /// Packets that are kept at most.
  package static let places = 64
  /// Milliseconds of delay at most, and before anything is known.
  package static let longestDelay = DelayHistogram.longest
  package static let firstDelay = 40
  private static let leastDelay = 10
  /// So many packets of 1 000 may come too late.
  private static let late: UInt64 = 5
  private static let longestConcealed = 60
  /// A transit that differs by so much is another clock; milliseconds.
  private static let longestStep: Int64 = 1_000
  /// More than the target by so much is left out even where somebody speaks; milliseconds.
  private static let mostSurplus: Int64 = 200
  private static let baseWindow = Interval.seconds(5)
  private static let shrinkPause = Interval.milliseconds(200)

  package enum Taken: Sendable { case taken, duplicate, late, unusable }

  /// Whether more is kept than needed, so that a packet may be left out.
  package enum Surplus: Sendable { case none, whereQuiet, anyway }

  package enum Playout: Equatable, Sendable {
    /// The packet at this place (`withPayload`), there until the next one is taken.
    case packet(place: Int, surplus: Surplus)
    /// So much is missing and is not waited for any longer, in units of the clock. `next`: the place of the packet right
    /// behind it, which may carry it once more (in-band FEC).
    case lost(duration: UInt32, next: Int?)
    /// Something is to stand in for so much, which does not count as played.
    case hold(duration: UInt32)
    /// Nothing is said.
    case pause
  }

  private struct Place: Sendable {
    var isFilled = false
    /// It is none of speech, and only its number counts.
    var isBeside = false
    var sequence: UInt16 = 0
    /// Extended time stamp.
    var time: Int64 = 0
    var duration: UInt32 = 0
    var size = 0
  }

  private let rate: Int64
  private let placeSize: Int
  private var table = [Place](repeating: Place(), count: places)
  private var bytes: [UInt8]
  package private(set) var count = 0

  private var hasBegun = false
  private var source: UInt32 = 0
  /// Of the newest packet that came, to extend others by.
  private var newestTimestamp: UInt32 = 0
  private var newestTime: Int64 = 0

  /// Something of this run has been played.
  private var hasPlayed = false
  package private(set) var isPaused = true
  /// The number that is played next when nothing is missing, and the time.
  private var nextSequence: UInt16 = 0
  /// Bit i: `nextSequence - 1 - i` was played.
  private var handed: UInt64 = 0
  private var playhead: Int64 = 0
  /// Of a packet, in units of the clock.
  private var duration: UInt32
  /// Milliseconds that nothing was played of, in a row.
  private var concealed: Int64 = 0
  private var nextShrink = Instant.zero

  /// Nanoseconds: the least transit of this window and of the one before.
  private var base: (now: Int64, before: Int64) = (.max, .max)
  private var baseUntil = Instant.zero
  private var histogram = DelayHistogram(assumed: firstDelay - 1)
  private var sinceTarget = 0
  /// Milliseconds that a packet as fast as the fastest waits.
  package private(set) var target = firstDelay

  package private(set) var counters = Counters()

  package struct Counters: Hashable, Sendable {
    package var taken: UInt64 = 0
    package var played: UInt64 = 0
    package var late: UInt64 = 0
    package var duplicates: UInt64 = 0
    /// Packets' worth that were not waited for any longer, and that were put in to wait.
    package var lost: UInt64 = 0
    package var held: UInt64 = 0
    package var leftOut: UInt64 = 0
    package var restarts: UInt64 = 0
  }

  /// `clockRate` in Hz, of the time stamps; `packet`: how long one is at first, in units of it; `longestPayload` in bytes.
  package init(clockRate: UInt32, packet: UInt32, longestPayload: Int) {
    rate = Int64(max(clockRate, 1))
    duration = max(packet, 1)
    placeSize = max(longestPayload, 1)
    bytes = [UInt8](repeating: 0, count: Self.places * placeSize)
  }

  // MARK: In

  /// A packet that holds so much speech, in units of the clock; 0: none, and a pause follows it (comfort noise, a silence
  /// descriptor).
  package mutating func take(
    _ header: RTPHeader, duration: UInt32, _ payload: RawSpan, at arrival: Instant
  ) -> Taken {
    guard payload.byteCount <= placeSize, Int64(duration) <= rate else { return .unusable }
    counters.taken &+= 1
    let taken = note(header, at: arrival, duration: duration, isBeside: false)
    guard taken == .taken else { return taken }
    let place = Int(header.sequence) % Self.places
    table[place].size = payload.byteCount
    for i in 0..<payload.byteCount { bytes[place * placeSize + i] = payload.byte(at: i) }
    if duration > 0 { self.duration = duration }
    return .taken
  }

  /// A packet of the source that does not go this way, such as a digit: its number is not missing.
  package mutating func pass(_ header: RTPHeader, at arrival: Instant) {
    guard hasBegun, header.ssrc == source else { return }
    if isElsewhere(header, arrival, hasOwnTime: true) { return }
    _ = note(header, at: arrival, duration: 0, isBeside: true)
  }

  private mutating func note(
    _ header: RTPHeader, at arrival: Instant, duration: UInt32, isBeside: Bool
  ) -> Taken {
    if !hasBegun || header.ssrc != source || isElsewhere(header, arrival, hasOwnTime: isBeside) {
      restart(header)
    }
    let time = extended(header.timestamp)
    // The time stamp of a digit is that of its beginning, and so tells nothing of its way.
    if !isBeside { measure(time, at: arrival) }
    let ahead = Int(Int16(bitPattern: header.sequence &- nextSequence))
    if ahead < 0 && hasPlayed || time < playhead && hasPlayed && !isBeside {
      return refuse(behind: -ahead)
    }
    if ahead < 0 {
      guard ahead > -Self.places / 2 else { return refuse(behind: -ahead) }
      nextSequence = header.sequence
    } else if ahead >= Self.places {
      skip(to: header.sequence &- UInt16(Self.places - 1))
    }
    let place = Int(header.sequence) % Self.places
    guard !table[place].isFilled else {
      counters.duplicates &+= 1
      return .duplicate
    }
    table[place] = Place(
      isFilled: true, isBeside: isBeside, sequence: header.sequence, time: time,
      duration: duration, size: 0)
    count += 1
    if Int32(bitPattern: header.timestamp &- newestTimestamp) > 0 {
      (newestTimestamp, newestTime) = (header.timestamp, time)
    }
    return .taken
  }

  /// A packet whose place in time is over, or which has been played already.
  private mutating func refuse(behind: Int) -> Taken {
    let wasPlayed = (1...64).contains(behind) && handed & 1 << UInt64(behind - 1) != 0
    if wasPlayed { counters.duplicates &+= 1 } else { counters.late &+= 1 }
    return wasPlayed ? .duplicate : .late
  }

  /// The next number is `sequence`, and the one before it was played or not.
  private mutating func move(to sequence: UInt16, played: Bool) {
    handed = handed << UInt64(sequence &- nextSequence) | (played ? 1 : 0)
    nextSequence = sequence
  }

  private func extended(_ timestamp: UInt32) -> Int64 {
    newestTime &+ Int64(Int32(bitPattern: timestamp &- newestTimestamp))
  }

  /// Numbers far away, or a transit that no network makes: the source has begun anew (RFC 3550 §A.1), or its clock was set.
  private func isElsewhere(_ header: RTPHeader, _ arrival: Instant, hasOwnTime: Bool) -> Bool {
    let ahead = Int(Int16(bitPattern: header.sequence &- nextSequence))
    if ahead < -ReceptionStatistics.maxMisorder || ahead > ReceptionStatistics.maxDropout {
      return true
    }
    guard !hasOwnTime, least != .max else { return false }
    let step = transit(extended(header.timestamp), at: arrival) &- least
    return step.magnitude > UInt64(Self.longestStep * 1_000_000)
  }

  private mutating func restart(_ header: RTPHeader) {
    if hasBegun { counters.restarts &+= 1 }
    for place in table.indices { table[place].isFilled = false }
    count = 0
    hasBegun = true
    hasPlayed = false
    isPaused = true
    concealed = 0
    source = header.ssrc
    nextSequence = header.sequence
    handed = 0
    (newestTimestamp, newestTime) = (header.timestamp, 0)
    base = (.max, .max)
    baseUntil = .zero
  }

  /// What lies before is given up: there is no place for it.
  private mutating func skip(to sequence: UInt16) {
    var number = nextSequence
    for _ in 0..<Self.places where Int16(bitPattern: sequence &- number) > 0 {
      empty(Int(number) % Self.places)
      number &+= 1
    }
    counters.lost &+= UInt64(sequence &- nextSequence)
    move(to: sequence, played: false)
    isPaused = true
  }

  private mutating func empty(_ place: Int) {
    guard table[place].isFilled else { return }
    table[place].isFilled = false
    count -= 1
  }

  // MARK: How late packets are

  /// In whole seconds and the rest, so that a call of days does not overflow.
  private func nanoseconds(_ time: Int64) -> Int64 {
    time / rate &* 1_000_000_000 &+ time % rate &* 1_000_000_000 / rate
  }

  private func transit(_ time: Int64, at arrival: Instant) -> Int64 {
    Int64(bitPattern: arrival.nanoseconds) &- nanoseconds(time)
  }

  private var least: Int64 { min(base.now, base.before) }

  private mutating func measure(_ time: Int64, at arrival: Instant) {
    if arrival >= baseUntil {
      base = (.max, base.now)
      baseUntil = arrival + Self.baseWindow
    }
    let transit = transit(time, at: arrival)
    base.now = min(base.now, transit)
    let late = Int((transit &- least) / 1_000_000)
    histogram.add(milliseconds: late)
    sinceTarget += 1
    guard late >= target || sinceTarget >= 16 else { return }
    sinceTarget = 0
    target = max(histogram.delay(late: Self.late), Self.leastDelay)
  }

  /// Nanoseconds that something of this time waits, when it is played now, longer than the fastest packets took.
  private func wait(_ time: Int64, at now: Instant) -> Int64 {
    least == .max ? 0 : transit(time, at: now) &- least
  }

  private func hasWaited(_ time: Int64, at now: Instant) -> Bool {
    wait(time, at: now) >= Int64(target) * 1_000_000
  }

  /// How long from `now` until what was taken first has waited for the target; zero: it is due, or nothing is there.
  package func untilDue(at now: Instant) -> Interval {
    guard let first = first else { return .zero }
    let rest = Int64(target) * 1_000_000 &- wait(table[first].time, at: now)
    return Interval(nanoseconds: min(max(rest, 0), Int64(Self.longestDelay) * 1_000_000))
  }

  // MARK: Out

  /// What is played at `now` where the last thing that was asked for ended.
  package mutating func next(at now: Instant) -> Playout {
    passBeside()
    guard let first = first else { return starve(at: now) }
    let packet = table[first]
    if isPaused {
      guard hasWaited(packet.time, at: now) else { return .pause }
      isPaused = false
      return hand(first, at: now)
    }
    let missing = packet.time &- playhead
    if missing <= 0 { return hand(first, at: now) }
    let numbers = Int64(packet.sequence &- nextSequence)
    // No number is missing for it, or not as many: nobody spoke.
    if numbers == 0 || missing > (numbers &+ 1) &* Int64(duration) {
      isPaused = true
      return next(at: now)
    }
    guard hasWaited(playhead, at: now) else { return hold() }
    let lost = UInt32(truncatingIfNeeded: min(missing, Int64(duration)))
    playhead &+= Int64(lost)
    let isLast = playhead >= packet.time
    if isLast {
      move(to: packet.sequence, played: false)
    } else if numbers > 1 {
      move(to: nextSequence &+ 1, played: false)
    }
    counters.lost &+= 1
    return .lost(duration: lost, next: isLast ? first : nil)
  }

  /// The payload of what `next` has named.
  package func withPayload<Result>(_ place: Int, _ body: (RawSpan) -> Result) -> Result {
    let isPlace = table.indices.contains(place)
    let start = isPlace ? place * placeSize : 0
    return body(bytes.rawSpan.extracting(start..<start + (isPlace ? table[place].size : 0)))
  }

  /// It holds no speech.
  package func isSilence(_ place: Int) -> Bool {
    table.indices.contains(place) && table[place].duration == 0
  }

  /// A packet that might be left out was.
  package mutating func leftOut(at now: Instant) {
    counters.leftOut &+= 1
    nextShrink = now + Self.shrinkPause
  }

  /// The place of the lowest number.
  private var first: Int? {
    guard count > 0 else { return nil }
    for step in 0..<Self.places {
      let place = Int(nextSequence &+ UInt16(step)) % Self.places
      if table[place].isFilled { return place }
    }
    return nil
  }

  /// Packets that are no speech only count where they stand; behind them nobody speaks.
  private mutating func passBeside() {
    while let first = first, table[first].isBeside {
      move(to: table[first].sequence &+ 1, played: true)
      empty(first)
      if count == 0 { isPaused = true }
    }
  }

  private mutating func hand(_ place: Int, at now: Instant) -> Playout {
    let packet = table[place]
    move(to: packet.sequence &+ 1, played: true)
    playhead = packet.time &+ Int64(packet.duration)
    empty(place)
    hasPlayed = true
    concealed = 0
    counters.played &+= 1
    if packet.duration == 0 { isPaused = true }
    return .packet(place: place, surplus: surplus(packet, at: now))
  }

  private func surplus(_ packet: Place, at now: Instant) -> Surplus {
    guard packet.duration > 0 else { return .none }
    // Beyond the target without it.
    let more =
      wait(packet.time, at: now) &- nanoseconds(Int64(packet.duration)) &- Int64(target) * 1_000_000
    if more >= Self.mostSurplus * 1_000_000 { return .anyway }
    return more >= 0 && now >= nextShrink ? .whereQuiet : .none
  }

  private mutating func hold() -> Playout {
    counters.held &+= 1
    return .hold(duration: duration)
  }

  /// Nothing is there.
  private mutating func starve(at now: Instant) -> Playout {
    guard !isPaused else { return .pause }
    guard hasWaited(playhead, at: now) else { return hold() }
    let length = max(nanoseconds(Int64(duration)) / 1_000_000, 1)
    guard concealed &+ length <= Int64(Self.longestConcealed) || concealed == 0 else {
      isPaused = true
      return .pause
    }
    concealed &+= length
    playhead &+= Int64(duration)
    counters.lost &+= 1
    return .lost(duration: duration, next: nil)
  }
}
