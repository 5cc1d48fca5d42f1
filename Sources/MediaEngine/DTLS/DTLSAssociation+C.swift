import Base
internal import COpenSSL
import MediaControl

/// One handshake with one address, and the association that it becomes (RFC 6347, RFC 5764 §4). Datagrams go in, and
/// what they cause comes out by `datagram`: no socket, and no clock but that which libssl measures its own waiting by.
///
///     server: hello with a good cookie ──▶ working ──▶ done ──▶ ended
///     client: begin ─────────────────────▶ working ──▶ done ──▶ ended
///                                             └──────▶ failed
@safe
final class DTLSAssociation {
  /// Of our datagrams without IP and UDP, in bytes: goes through every tunnel that calls go through.
  static let mtu = 1_200

  enum Step {
    case working
    /// The handshake is over. Who the far end is has not been looked at.
    case done
    /// No keys come of it any more.
    case failed
    /// The far end has closed it (close_notify, authenticated).
    case ended
  }

  /// Where the far end is.
  let peer: SocketAddress
  let began: Instant
  /// Of the ClientHello that it began with: tells a repeated one from a new one.
  let hello: DTLSHello.Random
  private let session: OpaquePointer
  let role: MediaHandshake.Role
  private var isDone = false
  /// The client's first flight, until somebody answers: it may be said again as it is, which whoever has heard it takes
  /// for a repeated record.
  private var firstFlight: [UInt8] = []
  /// Something has come from the far end.
  private(set) var isHeard = false

  init?(
    _ identity: DTLSIdentity, _ role: MediaHandshake.Role, with peer: SocketAddress,
    hello: DTLSHello.Random = DTLSHello.Random(), at now: Instant
  ) {
    guard let session = unsafe identity.makeSession(role) else { return nil }
    unsafe self.session = session
    self.role = role
    self.peer = peer
    self.hello = hello
    began = now
  }

  deinit { unsafe SSL_free(session) }

  // MARK: In

  /// The client's first message.
  func begin() -> Step {
    let step = shakeHands()
    var first: UnsafePointer<UInt8>?
    let count = Int(clamping: unsafe copenssl_dtls_output(session, &first))
    if let bytes = unsafe first {
      firstFlight = unsafe Array(UnsafeBufferPointer(start: bytes, count: max(count, 0)))
    }
    return step
  }

  /// Writes the first flight into `packet`, which it fits into whole; its length, 0 when it has been answered.
  func repeated(into packet: inout MutableRawSpan) -> Int {
    guard firstFlight.count <= min(packet.byteCount, Self.mtu) else { return 0 }
    for (i, byte) in firstFlight.enumerated() {
      packet.storeBytes(of: byte, toByteOffset: i, as: UInt8.self)
    }
    return firstFlight.count
  }

  /// The server's beginning, with a ClientHello whose cookie is good.
  func accept(_ datagram: RawSpan) -> Step {
    ERR_clear_error()
    guard feed(datagram), unsafe copenssl_dtls_listen(session) == 1 else { return .failed }
    return shakeHands()
  }

  func receive(_ datagram: RawSpan) -> Step {
    isHeard = true
    firstFlight = []
    guard feed(datagram) else { return isDone ? .done : .failed }
    return isDone ? read() : shakeHands()
  }

  /// How long until `expire` is due; nil: nothing waits for an answer.
  var timeout: Interval? {
    let left = unsafe copenssl_dtls_timeout(session)
    return left < 0 ? nil : .microseconds(Int(clamping: left))
  }

  /// Repeats the last flight where it is time.
  func expire() -> Step {
    ERR_clear_error()
    let result = unsafe copenssl_dtls_expire(session)
    return result < 0 && !isDone ? .failed : isDone ? .done : .working
  }

  private func feed(_ datagram: RawSpan) -> Bool {
    let fed = unsafe datagram.withUnsafeBytes { bytes in
      unsafe copenssl_dtls_feed(session, bytes.baseAddress, Int32(clamping: bytes.count))
    }
    return fed == 1
  }

  private func shakeHands() -> Step {
    ERR_clear_error()
    let result = unsafe SSL_do_handshake(session)
    if result == 1 {
      isDone = true
      return .done
    }
    let error = unsafe SSL_get_error(session, result)
    ERR_clear_error()
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? .working : .failed
  }

  /// What comes in an association that stands: a repeated last flight, which libssl answers, alerts, and data, which
  /// nobody has asked for. Records that are not authentic it drops by itself.
  private func read() -> Step {
    ERR_clear_error()
    guard wake() else { return .done }
    defer { rest() }
    var result: Int32 = 1
    var budget = 16
    while result > 0, budget > 0 {
      budget -= 1
      var waste = InlineArray<256, UInt8>(repeating: 0)
      var span = waste.mutableSpan
      result = unsafe span.withUnsafeMutableBufferPointer { place in
        unsafe SSL_read(session, place.baseAddress, Int32(clamping: place.count))
      }
    }
    let error = result > 0 ? SSL_ERROR_NONE : unsafe SSL_get_error(session, result)
    ERR_clear_error()
    return error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SSL ? .ended : .done
  }

  // MARK: Out

  /// The next datagram of what waits to be sent, from `offset` on, which moves past it: as many whole records as go
  /// into one. 0: that was all. At the end `sent` takes it all out.
  func datagram(from offset: inout Int, into packet: inout MutableRawSpan) -> Int {
    var first: UnsafePointer<UInt8>?
    let count = Int(clamping: unsafe copenssl_dtls_output(session, &first))
    guard let bytes = unsafe first, offset >= 0, offset < count else { return 0 }
    let output = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(bytes), byteCount: count)
    var end = offset
    while end < count {
      let record = DTLSHello.recordHeader &+ Int(output.bigEndian16(at: end &+ 11))
      let next = min(end &+ record, count)
      if next &- offset > Self.mtu, end > offset { break }
      end = next
    }
    let length = end &- offset
    guard length <= packet.byteCount else { return 0 }
    for i in 0..<length {
      packet.storeBytes(of: output.byte(at: offset &+ i), toByteOffset: i, as: UInt8.self)
    }
    offset = end
    return length
  }

  func sent() { unsafe copenssl_dtls_sent(session) }

  /// Says that it is over (close_notify); to be sent as everything else.
  func finish() {
    guard isDone, wake() else { return }
    ERR_clear_error()
    _ = unsafe SSL_shutdown(session)
    ERR_clear_error()
  }

  /// Gives back the memory for records, tens of thousands of bytes that an association which stands needs for an alert
  /// or two. libssl does not ask for it by itself, so whatever writes or reads must `wake` it.
  func rest() { _ = unsafe SSL_free_buffers(session) }

  private func wake() -> Bool { unsafe SSL_alloc_buffers(session) == 1 }

  // MARK: What it has come to

  /// Whether the far end's certificate is one of these.
  func shows(_ fingerprints: [CertificateFingerprint]) -> Bool {
    fingerprints.contains { digest($0.algorithm) == $0.bytes }
  }

  private func digest(_ algorithm: CertificateFingerprint.Algorithm) -> [UInt8] {
    let name =
      switch algorithm {
      case .sha256: "SHA2-256"
      case .sha384: "SHA2-384"
      case .sha512: "SHA2-512"
      }
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    let count = unsafe copenssl_peer_digest(session, name, &digest)
    return Array(digest.prefix(Int(count)))
  }

  /// The keys of both directions; nil: no protection profile has been agreed on.
  ///
  ///     client's key | server's key | client's salt | server's salt       (RFC 5764 §4.2)
  var keys: (sending: SRTPKey, receiving: SRTPKey)? {
    guard let suite = SRTPSuite(profile: unsafe copenssl_srtp_profile(session)) else { return nil }
    let (key, salt) = (suite.keySize, suite.saltSize)
    var material = [UInt8](repeating: 0, count: 2 * (key + salt))
    let label = "EXTRACTOR-dtls_srtp"
    let done = unsafe SSL_export_keying_material(
      session, &material, material.count, label, label.utf8.count, nil, 0, 0)
    guard done == 1,
      let client = SRTPKey(
        suite, secret: Array(material[..<key] + material[2 * key..<2 * key + salt])),
      let server = SRTPKey(
        suite, secret: Array(material[key..<2 * key] + material[(2 * key + salt)...]))
    else { return nil }
    return role == .client ? (client, server) : (server, client)
  }
}

extension SRTPSuite {
  /// RFC 5764 §4.1.2, RFC 7714 §14.2.
  fileprivate init?(profile: UInt) {
    switch profile {
    case 1: self = .aesCM128HMAC80
    case 2: self = .aesCM128HMAC32
    case 7: self = .aeadAES128GCM
    case 8: self = .aeadAES256GCM
    default: return nil
    }
  }
}
