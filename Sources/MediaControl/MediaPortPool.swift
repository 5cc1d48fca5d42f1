package import Base

/// The engine's side of the port pairs: which are leased, which are free, which must still rest.
///
/// Nothing is leasable until the media plane said that it holds the ports (`MediaFact.ready`). Pairs
/// are handed out first in, first out, so a port rests as long as the load allows, and never less than
/// `quarantine`: a peer that still sends to an ended call must not be heard in the next one.
/// Lease and release are O(1); no memory is taken after `init`.
package struct MediaPortPool: Sendable {
  package static let quarantine = Interval.seconds(5)

  private var addresses: [AddressPool]

  package init(addresses: [MediaAddress]) {
    self.addresses = addresses.map { AddressPool(ports: $0.ports) }
  }

  /// Port pairs that the media plane has bound. Pairs that are known already, that lie outside of the
  /// address's range or whose RTP port is in `except` are passed over. Returns how many became leasable.
  @discardableResult
  package mutating func add(
    address: Int, ports: ClosedRange<UInt16>, except: [UInt16] = []
  ) -> Int {
    guard addresses.indices.contains(address) else { return 0 }
    return addresses[address].add(ports, except: Set(except))
  }

  /// The pair that was free longest; nil when all are leased or the rest are in quarantine.
  package mutating func lease(address: UInt16, at now: Instant) -> LocalMedia? {
    guard addresses.indices.contains(Int(address)) else { return nil }
    guard let port = addresses[Int(address)].lease(at: now) else { return nil }
    return LocalMedia(address: address, port: port)
  }

  /// Takes this very pair, which a call of an earlier process has told its peer. False: it lies outside of the range, or
  /// is somebody's already. Only before the media plane has said which pairs it holds.
  package mutating func claim(_ media: LocalMedia) -> Bool {
    guard addresses.indices.contains(Int(media.address)) else { return false }
    return addresses[Int(media.address)].claim(media.port)
  }

  /// Gives a pair back; it rests for `quarantine`. False, and no effect, when it was not leased.
  package mutating func release(_ media: LocalMedia, at now: Instant) -> Bool {
    guard addresses.indices.contains(Int(media.address)) else { return false }
    return addresses[Int(media.address)].release(media.port, at: now)
  }

  /// Pairs not leased, those in quarantine included.
  package var free: Int { addresses.reduce(0) { $0 + $1.waiting } }
  package var leased: Int { addresses.reduce(0) { $0 + $1.leased } }

  package func free(address: UInt16) -> Int {
    addresses.indices.contains(Int(address)) ? addresses[Int(address)].waiting : 0
  }
}

/// The pairs of one address: a ring of waiting ones in the order in which they may be used again.
private struct AddressPool: Sendable {
  enum State: UInt8 { case absent, waiting, leased }
  struct Waiting {
    var pair: UInt16 = 0
    var usable: Instant = .zero
  }

  /// The first even port of the range; pair `i` is `first + 2i` and the odd port after it.
  let first: Int
  var states: [State]
  var ring: [Waiting]
  var head = 0
  var waiting = 0
  var leased = 0

  init(ports: ClosedRange<UInt16>) {
    first = (Int(ports.lowerBound) + 1) & ~1
    let pairs = max(0, (Int(ports.upperBound) - first + 1) / 2)
    states = Array(repeating: .absent, count: pairs)
    ring = Array(repeating: Waiting(), count: pairs)
  }

  mutating func add(_ ports: ClosedRange<UInt16>, except: Set<UInt16>) -> Int {
    var added = 0
    // Claimed, and not to be had after all: nobody gets it when its call is over.
    for pair in states.indices where states[pair] == .leased {
      guard except.contains(UInt16(first + 2 * pair)) else { continue }
      states[pair] = .absent
      leased -= 1
    }
    // In front of whatever rests, lowest port foremost: a new pair needs no quarantine, and the ring
    // stays sorted by time.
    for pair in states.indices.reversed() where states[pair] == .absent {
      let port = UInt16(first + 2 * pair)
      guard ports.contains(port), ports.contains(port + 1), !except.contains(port) else { continue }
      head = (head + ring.count - 1) % ring.count
      ring[head] = Waiting(pair: UInt16(pair), usable: .zero)
      waiting += 1
      states[pair] = .waiting
      added += 1
    }
    return added
  }

  mutating func lease(at now: Instant) -> UInt16? {
    guard waiting > 0, ring[head].usable <= now else { return nil }
    let pair = ring[head].pair
    head = (head + 1) % ring.count
    waiting -= 1
    leased += 1
    states[Int(pair)] = .leased
    return UInt16(first + 2 * Int(pair))
  }

  mutating func claim(_ port: UInt16) -> Bool {
    let offset = Int(port) - first
    guard offset >= 0, offset % 2 == 0, offset / 2 < states.count, states[offset / 2] == .absent
    else { return false }
    states[offset / 2] = .leased
    leased += 1
    return true
  }

  mutating func release(_ port: UInt16, at now: Instant) -> Bool {
    let offset = Int(port) - first
    guard offset >= 0, offset % 2 == 0, offset / 2 < states.count else { return false }
    guard states[offset / 2] == .leased else { return false }
    states[offset / 2] = .waiting
    let entry = Waiting(pair: UInt16(offset / 2), usable: now + MediaPortPool.quarantine)
    ring[(head + waiting) % ring.count] = entry
    waiting += 1
    leased -= 1
    return true
  }
}
