import Foundation

/// CPU time of this thread in nanoseconds: other work on the machine doesn't count.
func threadNanoseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// Allocations since the start of the process, all threads; nil without the preloaded counter
/// (`bench/malloc_count.c`).
func mallocCount() -> UInt64? { counter.map { $0() } }

private let counter: (@convention(c) () -> UInt64)? = {
  guard let symbol = unsafe dlsym(nil, "demarc_malloc_count") else { return nil }
  return unsafe unsafeBitCast(symbol, to: (@convention(c) () -> UInt64).self)
}()

/// What one run of a workload costs.
struct Cost {
  /// The least and the median of several rounds: the least is what the code costs, the distance to the
  /// median is what the machine did besides.
  var least: Double
  var median: Double
  /// Nil where they could not be counted.
  var mallocs: Double?
}

/// Runs `body` (which takes a count) in `rounds` rounds of `iterations`, after one to warm up.
func measure(rounds: Int = 9, iterations: Int, _ body: (Int) -> Void) -> Cost {
  body(max(1, iterations / 4))
  var times: [Double] = []
  let before = mallocCount()
  for _ in 0..<rounds {
    let start = threadNanoseconds()
    body(iterations)
    times.append(Double(threadNanoseconds() - start) / Double(iterations))
  }
  let after = mallocCount()
  times.sort()
  var mallocs: Double?
  if let before, let after {
    // The array of times and such are a handful in all.
    mallocs = (Double(after - before) / Double(rounds * iterations) * 100).rounded(.down) / 100
  }
  return Cost(least: times[0], median: times[times.count / 2], mallocs: mallocs)
}
