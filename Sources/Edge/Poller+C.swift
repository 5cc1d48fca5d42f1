package import Base
internal import CLinux

/// Waits for sockets, wake-ups and time.
final class Poller: Sendable {
  struct Event {
    var token: UInt32
    var isReadable: Bool
    var isWritable: Bool
    var hasError: Bool
  }

  private let descriptor: Int32

  init() throws(EdgeError) {
    descriptor = clinux_poller_open()
    guard descriptor >= 0 else { throw .system(operation: "epoll", code: -descriptor) }
  }

  deinit { clinux_close(descriptor) }

  /// For what is watched elsewhere in this target.
  var handle: Int32 { descriptor }

  func watch(_ socket: UDPSocket, token: UInt32, alsoForRoom: Bool = false, isNew: Bool)
    throws(EdgeError)
  {
    try set(socket.descriptor, token, alsoForRoom ? 3 : 1, isNew)
  }

  func watch(_ wakeup: Wakeup, token: UInt32) throws(EdgeError) {
    try set(wakeup.descriptor, token, 1, true)
  }

  func set(_ fd: Int32, _ token: UInt32, _ events: UInt32, _ isNew: Bool) throws(EdgeError) {
    let result = clinux_poller_set(descriptor, fd, token, events, isNew ? 1 : 0)
    guard result == 0 else { throw .system(operation: "epoll", code: -result) }
  }

  /// Fails only for what isn't watched, and then there is nothing to be done.
  func remove(_ fd: Int32) { _ = clinux_poller_remove(descriptor, fd) }

  /// Puts what is ready into `events`. A nil patience waits for ever; a wait is never shorter than asked
  /// unless something is ready or a signal came.
  func wait(_ patience: Interval?, into events: inout [Event]) {
    var ready = InlineArray<16, clinux_event>(repeating: clinux_event())
    let timeout = patience.map { max($0.nanoseconds, 0) } ?? -1
    var span = ready.mutableSpan
    let count = unsafe span.withUnsafeMutableBufferPointer { buffer in
      unsafe clinux_poller_wait(descriptor, buffer.baseAddress, Int32(buffer.count), timeout)
    }
    events.removeAll(keepingCapacity: true)
    for i in 0..<max(Int(count), 0) {
      let bits = ready[i].events
      events.append(
        Event(
          token: ready[i].token, isReadable: bits & 1 != 0, isWritable: bits & 2 != 0,
          hasError: bits & 4 != 0))
    }
  }
}

/// Wakes a thread that waits in a `Poller`; from any thread.
final class Wakeup: Sendable {
  let descriptor: Int32

  init() throws(EdgeError) {
    descriptor = clinux_signal_open()
    guard descriptor >= 0 else { throw .system(operation: "eventfd", code: -descriptor) }
  }

  deinit { clinux_close(descriptor) }

  func raise() { clinux_signal_raise(descriptor) }
  func clear() { clinux_signal_clear(descriptor) }
}

/// Short, for errors that would otherwise make a loop spin.
package func pauseThread(_ interval: Interval) {
  clinux_sleep(UInt64(max(interval.nanoseconds, 0)))
}
