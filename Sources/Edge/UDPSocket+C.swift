package import Base
internal import CLinux

/// A bound, non-blocking UDP socket; closed when the last reference goes.
package final class UDPSocket: Sendable {
  let descriptor: Int32
  /// Where it is bound; the port is the system's choice where 0 was asked.
  package let local: SocketAddress

  /// `receiveBuffer` and `sendBuffer` in bytes, as far as the system allows. `kept`: it is bound already.
  package init(
    listener name: String, bound: SocketAddress, receiveBuffer: Int, sendBuffer: Int,
    trafficClass: UInt8 = 0, kept: Int32? = nil
  ) throws(EdgeError) {
    let options = clinux_udp_options(
      receive_buffer: Int32(clamping: receiveBuffer), send_buffer: Int32(clamping: sendBuffer),
      share_port: 0, traffic_class: Int32(trafficClass), timestamps: 1)
    let fd = kept ?? clinux_udp_open(clinux_address(bound), options)
    guard fd >= 0 else { throw .listener(name: name, address: bound, code: -fd) }
    if kept != nil { clinux_udp_adjust(fd, options) }
    descriptor = fd
    var address = clinux_address()
    local = unsafe clinux_udp_local(fd, &address) == 0 ? SocketAddress(address) ?? bound : bound
  }

  deinit { clinux_close(descriptor) }

  /// One ICMP or local error about something we sent: its destination and errno. Nil when there is none,
  /// and then nothing makes the next call fail any more.
  package func nextFailure() -> (destination: SocketAddress?, code: Int32)? {
    var failure = clinux_udp_failure()
    guard unsafe clinux_udp_error(descriptor, &failure) == 1 else { return nil }
    return (SocketAddress(failure.destination), failure.error)
  }
}

extension clinux_address {
  init(_ address: SocketAddress) {
    let ip = address.ip
    self.init(
      high: ip.high, low: ip.low, port: address.port, family: ip.family == .v4 ? 4 : 6)
  }
}

extension SocketAddress {
  /// Nil when the kernel named none.
  init?(_ address: clinux_address) {
    switch address.family {
    case 4: self.init(IPAddress(v4: UInt32(truncatingIfNeeded: address.low)), address.port)
    case 6: self.init(IPAddress(v6High: address.high, low: address.low), address.port)
    default: return nil
    }
  }
}
