package import Base

package struct MediaSettings: Sendable {
  /// Port pairs bound at most, over all addresses. Each takes two descriptors and about 2.5 kB of kernel
  /// memory.
  package var maxPortPairs = 16_384
  /// Descriptors left to the rest of the process when the system's limit is the bound.
  package var reservedDescriptors = 512
  /// Commands that may wait for the worker; `.close` is taken beyond it, so that nothing stays open.
  package var maxQueuedCommands = 65_536
  /// Above this many packets a second a worker sleeps `tick` and drains instead of being woken by each.
  package var busyPacketsPerSecond = 5_000
  package var tick = Interval.milliseconds(1)
  /// How long the quality test listens before it speaks.
  package var qualityListening = Interval.seconds(5)
  /// The mean time between two RTCP reports of an application leg (RFC 3550 §6.2).
  package var reportInterval = Interval.seconds(5)

  /// DSCP << 2 of all that media sends: EF (RFC 3246, RFC 4594 §4.1).
  package var trafficClass: UInt8 = 0xb8
  /// Whether the kernel relays what needs nothing else.
  package var fastPath = FastPathMode.off

  /// Nil: nothing can be recorded.
  package var recording: RecordingSettings?
  /// Our certificate of DTLS-SRTP; nil: a transport that wants a handshake is refused.
  package var identity: DTLSIdentity?
  /// Handshakes that a worker begins in a second, with those who have shown a cookie and by itself, a tenth of them at
  /// once: each costs a signature and two points of a curve, half a millisecond in which no packet is relayed.
  package var handshakesPerSecond = 400

  package init() {}
}

package struct RecordingSettings: Hashable, Sendable {
  package var folder: RecordingFolder
  /// At once; more are refused.
  package var maximum = 200
  /// Bytes that stay free on the disk: with less, recordings end and none begins.
  package var minimumFree: UInt64 = 1 << 30
  /// Bytes of samples that may wait for the disk.
  package var queueBytes = 32 << 20

  package init(folder: RecordingFolder) { self.folder = folder }
}

/// Why the media plane did not start, and what to do about it.
package enum MediaStartError: Error, Hashable, Sendable, CustomStringConvertible {
  case alreadyStarted
  case noAddress
  /// The range holds no even port with its odd one.
  case noPortPair(name: String)
  /// No interface of this machine has the address.
  case addressUnavailable(name: String, address: IPAddress)
  case allPortsTaken(name: String, ports: ClosedRange<UInt16>)
  case descriptorLimit(limit: Int)
  case system(name: String, reason: String)

  @usableFromInline package var description: String {
    switch self {
    case .alreadyStarted: "the media plane runs already"
    case .noAddress: "no media address is configured; give at least one with its ports"
    case .noPortPair(let name):
      "media address \(name): its ports hold no pair of an even port and the odd one after it; widen them"
    case .addressUnavailable(let name, let address):
      "media address \(name): no interface of this machine has \(address); see `ip address`"
    case .allPortsTaken(let name, let ports):
      "media address \(name): every port of \(ports.lowerBound)-\(ports.upperBound) is taken; "
        + "see `ss -lunp`, or configure other ports"
    case .descriptorLimit(let limit):
      "the limit of \(limit) open files leaves none for media; raise it (`ulimit -n`, LimitNOFILE=)"
    case .system(let name, let reason): "media \(name): \(reason)"
    }
  }
}

/// What `MediaPlane.start` got, for the log: fewer pairs than wanted means that others hold some ports
/// or that a limit was met.
package struct MediaReadiness: Hashable, Sendable {
  package var bound = 0
  package var takenByOthers = 0
  /// Left out because of `maxPortPairs` or the limit of open files.
  package var beyondLimit = 0
  /// Being bound by the worker; `.ready` tells as they come.
  package var pending = 0
  /// What the process may open beside all of these and what is open.
  package var descriptorsLeft = Int.max

  package init(bound: Int = 0, takenByOthers: Int = 0, beyondLimit: Int = 0, pending: Int = 0) {
    self.bound = bound
    self.takenByOthers = takenByOthers
    self.beyondLimit = beyondLimit
    self.pending = pending
  }
}

/// Totals since the start. A snapshot is at most 100 ms old while packets flow, and exact at rest.
package struct MediaCounters: Hashable, Sendable {
  package var received: UInt64 = 0
  package var relayed: UInt64 = 0
  /// Relayed by the kernel, in none of the other figures; exact at any time.
  package var relayedByKernel: UInt64 = 0
  /// Directions of calls that the kernel relays now.
  package var kernelFlows = 0
  package var controlReceived: UInt64 = 0
  package var controlRelayed: UInt64 = 0
  /// Packets that applications sent, RTCP not counted.
  package var applicationPackets: UInt64 = 0
  /// Dropped: from a source that is not the far end (or before there was one).
  package var refused: UInt64 = 0
  /// Far ends that were found at another address in the middle of a call.
  package var moves: UInt64 = 0
  /// Dropped: neither RTP nor RTCP.
  package var malformed: UInt64 = 0
  /// Dropped by SRTP: not under the far end's key, and repeated or too old to know.
  package var unauthentic: UInt64 = 0
  package var replayed: UInt64 = 0
  /// Not sent: its place in the key stream is used up, or the key is.
  package var unprotectable: UInt64 = 0
  /// Dropped, on their way in or out: no handshake has brought a key yet.
  package var unkeyed: UInt64 = 0
  /// Handshakes of DTLS that brought keys, that came to nothing, that somebody else finished than whom SDP names, and
  /// that were not begun because there were too many.
  package var handshakesDone: UInt64 = 0
  package var handshakesFailed: UInt64 = 0
  package var handshakesOfOthers: UInt64 = 0
  package var handshakesRefused: UInt64 = 0
  /// Datagrams of DTLS that belong to no handshake, and ClientHellos that a cookie was asked of.
  package var handshakesStray: UInt64 = 0
  package var helloCookies: UInt64 = 0
  /// Dropped: the far end had been told not to send.
  package var unwanted: UInt64 = 0
  /// Dropped: no other side yet.
  package var unbridged: UInt64 = 0
  /// Dropped: the other side has no address that may be sent to, or does not want to receive.
  package var unsendable: UInt64 = 0
  /// Packets of speech that left in another codec than they came in, and those that held no speech of theirs.
  package var converted: UInt64 = 0
  package var unconvertible: UInt64 = 0
  /// Packets of silence that were left out of what was made.
  package var suppressed: UInt64 = 0
  /// Dropped: its place in a converted flow was filled already.
  package var convertedLate: UInt64 = 0
  /// Of speech that is played out evenly: packets that came too late, packets' worth that was put in for what was late or
  /// lost, and quiet packets that were left out.
  package var playoutLate: UInt64 = 0
  package var playoutConcealed: UInt64 = 0
  package var playoutLeftOut: UInt64 = 0
  /// Digits that were said in another way than they came, those that were not because too many came at once or nobody
  /// was there for them, and packets that were dropped because a digit was said in their place.
  package var digitsConverted: UInt64 = 0
  package var digitsRefused: UInt64 = 0
  package var replacedByDigits: UInt64 = 0
  /// Dropped: it would have come through ourselves a second time, or faster than an echo of speech does.
  package var looped: UInt64 = 0
  /// Dropped: the kernel did not take it.
  package var sendFailures: UInt64 = 0
  /// Dropped by the kernel because a socket's buffer was full, as counted when transports close.
  package var kernelDropped: UInt64 = 0
  package var wakeups: UInt64 = 0
  /// Of those, the ones by the tick of the busy state.
  package var ticks: UInt64 = 0
  package var commands: UInt64 = 0
  package var commandsRefused: UInt64 = 0
  /// Commands that found the queue full.
  package var commandsDropped: UInt64 = 0
  package var openTransports = 0
  /// Port pairs held, and those of our ranges that others hold.
  package var portPairsBound = 0
  package var portPairsTaken = 0
  /// Calls that are being recorded, frames of 20 ms that the queue to the disk had no room for, and what the writer
  /// has done.
  package var recordings = 0
  package var recordingFramesLost: UInt64 = 0
  package var recordingsBegun: UInt64 = 0
  package var recordingsFailed: UInt64 = 0
  package var recordingBytes: UInt64 = 0
  /// CPU time of the workers.
  package var cpuNanoseconds: UInt64 = 0

  package init() {}
}
