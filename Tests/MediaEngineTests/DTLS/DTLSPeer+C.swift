import Base
import COpenSSL
import Glibc
import MediaControl

/// A certificate of a far end, with what libssl makes of it.
@safe
final class PeerIdentity {
  fileprivate let context: OpaquePointer
  let fingerprint: CertificateFingerprint

  /// `profiles`: what it offers or takes for SRTP, in libssl's words.
  init?(profiles: String? = nil) {
    var key: OpaquePointer?
    guard let certificate = unsafe copenssl_self_signed(&key),
      let context = unsafe copenssl_dtls_context(certificate, key)
    else { return nil }
    unsafe self.context = context
    var digest = [UInt8](repeating: 0, count: 64)
    var count: UInt32 = 0
    _ = unsafe X509_digest(certificate, EVP_sha256(), &digest, &count)
    unsafe X509_free(certificate)
    unsafe EVP_PKEY_free(key)
    guard let fingerprint = CertificateFingerprint(.sha256, Array(digest.prefix(Int(count)))) else {
      return nil
    }
    self.fingerprint = fingerprint
    if let profiles, unsafe SSL_CTX_set_tlsext_use_srtp(context, profiles) != 0 { return nil }
  }

  /// By another algorithm; needs a session that has shown it.
  deinit { unsafe SSL_CTX_free(context) }
}

/// A far end that speaks DTLS by libssl over a socket of its own, and loses datagrams on demand.
@safe
final class DTLSPeer {
  let socket: Peer
  let target: SocketAddress
  private let session: OpaquePointer
  private let isClient: Bool
  /// Which of its datagrams, counted from 0, are lost on their way out and in.
  var losesSent: Set<Int> = []
  var losesHeard: Set<Int> = []
  /// What is made of a datagram on its way out.
  var changesSent: (([UInt8]) -> [UInt8])?
  /// In what order, how often and how cut the datagrams of a flight leave.
  var ordersSent: (([[UInt8]]) -> [[UInt8]])?
  private(set) var sent = 0
  private(set) var heard = 0
  private(set) var largest = 0
  private(set) var isDone = false
  private(set) var isClosed = false
  private(set) var hasFailed = false
  /// What came that is not DTLS.
  private(set) var others: [[UInt8]] = []
  private(set) var lastSent: [[UInt8]] = []

  init?(
    _ role: MediaHandshake.Role, _ identity: PeerIdentity, on socket: Peer,
    to target: SocketAddress, mtu: Int = 1_200, protocols: Int = 0
  ) {
    isClient = role == .client
    guard let session = unsafe copenssl_dtls_session(identity.context, isClient ? 0 : 1, mtu)
    else { return nil }
    // Names of applications' protocols (RFC 7301), 200 bytes each: they make a hello long, and mean nothing here.
    let names = (0..<protocols).flatMap { _ in [199] + [UInt8](repeating: 0x78, count: 199) }
    if protocols > 0 { _ = unsafe SSL_set_alpn_protos(session, names, UInt32(names.count)) }
    unsafe self.session = session
    self.socket = socket
    self.target = target
  }

  deinit { unsafe SSL_free(session) }

  /// Goes on for so long, or until the handshake is over. True: it is.
  @discardableResult
  func shake(milliseconds: Int = 3_000) -> Bool {
    let end = monotonicMilliseconds() + milliseconds
    step()
    while !isDone, !hasFailed, monotonicMilliseconds() < end {
      listen(5)
      if unsafe copenssl_dtls_timeout(session) == 0 { _ = unsafe copenssl_dtls_expire(session) }
      flush()
    }
    return isDone
  }

  /// Takes in what comes for so long.
  func listen(_ milliseconds: Int32) {
    guard let packet = socket.receive(within: milliseconds) else { return }
    take(packet.bytes)
  }

  func take(_ bytes: [UInt8]) {
    guard (20...63).contains(bytes.first ?? 0) else { return others.append(bytes) }
    largest = max(largest, bytes.count)
    defer { heard += 1 }
    if losesHeard.contains(heard) { return }
    _ = unsafe copenssl_dtls_feed(session, bytes, Int32(bytes.count))
    step()
  }

  /// The next packet of RTP; what comes of DTLS before it is taken in.
  func packet() -> [UInt8]? {
    for _ in 0..<20 {
      guard let packet = socket.receive() else { return nil }
      if packet.bytes.first.map({ $0 >> 6 }) == 2 { return packet.bytes }
      take(packet.bytes)
    }
    return nil
  }

  private func step() {
    ERR_clear_error()
    if isDone {
      var waste = [UInt8](repeating: 0, count: 256)
      let result = unsafe SSL_read(session, &waste, 256)
      if result <= 0, unsafe SSL_get_error(session, result) == SSL_ERROR_ZERO_RETURN {
        isClosed = true
      }
      return flush()
    }
    let result = unsafe SSL_do_handshake(session)
    if result == 1 {
      isDone = true
    } else {
      let error = unsafe SSL_get_error(session, result)
      hasFailed = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE
    }
    flush()
  }

  /// Each record in a datagram of its own, as some do.
  private func flush() {
    var first: UnsafePointer<UInt8>?
    let count = Int(unsafe copenssl_dtls_output(session, &first))
    guard let bytes = unsafe first, count > 0 else { return }
    let output = unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
    unsafe copenssl_dtls_sent(session)
    var (at, flight) = (0, [[UInt8]]())
    while at + 13 <= output.count {
      let end = min(at + 13 + Int(output[at + 11]) << 8 + Int(output[at + 12]), output.count)
      flight.append(Array(output[at..<end]))
      at = end
    }
    for datagram in ordersSent?(flight) ?? flight {
      lastSent.append(datagram)
      if !losesSent.contains(sent) {
        socket.send(changesSent?(datagram) ?? datagram, to: target)
      }
      sent += 1
    }
  }

  /// Of the far end of this one.
  func shows(_ fingerprint: CertificateFingerprint?) -> Bool {
    var digest = [UInt8](repeating: 0, count: 64)
    let count = unsafe copenssl_peer_digest(session, "SHA2-256", &digest)
    return Array(digest.prefix(Int(count))) == fingerprint?.bytes
  }

  func close() {
    _ = unsafe SSL_shutdown(session)
    flush()
  }

  /// What this end sends under and takes in.
  var keys: MediaSecurity? {
    let suites: [UInt: SRTPSuite] = [
      1: .aesCM128HMAC80, 2: .aesCM128HMAC32, 7: .aeadAES128GCM, 8: .aeadAES256GCM,
    ]
    guard let suite = suites[unsafe copenssl_srtp_profile(session)] else { return nil }
    let (key, salt) = (suite.keySize, suite.saltSize)
    var material = [UInt8](repeating: 0, count: 2 * (key + salt))
    let label = "EXTRACTOR-dtls_srtp"
    guard
      unsafe SSL_export_keying_material(
        session, &material, material.count, label, label.utf8.count, nil, 0, 0) == 1
    else { return nil }
    let client = SRTPKey(
      suite, secret: Array(material[0..<key]) + Array(material[2 * key..<2 * key + salt]))
    let server = SRTPKey(
      suite, secret: Array(material[key..<2 * key]) + Array(material[(2 * key + salt)...]))
    guard let client, let server else { return nil }
    return isClient
      ? MediaSecurity(sending: client, receiving: server)
      : MediaSecurity(sending: server, receiving: client)
  }
}

func monotonicMilliseconds() -> Int {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// A first ClientHello as libssl writes it, of somebody who goes no further.
func strayHello() -> [UInt8]? {
  guard let identity = PeerIdentity(), let socket = try? Peer(),
    let peer = DTLSPeer(.client, identity, on: socket, to: SocketAddress(.loopbackV4, 9))
  else { return nil }
  peer.shake(milliseconds: 0)
  return peer.lastSent.first
}
