package import Base
internal import CLinux

/// The one clock of the process. Everything below the edge gets its readings as arguments.
package enum MonotonicClock {
  package static var now: Instant { Instant(nanoseconds: clinux_monotonic()) }
}

/// What the wall clock said beside the monotonic one, for turning instants into stamps.
///
/// Taken afresh at each use: a step of the wall clock then moves later stamps and bends no duration, since
/// durations are differences of instants. Stamps that belong together share one anchor.
package struct WallClock: Sendable {
  private let monotonic: Instant
  private let nanosecondsSince1970: UInt64

  package static var now: WallClock {
    WallClock(at: MonotonicClock.now, nanosecondsSince1970: clinux_wall_clock())
  }

  package init(at monotonic: Instant, nanosecondsSince1970: UInt64) {
    self.monotonic = monotonic
    self.nanosecondsSince1970 = nanosecondsSince1970
  }

  /// Nanoseconds since 1970 at `instant`; 0 for what lies before.
  package func nanoseconds(at instant: Instant) -> UInt64 {
    let shifted = Instant(nanoseconds: nanosecondsSince1970) + (instant - monotonic)
    return shifted.nanoseconds
  }

  /// Milliseconds since 1970 at `instant`.
  package func milliseconds(at instant: Instant) -> UInt64 {
    nanoseconds(at: instant) / 1_000_000
  }

  /// What the monotonic clock said at a stamp of the kernel's.
  package func instant(nanoseconds: UInt64) -> Instant {
    monotonic + (Instant(nanoseconds: nanoseconds) - Instant(nanoseconds: nanosecondsSince1970))
  }

  /// How old the readings are.
  package func age(at now: Instant) -> Interval { now - monotonic }

  /// The instant of a stamp from before a restart or from a file; in the past of this process's clock it
  /// may be cut to its origin.
  package func instant(milliseconds: UInt64) -> Instant {
    let (scaled, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
    let stamp = Instant(nanoseconds: overflow ? .max : scaled)
    return instant(nanoseconds: stamp.nanoseconds)
  }
}

package enum ThisThread {
  /// The kernel's number for it.
  static var number: Int32 { clinux_thread_id() }
}

/// What the process costs, for metrics and benchmarks.
package enum ProcessUsage {
  package static var cpuTime: Interval {
    Interval(nanoseconds: Int64(clamping: clinux_process_time()))
  }
  /// Bytes of memory resident.
  package static var residentBytes: Int { Int(clamping: clinux_resident_bytes()) }
}

/// Random bytes from the kernel, for secrets and seeds. Below the edge, randomness is an argument.
package enum SystemRandom {
  package static func bytes(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: max(count, 0))
    guard !bytes.isEmpty, unsafe clinux_random(&bytes, bytes.count) != 0 else { return bytes }
    // getrandom(2) is missing only on kernels that nothing else here runs on.
    var generator = SystemRandomNumberGenerator()
    for i in bytes.indices { bytes[i] = UInt8.random(in: 0...255, using: &generator) }
    return bytes
  }

  package static var word: UInt64 { bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
