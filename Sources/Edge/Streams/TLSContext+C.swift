internal import Base
internal import COpenSSL
internal import Policy

/// Certificates and rules that connections are made with. A connection keeps those that it began with:
/// replacing a context drops nobody.
///
/// Made on any thread, used on the thread of the streams.
@safe
final class TLSContext: @unchecked Sendable {
  fileprivate let context: OpaquePointer
  /// Contexts by the name that a client asks for, in lower case.
  private var named: [(name: [UInt8], context: TLSContext)] = []
  let expires: Int64

  /// For a listener.
  init(_ settings: TLSListenerSettings) throws(TLSProblem) {
    unsafe context = try Self.make(TLS_server_method())
    expires = unsafe try Self.use(settings.identity, in: context)
    if let authorities = settings.clientAuthorities {
      unsafe try Self.trust(authorities, in: context)
      unsafe SSL_CTX_set_verify(
        context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
      unsafe SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(authorities))
    }
    // RFC 8446 §4.6.1: tickets save a returning phone the costly half of the handshake. A context that
    // asks for certificates must name itself to use them.
    unsafe SSL_CTX_set_session_id_context(context, Array("demarc".utf8), 6)
    for other in settings.named {
      var own = TLSListenerSettings(identity: other.identity)
      own.clientAuthorities = settings.clientAuthorities
      named.append((Array(other.name.lowercased().utf8), try TLSContext(own)))
    }
    if !named.isEmpty {
      unsafe copenssl_on_server_name(
        context, chooseCertificate, Unmanaged.passUnretained(self).toOpaque())
    }
  }

  /// For connections of ours to a trunk (RFC 5922 §7.3): its certificate must come from one of the
  /// authorities.
  init(_ security: TrunkSecurity) throws(TLSProblem) {
    unsafe context = try Self.make(TLS_client_method())
    if security.certificate.isEmpty {
      expires = 0
    } else {
      let identity = TLSIdentity(certificate: security.certificate, key: security.key)
      expires = unsafe try Self.use(identity, in: context)
    }
    if security.authorities.isEmpty {
      unsafe SSL_CTX_set_default_verify_paths(context)
    } else {
      unsafe try Self.trust(security.authorities, in: context)
    }
    unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
  }

  deinit { unsafe SSL_CTX_free(context) }

  /// Each certificate with the name that it is shown for, the one for any name first.
  func states(of listener: String) -> [CertificateState] {
    let others = named.map { (String(decoding: $0.name, as: UTF8.self), $0.context.expires) }
    return ([("", expires)] + others).map { name, expires in
      CertificateState(listener: listener, name: name, expires: expires)
    }
  }

  private static func make(_ method: OpaquePointer?) throws(TLSProblem) -> OpaquePointer {
    guard let context = unsafe SSL_CTX_new(method) else {
      throw TLSProblem(
        file: "libssl", reason: text(), remedy: "Check the installation of OpenSSL.")
    }
    guard unsafe copenssl_prepare(context) == 1 else {
      unsafe SSL_CTX_free(context)
      throw TLSProblem(
        file: "libssl", reason: "TLS 1.2 is not available",
        remedy: "Allow it in the system's OpenSSL configuration.")
    }
    return unsafe context
  }

  /// Takes the certificate into use; when it expires.
  private static func use(_ identity: TLSIdentity, in context: OpaquePointer) throws(TLSProblem)
    -> Int64
  {
    ERR_clear_error()
    switch unsafe copenssl_use(context, identity.certificate, 0) {
    case 1: break
    case -1: throw encrypted(identity.certificate)
    default:
      throw TLSProblem(
        file: identity.certificate, reason: "no certificate can be read from it (\(text()))",
        remedy: "Name a PEM file with the certificate first and its chain behind it.")
    }
    switch unsafe copenssl_use(context, identity.key, 1) {
    case 1: break
    case -1: throw encrypted(identity.key)
    default:
      throw TLSProblem(
        file: identity.key,
        reason: "no private key for this certificate can be read from it (\(text()))",
        remedy: "Name the PEM file of the key without a passphrase that belongs to the certificate."
      )
    }
    return unsafe copenssl_expiry(SSL_CTX_get0_certificate(context))
  }

  private static func encrypted(_ file: String) -> TLSProblem {
    ERR_clear_error()
    return TLSProblem(
      file: file, reason: "it is encrypted, and nobody is asked for its passphrase",
      remedy: "Write it anew without one (`openssl pkey -in \(file) -out NEW`), readable by the"
        + " service's user alone.")
  }

  private static func trust(_ file: String, in context: OpaquePointer) throws(TLSProblem) {
    ERR_clear_error()
    guard unsafe SSL_CTX_load_verify_file(context, file) == 1 else {
      throw TLSProblem(
        file: file, reason: "no certificate authority can be read from it (\(text()))",
        remedy: "Name a PEM file with one or more certificates of authorities.")
    }
  }

  /// The last error of libssl, in its own words.
  fileprivate static func text() -> String {
    let code = ERR_get_error()
    ERR_clear_error()
    guard code != 0, let reason = unsafe ERR_reason_error_string(code) else {
      return "no reason given"
    }
    return unsafe String(cString: reason)
  }

  fileprivate func context(for name: [UInt8]) -> OpaquePointer? {
    unsafe named.first { $0.name == name }.map { unsafe $0.context.context }
  }
}

/// Called by libssl in the middle of a handshake: the context lives as long as its connections.
private let chooseCertificate:
  @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?) -> Int32 =
    {
      session, _, argument in
      guard let argument = unsafe argument,
        let name = unsafe SSL_get_servername(session, TLSEXT_NAMETYPE_host_name)
      else { return SSL_TLSEXT_ERR_NOACK }
      let owner = unsafe Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
      let wanted = unsafe String(cString: name).lowercased()
      guard let context = unsafe owner.context(for: Array(wanted.utf8)) else {
        return SSL_TLSEXT_ERR_NOACK
      }
      unsafe SSL_set_SSL_CTX(session, context)
      return SSL_TLSEXT_ERR_OK
    }

/// One connection's TLS.
@safe
final class TLSSession {
  enum Step {
    case done
    case wantsToRead, wantsToWrite
    /// The peer has closed its side.
    case ended
    case failed(TLSFailure)
  }

  private let session: OpaquePointer
  /// The context must outlive the session, for its certificates by name.
  private let context: TLSContext
  /// Whom the certificate must be of; empty: nobody is checked (we are the server).
  private let domain: String

  /// The server's side.
  init?(accepting context: TLSContext, on socket: StreamSocket) {
    guard let session = unsafe SSL_new(context.context) else { return nil }
    unsafe self.session = session
    self.context = context
    domain = ""
    guard unsafe SSL_set_fd(session, socket.descriptor) == 1 else { return nil }
    unsafe SSL_set_accept_state(session)
  }

  /// The client's side, to a peer that must prove to be `domain`.
  init?(connecting context: TLSContext, to domain: String, on socket: StreamSocket) {
    guard let session = unsafe SSL_new(context.context) else { return nil }
    unsafe self.session = session
    self.context = context
    self.domain = domain
    guard unsafe SSL_set_fd(session, socket.descriptor) == 1 else { return nil }
    // RFC 6066 §3: a name, never an address.
    if !domain.isEmpty, IPAddress(domain) == nil {
      unsafe _ = copenssl_ask_for_name(session, domain)
    }
    unsafe SSL_set_connect_state(session)
  }

  deinit { unsafe SSL_free(session) }

  func handshake() -> Step {
    ERR_clear_error()
    let result = unsafe SSL_do_handshake(session)
    guard result == 1 else { return step(result) }
    return isOfItsDomain ? .done : .failed(.wrongName)
  }

  /// Names are compared whole: wildcards mean nothing (RFC 5922 §7.2). An address may stand among the addresses.
  private var isOfItsDomain: Bool {
    guard !domain.isEmpty else { return true }
    guard let certificate = unsafe SSL_get0_peer_certificate(session) else { return false }
    return unsafe domains(of: certificate).contains(domain.lowercased())
      || X509_check_ip_asc(certificate, domain, 0) == 1
  }

  /// A client that showed a certificate of our authorities (RFC 5923 §8: only such a one may have its
  /// connection used for other things than its own).
  var hasProvenPeer: Bool {
    unsafe SSL_get0_peer_certificate(session) != nil && SSL_get_verify_result(session) == X509_V_OK
  }

  /// The SIP domains that the peer has proven to be, in lower case.
  var provenDomains: [String] {
    guard hasProvenPeer, let certificate = unsafe SSL_get0_peer_certificate(session) else {
      return []
    }
    return unsafe domains(of: certificate)
  }

  /// RFC 5922 §7.1, in lower case. OpenSSL takes no chain of more than 100 kB, so their length has a bound.
  private func domains(of certificate: OpaquePointer) -> [String] {
    let count = unsafe copenssl_domains(certificate, nil, 0)
    var list = [CChar](repeating: 0, count: count)
    _ = unsafe copenssl_domains(certificate, &list, count)
    return list.split(separator: 0).map {
      String(decoding: $0.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased()
    }
  }

  /// Reads over the start of `buffer`; the count is good at `.done`.
  func read(into buffer: inout [UInt8]) -> (Step, Int) {
    ERR_clear_error()
    let room = Int32(clamping: buffer.count)
    let result = unsafe SSL_read(session, &buffer, room)
    return result > 0 ? (.done, Int(result)) : (step(result), 0)
  }

  func write(_ bytes: RawSpan) -> (Step, Int) {
    ERR_clear_error()
    let result = unsafe bytes.withUnsafeBytes { buffer in
      unsafe SSL_write(session, buffer.baseAddress, Int32(clamping: buffer.count))
    }
    return result > 0 ? (.done, Int(result)) : (step(result), 0)
  }

  /// Decrypted bytes lie ready that no socket will tell of.
  var hasMore: Bool { unsafe SSL_has_pending(session) == 1 }

  /// Says that nothing more will be sent; whether the peer hears it is its own affair.
  func finish() {
    ERR_clear_error()
    _ = unsafe SSL_shutdown(session)
    ERR_clear_error()
  }

  private func step(_ result: Int32) -> Step {
    switch unsafe SSL_get_error(session, result) {
    case SSL_ERROR_WANT_READ: return .wantsToRead
    case SSL_ERROR_WANT_WRITE: return .wantsToWrite
    case SSL_ERROR_ZERO_RETURN: return .ended
    case SSL_ERROR_SYSCALL: return .ended
    default:
      let isUntrusted = unsafe SSL_get_verify_result(session) != Int(X509_V_OK)
      ERR_clear_error()
      return .failed(isUntrusted ? .untrusted : .protocolError)
    }
  }
}

/// Why a TLS connection did not come about.
enum TLSFailure {
  /// The certificate is of no authority that we trust, has expired, or is missing.
  case untrusted
  /// It is a good one, of somebody else.
  case wrongName
  case protocolError
}
