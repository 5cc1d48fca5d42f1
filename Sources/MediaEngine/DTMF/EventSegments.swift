/// The segments of an event that lasts longer than its duration's 16 bits can say (RFC 4733 §2.5.1.3): 8.2 s of 8 kHz, and
/// 1.4 s of 48. Each begins where the one before ends, and none but the last has an end.
struct EventSegments {
  static let longest: UInt32 = 0xffff

  /// Where the segment at hand began. Receivers know a next one by this alone (§2.5.2.3), so it counts the event's units also
  /// in a flow of another clock.
  private(set) var timestamp: UInt32
  /// That were before it.
  private(set) var count = 0

  init(at timestamp: UInt32) { self.timestamp = timestamp }

  /// An event of so many units is longer than the segments that there are.
  func begins(_ duration: Int) -> Bool { duration > Int(Self.longest) * (count + 1) }

  mutating func goOn() {
    count += 1
    timestamp &+= Self.longest
  }
}
