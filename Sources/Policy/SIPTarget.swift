package import Base
package import SIPWire

/// Where calls of a trunk go, as it is written down: an address, `host`, `host:port`, or a SIP URI without a
/// user. A name is located as RFC 3263 says; the port says that it is a host's, not a domain's.
package struct SIPTarget: Hashable, Sendable {
  package enum Host: Hashable, Sendable {
    case address(IPAddress)
    /// In lower case.
    case name(String)
  }

  package var host: Host
  package var port: UInt16?
  package var transport: Transport?
  /// `sips:`.
  package var isSecure = false
  /// Nil: it is tried in its place in the list.
  package var share: TargetShare?

  private init(host: Host) { self.host = host }

  package init(_ address: SocketAddress) {
    host = .address(address.ip)
    port = address.port
  }

  package init(name: String, port: UInt16? = nil, transport: Transport? = nil) {
    host = .name(asciiLowercased(name))
    self.port = port
    self.transport = transport
  }

  /// Nil for what is none of the spellings.
  package init?(_ text: String) {
    if let address = SocketAddress(text) {
      self.init(address)
    } else if let ip = IPAddress(text) {
      self.init(host: .address(ip))
    } else if let target = Self.parse(uri: text) {
      self = target
    } else {
      let parts = text.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count <= 2, let name = parts.first, Self.isHostName(name) else { return nil }
      var port: UInt16?
      if parts.count == 2 {
        guard parts[1].utf8.allSatisfy(\.isASCIIDigit), let number = UInt16(parts[1]), number > 0
        else { return nil }
        port = number
      }
      self.init(name: String(name), port: port)
    }
  }

  private static func parse(uri text: String) -> SIPTarget? {
    let utf8 = Array(text.utf8)
    let bytes = utf8.rawSpan
    guard let uri = SIPURI.parse(bytes, ByteRange(0, bytes.byteCount)),
      uri.scheme == .sip || uri.scheme == .sips,
      uri.user.isEmpty, uri.headers.isEmpty
    else { return nil }
    var transport: Transport?
    var parameters = Parameters(uri.params)
    while let parameter = parameters.next(bytes) {
      guard bytes.extracting(parameter.name).equalsIgnoringCase("transport") else { return nil }
      transport = Transport.parse(bytes.extracting(parameter.value))
    }
    if let ip = uri.hostAddress(in: bytes) {
      var target = SIPTarget(
        SocketAddress(ip, uri.port ?? (uri.scheme == .sips || transport == .tls ? 5_061 : 5_060)))
      target.transport = transport
      target.isSecure = uri.scheme == .sips
      return target
    }
    let name = bytes.string(uri.host)
    guard isHostName(name) else { return nil }
    var target = SIPTarget(name: name, port: uri.port, transport: transport)
    target.isSecure = uri.scheme == .sips
    return target
  }

  /// RFC 1123 §2.1, and the underscores that some names have all the same. One that is all digits and dots
  /// is a mistyped address.
  private static func isHostName(_ text: some StringProtocol) -> Bool {
    let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard text.utf8.count <= 253, !text.utf8.allSatisfy({ $0.isASCIIDigit || $0 == 0x2e }) else {
      return false
    }
    return labels.allSatisfy { label in
      (1...63).contains(label.count)
        && label.allSatisfy { byte in
          byte.isASCIIDigit || byte.isASCIILetter || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: "_")
        }
    }
  }

  /// An address without a port has that of the transport (RFC 3263 §4.2).
  package func reached(by transport: TrunkTransport) -> SIPTarget {
    guard case .address = host, port == nil else { return self }
    var target = self
    target.port = transport == .tls ? 5_061 : 5_060
    return target
  }

  /// Nil for a name.
  package var address: SocketAddress? {
    guard case .address(let ip) = host else { return nil }
    return SocketAddress(ip, port ?? 5_060)
  }

  /// What stands behind the @ of a URI to it.
  package var hostPort: String {
    switch host {
    case .address(let ip): "\(SocketAddress(ip, port ?? 5_060))"
    case .name(let name): port.map { "\(name):\($0)" } ?? name
    }
  }
}

extension SIPTarget: CustomStringConvertible {
  /// Reads back to the same.
  package var description: String {
    if !isSecure, transport == nil { return hostPort }
    let suffix = transport.map { ";transport=\($0)" } ?? ""
    return (isSecure ? "sips:" : "sip:") + hostPort + suffix
  }
}
