import Base
import MediaControl
import RTPWire

/// One direction as the program sees it: whose packets, from which of our ports they leave, where to.
struct Lane: Hashable, Sendable {
  var source: SocketAddress
  var local: SocketAddress
  var target: SocketAddress
  var interface: UInt32
  /// The largest IP packet that the way out takes.
  var longest: UInt16
  /// As the sockets have it.
  var trafficClass: UInt8
  var payloadTypes = PayloadTypes()
}

/// A set of RTP payload types.
struct PayloadTypes: Hashable, Sendable {
  var low: UInt64 = 0
  var high: UInt64 = 0

  func contains(_ type: UInt8) -> Bool {
    (type & 0x40 == 0 ? low : high) >> UInt64(type & 0x3f) & 1 != 0
  }

  mutating func insert(_ type: UInt8) {
    let bit = UInt64(1) << UInt64(type & 0x3f)
    if type & 0x40 == 0 { low |= bit } else { high |= bit }
  }
}

/// The flow in a lane, and how it is shown to the far end.
struct LaneFlow: Hashable, Sendable {
  var ssrc: UInt32
  var shown: UInt32
  var sequenceOffset: UInt16 = 0
  var timestampOffset: UInt32 = 0
  /// Nanoseconds in a unit of the timestamp, times 65536; 0: unknown.
  var tick: UInt64 = 0
  var highestTimestamp: UInt32 = 0

  static func tick(clockRate: UInt32) -> UInt64 {
    clockRate == 0 ? 0 : (1_000_000_000 << 16) / UInt64(clockRate)
  }
}

/// Where the packets of a transport's far end are handled.
///
///     socket ──both ends known──▶ offered ──caught up──▶ kernel
///       ▲                          │  ▲                   │
///       ├──anything else needs them┘  └─a packet comes up─┤
///       └─────────────────────────────────────────────────┘
enum Passage: UInt8, Sendable {
  case socket
  /// The program knows the lane, passes its packets up and notes them.
  case offered
  /// The program relays them.
  case kernel
}

/// The worker's hold of the fast path. Lanes are named by the slot whose packets they carry.
struct FastPath: ~Copyable {
  private var kernel: KernelPart?
  private let memory: EntryMemory
  /// By slot: the lane that is open there, and the packets counted of it so far.
  private var lanes: [Lane?] = []
  private var counted: [UInt64] = []
  /// What had been passed up when the lane was opened, of an earlier call maybe.
  private var opened: [UInt64] = []
  private var interfaces: [UInt32: KernelInterface] = [:]
  /// The program would send past IPsec, and take what IPsec must have seen first.
  private var hasPolicies = false

  /// Takes over what `MediaPlane` made.
  init(adopting part: KernelPart?, slots: Int) {
    if let part, let shared = EntryMemory(part.maps) {
      kernel = part
      memory = shared
      lanes = Array(repeating: nil, count: slots)
      counted = Array(repeating: 0, count: slots)
      opened = Array(repeating: 0, count: slots)
      readNetwork()
    } else {
      kernel = part
      memory = EntryMemory()
    }
  }

  deinit {
    var part = kernel
    part?.close()
  }

  var isOn: Bool { !lanes.isEmpty }
  /// Readable when routes or policies have changed.
  var watches: [Int32] {
    [kernel?.watch, kernel?.policyWatch].compactMap { $0 }.filter { $0 >= 0 }
  }

  private func place(_ slot: Int) -> Int { Int(kernel?.entryOfSlot[slot] ?? -1) }
  func hasEntry(_ slot: Int) -> Bool { place(slot) >= 0 }

  /// When lanes are to be compared with the routes.
  private(set) var comparison: Instant?
  private var lastComparison = Instant.zero
  /// Slots that this comparison has seen.
  private var compared = 0

  /// Something has changed: soon, but not again and again where routes change all the time.
  mutating func noteChanges(at now: Instant) {
    guard let kernel else { return }
    let routes = KernelNetwork.takeChanges(kernel.watch)
    let policies = kernel.policyWatch >= 0 && KernelNetwork.takeChanges(kernel.policyWatch)
    if policies {
      (comparison, compared) = (now, 0)
    } else if routes {
      // Those that were compared already may have changed since.
      let next = max(now, lastComparison + Self.comparisonInterval)
      (comparison, compared) = (comparison.map { compared > 0 ? next : $0 } ?? next, 0)
    }
  }

  /// The slots whose lanes are to be compared now; nil: none. Each asks the kernel for a route.
  mutating func nextToCompare(at now: Instant, of count: Int) -> Range<Int>? {
    guard let due = comparison, due <= now else { return nil }
    if compared == 0 { readNetwork() }
    let slots = compared..<min(compared + Self.comparedAtOnce, count)
    compared = slots.upperBound < count ? slots.upperBound : 0
    comparison = compared > 0 ? now : nil
    lastComparison = now
    return slots
  }

  private static var comparedAtOnce: Int { 512 }
  private static var comparisonInterval: Interval { .milliseconds(200) }

  private mutating func readNetwork() {
    hasPolicies = KernelNetwork.hasPolicies
    interfaces = [:]
    for interface in KernelNetwork.interfaces() { interfaces[interface.index] = interface }
  }

  /// The way to `target` from `local`, completed where that is any address. Nil where packets cannot go by
  /// the program.
  func way(to target: SocketAddress, from local: SocketAddress) -> (
    interface: UInt32, longest: UInt16, local: SocketAddress
  )? {
    guard let kernel, !hasPolicies,
      let way = KernelNetwork.way(kernel.netlink, to: target.ip, from: local.ip),
      let interface = interfaces[way.interface], interface.hasEthernetHeaders
    else { return nil }
    let source = local.ip.isUnspecified ? way.source : local.ip
    guard let source, source.family == target.ip.family else { return nil }
    let mtu = way.mtu == 0 ? interface.mtu : min(way.mtu, interface.mtu)
    return (way.interface, UInt16(clamping: mtu), SocketAddress(source, local.port))
  }

  func lane(_ slot: Int) -> Lane? { lanes[slot] }

  /// For a slot whose entry is at rest.
  mutating func open(_ slot: Int, _ lane: Lane) {
    lanes[slot] = lane
    opened[slot] = memory.passed(place(slot))
    memory.open(place(slot), lane)
  }

  mutating func clear(_ slot: Int) {
    memory.clear(place(slot))
    lanes[slot] = nil
  }

  /// Whether the program has nothing in hand of the slot's entry, which may be written then.
  func isAtRest(_ slot: Int) -> Bool { memory.isAtRest(place(slot)) }

  /// Lets the program go on behind the packet with this number, if that is the last one that it passed up.
  mutating func arm(
    _ slot: Int, behind sequence: UInt16, _ flow: LaneFlow, _ run: ReceptionRun
  ) -> Bool {
    let passed = memory.passed(place(slot))
    guard passed != opened[slot], passed != 0, Self.sequence(passed) == sequence,
      memory.isAtRest(place(slot))
    else { return false }
    memory.prepare(place(slot), flow, run)
    counted[slot] = run.packets
    memory.arm(place(slot), passed)
    return true
  }

  /// The slot whose last packet would have been handed over, but for others that wait behind it; -1: none.
  var behind = -1

  func isBehind(_ slot: Int, at sequence: UInt16) -> Bool {
    let passed = memory.passed(place(slot))
    return passed != opened[slot]
      && Int16(bitPattern: Self.sequence(passed) &- sequence) > 0
  }

  private static func sequence(_ passed: UInt64) -> UInt16 {
    UInt16(truncatingIfNeeded: passed >> 16)
  }

  /// All that was relayed is to be read afterwards.
  func takeBack(_ slot: Int) { memory.takeBack(place(slot)) }

  private static var attempts: Int { 20 }

  /// What the program has counted, and the packets that are new since the last time. Nil where it counts so fast
  /// that nothing whole is to be had: only of a flow that it relays still.
  mutating func read(_ slot: Int) -> (run: ReceptionRun, highestTimestamp: UInt32, new: UInt64)? {
    var found = memory.run(place(slot))
    for _ in 0..<Self.attempts where found == nil { found = memory.run(place(slot)) }
    guard let (run, timestamp) = found else { return nil }
    let new = run.packets &- counted[slot]
    counted[slot] = run.packets
    return (run, timestamp, new)
  }
}
