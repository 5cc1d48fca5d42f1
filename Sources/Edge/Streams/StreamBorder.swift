internal import Base
internal import CallCore
internal import Policy

/// Whose connections are not accepted, as the shard has said. The shard itself decides, and turns away what still comes
/// by a connection meanwhile.
struct StreamBorder {
  private var banned: [IPNetwork.Shape: Set<IPNetwork>] = [:]
  /// By listener; nil: everybody may come.
  private var access: [AccessList?] = []

  mutating func follow(_ order: BorderOrder) {
    switch order {
    case .ban(let network, _): banned[network.shape, default: []].insert(network)
    case .lift(let network):
      banned[network.shape]?.remove(network)
      if banned[network.shape]?.isEmpty == true { banned[network.shape] = nil }
    case .access(let lists): access = lists
    }
  }

  /// Why a connection from there ends at once; nil: it does not.
  func refusal(of ip: IPAddress, on listener: ListenerIndex) -> StreamEnd? {
    if access.indices.contains(Int(listener)), let list = access[Int(listener)], !list.admits(ip) {
      return .denied
    }
    for (shape, networks) in banned where shape.family == ip.family {
      if networks.contains(IPNetwork(ip, prefixLength: shape.prefixLength)) { return .banned }
    }
    return nil
  }
}

extension IPNetwork {
  /// Blocks of one shape are found by one look-up.
  struct Shape: Hashable {
    var family: IPAddress.Family
    var prefixLength: Int
  }

  var shape: Shape { Shape(family: address.family, prefixLength: prefixLength) }
}

extension StreamEnd {
  /// Nobody who speaks SIP ends like this before his first message.
  var isOffence: Bool {
    switch self {
    case .handshakeTimeout, .firstMessageTimeout, .notSIP: true
    case .peerClosed, .idle, .messageTimeout, .lineEnd, .headersTooLong, .messageTooLong,
      .contentLength, .upgradeRefused, .frameError, .slowReader, .handshakeFailed,
      .untrustedCertificate, .wrongCertificateName, .connectFailed, .connectTimeout, .tooMany,
      .tooManyOfSource, .noDescriptors, .banned, .denied, .listenerClosed, .stopping:
      false
    }
  }
}

extension StreamLoop {
  /// What it forbids is closed too where it is open.
  func follow(_ order: BorderOrder) {
    border.follow(order)
    switch order {
    case .lift: return
    // Nearly all who are banned have no connection.
    case .ban(let network, _):
      let isPlace = network.prefixLength == (network.address.family == .v4 ? 32 : 64)
      if isPlace, sources[network.address] == nil { return }
    case .access: break
    }
    for case let connection? in connections {
      let key = connection.key
      if let refusal = border.refusal(of: key.remote.ip, on: key.listener) {
        close(connection, refusal)
      }
    }
  }
}
