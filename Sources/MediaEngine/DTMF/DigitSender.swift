/// The digits that wait to be said to a far end, and the one that is being said: as telephone-events or as tones, one
/// packet time after the other.
///
///     idle ─▶ sounding ─▶ (events: the end, twice more) ─▶ pause ─▶ sounding … idle
///               └ for as long as the digit lasts where it came from, and 50 ms at least
///
/// Between two there are 50 ms of silence at least, however close they have come (ITU-T Q.24 asks receivers for 40).
package struct DigitSender: Sendable {
  package enum Form: Sendable { case events, tones }

  /// What is due in this packet time.
  package enum Step: Hashable, Sendable {
    /// `duration` in milliseconds from the event's beginning (RFC 4733 §2.5.1.2).
    case event(UInt8, duration: Int, isFirst: Bool, isEnd: Bool)
    /// A packet of the digit's tones, which begin with the first.
    case tone(UInt8, isFirst: Bool)
    case silence
    /// Nothing to say, and nothing that may be said in between.
    case pause
  }

  /// More wait for nobody: whoever types so fast is no person.
  package static let limit = 16
  package static let least = 50
  package static let pause = 50
  /// A key that is held longer is let go: the duration of an event has 16 bits (8.19 s).
  package static let longest = 8_000
  /// The report of the end goes out three times (RFC 4733 §2.5.1.4).
  private static let repetitions = 2

  private struct Item: Sendable {
    var event: UInt8 = 0
    var milliseconds = 0
    /// It still goes on.
    var isOpen = false
  }

  private var items = InlineArray<16, Item>(repeating: Item())
  private var first = 0
  private var count = 0
  private var elapsed = 0
  private var repeats = 0
  private var rest = 0

  package init() {}

  package var isIdle: Bool { count == 0 && rest <= 0 }

  /// A digit begins whose end comes by `end`. False: too many wait.
  package mutating func begin(_ event: UInt8) -> Bool { append(Item(event: event, isOpen: true)) }

  /// A digit of known length.
  package mutating func add(_ event: UInt8, milliseconds: Int) -> Bool {
    append(Item(event: event, milliseconds: milliseconds))
  }

  private mutating func append(_ item: Item) -> Bool {
    // Whoever begins another has ended the one before.
    end(milliseconds: 0)
    guard count < Self.limit else { return false }
    items[(first + count) % Self.limit] = item
    count += 1
    return true
  }

  /// The digit that has begun is over.
  package mutating func end(milliseconds: Int) {
    guard count > 0 else { return }
    let last = (first + count - 1) % Self.limit
    guard items[last].isOpen else { return }
    items[last].isOpen = false
    items[last].milliseconds = milliseconds
  }

  /// Nil: everything is said.
  package mutating func next(_ form: Form, packetMilliseconds period: Int) -> Step? {
    if rest > 0 {
      rest -= period
      return form == .tones ? .silence : .pause
    }
    guard count > 0 else { return nil }
    return form == .tones ? nextTone(period) : nextEvent(period)
  }

  private var item: Item { items[first] }

  /// How long the digit at hand lasts.
  private var wanted: Int {
    item.isOpen ? Self.longest : min(max(item.milliseconds, Self.least), Self.longest)
  }

  private mutating func nextTone(_ period: Int) -> Step {
    if elapsed > 0, elapsed >= wanted {
      finish(pausing: Self.pause - period)
      return .silence
    }
    let step = Step.tone(item.event, isFirst: elapsed == 0)
    elapsed += period
    return step
  }

  private mutating func nextEvent(_ period: Int) -> Step {
    let event = item.event
    if repeats > 0 {
      repeats -= 1
      let step = Step.event(event, duration: elapsed, isFirst: false, isEnd: true)
      // It was over when that was said first.
      if repeats == 0 { finish(pausing: Self.pause - Self.repetitions * period) }
      return step
    }
    let isFirst = elapsed == 0
    guard isFirst || elapsed + period < wanted else {
      elapsed = max(elapsed, wanted)
      repeats = Self.repetitions
      return .event(event, duration: elapsed, isFirst: false, isEnd: true)
    }
    elapsed += period
    return .event(event, duration: elapsed, isFirst: isFirst, isEnd: false)
  }

  private mutating func finish(pausing pause: Int) {
    first = (first + 1) % Self.limit
    count -= 1
    elapsed = 0
    rest = pause
  }
}
