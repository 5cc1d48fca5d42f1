internal import CLinux
internal import struct Locking.Mutex

/// A thread of its own for a loop that never gives up its core to a pool.
///
/// What the loop owns is made inside the closure, so it need not be `Sendable`.
final class EdgeThread: Sendable {
  private let handle: UInt64

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// The name shows in `top -H`, cut to 15 bytes.
  init(name: String, _ run: @escaping @Sendable () -> Void) throws(EdgeError) {
    let body = unsafe Unmanaged.passRetained(Body(run))
    var handle: UInt64 = 0
    let result = unsafe clinux_thread_start(
      name,
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
      }, body.toOpaque(), &handle)
    guard result == 0 else {
      unsafe body.release()
      throw .system(operation: "a thread", code: -result)
    }
    self.handle = handle
  }

  /// Waits for its end. Once only; from the thread itself, and after it was called, it does nothing.
  func join() {
    guard clinux_thread_is_current(handle) == 0 else { return }
    clinux_thread_join(handle)
  }

  /// Takes the thread out and waits for its end. False: that was done before.
  @discardableResult
  static func join(_ kept: borrowing Mutex<EdgeThread?>) -> Bool {
    let running = kept.withLock { thread in
      let running = thread
      thread = nil
      return running
    }
    running?.join()
    return running != nil
  }
}
