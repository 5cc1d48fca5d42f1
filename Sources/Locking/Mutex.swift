#if SANITIZE_THREAD
  import Glibc

  /// Stands in for `Synchronization.Mutex` under ThreadSanitizer (`make tsan`), which sees nothing of that one's futex and
  /// would take everything behind it for a race.
  @safe
  package struct Mutex<Value>: ~Copyable, @unchecked Sendable {
    @safe private final class Storage {
      var value: Value
      let lock: UnsafeMutablePointer<pthread_mutex_t>

      init(_ value: Value) {
        self.value = value
        unsafe lock = .allocate(capacity: 1)
        unsafe pthread_mutex_init(lock, nil)
      }

      deinit {
        unsafe pthread_mutex_destroy(lock)
        unsafe lock.deallocate()
      }
    }

    private let storage: Storage
    // Beside the value: to read it there would count as an access to the value.
    private let lock: UnsafeMutablePointer<pthread_mutex_t>

    package init(_ value: consuming sending Value) {
      storage = Storage(value)
      unsafe lock = storage.lock
    }

    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
      _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
      unsafe pthread_mutex_lock(lock)
      defer { unsafe pthread_mutex_unlock(lock) }
      return try body(&storage.value)
    }
  }
#else
  // Re-exported, so that who has a mutex need not import where its methods are, which is elsewhere under the sanitizer.
  @_exported import Synchronization
#endif
