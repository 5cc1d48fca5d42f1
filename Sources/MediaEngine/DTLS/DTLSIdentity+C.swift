internal import COpenSSL
package import MediaControl

/// Our certificate of DTLS-SRTP with its key, made anew by each process and kept in memory alone: what makes it ours
/// is the fingerprint that our descriptions name (RFC 5763 §5), so nobody has to sign or renew it.
///
/// Made on any thread and used on the workers': libssl counts the references to what is shared by itself.
@safe
package final class DTLSIdentity: @unchecked Sendable {
  private let context: OpaquePointer
  /// By SHA-256.
  package let fingerprint: CertificateFingerprint

  /// Nil where libcrypto has no P-256, or libssl no DTLS 1.2.
  package init?() {
    var key: OpaquePointer?
    guard let certificate = unsafe copenssl_self_signed(&key) else { return nil }
    defer {
      unsafe X509_free(certificate)
      unsafe EVP_PKEY_free(key)
    }
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    guard unsafe X509_digest(certificate, EVP_sha256(), &digest, &count) == 1,
      let fingerprint = CertificateFingerprint(.sha256, Array(digest.prefix(Int(count)))),
      let context = unsafe copenssl_dtls_context(certificate, key)
    else { return nil }
    self.fingerprint = fingerprint
    unsafe self.context = context
  }

  deinit { unsafe SSL_CTX_free(context) }

  /// A session of libssl's, whose owner frees it.
  func makeSession(_ role: MediaHandshake.Role) -> OpaquePointer? {
    unsafe copenssl_dtls_session(context, role == .server ? 1 : 0, DTLSAssociation.mtu)
  }
}
