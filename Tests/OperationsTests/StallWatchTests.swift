import Base
import Locking
import Operations
import Testing

struct StallWatchTests {
  private static func reading(
    _ began: UInt64, _ step: ThreadProgress.Step = .timers, name: String = "calls"
  ) -> ThreadProgress.Reading {
    ThreadProgress.Reading(name: name, thread: 7, began: began, step: step)
  }

  private static func at(_ milliseconds: UInt64) -> Instant {
    Instant(nanoseconds: milliseconds * 1_000_000)
  }

  /// Turns that end, and rest without end, are no stall.
  @Test func aThreadThatGoesOn() {
    var watch = StallWatch()
    for second in 1...20 as ClosedRange<UInt64> {
      let busy = watch.look([Self.reading(second)], at: Self.at(second * 1_000))
      #expect(busy.isEmpty)
    }
    for second in 21...60 as ClosedRange<UInt64> {
      let resting = watch.look([Self.reading(0, .resting)], at: Self.at(second * 1_000))
      #expect(resting.isEmpty)
    }
    #expect(!watch.hasStalled)
  }

  /// It is told once, with what it does, and once when it goes on.
  @Test func aThreadThatStalls() {
    var watch = StallWatch()
    let first = watch.look([Self.reading(5)], at: Self.at(1_000))
    #expect(first.isEmpty)
    let early = watch.look([Self.reading(5)], at: Self.at(2_999))
    #expect(early.isEmpty && !watch.hasStalled)
    let late = watch.look([Self.reading(5, .sending)], at: Self.at(3_000))
    #expect(late == [.stalled(Self.reading(5, .sending), .seconds(2))])
    let again = watch.look([Self.reading(5, .sending)], at: Self.at(9_000))
    #expect(again.isEmpty && watch.hasStalled)
    let over = watch.look([Self.reading(6)], at: Self.at(10_000))
    #expect(over == [.recovered(Self.reading(6), .seconds(9))])
    #expect(!watch.hasStalled)
  }

  @Test func eachThreadByItself() {
    var watch = StallWatch()
    func look(_ seconds: UInt64, _ other: UInt64) -> [StallWatch.Event] {
      watch.look(
        [Self.reading(5), Self.reading(other, name: "media")], at: Self.at(seconds * 1_000))
    }
    for second in 1...2 as ClosedRange<UInt64> {
      let events = look(second, second)
      #expect(events.isEmpty)
    }
    let events = look(3, 3)
    #expect(events == [.stalled(Self.reading(5), .seconds(2))])
  }

  /// A process that was stopped as a whole for a minute: each turn is looked at anew.
  @Test func aStoppedProcessHasNotStalled() {
    var watch = StallWatch()
    let before = watch.look([Self.reading(5)], at: Self.at(1_000))
    let after = watch.look([Self.reading(6)], at: Self.at(61_000))
    #expect(before.isEmpty && after.isEmpty)
  }

  @Test func managersAreKnownByTheEnvironment() {
    #expect(ServiceManager(environment: [:]) == nil)
    #expect(ServiceManager(environment: ["NOTIFY_SOCKET": ""]) == nil)
    let plain = ServiceManager(environment: ["NOTIFY_SOCKET": "/run/x"])
    #expect(plain != nil && plain?.watchdog == nil)
    let watched = ServiceManager(
      environment: ["NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "20000000"])
    #expect(watched?.watchdog == .seconds(20))
    let another = ServiceManager(
      environment: ["NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"])
    #expect(another != nil && another?.watchdog == nil)
  }
}
