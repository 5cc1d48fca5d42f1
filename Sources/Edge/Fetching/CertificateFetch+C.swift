package import Base
internal import CLinux
internal import COpenSSL

/// How certificates and revocation lists are fetched.
package struct FetchSettings: Hashable, Sendable {
  /// Until the last octet has come.
  package var timeout = Interval.seconds(2)
  /// Octets of a response, its head included.
  package var bytes = 64 << 10
  /// Hosts that may be asked; empty: any.
  package var hosts: Set<String> = []
  /// Hosts that may be in a private network or on this machine. Whoever signs a call chooses a URL, and must not be able
  /// to reach what he could not reach himself.
  package var privateHosts: Set<String> = []
  /// Authorities of the servers, a PEM file; empty: those of the system.
  package var authorities = ""

  package init() {}
}

/// Why nothing was fetched, for people.
package struct FetchFailure: Error, Hashable, Sendable {
  package var reason: String
  init(_ reason: String) { self.reason = reason }
}

/// Fetches one file after another by HTTPS. It waits: for threads that may. Any number of them may use it at once, since
/// libssl counts the references to a context that nobody changes.
@safe
package final class CertificateFetch: @unchecked Sendable {
  package let settings: FetchSettings
  private let context: OpaquePointer

  package init(_ settings: FetchSettings) throws(TLSProblem) {
    self.settings = settings
    guard let made = unsafe SSL_CTX_new(TLS_client_method()), unsafe copenssl_prepare(made) == 1
    else {
      throw TLSProblem(
        file: "libssl", reason: "TLS 1.2 is not available",
        remedy: "Check the installation of OpenSSL.")
    }
    unsafe context = made
    unsafe SSL_CTX_set_verify(made, SSL_VERIFY_PEER, nil)
    if settings.authorities.isEmpty {
      unsafe SSL_CTX_set_default_verify_paths(made)
    } else if unsafe SSL_CTX_load_verify_file(made, settings.authorities) != 1 {
      throw TLSProblem(
        file: settings.authorities, reason: "no certificate authority can be read from it",
        remedy: "Name a PEM file with one or more certificates of authorities.")
    }
  }

  deinit { unsafe SSL_CTX_free(context) }

  /// A response of status 200; every other one is a failure, a redirection too: it could lead anywhere.
  package func fetch(_ url: String) throws(FetchFailure) -> HTTPResponse {
    guard let address = HTTPSAddress(url) else {
      throw FetchFailure("`\(url.prefix(80))` is not an https URL")
    }
    guard settings.hosts.isEmpty || settings.hosts.contains(address.host) else {
      throw FetchFailure("host \(address.host) is not among those allowed")
    }
    let deadline = copenssl_now() + Int64(settings.timeout.milliseconds)
    let found = Self.addresses(of: address)
    guard !found.isEmpty else { throw FetchFailure("host \(address.host) has no address") }
    let allowed = found.filter { mayReach($0.ip, of: address.host) }
    guard !allowed.isEmpty else {
      throw FetchFailure("host \(address.host) is in a private network")
    }
    var failure = FetchFailure("host \(address.host) cannot be reached")
    for one in allowed.prefix(4) where copenssl_now() < deadline {
      do throws(FetchFailure) {
        return try ask(one, address, deadline: deadline)
      } catch {
        failure = error
      }
    }
    throw failure
  }

  /// What is not the public network is nobody's to ask for whom the operator has not named.
  package func mayReach(_ ip: IPAddress, of host: String) -> Bool {
    if settings.privateHosts.contains(host) { return true }
    if ip.isPrivate || ip.isMulticast || ip.isUnspecified || ip == IPAddress(v4: .max) {
      return false
    }
    guard ip.family == .v4 else {
      // IPv4 inside IPv6 (RFC 4291 §2.5.5, RFC 6052 §2.1, RFC 3056) leads wherever IPv4 does.
      return ip.high != 0 && ip.high >> 32 != 0x0064_ff9b && ip.high >> 48 != 0x2002
    }
    return ip.v4 >> 24 != 0 && ip.v4 >> 28 != 0xf
  }

  private static func addresses(of address: HTTPSAddress) -> [SocketAddress] {
    if let ip = IPAddress(address.host) { return [SocketAddress(ip, address.port)] }
    var found = [clinux_address](repeating: clinux_address(), count: 8)
    let count = unsafe clinux_lookup(address.host, address.port, &found, 8)
    return found.prefix(max(Int(count), 0)).compactMap(SocketAddress.init)
  }

  private func ask(
    _ address: SocketAddress, _ url: HTTPSAddress, deadline: Int64
  ) throws(FetchFailure) -> HTTPResponse {
    guard let socket = ConnectedSocket(to: address, isStream: true) else {
      throw FetchFailure("host \(url.host) cannot be reached")
    }
    let request = Array(
      ("GET \(url.path) HTTP/1.1\r\nHost: \(url.authority)\r\nUser-Agent: Demarc\r\nAccept: */*\r\n"
        + "Connection: close\r\n\r\n").utf8)
    var bytes = [UInt8](repeating: 0, count: settings.bytes + 1)
    var count: Int32 = 0
    let room = Int32(clamping: bytes.count)
    let outcome = unsafe copenssl_exchange(
      context, socket.descriptor, url.host, IPAddress(url.host) == nil ? 1 : 0, request,
      Int32(request.count), &bytes, room, &count, deadline)
    switch Int(outcome) {
    case Int(COPENSSL_FETCHED): break
    case Int(COPENSSL_LATE): throw FetchFailure("host \(url.host) did not answer in time")
    case Int(COPENSSL_UNTRUSTED):
      throw FetchFailure("host \(url.host) shows a TLS certificate that is not trusted")
    default: throw FetchFailure("host \(url.host) broke the connection off")
    }
    guard Int(count) <= settings.bytes else {
      throw FetchFailure("what host \(url.host) sends is larger than \(settings.bytes) octets")
    }
    guard let response = HTTPResponse(Array(bytes.prefix(Int(count)))) else {
      throw FetchFailure("host \(url.host) sends no whole response of HTTP")
    }
    guard response.status == 200 else {
      throw FetchFailure("host \(url.host) answers \(response.status)")
    }
    return response
  }
}
