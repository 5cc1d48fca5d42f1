package import Base
package import MediaControl

/// Which addresses media may be sent to, whatever SDP or a packet's source says.
///
/// Never to nowhere (unspecified, port 0) or to many (multicast, broadcast). Loopback and link-local addresses
/// (a cloud's metadata service lives there) only where we are bound there or the peer's signalling comes from
/// there. Our own ports are a far end like others, for a PBX that only signals joins two of our calls that way;
/// what keeps that from being a loop is `FacingOurselves`.
package struct Destinations: Sendable {
  private struct Own: Sendable {
    var ip: IPAddress
    var ports: ClosedRange<UInt16>
  }

  private let own: [Own]

  package init(_ addresses: [MediaAddress], interfaces: [IPAddress]) {
    own = addresses.flatMap { address in
      let ips =
        address.bound.isUnspecified
        ? interfaces.filter { $0.family == address.bound.family } + [.loopbackV4, .loopbackV6]
        : [address.bound]
      return ips.map { Own(ip: $0, ports: address.ports) }
    }
  }

  package func isOwn(_ address: SocketAddress) -> Bool {
    own.contains { $0.ip == address.ip && $0.ports.contains(address.port) }
  }

  /// Whether `address` may be sent to from a socket bound to `bound` for a peer that signals from
  /// `signalling`.
  package func allows(_ address: SocketAddress, from bound: IPAddress, signalling: IPAddress)
    -> Bool
  {
    let ip = address.ip
    guard ip.family == bound.family, address.port != 0, !ip.isUnspecified, !ip.isMulticast else {
      return false
    }
    if ip.family == .v4, ip.v4 == 0xffff_ffff { return false }
    if ip.isLoopback, !bound.isLoopback, !signalling.isLoopback { return false }
    if ip.isLinkLocal, !bound.isLinkLocal, !signalling.isLinkLocal { return false }
    return true
  }
}
