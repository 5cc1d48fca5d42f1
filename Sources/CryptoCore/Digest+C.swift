internal import Base
internal import COpenSSL

/// One kind of digest, computed part by part with a context that is used again.
///
/// Costs about 0.1 µs (SHA-256) to 0.2 µs (MD5) for 100 bytes and one malloc, which libcrypto's provider
/// makes at each start. Not `Sendable`: one a shard.
///
/// A digest that libcrypto can't compute (MD5 where only FIPS algorithms are allowed) comes out as a
/// value without bytes, which equals nothing: a failure refuses and never lets in. `isAvailable` tells.
@safe
package final class DigestContext {
  package let algorithm: DigestAlgorithm
  private let context: OpaquePointer?
  private let type: OpaquePointer?
  private var failed = true

  package init(_ algorithm: DigestAlgorithm) {
    self.algorithm = algorithm
    unsafe context = EVP_MD_CTX_new()
    unsafe type = EVP_MD_fetch(nil, algorithm.libraryName, nil)
  }

  deinit {
    unsafe EVP_MD_CTX_free(context)
    unsafe EVP_MD_free(type)
  }

  /// Whether libcrypto has the algorithm here.
  package var isAvailable: Bool {
    begin()
    defer { failed = true }
    return !failed
  }

  /// Starts afresh, whatever went before.
  package func begin() {
    guard unsafe type != nil, unsafe context != nil else {
      failed = true
      return
    }
    failed = unsafe EVP_DigestInit_ex(context, type, nil) != 1
  }

  package func update(_ bytes: RawSpan) {
    guard !failed else { return }
    let result = unsafe bytes.withUnsafeBytes { buffer in
      unsafe EVP_DigestUpdate(context, buffer.baseAddress, buffer.count)
    }
    failed = result != 1
  }

  package func update(_ text: StaticString) {
    guard !failed else { return }
    let result = text.withUTF8Buffer { buffer in
      unsafe EVP_DigestUpdate(context, buffer.baseAddress, buffer.count)
    }
    failed = result != 1
  }

  package func update(_ text: String) { update(text.utf8Span.span.rawSpan) }

  package func finish() -> DigestValue {
    guard !failed else { return .failed }
    failed = true
    var value = DigestValue(count: algorithm.byteCount)
    var span = value.bytes.mutableSpan
    let result = unsafe span.withUnsafeMutableBufferPointer { buffer in
      unsafe EVP_DigestFinal_ex(context, buffer.baseAddress, nil)
    }
    return result == 1 ? value : .failed
  }

  /// The digest of the parts in a row.
  package func hash(_ bytes: RawSpan) -> DigestValue {
    begin()
    update(bytes)
    return finish()
  }
  package func hash(_ first: RawSpan, _ second: RawSpan) -> DigestValue {
    begin()
    update(first)
    update(second)
    return finish()
  }
}

extension DigestAlgorithm {
  fileprivate var libraryName: String {
    switch self {
    case .md5: "MD5"
    case .sha256: "SHA256"
    case .sha512t256: "SHA512-256"
    }
  }
}

/// Digests in one step, for where speed is nobody's concern; a shard has its `DigestContext`.
package enum Digest {
  package static func md5(_ bytes: RawSpan) -> DigestValue { DigestContext(.md5).hash(bytes) }
  package static func sha256(_ bytes: RawSpan) -> DigestValue { DigestContext(.sha256).hash(bytes) }
  package static func sha512t256(_ bytes: RawSpan) -> DigestValue {
    DigestContext(.sha512t256).hash(bytes)
  }
  /// SHA-1, which the handshake of WebSockets asks for (RFC 6455 §4.2.2) and nothing else here. Empty where
  /// libcrypto has it not.
  package static func sha1(_ bytes: RawSpan, _ text: StaticString) -> [UInt8] {
    var input: [UInt8] = []
    input.append(copying: bytes)
    input.append(contentsOf: text.description.utf8)
    var digest = [UInt8](repeating: 0, count: 20)
    var count = 0
    let done = unsafe EVP_Q_digest(nil, "SHA1", nil, input, input.count, &digest, &count)
    return done == 1 && count == 20 ? digest : []
  }
  package static func hash(_ algorithm: DigestAlgorithm, _ text: String) -> DigestValue {
    DigestContext(algorithm).hash(text.utf8Span.span.rawSpan)
  }
}
