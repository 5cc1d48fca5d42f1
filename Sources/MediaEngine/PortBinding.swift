import Base
import MediaControl

/// The port pairs that this process holds. A slot is a pair; slots of an address lie together.
struct BoundPorts: Sendable {
  struct Block: Sendable {
    var address: MediaAddress
    /// The even port of `firstSlot`; slot i of the block is port first + 2i.
    var firstPort: UInt16
    var firstSlot: Int
    var pairs: Int
    var failed: [UInt16]
  }

  private(set) var blocks: [Block] = []
  /// RTP socket of slot i at 2i, its RTCP socket after it; -1 where another holds the port.
  private(set) var sockets: [Int32] = []
  private(set) var readiness = MediaReadiness()

  var slots: Int { sockets.count / 2 }

  /// Binds what the settings and the process's limit of descriptors allow, shared out evenly.
  init(_ addresses: [MediaAddress], settings: MediaSettings) throws(MediaStartError) {
    guard !addresses.isEmpty else { throw .noAddress }
    let limit = Process.raiseDescriptorLimit()
    let spare = (limit - Process.openDescriptors - settings.reservedDescriptors) / 2
    guard spare >= addresses.count else { throw .descriptorLimit(limit: limit) }
    var budget = min(settings.maxPortPairs, spare)
    do {
      for (index, address) in addresses.enumerated() {
        let share = max(budget / (addresses.count - index), 1)
        budget -= try bind(address, atMost: share)
      }
    } catch {
      close()
      throw error
    }
  }

  /// Returns how many pairs of the budget were used.
  private mutating func bind(
    _ address: MediaAddress, atMost share: Int
  ) throws(MediaStartError) -> Int {
    let first = (Int(address.ports.lowerBound) + 1) & ~1
    let wanted = max((Int(address.ports.upperBound) - first + 1) / 2, 0)
    guard wanted > 0 else { throw .noPortPair(name: address.name) }
    let pairs = min(wanted, share)
    var block = Block(
      address: address, firstPort: UInt16(first), firstSlot: slots, pairs: pairs, failed: [])
    for pair in 0..<pairs {
      let port = UInt16(first + 2 * pair)
      do {
        try bindPair(SocketAddress(address.bound, port))
      } catch .addressInUse {
        sockets += [-1, -1]
        block.failed.append(port)
      } catch .addressNotAvailable {
        throw .addressUnavailable(name: address.name, address: address.bound)
      } catch .tooManyDescriptors {
        throw .descriptorLimit(limit: Process.raiseDescriptorLimit())
      } catch {
        throw .system(name: address.name, reason: error.text)
      }
    }
    guard block.failed.count < pairs else {
      throw .allPortsTaken(name: address.name, ports: address.ports)
    }
    readiness.bound += pairs - block.failed.count
    readiness.takenByOthers += block.failed.count
    readiness.beyondLimit += wanted - pairs
    blocks.append(block)
    return pairs
  }

  private mutating func bindPair(_ rtp: SocketAddress) throws(SystemError) {
    let first = try MediaSocket.bind(rtp)
    do {
      let second = try MediaSocket.bind(SocketAddress(rtp.ip, rtp.port + 1))
      sockets += [first, second]
    } catch {
      MediaSocket.close(first)
      throw error
    }
  }

  func close() { for socket in sockets where socket >= 0 { MediaSocket.close(socket) } }

  /// The slot of a leased pair; nil when it is none of ours or another process holds it.
  func slot(of media: LocalMedia) -> Int? {
    guard Int(media.address) < blocks.count else { return nil }
    let block = blocks[Int(media.address)]
    let offset = Int(media.port) - Int(block.firstPort)
    guard offset >= 0, offset % 2 == 0, offset / 2 < block.pairs else { return nil }
    let slot = block.firstSlot + offset / 2
    return sockets[2 * slot] >= 0 ? slot : nil
  }

  func boundAddress(ofSlot slot: Int) -> IPAddress {
    let block = blocks.last { $0.firstSlot <= slot }
    return block?.address.bound ?? .anyV4
  }

  /// The `.ready` facts, one an address.
  var facts: [MediaFact] {
    blocks.enumerated().map { index, block in
      let last = Int(block.firstPort) + 2 * block.pairs - 1
      return .ready(
        address: UInt16(index), ports: block.firstPort...UInt16(last), failed: block.failed)
    }
  }
}
