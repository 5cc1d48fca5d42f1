package import Base

/// Deadlines of a fixed set of timers 0..<count, each armed at most once: a binary heap that knows where
/// each timer lies, so that arming again and cancelling leave nothing stale behind.
///
/// For media: a timer here repeats every 20 ms for a stream and must fire within the tick, which the
/// shard's 10 ms wheel does not give.
package struct DeadlineHeap: Sendable {
  private var due: [Instant]
  /// Place of each timer in `heap`; -1: not armed.
  private var places: [Int32]
  private var heap: [Int32] = []

  package init(count: Int) {
    due = Array(repeating: .zero, count: count)
    places = Array(repeating: -1, count: count)
  }

  package var next: Instant? { heap.first.map { due[Int($0)] } }
  package var count: Int { heap.count }

  package func isArmed(_ timer: Int) -> Bool { places[timer] >= 0 }

  /// Arms the timer, or moves it when it is armed.
  package mutating func arm(_ timer: Int, at instant: Instant) {
    due[timer] = instant
    if places[timer] < 0 {
      places[timer] = Int32(heap.count)
      heap.append(Int32(timer))
    }
    siftUp(Int(places[timer]))
    siftDown(Int(places[timer]))
  }

  package mutating func cancel(_ timer: Int) {
    let place = Int(places[timer])
    guard place >= 0 else { return }
    places[timer] = -1
    let last = heap.removeLast()
    guard place < heap.count else { return }
    heap[place] = last
    places[Int(last)] = Int32(place)
    siftUp(place)
    siftDown(Int(places[Int(last)]))
  }

  /// Takes out the earliest timer that is due at `now`, and says when it was.
  package mutating func pop(at now: Instant) -> (timer: Int, due: Instant)? {
    guard let first = heap.first, due[Int(first)] <= now else { return nil }
    cancel(Int(first))
    return (Int(first), due[Int(first)])
  }

  private mutating func siftUp(_ start: Int) {
    var place = start
    while place > 0 {
      let parent = (place - 1) / 2
      guard isEarlier(place, parent) else { return }
      exchange(place, parent)
      place = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var place = start
    while true {
      var least = place
      for child in (2 * place + 1)...(2 * place + 2) where child < heap.count {
        if isEarlier(child, least) { least = child }
      }
      guard least != place else { return }
      exchange(place, least)
      place = least
    }
  }

  private func isEarlier(_ a: Int, _ b: Int) -> Bool { due[Int(heap[a])] < due[Int(heap[b])] }

  private mutating func exchange(_ a: Int, _ b: Int) {
    heap.swapAt(a, b)
    places[Int(heap[a])] = Int32(a)
    places[Int(heap[b])] = Int32(b)
  }
}
