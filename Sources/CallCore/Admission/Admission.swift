package import Base

/// What is kept of an address that is no one's here, and what follows from it. It is told what came and answers what is
/// to be done; nothing is sent and nobody is banned by it.
///
///     not known ──asks for a name──▶ challenged ──proves it──▶ acquainted: hardly limited, never banned by itself
///        │                              │
///        │                              ├─ asks for a ninth name ──▶ quiet ──2 s without a proof──▶ to be banned
///        │                              └─ answers wrongly, faster than one is forgiven ──────────▶ to be banned
///        └─ above a rate: not answered, and nothing else
package struct Admission: ~Copyable {
  /// A stranger's address.
  private struct Stranger: Aged {
    /// When its rate, and its offences, are as if nothing had been.
    var rate: UInt64 = 0
    var offences: UInt64 = 0
    /// Of the names that it asked for without credentials, 16 bits of a keyed hash each.
    var names = SIMD8<UInt16>()
    var nameCount: UInt64 = 0
    var firstName: UInt64 = 0

    var meaningful: UInt64 {
      max(rate, offences, nameCount == 0 ? 0 : firstName &+ Admission.nameMemory)
    }
  }

  /// Anything of which one time is kept.
  private struct Meter: Aged {
    var until: UInt64 = 0
    var meaningful: UInt64 { until }
  }

  package enum NameVerdict: Equatable { case answer, quiet, ban }

  private static let nameMemory = UInt64(Suspicion.memory.nanoseconds)

  let limits: AdmissionLimits
  let scanners: ScannerNames
  private let hash: KeyedHash
  private let sourceRate: Allowance
  private let acquaintedRate: Allowance
  private let blockRate: Allowance
  private let networkRate: Allowance
  private let offences = Allowance(every: Suspicion.forgiveness, burst: Suspicion.parts)
  private let guesses = Allowance(every: Suspicion.guessInterval, burst: Suspicion.guesses)

  private var strangers: AgedTable<Stranger>
  private var blocks: AgedTable<Meter>
  /// By network.
  private var networks: [UInt64] = []
  /// By account and block.
  private var accounts: AgedTable<Meter>
  /// Contacts that are registered from an address.
  private var registered: [IPAddress: Int] = [:]
  /// Until when an address is known that proved something.
  private var acquaintances: AgedTable<Meter>
  var bans: BanList
  var counters = AdmissionCounters()

  package init(_ limits: AdmissionLimits, hash: KeyedHash) {
    self.limits = limits
    self.hash = hash
    scanners = ScannerNames(further: limits.scanners)
    sourceRate = Allowance(rate: limits.sourceRate, burst: limits.sourceRate * 2)
    acquaintedRate = Allowance(rate: limits.sourceRate * 10, burst: limits.sourceRate * 20)
    blockRate = Allowance(rate: limits.blockRate, burst: limits.blockRate * 2)
    networkRate = Allowance(rate: limits.networkRate, burst: limits.networkRate * 2)
    strangers = AgedTable(capacity: limits.sources)
    blocks = AgedTable(capacity: limits.blocks)
    accounts = AgedTable(capacity: limits.accounts)
    acquaintances = AgedTable(capacity: limits.sources)
    bans = BanList(limit: limits.bans, hash: hash)
  }

  /// Bytes of the tables whose size is fixed.
  package var memory: Int {
    strangers.memory + blocks.memory + accounts.memory + acquaintances.memory
  }

  // MARK: Places

  /// Whom an address's doings are counted for: in IPv6 everybody has a /64.
  static func place(_ ip: IPAddress) -> IPNetwork {
    IPNetwork(ip, prefixLength: ip.family == .v4 ? 32 : 64)
  }

  /// What one person is likely to have.
  static func block(_ ip: IPAddress) -> IPNetwork {
    IPNetwork(ip, prefixLength: ip.family == .v4 ? 24 : 48)
  }

  private func key(_ network: IPNetwork, _ seed: UInt64) -> HashKey {
    hash.key(network.address, seed: seed)
  }

  private func strangerKey(_ ip: IPAddress) -> HashKey { key(Self.place(ip), 0xad01) }

  // MARK: Who is known

  /// A phone is registered from there, or somebody proved a password not long ago.
  package func isAcquainted(_ ip: IPAddress, at now: Instant) -> Bool {
    if registered[Self.place(ip).address] != nil { return true }
    guard let place = acquaintances.find(key(Self.place(ip), 0xad02)) else { return false }
    return acquaintances[place].until > now.nanoseconds
  }

  package mutating func registered(from ip: IPAddress) {
    registered[Self.place(ip).address, default: 0] += 1
  }

  package mutating func unregistered(from ip: IPAddress) {
    let place = Self.place(ip).address
    registered[place] = registered[place].flatMap { $0 > 1 ? $0 - 1 : nil }
  }

  /// Somebody there has proved a password: the request that was challenged and this one are given back to every rate,
  /// and the names and errors before it are forgotten.
  package mutating func proved(from ip: IPAddress, network: Int, at now: Instant) {
    let known = isAcquainted(ip, at: now)
    let place = acquaintances.place(key(Self.place(ip), 0xad02))
    acquaintances[place].until = (now + Suspicion.acquaintance).nanoseconds
    if let place = strangers.find(strangerKey(ip)) {
      var stranger = strangers[place]
      (known ? acquaintedRate : sourceRate).give(back: 2, to: &stranger.rate)
      stranger.offences = 0
      stranger.nameCount = 0
      strangers[place] = stranger
    }
    guard !known else { return }
    if let place = blocks.find(key(Self.block(ip), 0xad03)) {
      var until = blocks[place].until
      blockRate.give(back: 2, to: &until)
      blocks[place].until = until
    }
    if networks.indices.contains(network) { networkRate.give(back: 2, to: &networks[network]) }
  }

  // MARK: Rates

  /// Whether a stranger's request is above one of the rates, and which; nil: it passes and is counted. What is above one
  /// is not counted with the others.
  package mutating func exceeds(
    _ ip: IPAddress, network: Int, isAcquainted: Bool, at now: Instant
  ) -> AdmissionCounters.Reason? {
    let place = strangers.place(strangerKey(ip))
    var rate = strangers[place].rate
    guard !isAcquainted else {
      guard acquaintedRate.take(&rate, at: now) else { return .sourceRate }
      strangers[place].rate = rate
      return nil
    }
    guard sourceRate.take(&rate, at: now) else { return .sourceRate }
    let block = blocks.place(key(Self.block(ip), 0xad03))
    var blockUntil = blocks[block].until
    guard blockRate.take(&blockUntil, at: now) else { return .blockRate }
    while networks.count <= network { networks.append(0) }
    guard networkRate.take(&networks[network], at: now) else { return .networkRate }
    strangers[place].rate = rate
    blocks[block].until = blockUntil
    return nil
  }

  // MARK: Names

  /// A request without credentials names somebody. The ninth name is not answered, nor is anything after it until one is
  /// proved: a scanner learns nothing more, and many phones behind one NAT are held up until the first has answered its
  /// challenge.
  package mutating func asked(for name: HashKey, from ip: IPAddress, at now: Instant) -> NameVerdict
  {
    let place = strangers.place(strangerKey(ip))
    var stranger = strangers[place]
    if stranger.nameCount > 0, now.nanoseconds &- stranger.firstName > Self.nameMemory {
      stranger.nameCount = 0
    }
    defer { strangers[place] = stranger }
    if stranger.nameCount == 0 {
      stranger.firstName = now.nanoseconds
      stranger.names = SIMD8()
    }
    // 0 stands for none.
    let short = UInt16(truncatingIfNeeded: name.low) | 1
    var isKnown = false
    for i in 0..<Suspicion.names where stranger.names[i] == short { isKnown = true }
    if !isKnown {
      if stranger.nameCount < UInt64(Suspicion.names) {
        stranger.names[Int(stranger.nameCount)] = short
      }
      stranger.nameCount = min(stranger.nameCount + 1, UInt64(Suspicion.names) + 1)
    }
    guard stranger.nameCount > UInt64(Suspicion.names) else { return .answer }
    let waited = now.nanoseconds &- stranger.firstName
    return waited >= UInt64(Suspicion.patience.nanoseconds) ? .ban : .quiet
  }

  // MARK: Offences

  /// True: that was one too many.
  package mutating func offended(_ ip: IPAddress, parts: UInt64, at now: Instant) -> Bool {
    let place = strangers.place(strangerKey(ip))
    var until = strangers[place].offences
    let isTooMuch = offences.charge(&until, tokens: parts, at: now)
    strangers[place].offences = until
    return isTooMuch
  }

  /// The pair of an account and the block that somebody answers a challenge from.
  package func account(_ name: RawSpan, tenant: Int, from ip: IPAddress) -> HashKey {
    let account = hash.extend(hash.key(name, seed: 0xad04), UInt64(tenant))
    let block = Self.block(ip).address
    return hash.extend(hash.extend(account, block.high), block.low)
  }

  /// Whether a further answer for the account is looked at from there.
  package func mayGuess(_ account: HashKey, at now: Instant) -> Bool {
    guard let place = accounts.find(account) else { return true }
    return guesses.allows(accounts[place].until, at: now)
  }

  package mutating func guessed(_ account: HashKey, at now: Instant) {
    let place = accounts.place(account)
    var until = accounts[place].until
    _ = guesses.take(&until, at: now)
    accounts[place].until = until
  }
}
