internal import Synchronization

/// What the loop counts, readable from any thread.
package final class EdgeCounters: Sendable {
  let datagramsReceived = Atomic<UInt64>(0)
  let bytesReceived = Atomic<UInt64>(0)
  let datagramsSent = Atomic<UInt64>(0)
  let datagramsRefused = Atomic<UInt64>(0)
  let datagramsDeferred = Atomic<UInt64>(0)
  let datagramsDiscarded = Atomic<UInt64>(0)
  let unreachable = Atomic<UInt64>(0)
  let kernelDrops = Atomic<UInt64>(0)
  let receiveErrors = Atomic<UInt64>(0)
  let wakeups = Atomic<UInt64>(0)

  package struct Reading: Hashable, Sendable {
    package var datagramsReceived: UInt64
    package var bytesReceived: UInt64
    package var datagramsSent: UInt64
    /// The socket refused them: no route, a filter, no memory.
    package var datagramsRefused: UInt64
    /// They waited because the socket was full.
    package var datagramsDeferred: UInt64
    /// There was no room to wait, or no such listener.
    package var datagramsDiscarded: UInt64
    /// Destinations that the kernel reported as unreachable.
    package var unreachable: UInt64
    /// Arrivals that the kernel dropped because we read too slowly.
    package var kernelDrops: UInt64
    package var receiveErrors: UInt64
    package var wakeups: UInt64
  }

  package var reading: Reading {
    Reading(
      datagramsReceived: datagramsReceived.load(ordering: .relaxed),
      bytesReceived: bytesReceived.load(ordering: .relaxed),
      datagramsSent: datagramsSent.load(ordering: .relaxed),
      datagramsRefused: datagramsRefused.load(ordering: .relaxed),
      datagramsDeferred: datagramsDeferred.load(ordering: .relaxed),
      datagramsDiscarded: datagramsDiscarded.load(ordering: .relaxed),
      unreachable: unreachable.load(ordering: .relaxed),
      kernelDrops: kernelDrops.load(ordering: .relaxed),
      receiveErrors: receiveErrors.load(ordering: .relaxed),
      wakeups: wakeups.load(ordering: .relaxed))
  }
}

extension Atomic<UInt64> {
  /// One thread writes each counter, but readers want whole values.
  func add(_ n: Int) { wrappingAdd(UInt64(n), ordering: .relaxed) }
}
