import Base
import MediaControl

/// What the fast path holds of the kernel: descriptors and numbers, made on the caller's thread and taken over
/// by the worker.
struct KernelPart: Sendable {
  /// Where the entries of the ports are: entry of a slot, by slot.
  private(set) var entryOfSlot: [Int32] = []
  private(set) var maps = KernelMaps()
  private(set) var attachments = Attachments()
  /// For route lookups, and readable when routes have changed.
  private(set) var netlink: Int32 = -1
  private(set) var watch: Int32 = -1
  /// Readable when policies of IPsec have changed.
  private(set) var policyWatch: Int32 = -1

  /// Entries at most; 256 bytes of the kernel's memory each.
  static let maxEntries = 65_536
  static let maxAddresses = 256

  /// `byFilter` attaches as on an old kernel.
  init(
    _ blocks: [PortTable.Block], slots: Int, byFilter: Bool
  ) throws(FastPathObstacle) {
    try Self.checkSystem()
    let plan = AddressPlan(blocks, slots: slots, own: KernelNetwork.addresses())
    do throws(FastPathObstacle) {
      maps = try KernelMaps(entries: plan.entries)
      for (address, range) in plan.ranges { try maps.add(address, range) }
      entryOfSlot = plan.entryOfSlot
      attachments = try Attachments(plan.interfaces, maps, byFilter: byFilter)
      netlink = try KernelNetwork.socket("routes", KernelNetwork.makeLookup)
      watch = try KernelNetwork.socket("route changes", KernelNetwork.makeWatch)
      policyWatch = KernelNetwork.makePolicyWatch()
    } catch {
      close()
      throw error
    }
  }

  static func checkSystem() throws(FastPathObstacle) {
    guard UInt16(1).littleEndian == 1 else { throw .byteOrder }
    let release = KernelSystem.release
    guard release >= FastPathObstacle.firstKernel else {
      throw .kernelTooOld(release.major, release.minor)
    }
    let missing = KernelSystem.missingCapabilities
    guard missing.isEmpty else { throw .notPermitted(missing: missing) }
  }

  /// Takes the programs away first, so that nothing is relayed when the rest goes.
  mutating func close() {
    attachments.close()
    maps.close()
    for socket in [netlink, watch, policyWatch] where socket >= 0 { MediaSocket.close(socket) }
    (netlink, watch, policyWatch) = (-1, -1, -1)
  }
}

/// Which entry belongs to which address and port, and where a program must be for it.
struct AddressPlan {
  struct Range: Hashable, Sendable {
    var firstPort: UInt16
    var pairs: UInt16
    var firstEntry: UInt32
  }

  private(set) var ranges: [(IPAddress, Range)] = []
  private(set) var entryOfSlot: [Int32]
  private(set) var entries = 0
  /// Of the addresses, loopback always among them: what is sent to an address of this machine comes there.
  private(set) var interfaces: Set<UInt32> = []

  /// Blocks of one address lie in one range, whatever lies between them; a block of every address lies in one
  /// with all of its family. What does not fit has no entries.
  init(_ blocks: [PortTable.Block], slots: Int, own: [(ip: IPAddress, interface: UInt32)]) {
    entryOfSlot = Array(repeating: -1, count: slots)
    interfaces = Set(own.filter { $0.ip.isLoopback }.map(\.interface))
    for family in [IPAddress.Family.v4, .v6] {
      let blocks = blocks.filter { $0.address.bound.family == family }
      let addresses = own.filter { $0.ip.family == family }
      if blocks.contains(where: { $0.address.bound.isUnspecified }) {
        add(blocks, addresses)
      } else {
        for ip in Set(blocks.map(\.address.bound)) {
          add(
            blocks.filter { $0.address.bound == ip },
            addresses.filter { $0.ip == ip || ip.isLoopback && $0.ip.isLoopback }, only: ip)
        }
      }
    }
  }

  private mutating func add(
    _ blocks: [PortTable.Block], _ addresses: [(ip: IPAddress, interface: UInt32)],
    only: IPAddress? = nil
  ) {
    guard let first = blocks.map({ Int($0.firstPort) }).min(),
      let end = blocks.map({ Int($0.firstPort) + 2 * $0.pairs }).max()
    else { return }
    let pairs = (end - first) / 2
    // 127.0.0.2 is ours without any interface saying so.
    let ips = only.map { [$0] } ?? addresses.map(\.ip)
    guard entries + pairs <= KernelPart.maxEntries,
      ranges.count + ips.count <= KernelPart.maxAddresses
    else { return }
    let range = Range(
      firstPort: UInt16(first), pairs: UInt16(pairs), firstEntry: UInt32(entries))
    ranges += ips.map { ($0, range) }
    interfaces.formUnion(addresses.map(\.interface))
    for block in blocks {
      let offset = entries + (Int(block.firstPort) - first) / 2
      for pair in 0..<block.pairs { entryOfSlot[block.firstSlot + pair] = Int32(offset + pair) }
    }
    entries += pairs
  }
}
