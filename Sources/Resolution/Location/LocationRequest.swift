package import Base

/// How a located server is spoken to, in our order of preference where nobody else has one.
package enum LocatedTransport: UInt8, Hashable, Sendable, CaseIterable {
  case udp, tcp, tls

  /// `_sip._udp` (RFC 3263 §4.1; RFC 2782).
  var serviceLabels: String {
    switch self {
    case .udp: "_sip._udp"
    case .tcp: "_sip._tcp"
    case .tls: "_sips._tcp"
    }
  }

  /// In NAPTR records, in lower case.
  var naptrService: String {
    switch self {
    case .udp: "sip+d2u"
    case .tcp: "sip+d2t"
    case .tls: "sips+d2t"
    }
  }

  package var defaultPort: UInt16 { self == .tls ? 5_061 : 5_060 }
}

/// What is to be located: the parts of a URI that RFC 3263 §4 looks at, and what the asker can do.
package struct LocationRequest: Hashable, Sendable {
  package var host: DNSName
  package var port: UInt16?
  package var transport: LocatedTransport?
  /// `sips:`, so nothing but TLS.
  package var isSecure = false
  /// For which the asker has listeners.
  package var transports: [LocatedTransport]
  package var usesV4 = true
  package var usesV6 = false

  package init(
    host: DNSName, port: UInt16? = nil, transport: LocatedTransport? = nil,
    transports: [LocatedTransport] = [.udp]
  ) {
    self.host = host
    self.port = port
    self.transport = transport
    self.transports = transports
  }
}

package struct LocatedAddress: Hashable, Sendable {
  package var address: SocketAddress
  package var transport: LocatedTransport
  /// Lower is first. Entries of one rank are drawn by weight, `host` by host (RFC 2782).
  package var rank: Int
  package var weight: Int
  /// Addresses with one number are one server's: tried one after the other where it was drawn.
  package var host: Int

  package init(
    _ address: SocketAddress, _ transport: LocatedTransport = .udp, rank: Int = 0, weight: Int = 0,
    host: Int = 0
  ) {
    self.address = address
    self.transport = transport
    self.rank = rank
    self.weight = weight
    self.host = host
  }
}

/// What a name came to.
package struct Location: Hashable, Sendable {
  package enum State: String, Hashable, Sendable {
    case found
    /// Beyond its time, because no server answers.
    case stale
    /// DNS says that there is none.
    case none
    /// No server answered, and nothing was known from before.
    case failed
  }
  package var state: State
  package var addresses: [LocatedAddress]

  package init(_ state: State, _ addresses: [LocatedAddress] = []) {
    self.state = state
    self.addresses = addresses
  }

  /// The order for one call. RFC 2782: by rank, and within one by a draw over the running sum of the
  /// weights, those of weight 0 first in it, so that they have a small chance of their own.
  package func ordered(random: inout RandomSource) -> [LocatedAddress] {
    guard addresses.count > 1 else { return addresses }
    var order: [LocatedAddress] = []
    order.reserveCapacity(addresses.count)
    var rest = addresses[...]
    while let first = rest.first {
      let group = rest.prefix { $0.rank == first.rank }
      rest = rest.dropFirst(group.count)
      draw(Array(group), &random, into: &order)
    }
    return order
  }

  private func draw(
    _ group: [LocatedAddress], _ random: inout RandomSource, into order: inout [LocatedAddress]
  ) {
    var hosts: [(host: Int, weight: Int)] = []
    for entry in group where !hosts.contains(where: { $0.host == entry.host }) {
      hosts.append((entry.host, max(entry.weight, 0)))
    }
    hosts.sort { $0.weight == 0 && $1.weight != 0 }
    while !hosts.isEmpty {
      let sum = hosts.reduce(0) { $0 + $1.weight }
      // Uniform in 0...sum, the first whose running sum is not less.
      let drawn = random.next(below: sum + 1)
      var running = 0
      var chosen = hosts.count - 1
      for (i, host) in hosts.enumerated() {
        running += host.weight
        if running >= drawn {
          chosen = i
          break
        }
      }
      let host = hosts.remove(at: chosen).host
      append(group.filter { $0.host == host }, &random, to: &order)
    }
  }

  /// The addresses of one server: IPv6 before IPv4 as they stand, within a family by chance, as a name
  /// server would turn them round.
  private func append(
    _ addresses: [LocatedAddress], _ random: inout RandomSource, to order: inout [LocatedAddress]
  ) {
    guard addresses.count > 1 else { return order += addresses }
    let first = addresses[0].address.ip.family
    order += addresses.filter { $0.address.ip.family == first }.shuffled(using: &random)
    order += addresses.filter { $0.address.ip.family != first }.shuffled(using: &random)
  }
}
