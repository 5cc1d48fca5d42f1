import Base

/// What waits for its instant.
enum WorldEvent {
  case arrival(Datagram)
  case action(() -> Void)
}

/// A binary heap by instant; events of one instant leave in the order in which they were added, so a
/// run depends on nothing but its seed.
struct EventQueue {
  private struct Entry {
    var at: Instant
    var order: UInt64
    var event: WorldEvent

    func precedes(_ other: Entry) -> Bool {
      at == other.at ? order < other.order : at < other.at
    }
  }

  private var heap: [Entry] = []
  private var added: UInt64 = 0

  var next: Instant? { heap.first?.at }
  var count: Int { heap.count }

  mutating func add(_ event: WorldEvent, at: Instant) {
    added += 1
    heap.append(Entry(at: at, order: added, event: event))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].precedes(heap[parent]) else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func removeFirst() -> WorldEvent? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first.event }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].precedes(heap[least]) { least = child }
      guard least != parent else { return first.event }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
