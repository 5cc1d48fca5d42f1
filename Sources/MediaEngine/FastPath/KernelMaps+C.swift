import Base
import CKernelPath
import CLinux
import RTPWire

/// The maps and programs of the fast path, by their descriptors.
struct KernelMaps: Sendable {
  private(set) var entryCount = 0
  private(set) var cpus = 0
  private var addresses: Int32 = -1
  fileprivate var entries: Int32 = -1
  fileprivate var totals: Int32 = -1
  private var programs: Int32 = -1
  private var relay: Int32 = -1
  /// The program that calls on to the other one while this process lives.
  private(set) var door: Int32 = -1

  init() {}

  init(entries count: Int) throws(FastPathObstacle) {
    guard count > 0 else { throw .noInterface }
    entryCount = count
    cpus = Int(clkernel_cpus())
    do throws(FastPathObstacle) {
      addresses = try Self.map(CLKERNEL_HASH, 16, 8, KernelPart.maxAddresses, "addresses")
      entries = try Self.map(
        CLKERNEL_ARRAY, 4, MemoryLayout<ckp_entry>.size, count, "entries", shared: true)
      totals = try Self.map(
        CLKERNEL_ARRAY, 4, MemoryLayout<ckp_total>.size, cpus, "totals", shared: true)
      programs = try Self.map(CLKERNEL_PROGRAMS, 4, 4, 1, "programs")
      relay = try load(CKP_RELAY, "demarc_relay")
      door = try load(CKP_DOOR, "demarc_door")
      var key: UInt32 = 0
      var value = relay
      let result = unsafe clkernel_map_set(programs, &key, &value)
      if result < 0 { throw Self.failure("table of programs", result) }
    } catch {
      close()
      throw error
    }
  }

  private static func failure(_ step: String, _ result: Int32) -> FastPathObstacle {
    .system(step: step, reason: SystemError(result: result).text)
  }

  private static func map(
    _ kind: clkernel_map_kind, _ key: Int, _ value: Int, _ count: Int, _ name: String,
    shared: Bool = false
  ) throws(FastPathObstacle) -> Int32 {
    let result = unsafe clkernel_map(
      kind, UInt32(key), UInt32(value), UInt32(count), shared ? 1 : 0, "demarc_" + name)
    // A container may have the capabilities and still be forbidden to use bpf(2).
    if result < 0 { throw failure("map of \(name)", result) }
    return result
  }

  private func load(_ program: ckp_program, _ name: String) throws(FastPathObstacle) -> Int32 {
    var code = [UInt8](repeating: 0, count: ckp_instructions(program, nil, 0))
    _ = unsafe ckp_instructions(program, &code, code.count)
    var place = ckp_relocation()
    var index = 0
    while unsafe ckp_relocation_at(program, index, &place) != 0 {
      fill(&code, Int(place.offset), descriptor(place.map))
      index += 1
    }
    var log = Array<CChar>(repeating: 0, count: 1 << 20)
    let result = unsafe clkernel_program(code, code.count, name, &log, log.count)
    if result >= 0 { return result }
    let words = String(
      decoding: log.prefix { $0 != 0 }.suffix(400).map(UInt8.init(bitPattern:)), as: UTF8.self)
    if words.isEmpty { throw Self.failure("loading", result) }
    throw .refused(words.split(separator: "\n").suffix(3).joined(separator: "; "))
  }

  private func descriptor(_ map: UInt32) -> Int32 {
    switch ckp_map(map) {
    case CKP_ADDRESSES: addresses
    case CKP_ENTRIES: entries
    case CKP_TOTALS: totals
    default: programs
    }
  }

  /// The constant of an instruction that loads 64 bits: source register BPF_PSEUDO_MAP_FD, and the descriptor.
  private func fill(_ code: inout [UInt8], _ offset: Int, _ descriptor: Int32) {
    guard offset + 8 <= code.count else { return }
    code[offset + 1] = code[offset + 1] & 0x0f | 0x10
    for byte in 0..<4 {
      code[offset + 4 + byte] = UInt8(truncatingIfNeeded: descriptor >> Int32(8 * byte))
    }
  }

  func add(_ address: IPAddress, _ range: AddressPlan.Range) throws(FastPathObstacle) {
    var key = address.mappedWords
    var value = ckp_range(
      first_port: range.firstPort, pairs: range.pairs, first_entry: range.firstEntry)
    let result = unsafe clkernel_map_set(addresses, &key, &value)
    if result < 0 { throw Self.failure("map of addresses", result) }
  }

  func link(_ interface: UInt32) throws(SystemError) -> Int32 {
    let result = clkernel_link(relay, interface)
    guard result >= 0 else { throw SystemError(result: result) }
    return result
  }

  mutating func close() {
    for descriptor in [addresses, entries, totals, programs, relay, door] where descriptor >= 0 {
      clmedia_close(descriptor)
    }
    self = KernelMaps()
  }
}

extension IPAddress {
  /// Four words in network order, an IPv4 address being ::ffff:a.b.c.d.
  fileprivate var mappedWords: (UInt32, UInt32, UInt32, UInt32) {
    family == .v4
      ? (0, 0, UInt32(0xffff).bigEndian, v4.bigEndian) : words
  }

  /// Four words in network order, an IPv4 address being the first.
  fileprivate var words: (UInt32, UInt32, UInt32, UInt32) {
    if family == .v4 { return (v4.bigEndian, 0, 0, 0) }
    func word(_ half: UInt64, _ shift: UInt64) -> UInt32 {
      UInt32(truncatingIfNeeded: half >> shift).bigEndian
    }
    return (word(high, 32), word(high, 0), word(low, 32), word(low, 0))
  }
}

/// What the program counts on each CPU, read by whoever asks.
@safe
final class KernelTotals: Sendable {
  private let address: UInt
  private let cpus: Int

  init?(_ maps: borrowing KernelMaps) {
    cpus = maps.cpus
    guard let memory = unsafe clkernel_share(maps.totals, cpus * MemoryLayout<ckp_total>.size)
    else { return nil }
    address = UInt(bitPattern: memory)
  }

  deinit {
    unsafe clkernel_unshare(
      UnsafeMutableRawPointer(bitPattern: address), cpus * MemoryLayout<ckp_total>.size)
  }

  var relayed: UInt64 {
    guard let first = unsafe UnsafePointer<ckp_total>(bitPattern: address) else { return 0 }
    return (0..<cpus).reduce(0) { sum, cpu in unsafe sum &+ first[cpu].relayed }
  }
}

/// The entries as memory that the program and a worker share. A place is an entry's number; one that is out of
/// range reads as zero and takes nothing.
@safe
struct EntryMemory: ~Copyable {
  private let memory: UnsafeMutablePointer<ckp_entry>?
  private let count: Int

  init() {
    unsafe memory = nil
    count = 0
  }

  init?(_ maps: borrowing KernelMaps) {
    let bytes = maps.entryCount * MemoryLayout<ckp_entry>.stride
    guard let shared = unsafe clkernel_share(maps.entries, bytes) else { return nil }
    unsafe memory = shared.bindMemory(to: ckp_entry.self, capacity: maps.entryCount)
    count = maps.entryCount
  }

  deinit {
    if let memory = unsafe memory {
      unsafe clkernel_unshare(memory, count * MemoryLayout<ckp_entry>.stride)
    }
  }

  @inline(__always)
  private func at(_ place: Int) -> UnsafeMutablePointer<ckp_entry>? {
    guard place >= 0, place < count, let memory = unsafe memory else { return nil }
    return unsafe memory + place
  }

  /// Count and sequence number of what the program has passed up last.
  func passed(_ place: Int) -> UInt64 {
    guard let entry = unsafe at(place) else { return 0 }
    return unsafe ckp_load(&entry.pointee.passed)
  }

  /// The program relays while nothing was passed up after `passed`. For an entry at rest.
  func arm(_ place: Int, _ passed: UInt64) {
    guard let entry = unsafe at(place) else { return }
    unsafe ckp_store(&entry.pointee.armed, passed)
  }

  /// From now on the program passes everything up. It is done with the packet that it had in hand, and all that was
  /// relayed is counted; but where its CPU stands still, and then the entry is not at rest.
  func takeBack(_ place: Int) {
    guard let entry = unsafe at(place) else { return }
    _ = unsafe ckp_take_back(&entry.pointee.armed)
  }

  /// Neither armed nor in the program's hands: nobody else uses it.
  func isAtRest(_ place: Int) -> Bool {
    guard let entry = unsafe at(place) else { return true }
    return unsafe ckp_load(&entry.pointee.armed) == 0
  }

  /// For an entry at rest: the program sees the packets of the lane from now on, and passes them up.
  func open(_ place: Int, _ lane: Lane) {
    guard let entry = unsafe at(place) else { return }
    unsafe entry.pointee.source = lane.source.ip.words
    unsafe entry.pointee.local = lane.local.ip.words
    unsafe entry.pointee.target = lane.target.ip.words
    unsafe entry.pointee.source_port = lane.source.port.bigEndian
    unsafe entry.pointee.local_port = lane.local.port.bigEndian
    unsafe entry.pointee.target_port = lane.target.port.bigEndian
    unsafe entry.pointee.interface = lane.interface
    unsafe entry.pointee.longest = lane.longest
    unsafe entry.pointee.traffic_class = lane.trafficClass
    unsafe entry.pointee.payload_types = (lane.payloadTypes.low, lane.payloadTypes.high)
    unsafe entry.pointee.family = lane.source.ip.family == .v4 ? 4 : 6
  }

  /// The port has no entry any more.
  func clear(_ place: Int) {
    guard let entry = unsafe at(place) else { return }
    unsafe entry.pointee.family = 0
  }

  /// For an entry at rest: what `arm` lets the program go on from.
  func prepare(_ place: Int, _ flow: LaneFlow, _ run: ReceptionRun) {
    guard let entry = unsafe at(place) else { return }
    unsafe entry.pointee.ssrc = flow.ssrc.bigEndian
    unsafe entry.pointee.shown_ssrc = flow.shown.bigEndian
    unsafe entry.pointee.sequence_offset = flow.sequenceOffset
    unsafe entry.pointee.timestamp_offset = flow.timestampOffset
    unsafe entry.pointee.tick = flow.tick
    unsafe entry.pointee.packets = run.packets
    unsafe entry.pointee.octets = run.octets
    unsafe entry.pointee.highest = run.highest
    unsafe entry.pointee.base = run.base
    unsafe entry.pointee.unique = run.unique
    unsafe entry.pointee.loss_runs = run.lossRuns
    unsafe entry.pointee.duplicates = UInt32(clamping: run.duplicates)
    unsafe entry.pointee.reordered = UInt32(clamping: run.reordered)
    unsafe entry.pointee.window = (
      UInt64(truncatingIfNeeded: run.window), UInt64(truncatingIfNeeded: run.window >> 64)
    )
    unsafe entry.pointee.jitter16 = run.jitter16
    unsafe entry.pointee.max_jitter16 = run.maxJitter16
    unsafe entry.pointee.last_arrival = run.lastArrival
    unsafe entry.pointee.last_timestamp = run.lastTimestamp
    unsafe entry.pointee.highest_timestamp = flow.highestTimestamp
    unsafe entry.pointee.has_transit = run.hasTransit ? 1 : 0
    unsafe entry.pointee.last_payload_type = UInt32(run.lastPayloadType)
  }

  /// What came of it so far; nil where the program was just adding to it.
  func run(_ place: Int) -> (run: ReceptionRun, highestTimestamp: UInt32)? {
    guard let entry = unsafe at(place) else { return (ReceptionRun(), 0) }
    let before = unsafe ckp_load(&entry.pointee.armed)
    let read = unsafe copy(entry)
    // A flow that was taken back has been waited for already. Else each packet that came in between shows here.
    let after = unsafe ckp_load_behind(&entry.pointee.armed)
    let isWhole =
      unsafe (before | after) & UInt64(CKP_HELD) == 0
      && entry.pointee.packets == read.run.packets
    return after >> 16 == 0 || isWhole ? read : nil
  }

  private func copy(
    _ entry: UnsafeMutablePointer<ckp_entry>
  ) -> (run: ReceptionRun, highestTimestamp: UInt32) {
    var run = ReceptionRun()
    run.packets = unsafe entry.pointee.packets
    run.octets = unsafe entry.pointee.octets
    run.highest = unsafe entry.pointee.highest
    run.base = unsafe entry.pointee.base
    run.unique = unsafe entry.pointee.unique
    run.lossRuns = unsafe entry.pointee.loss_runs
    run.duplicates = UInt64(unsafe entry.pointee.duplicates)
    run.reordered = UInt64(unsafe entry.pointee.reordered)
    run.window = unsafe UInt128(entry.pointee.window.0) | UInt128(entry.pointee.window.1) << 64
    run.jitter16 = unsafe entry.pointee.jitter16
    run.maxJitter16 = unsafe entry.pointee.max_jitter16
    run.lastArrival = unsafe entry.pointee.last_arrival
    run.lastTimestamp = unsafe entry.pointee.last_timestamp
    run.hasTransit = unsafe entry.pointee.has_transit != 0
    run.lastPayloadType = UInt8(truncatingIfNeeded: unsafe entry.pointee.last_payload_type)
    return (run, unsafe entry.pointee.highest_timestamp)
  }
}
