package import Base

/// One UDP datagram on its way through the virtual network.
package struct Datagram {
  package var from: SocketAddress
  package var to: SocketAddress
  package var bytes: [UInt8]
  /// Nil where the agents' parser could not read it.
  package var message: AgentMessage?
  /// Of a connection: which of those that there were one after the other between the two.
  package var flow: Int?
}

/// What a path does to datagrams, each way.
package struct LinkQuality: Hashable, Sendable {
  /// Probabilities from 0 to 1.
  package var loss = 0.0
  package var duplication = 0.0
  package var delay = Interval.milliseconds(5)
  /// Added to the delay, uniform from 0: more than the distance of two datagrams reorders them.
  package var jitter = Interval.zero
  package var partitioned = false

  package init(
    loss: Double = 0, duplication: Double = 0, delay: Interval = .milliseconds(5),
    jitter: Interval = .zero
  ) {
    self.loss = loss
    self.duplication = duplication
    self.delay = delay
    self.jitter = jitter
  }

  package static let perfect = LinkQuality()

  package var isReliable: Bool { loss == 0 && !partitioned }
}

/// The paths between the trunk under test and each agent. Chance is drawn per path, so that traffic
/// on one changes nothing on another.
struct NetworkPaths {
  private struct Link {
    var quality: LinkQuality
    var random: SeededRandom
  }

  /// A connection between an agent and a listener, both ways.
  private struct Stream {
    var number = 0
    var isUp = false
    /// When what was sent last arrives, each way: nothing overtakes it.
    var lastToAgent = Instant.zero
    var lastFromAgent = Instant.zero
  }

  private var links: [SocketAddress: Link] = [:]
  private var streams: [SocketAddress: Stream] = [:]
  private var random: SeededRandom
  private let defaultQuality: LinkQuality

  init(random: SeededRandom, defaultQuality: LinkQuality) {
    self.random = random
    self.defaultQuality = defaultQuality
  }

  /// Every agent's path exists before the first datagram: the draws don't depend on who speaks first.
  mutating func attach(_ agent: SocketAddress) {
    links[agent] = Link(quality: defaultQuality, random: random.fork())
  }

  mutating func set(_ quality: LinkQuality, for agent: SocketAddress) {
    links[agent]?.quality = quality
  }

  func quality(of agent: SocketAddress) -> LinkQuality? { links[agent]?.quality }

  /// The delays after which copies of a datagram arrive: none when it is lost, two when duplicated.
  mutating func fates(of agent: SocketAddress) -> [Interval] {
    guard var link = links[agent], !link.quality.partitioned else { return [] }
    defer { links[agent] = link }
    guard !link.random.chance(link.quality.loss) else { return [] }
    var delays = [delay(&link)]
    if link.random.chance(link.quality.duplication) { delays.append(delay(&link)) }
    return delays
  }

  // MARK: Connections

  func isUp(_ agent: SocketAddress) -> Bool { streams[agent]?.isUp ?? false }

  /// The number of the connection, which is made where there is none.
  mutating func connect(_ agent: SocketAddress) -> Int {
    var stream = streams[agent] ?? Stream()
    if !stream.isUp {
      stream.isUp = true
      stream.number += 1
    }
    streams[agent] = stream
    return stream.number
  }

  mutating func disconnect(_ agent: SocketAddress) { streams[agent]?.isUp = false }

  /// Whether what was sent by a connection may still arrive by it.
  func lives(_ flow: Int, of agent: SocketAddress) -> Bool {
    streams[agent].map { $0.isUp && $0.number == flow } ?? false
  }

  /// Nothing is lost, doubled or overtaken; nil while the path is cut, which a connection bridges by waiting.
  mutating func arrival(of agent: SocketAddress, toAgent: Bool, at now: Instant) -> Instant? {
    guard var link = links[agent], !link.quality.partitioned, var stream = streams[agent] else {
      return nil
    }
    let earliest = toAgent ? stream.lastToAgent : stream.lastFromAgent
    let at = max(now + delay(&link), earliest)
    if toAgent { stream.lastToAgent = at } else { stream.lastFromAgent = at }
    links[agent] = link
    streams[agent] = stream
    return at
  }

  private func delay(_ link: inout Link) -> Interval {
    let jitter = Int(link.quality.jitter.nanoseconds / 1_000)
    return link.quality.delay + .microseconds(link.random.below(jitter + 1))
  }
}
