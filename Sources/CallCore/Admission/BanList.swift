import Base

/// Which addresses nothing is taken from. A look-up is one probe for each length of prefix that there is: nearly always
/// one.
struct BanList: ~Copyable {
  private struct Length {
    var family: IPAddress.Family
    var prefix: Int
    var count: Int
  }

  private let hash: KeyedHash
  private let limit: Int
  private var places: KeyTable<Int32>
  private var bans: [Ban?] = []
  private var free: [Int] = []
  private var lengths: [Length] = []
  /// How often whoever is banned no more has been; the newer half and the older.
  private var recent: KeyTable<Int32>
  private var older: KeyTable<Int32>
  private var turned = Instant.zero
  private var making: TokenBucket

  init(limit: Int, hash: KeyedHash) {
    self.limit = max(limit, 1)
    self.hash = hash
    places = KeyTable(limit: max(limit, 1))
    recent = KeyTable(limit: max(limit, 1))
    older = KeyTable(limit: max(limit, 1))
    making = TokenBucket(rate: Suspicion.bansPerSecond, burst: Suspicion.bansPerSecond * 2)
  }

  var count: Int { places.count }
  var isEmpty: Bool { places.count == 0 }

  /// The oldest first.
  var all: [Ban] { bans.compactMap { $0 }.sorted { $0.since < $1.since } }

  private func key(_ network: IPNetwork) -> HashKey {
    hash.extend(hash.key(network.address, seed: 0xba), UInt64(network.prefixLength))
  }

  private func place(_ ip: IPAddress, at now: Instant) -> Int? {
    for length in lengths where length.family == ip.family {
      let network = IPNetwork(ip, prefixLength: length.prefix)
      guard let place = places.find(key(network)) else { continue }
      // What has ended and was not cleared away yet holds no more.
      if let ban = bans[Int(place)], ban.until > now { return Int(place) }
    }
    return nil
  }

  func covers(_ ip: IPAddress, at now: Instant) -> Bool { place(ip, at: now) != nil }

  /// Whether nothing is to be taken from there; if so that is counted.
  mutating func hits(_ ip: IPAddress, at now: Instant) -> Bool {
    guard let place = place(ip, at: now) else { return false }
    bans[place]?.hits &+= 1
    return true
  }

  func ban(of network: IPNetwork) -> Ban? {
    places.find(key(network)).flatMap { bans[Int($0)] }
  }

  /// What a flood of forged addresses can make of them in a second is bounded.
  mutating func mayMake(at now: Instant) -> Bool { making.take(at: now) }

  /// How often it was banned within the last day or two.
  func before(_ network: IPNetwork) -> Int {
    Int(recent.find(key(network)) ?? older.find(key(network)) ?? 0)
  }

  /// In place of one that it has. The one that ended first had to make room, where one is returned.
  mutating func insert(_ ban: Ban) -> Ban? {
    let key = key(ban.network)
    if let place = places.find(key) {
      let hits = bans[Int(place)]?.hits ?? 0
      bans[Int(place)] = ban
      bans[Int(place)]?.hits = hits
      return nil
    }
    var displaced: Ban?
    if places.count >= limit { displaced = first.flatMap { remove($0.network, at: ban.since) } }
    let place = free.popLast() ?? bans.count
    guard places.insert(key, Int32(clamping: place)) else { return displaced }
    if place == bans.count { bans.append(ban) } else { bans[place] = ban }
    noteLength(ban.network, by: 1)
    return displaced
  }

  /// The one that ends first, those of operators last.
  private var first: Ban? {
    bans.lazy.compactMap { $0 }.min { one, other in
      (one.reason == .manual ? 1 : 0, one.until) < (other.reason == .manual ? 1 : 0, other.until)
    }
  }

  /// - Parameter remembers: what is banned again is banned for longer.
  mutating func remove(
    _ network: IPNetwork, at now: Instant, remembers: Bool = true
  ) -> Ban? {
    let key = key(network)
    guard let place = places.remove(key) else { return nil }
    let ban = bans[Int(place)]
    bans[Int(place)] = nil
    free.append(Int(place))
    noteLength(network, by: -1)
    turn(now)
    guard let ban else { return nil }
    if remembers, ban.isProven {
      recent.insert(key, Int32(clamping: ban.before + 1))
    } else if !remembers {
      recent.remove(key)
      older.remove(key)
    }
    return ban
  }

  private mutating func noteLength(_ network: IPNetwork, by step: Int) {
    let (family, prefix) = (network.address.family, network.prefixLength)
    if let at = lengths.firstIndex(where: { $0.family == family && $0.prefix == prefix }) {
      lengths[at].count += step
      if lengths[at].count <= 0 { lengths.remove(at: at) }
    } else if step > 0 {
      lengths.append(Length(family: family, prefix: prefix, count: step))
    }
  }

  private mutating func turn(_ now: Instant) {
    guard now - turned > Suspicion.remembrance || recent.count >= limit else { return }
    turned = now
    swap(&recent, &older)
    recent.removeAll()
  }

  /// Those that have ended are taken out.
  mutating func expire(at now: Instant) -> [Ban] {
    let ended = bans.compactMap { $0 }.filter { $0.until <= now }
    return ended.compactMap { remove($0.network, at: now) }
  }

  /// When the next one ends.
  var next: Instant? { bans.lazy.compactMap { $0?.until }.min() }
}
