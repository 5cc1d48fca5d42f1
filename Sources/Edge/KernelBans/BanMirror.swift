internal import Base
internal import CallCore

/// What the kernel is to drop, and what it was told already. It writes batches and is told what became of them: after one
/// that failed the next one is the whole table, so that there is nothing that cannot be put right.
///
///     not there ──whole, done──▶ there ──change, done──▶ there
///         ▲                        │
///         └──────── refused, or other ports ────────┘
struct BanMirror {
  struct Batch {
    var messages: NetfilterMessages
    /// It replaces everything, and does not say what has changed.
    var isWhole: Bool
    /// There is nothing to be said.
    var isEmpty = false
    fileprivate var elements: [IPNetwork]
    fileprivate var shapes: Set<IPNetwork.Shape>
  }

  private(set) var table: BanTable
  private let limit: Int
  private var ports: [GuardedPort]
  private var wanted: [IPNetwork: Instant] = [:]
  /// Until when the kernel drops what comes from there, as far as it was told.
  private var told: [IPNetwork: Instant] = [:]
  private var changed: Set<IPNetwork> = []
  private var shapes: Set<IPNetwork.Shape> = []
  private var isThere = false
  /// Bans for which there was no room.
  private(set) var left: UInt64 = 0

  /// - Parameter limit: bans, at most.
  init(table: String, limit: Int, ports: [GuardedPort]) {
    self.limit = limit
    // What has ended is taken out by the kernel from time to time, and has its place until then.
    self.table = BanTable(name: table, size: 2 * limit)
    self.ports = ports
  }

  /// Bans that the kernel has been told of and that are not over.
  func count(at now: Instant) -> Int { told.values.count { $0 > now } }

  var needsBatch: Bool { !isThere || !changed.isEmpty }

  // MARK: What is wanted

  mutating func ban(_ network: IPNetwork, until: Instant) {
    guard wanted[network] != nil || wanted.count < limit else {
      left &+= 1
      return
    }
    wanted[network] = until
    changed.insert(network)
  }

  mutating func lift(_ network: IPNetwork) {
    if wanted.removeValue(forKey: network) != nil { changed.insert(network) }
  }

  mutating func follow(_ ports: [GuardedPort]) {
    guard Set(ports) != Set(self.ports) else { return }
    self.ports = ports
    isThere = false
  }

  // MARK: What the kernel is told

  func batch(after sequence: UInt32, at now: Instant) -> Batch {
    isThere ? change(after: sequence, at: now) : whole(after: sequence, at: now)
  }

  private static let standard: Set = [
    IPNetwork.Shape(family: .v4, prefixLength: 32), IPNetwork.Shape(family: .v6, prefixLength: 64),
  ]

  private func elements(_ networks: some Sequence<IPNetwork>, at now: Instant) -> [BanTable.Element]
  {
    networks.compactMap { network in
      guard let until = wanted[network], until > now else { return nil }
      return BanTable.Element(network: network, time: until - now)
    }
  }

  private func whole(after sequence: UInt32, at now: Instant) -> Batch {
    let elements = elements(wanted.keys, at: now)
    let shapes = Self.standard.union(elements.map(\.network.shape))
    let messages = table.whole(Array(shapes), ports: ports, elements: elements, after: sequence)
    return Batch(
      messages: messages, isWhole: true, elements: elements.map(\.network), shapes: shapes)
  }

  /// One that is over is the kernel's own to take out; another end of one is another element.
  private func change(after sequence: UInt32, at now: Instant) -> Batch {
    let changed = changed.filter { told[$0] != wanted[$0] }
    let elements = elements(changed, at: now)
    let fresh = Set(elements.map(\.network.shape)).subtracting(shapes)
    let removed = changed.filter { told[$0].map { $0 > now } ?? false }
    let messages = table.change(
      removing: Array(removed), shapes: Array(fresh), adding: elements, after: sequence)
    return Batch(
      messages: messages, isWhole: false, isEmpty: removed.isEmpty && elements.isEmpty,
      elements: elements.map(\.network), shapes: shapes.union(fresh))
  }

  /// The batch, which was the last one, was carried out.
  mutating func done(_ batch: Batch) {
    if batch.isWhole { told = [:] } else { for network in changed { told[network] = nil } }
    for network in batch.elements { told[network] = wanted[network] }
    shapes = batch.shapes
    isThere = true
    changed = []
  }

  /// Nothing of it was. Nothing is known of what is there, and the next batch is the whole.
  mutating func failed() { isThere = false }

  /// The kernel is too old for tables that belong to somebody.
  mutating func giveUpOwning() { table.isOwned = false }
}
