package import Base

/// Why the edge couldn't start, with what to do about it.
package enum EdgeError: Error, Hashable {
  /// A listener's socket. `code` is an errno.
  case listener(name: String, address: SocketAddress, code: Int32)
  /// Something the kernel gives every program.
  case system(operation: String, code: Int32)
  /// Certificates that cannot be used.
  case certificates(listener: String, TLSProblem)
  /// Listeners have come and gone so often that there is no place for another.
  case listenersUsedUp
  /// The shard refused its settings.
  case settings(String)
}

extension EdgeError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .listener(let name, let address, let code):
      "listener \"\(name)\" on \(address): \(Self.remedy(code, address))"
    case .system(let operation, let code):
      switch SystemError(code) {
      case .noDescriptors:
        "\(operation): no file descriptor is left. Raise the limit (`ulimit -n`, LimitNOFILE=)."
      default:
        "\(operation): \(SystemError.text(code))"
      }
    case .certificates(let listener, let problem):
      "listener \"\(listener)\": \(problem)"
    case .listenersUsedUp:
      "there have been \(ListenerTable.limit) listeners since the start. Restart the process."
    case .settings(let problem):
      problem
    }
  }

  private static func remedy(_ code: Int32, _ address: SocketAddress) -> String {
    switch SystemError(code) {
    case .addressInUse:
      """
      another program has this port. `ss -ltunp 'sport = :\(address.port)'` names it; stop it or choose \
      another port.
      """
    case .addressNotAvailable:
      "no interface of this machine has the address \(address.ip). `ip address` lists those it has."
    case .noPermission:
      """
      not allowed. Ports below 1024 need the capability CAP_NET_BIND_SERVICE \
      (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE) or root; or choose a higher port.
      """
    case .familyNotSupported:
      "\(address.ip.family == .v6 ? "IPv6" : "IPv4") is switched off on this machine."
    case .noDescriptors:
      "no file descriptor is left. Raise the limit (`ulimit -n`, LimitNOFILE=)."
    case .other:
      SystemError.text(code)
    }
  }
}
