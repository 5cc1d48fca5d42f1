import Base
import CallCore

/// What waits for an engine that takes its time: the buffer of its sockets, in order.
struct Backlog {
  struct Entry {
    var datagram: Datagram
    var listener: ListenerIndex
    var since: Instant
  }

  private var entries: [Entry] = []
  private var first = 0

  var count: Int { entries.count - first }

  mutating func add(_ datagram: Datagram, _ listener: ListenerIndex, at now: Instant) {
    entries.append(Entry(datagram: datagram, listener: listener, since: now))
  }

  mutating func next() -> Entry? {
    guard first < entries.count else { return nil }
    defer {
      first += 1
      if first == entries.count {
        entries.removeAll(keepingCapacity: true)
        first = 0
      }
    }
    return entries[first]
  }
}
