package import RTPWire

/// One flow of telephone-events (RFC 4733), read as digits that begin and end once each, whatever is lost, comes twice
/// or out of order.
///
/// All packets of an event have the timestamp of its beginning (§2.2.2), so that is what an event is known by: the first
/// packet that comes of a newer one begins it, be it the first or the last that was sent; what comes of an older one is
/// late, and of one that is over it is a repetition (§2.5.1.4).
///
///     idle ──newer timestamp──▶ heard ──end bit, newer timestamp, or nothing for `patience`──▶ idle
package struct EventReceiver: Sendable {
  /// Events are said anew every 20 to 50 ms (§2.6.1); three in a row may be lost.
  package static let patienceMilliseconds = 200
  /// What is older than two seconds and a segment is no late packet: the sender has begun anew.
  private var oldest: Int32 { -0xffff - 2 * Int32(clockRate) }
  /// Where one segment of a long event ends the next one begins (§2.5.1.3).
  private static let longestSegment: UInt32 = 0xffff

  private var ssrc: UInt32 = 0
  private var timestamp: UInt32 = 0
  private var hasHeard = false
  package private(set) var isActive = false
  private var event: UInt8 = 0
  private var duration: UInt16 = 0
  /// Of the flow that was heard last, in Hz.
  private var clockRate: UInt32 = 8_000
  /// Of the segments before this one.
  private var before = 0

  package init() {}

  package mutating func take(
    _ header: RTPHeader, _ report: TelephoneEvent, clockRate: UInt32 = 8_000
  ) -> DigitSteps {
    var steps = DigitSteps()
    guard isNew(header) else {
      // Another event under the same timestamp (§2.5.1.5 packs them) is not told apart.
      guard header.timestamp == timestamp, header.ssrc == ssrc, isActive, report.event == event
      else { return steps }
      duration = max(duration, report.duration)
      if report.end { steps.ended = end() }
      return steps
    }
    if isActive, report.event == event, header.ssrc == ssrc,
      header.timestamp &- timestamp == Self.longestSegment
    {
      before += Int(Self.longestSegment)
      timestamp = header.timestamp
      duration = report.duration
      if report.end { steps.ended = end() }
      return steps
    }
    steps.ended = end()
    self.clockRate = clockRate
    hasHeard = true
    ssrc = header.ssrc
    timestamp = header.timestamp
    // Others are no digits, and their states may last.
    guard report.event <= 16 else { return steps }
    isActive = true
    event = report.event
    duration = report.duration
    before = 0
    steps.began = event
    if report.end { steps.endedAtOnce = end() }
    return steps
  }

  private func isNew(_ header: RTPHeader) -> Bool {
    guard hasHeard, header.ssrc == ssrc else { return true }
    let age = Int32(bitPattern: header.timestamp &- timestamp)
    return age > 0 || age < oldest
  }

  /// Nothing comes any more: the event is over, as long as it was last said to be.
  package mutating func end() -> HeardDigit? {
    guard isActive else { return nil }
    isActive = false
    return HeardDigit(
      event: event, duration: (before + Int(duration)) * 8_000 / Int(max(clockRate, 8_000)))
  }
}
