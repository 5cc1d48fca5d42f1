import Synchronization

/// How far a thread has come in its turn, for whoever watches it from another one. Written a few times a turn.
package final class ThreadProgress: Sendable {
  /// What a turn consists of, of whichever thread.
  package enum Step: UInt8, Sendable {
    /// It waits for something to do.
    case resting
    case datagrams, streams, connections, inputs, commands, media, timers, sending, recordings
  }

  package struct Reading: Sendable, Hashable {
    package var name: String
    /// The kernel's number for it; 0: it has not begun.
    package var thread: Int32
    /// When this turn began, in ns of the monotonic clock; 0: it rests.
    package var began: UInt64
    package var step: Step

    package init(name: String, thread: Int32, began: UInt64, step: Step) {
      self.name = name
      self.thread = thread
      self.began = began
      self.step = step
    }
  }

  private let name: String
  private let thread = Atomic<Int32>(0)
  private let began = Atomic<UInt64>(0)
  private let step = Atomic<UInt8>(0)

  package init(_ name: String) { self.name = name }

  /// On the thread, before its first turn.
  package func adopt(thread number: Int32) { thread.store(number, ordering: .relaxed) }

  /// `now`: ns of the monotonic clock.
  package func begin(_ first: Step, at now: UInt64) {
    step.store(first.rawValue, ordering: .relaxed)
    began.store(now, ordering: .relaxed)
  }

  package func enter(_ next: Step) { step.store(next.rawValue, ordering: .relaxed) }

  package func rest() {
    began.store(0, ordering: .relaxed)
    step.store(Step.resting.rawValue, ordering: .relaxed)
  }

  package var reading: Reading {
    Reading(
      name: name, thread: thread.load(ordering: .relaxed), began: began.load(ordering: .relaxed),
      step: Step(rawValue: step.load(ordering: .relaxed)) ?? .resting)
  }
}
