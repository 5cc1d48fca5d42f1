/// An IPv4 or IPv6 address as a value of 17 bytes, no sockets involved.
@frozen @usableFromInline
package struct IPAddress: Hashable, Sendable {
  @frozen @usableFromInline package enum Family: UInt8, Sendable { case v4, v6 }

  /// The 16 bytes of an IPv6 address, big-endian; an IPv4 address sits in the low 32 bits of `low`.
  @usableFromInline package let high: UInt64
  @usableFromInline package let low: UInt64
  @usableFromInline package let family: Family

  @inlinable package init(v4: UInt32) {
    high = 0
    low = UInt64(v4)
    family = .v4
  }
  @inlinable package init(v6High: UInt64, low: UInt64) {
    high = v6High
    self.low = low
    family = .v6
  }

  @inlinable package var v4: UInt32 { UInt32(truncatingIfNeeded: low) }

  @inlinable package static var anyV4: IPAddress { IPAddress(v4: 0) }
  @inlinable package static var anyV6: IPAddress { IPAddress(v6High: 0, low: 0) }
  @inlinable package static var loopbackV4: IPAddress { IPAddress(v4: 0x7f00_0001) }
  @inlinable package static var loopbackV6: IPAddress { IPAddress(v6High: 0, low: 1) }

  /// 0.0.0.0 or ::, which in SDP means "hold" (RFC 2543) and is never a destination.
  package var isUnspecified: Bool { high == 0 && low == 0 }
  package var isLoopback: Bool {
    family == .v4 ? v4 >> 24 == 127 : high == 0 && low == 1
  }
  package var isMulticast: Bool { family == .v4 ? v4 >> 28 == 0xe : high >> 56 == 0xff }
  package var isLinkLocal: Bool {
    family == .v4 ? v4 >> 16 == 0xa9fe : high >> 54 == 0x3fa
  }
}

/// An address and a port, both in host order.
@frozen @usableFromInline
package struct SocketAddress: Hashable, Sendable {
  @usableFromInline package var ip: IPAddress
  @usableFromInline package var port: UInt16

  @inlinable package init(_ ip: IPAddress, _ port: UInt16) {
    self.ip = ip
    self.port = port
  }
}
