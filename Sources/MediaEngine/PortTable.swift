import Base
import MediaControl

/// The port pairs that this process holds or is about to. A slot is a pair; slots of an address lie together.
///
/// Binding ten thousand sockets takes longer than a program may take to start, so the first slice is bound
/// before the start returns and the worker binds the rest between its packets.
struct PortTable: Sendable {
  /// Pairs of an address that are bound before the start returns, if there are as many.
  static let firstSlice = 256

  struct Block: Sendable {
    var address: MediaAddress
    /// The even port of `firstSlot`; slot i of the block is port first + 2i.
    var firstPort: UInt16
    var firstSlot: Int
    var pairs: Int
    /// Pairs tried so far, and of those before the next `.ready`: where it begins, and which failed.
    var tried = 0
    var reported = 0
    var failed: [UInt16] = []
  }

  private(set) var blocks: [Block] = []
  /// RTP socket of slot i at 2i, its RTCP socket after it; -1 where there is none.
  private(set) var sockets: [Int32] = []
  /// The same for those who post commands.
  let doors = PortSockets()
  /// Of what the sockets send.
  let trafficClass: UInt8
  private(set) var readiness = MediaReadiness()

  var slots: Int { sockets.count / 2 }

  /// Shares out what the settings and the process's limit of descriptors allow, and binds the first slice.
  init(_ addresses: [MediaAddress], settings: MediaSettings) throws(MediaStartError) {
    trafficClass = settings.trafficClass
    guard !addresses.isEmpty else { throw .noAddress }
    let limit = Process.raiseDescriptorLimit()
    let spare = (limit - Process.openDescriptors - settings.reservedDescriptors) / 2
    guard spare >= addresses.count else { throw .descriptorLimit(limit: limit) }
    var budget = min(settings.maxPortPairs, spare)
    for (index, address) in addresses.enumerated() {
      budget -= try add(address, atMost: max(budget / (addresses.count - index), 1))
    }
    do throws(MediaStartError) {
      for index in blocks.indices { try bindFirstSlice(index) }
    } catch {
      close()
      throw error
    }
    readiness.descriptorsLeft = limit - Process.openDescriptors - 2 * readiness.pending
  }

  /// Returns how many pairs of the budget were used.
  private mutating func add(
    _ address: MediaAddress, atMost share: Int
  ) throws(MediaStartError) -> Int {
    let first = (Int(address.ports.lowerBound) + 1) & ~1
    let wanted = max((Int(address.ports.upperBound) - first + 1) / 2, 0)
    guard wanted > 0 else { throw .noPortPair(name: address.name) }
    let pairs = min(wanted, share)
    blocks.append(
      Block(address: address, firstPort: UInt16(first), firstSlot: slots, pairs: pairs))
    sockets += Array(repeating: -1, count: 2 * pairs)
    readiness.pending += pairs
    readiness.beyondLimit += wanted - pairs
    return pairs
  }

  /// At least one pair of each address must be had, however far one has to look.
  private mutating func bindFirstSlice(_ index: Int) throws(MediaStartError) {
    let before = readiness.bound
    while blocks[index].tried < blocks[index].pairs {
      guard blocks[index].tried < Self.firstSlice || readiness.bound == before else { return }
      let name = blocks[index].address.name
      do throws(SystemError) {
        try bindNext(index)
      } catch .addressNotAvailable {
        throw .addressUnavailable(name: name, address: blocks[index].address.bound)
      } catch .tooManyDescriptors {
        throw .descriptorLimit(limit: Process.raiseDescriptorLimit())
      } catch {
        throw .system(name: name, reason: error.text)
      }
    }
    guard readiness.bound > before else {
      throw .allPortsTaken(name: blocks[index].address.name, ports: blocks[index].address.ports)
    }
  }

  /// One pair more. A port that another holds is counted, whatever else fails is thrown.
  private mutating func bindNext(_ index: Int) throws(SystemError) {
    let pair = blocks[index].tried
    let port = blocks[index].firstPort + 2 * UInt16(pair)
    let slot = blocks[index].firstSlot + pair
    blocks[index].tried += 1
    readiness.pending -= 1
    // Bound out of turn.
    if sockets[2 * slot] >= 0 { return }
    do throws(SystemError) {
      try bind(slot, LocalMedia(address: UInt16(index), port: port))
    } catch {
      blocks[index].failed.append(port)
      readiness.takenByOthers += 1
      if error != .addressInUse { throw error }
    }
  }

  private mutating func bind(_ slot: Int, _ media: LocalMedia) throws(SystemError) {
    let bound = try bindPair(address(ofSlot: slot))
    (sockets[2 * slot], sockets[2 * slot + 1]) = bound
    doors.add(media, bound.0)
    readiness.bound += 1
  }

  /// Out of turn: for a call that had the pair in an earlier process. Its slot; nil where the pair is none of ours, cannot
  /// be had, or has had its turn.
  mutating func bindEarly(_ media: LocalMedia) -> Int? {
    guard let slot = place(of: media), sockets[2 * slot] < 0 else { return nil }
    let block = blocks[Int(media.address)]
    guard slot - block.firstSlot >= block.tried, (try? bind(slot, media)) != nil else { return nil }
    return slot
  }

  private func bindPair(_ rtp: SocketAddress) throws(SystemError) -> (Int32, Int32) {
    let first = try MediaSocket.bind(rtp, trafficClass: trafficClass)
    do throws(SystemError) {
      let control = SocketAddress(rtp.ip, rtp.port + 1)
      return (first, try MediaSocket.bind(control, trafficClass: trafficClass))
    } catch {
      MediaSocket.close(first)
      throw error
    }
  }

  var isComplete: Bool { readiness.pending == 0 }

  /// Binds up to `count` pairs more. What cannot be bound now, for whatever reason, counts as failed.
  mutating func bindMore(_ count: Int) {
    var left = count
    for index in blocks.indices {
      while left > 0, blocks[index].tried < blocks[index].pairs {
        try? bindNext(index)
        left -= 1
      }
    }
  }

  /// `.ready` for the pairs tried since the last call, when there are `atLeast` or it was the last.
  mutating func takeFacts(atLeast: Int = 1) -> [MediaFact] {
    var facts: [MediaFact] = []
    for index in blocks.indices {
      let block = blocks[index]
      let new = block.tried - block.reported
      guard new > 0, new >= atLeast || block.tried == block.pairs else { continue }
      let first = block.firstPort + 2 * UInt16(block.reported)
      let last = first + 2 * UInt16(new - 1) + 1
      facts.append(.ready(address: UInt16(index), ports: first...last, failed: block.failed))
      blocks[index].reported = block.tried
      blocks[index].failed = []
    }
    return facts
  }

  func close() {
    doors.removeAll()
    for socket in sockets where socket >= 0 { MediaSocket.close(socket) }
  }

  /// The slot of a leased pair; nil when it is none of ours or another process holds it.
  func slot(of media: LocalMedia) -> Int? {
    guard let slot = place(of: media) else { return nil }
    return sockets[2 * slot] >= 0 ? slot : nil
  }

  /// Bound or not.
  private func place(of media: LocalMedia) -> Int? {
    guard Int(media.address) < blocks.count else { return nil }
    let block = blocks[Int(media.address)]
    let offset = Int(media.port) - Int(block.firstPort)
    guard offset >= 0, offset % 2 == 0, offset / 2 < block.pairs else { return nil }
    return block.firstSlot + offset / 2
  }

  func boundAddress(ofSlot slot: Int) -> IPAddress { address(ofSlot: slot).ip }

  /// Where the slot's RTP socket is bound.
  func address(ofSlot slot: Int) -> SocketAddress {
    guard let block = blocks.last(where: { $0.firstSlot <= slot }) else {
      return SocketAddress(.anyV4, 0)
    }
    return SocketAddress(block.address.bound, block.firstPort + 2 * UInt16(slot - block.firstSlot))
  }
}
