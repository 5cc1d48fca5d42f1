internal import Base
internal import COpenSSL

/// Why a certificate is not believed.
package enum CertificateDefect: Error, Hashable, Sendable {
  /// There is none in what was read, or its key is not on P-256.
  case unreadable
  /// Too young, too old, revoked, or of nobody we trust; libcrypto's own word for it.
  case untrusted(String)
  /// It says of no number (RFC 8226 §9) and of no domain that it may speak for it, or says it wrongly.
  case withoutAuthority
  /// It limits what its PASSporTs may say (RFC 8226 §8, RFC 9118), wrongly or in both ways at once.
  case constraints
}

/// A certificate that PASSporTs are signed by.
package final class PassportCertificate: Sendable {
  package let key: ES256PublicKey
  /// Nil: for no number; or for no domain. One of the two is there.
  package let authority: NumberAuthority?
  package let domains: DomainAuthority?
  /// Nil: it may sign whatever claims there are.
  package let constraints: ClaimConstraints?
  /// Seconds since 1970.
  package let begins: Int64
  package let ends: Int64
  /// For people.
  package let subject: String

  fileprivate init(
    key: ES256PublicKey, authority: NumberAuthority?, domains: DomainAuthority?,
    constraints: ClaimConstraints?, begins: Int64, ends: Int64, subject: String
  ) {
    self.key = key
    self.authority = authority
    self.domains = domains
    self.constraints = constraints
    self.begins = begins
    self.ends = ends
    self.subject = subject
  }
}

/// Authorities that are believed, and their lists of what they have revoked. Nothing in it changes once it is made, so
/// any thread may use it.
@safe
package final class TrustAnchors: @unchecked Sendable {
  private let store: OpaquePointer
  package let authorities: Int
  package let lists: Int
  /// When the first of the lists is out of date, in seconds since 1970; nil: none says.
  package let listsDue: Int64?

  /// Nil where one of the files has no certificate, or one of the lists is none; `lists` are PEM or DER.
  package init?(authorities: [[UInt8]], lists: [[UInt8]] = []) {
    guard let store = unsafe X509_STORE_new() else { return nil }
    unsafe self.store = store
    var count = 0
    for pem in authorities {
      let added = unsafe pem.withUnsafeBytes { bytes in
        unsafe copenssl_add_authorities(store, bytes.baseAddress, Int32(clamping: bytes.count))
      }
      guard added > 0 else { return nil }
      count += Int(added)
    }
    var due: Int64?
    for list in lists {
      let next = unsafe list.withUnsafeBytes { bytes in
        unsafe copenssl_add_list(store, bytes.baseAddress, Int32(clamping: bytes.count))
      }
      guard next >= 0 else { return nil }
      if next > 0 { due = min(due ?? next, next) }
    }
    self.authorities = count
    self.lists = lists.count
    listsDue = due
  }

  deinit { unsafe X509_STORE_free(store) }

  /// Reads a chain, the certificate first and its issuers behind it (RFC 8224 §7.3), and follows it to an authority.
  ///
  /// - Parameter time: in seconds since 1970.
  package func judge(chain pem: [UInt8], at time: Int64) -> Result<
    PassportCertificate, CertificateDefect
  > {
    var error: Int32 = 0
    let leaf = unsafe pem.withUnsafeBytes { bytes in
      unsafe copenssl_chain(
        store, lists > 0 ? 1 : 0, bytes.baseAddress, Int32(clamping: bytes.count), time, &error)
    }
    guard let leaf = unsafe leaf else { return .failure(.unreadable) }
    defer { unsafe X509_free(leaf) }
    guard error == X509_V_OK else {
      let text = unsafe X509_verify_cert_error_string(Int(error))
      return .failure(.untrusted(unsafe text.map { unsafe String(cString: $0) } ?? "untrusted"))
    }
    return unsafe PassportCertificate.read(leaf)
  }
}

extension PassportCertificate {
  /// The first certificate of a PEM, whoever has issued it: for our own, which others judge, and which sign for numbers.
  package static func read(_ pem: [UInt8]) -> Result<PassportCertificate, CertificateDefect> {
    let leaf = unsafe pem.withUnsafeBytes { bytes in
      unsafe copenssl_certificate(bytes.baseAddress, Int32(clamping: bytes.count))
    }
    guard let leaf = unsafe leaf else { return .failure(.unreadable) }
    defer { unsafe X509_free(leaf) }
    let found = unsafe read(leaf)
    if case .success(let certificate) = found, certificate.authority == nil {
      return .failure(.withoutAuthority)
    }
    return found
  }

  fileprivate static func read(
    _ leaf: OpaquePointer
  ) -> Result<PassportCertificate, CertificateDefect> {
    guard let made = unsafe X509_get_pubkey(leaf), let key = unsafe ES256PublicKey(owning: made)
    else { return .failure(.unreadable) }
    var domains: DomainAuthority?
    if case .one(let list) = unsafe entry("2.5.29.17", of: leaf) {
      domains = DomainAuthority(der: list)
    }
    let authority: NumberAuthority?
    switch unsafe entry("1.3.6.1.5.5.7.1.26", of: leaf) {
    case .one(let list):
      authority = NumberAuthority(der: list)
      if authority == nil { return .failure(.withoutAuthority) }
    case .none where domains != nil: authority = nil
    case .none, .several: return .failure(.withoutAuthority)
    }
    let plain = unsafe entry("1.3.6.1.5.5.7.1.27", of: leaf)
    let enhanced = unsafe entry("1.3.6.1.5.5.7.1.33", of: leaf)
    var constraints: ClaimConstraints?
    switch (plain, enhanced) {
    case (.none, .none): break
    case (.one(let der), .none): constraints = ClaimConstraints(der: der, isEnhanced: false)
    case (.none, .one(let der)): constraints = ClaimConstraints(der: der, isEnhanced: true)
    // RFC 9118 §3: not both.
    default: return .failure(.constraints)
    }
    if constraints == nil, !plain.isNone || !enhanced.isNone { return .failure(.constraints) }
    var subject = [CChar](repeating: 0, count: 256)
    unsafe copenssl_subject(leaf, &subject, 256)
    let name = subject.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return .success(
      PassportCertificate(
        key: key, authority: authority, domains: domains, constraints: constraints,
        begins: unsafe copenssl_begins(leaf), ends: unsafe copenssl_ends(leaf),
        subject: name.rawSpan.displayText))
  }

  private enum Extension {
    case none
    case one([UInt8])
    case several

    var isNone: Bool { if case .none = self { true } else { false } }
  }

  private static func entry(_ name: String, of leaf: OpaquePointer) -> Extension {
    var der: UnsafePointer<UInt8>?
    let count = Int(unsafe copenssl_extension(leaf, name, &der))
    guard count >= 0, let start = unsafe der else { return count == -1 ? .none : .several }
    return .one(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
  }
}
