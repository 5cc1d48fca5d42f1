import Base
import Policy
import Resolution
import SIPWire

/// What the names of trunks' targets came to. The engine asks for each name once, is told of each change,
/// and forgets those that no configuration has any more.
struct TargetNames {
  struct Entry {
    var location: Location?
    var isNamed = true
  }

  private(set) var entries: [LocationRequest: Entry] = [:]

  subscript(request: LocationRequest) -> Location? { entries[request]?.location }

  /// What to ask for and what to forget, now that these are wanted.
  mutating func follow(_ wanted: [LocationRequest], into orders: inout [NameOrder]) {
    for request in entries.keys { entries[request]?.isNamed = false }
    for request in wanted {
      if entries[request] == nil {
        entries[request] = Entry()
        orders.append(.watch(request))
      }
      entries[request]?.isNamed = true
    }
    for (request, entry) in entries where !entry.isNamed {
      entries[request] = nil
      orders.append(.forget(request))
    }
  }

  /// False when nobody wants to know any more.
  mutating func located(_ request: LocationRequest, _ location: Location) -> Bool {
    guard entries[request] != nil else { return false }
    entries[request]?.location = location
    return true
  }
}

extension LocationRequest {
  /// Nil for an address, which needs no locating, and for a name that is none.
  init?(_ target: SIPTarget, _ transport: TrunkTransport, usesV4: Bool, usesV6: Bool) {
    guard case .name(let text) = target.host, let host = DNSName(text) else { return nil }
    let located: LocatedTransport =
      switch transport {
      case .udp: .udp
      case .tcp: .tcp
      case .tls: .tls
      }
    self.init(
      host: host, port: target.port, transport: target.transport == nil ? nil : located,
      transports: [located])
    isSecure = target.isSecure
    self.usesV4 = usesV4
    self.usesV6 = usesV6
  }
}

/// An address that a name of a trunk's came to, in the network where it means that trunk.
struct LocatedSource: Hashable {
  var network: Int
  var ip: IPAddress
}

/// The same, where something else says which of several trunks it is: then each of them may have it.
struct LocatedPeer: Hashable {
  var trunk: Int
  var source: LocatedSource
}
