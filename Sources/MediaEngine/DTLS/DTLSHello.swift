import Base
import CryptoCore

/// The readable beginning of a datagram of DTLS, as far as somebody has to look who must not spend anything on a
/// stranger yet (RFC 6347 §4.1, §4.2.2, RFC 5246 §7.4.1.2): all of a ClientHello or its first fragment, which has what we ask
/// for. Nothing that a cookie could be bound to comes later, so a request for one needs no state (§4.2.1).
///
///      0  type          22: handshake, 21: alert
///      1  version
///      3  epoch         0: nothing is protected yet
///      5  number
///     11  length
///     13  message       1: ClientHello, its length, number and fragment
///     25  version | random (32) | session (1 + n) | cookie (1 + n) | …
struct DTLSHello {
  static let recordHeader = 13

  /// Of a ClientHello: no two have the same.
  struct Random: Hashable, Sendable {
    var words = InlineArray<4, UInt64>(repeating: 0)

    static func == (a: Random, b: Random) -> Bool {
      (0..<4).allSatisfy { a.words[$0] == b.words[$0] }
    }

    func hash(into hasher: inout Hasher) { for i in 0..<4 { hasher.combine(words[i]) } }
  }

  let random: Random
  /// Of its record; our request bears the same (RFC 6347 §4.2.1).
  let number: UInt64
  /// Where its cookie is; empty: none.
  let cookie: Range<Int>

  /// RFC 7983 §7: what these octets begin is DTLS.
  static func isDTLS(_ datagram: RawSpan) -> Bool { (20...63).contains(datagram.byte(at: 0)) }

  /// Nobody knows who has written an alert like this.
  static func isUnprotectedAlert(_ datagram: RawSpan) -> Bool {
    datagram.byte(at: 0) == 21 && datagram.bigEndian16(at: 3) == 0
  }

  static func isHello(_ datagram: RawSpan) -> Bool {
    datagram.byte(at: 0) == 22 && datagram.bigEndian16(at: 3) == 0
      && datagram.byte(at: recordHeader) == 1
  }

  /// Nil where the fragment is not the first, or ends before the cookie does: nobody cuts so small (§4.1.1.1).
  init?(_ datagram: RawSpan, _ fragment: HelloFragment) {
    let (start, end) = (fragment.place.lowerBound, fragment.place.upperBound)
    guard fragment.isFirst, end <= datagram.byteCount else { return nil }
    let session = start &+ 34
    let length = session &+ 1 &+ Int(datagram.byte(at: session))
    let cookie = length &+ 1
    let cookieEnd = cookie &+ Int(datagram.byte(at: length))
    guard cookieEnd <= end else { return nil }
    self.cookie = cookie..<cookieEnd
    number = fragment.number
    var random = Random()
    for i in 0..<4 { random.words[i] = datagram.word(at: start &+ 2 &+ 8 &* i) }
    self.random = random
  }
}

/// Cookies that a ClientHello must bring back before anything is spent on it (RFC 6347 §4.2.1): whoever does has its
/// address, and what it has cost us is one digest. Nothing is kept of whom they were given to.
///
/// They are bound to address and socket alone, not to what else the hello says: somebody who forges a hello of the far
/// end's address makes us send it a cookie, and a client that believes the first one must get through with that.
struct DTLSCookies {
  static let size = 20
  /// Of a HelloVerifyRequest: what stands before the cookie.
  private static let head = 28
  /// A cookie is good for this minute and the next one.
  private static let window = Interval.seconds(60)

  private let mac: HMACContext

  init(secret: [UInt8]) { mac = HMACContext(key: secret.span.rawSpan) }

  /// Whether the hello has a cookie that was given to this source at this socket of ours.
  func accepts(
    _ hello: DTLSHello, in datagram: RawSpan, from source: SocketAddress, at socket: Int,
    now: Instant
  ) -> Bool {
    guard hello.cookie.count == Self.size else { return false }
    let shown = datagram.slice(hello.cookie.lowerBound, hello.cookie.upperBound)
    let window = now.nanoseconds / UInt64(Self.window.nanoseconds)
    let given = value(source, socket, window)
    if constantTimeEquals(given.rawSpan.slice(0, Self.size), shown) { return true }
    guard window > 0 else { return false }
    let earlier = value(source, socket, window &- 1)
    return constantTimeEquals(earlier.rawSpan.slice(0, Self.size), shown)
  }

  /// Writes the HelloVerifyRequest that asks for it; its length, 0 where it has no room.
  func request(
    _ hello: DTLSHello, from source: SocketAddress, at socket: Int, now: Instant,
    into packet: inout MutableRawSpan
  ) -> Int {
    let window = now.nanoseconds / UInt64(Self.window.nanoseconds)
    let cookie = value(source, socket, window)
    let length = Self.head + Self.size
    guard length <= packet.byteCount, cookie.rawSpan.byteCount >= Self.size else { return 0 }
    func put(_ byte: Int, at place: Int, into packet: inout MutableRawSpan) {
      packet.storeBytes(of: UInt8(truncatingIfNeeded: byte), toByteOffset: place, as: UInt8.self)
    }
    for i in 0..<Self.head { put(0, at: i, into: &packet) }
    let body = 3 + Self.size
    put(22, at: 0, into: &packet)
    // Version 1.0 whatever will be spoken (RFC 6347 §4.2.1).
    put(0xfe, at: 1, into: &packet)
    put(0xff, at: 2, into: &packet)
    put(0xfe, at: 25, into: &packet)
    put(0xff, at: 26, into: &packet)
    for i in 0..<6 { put(Int(hello.number >> UInt64(40 - 8 * i)), at: 5 + i, into: &packet) }
    put(12 + body, at: 12, into: &packet)
    put(3, at: 13, into: &packet)
    put(body, at: 16, into: &packet)
    put(body, at: 24, into: &packet)
    put(Self.size, at: 27, into: &packet)
    for i in 0..<Self.size {
      put(Int(cookie.rawSpan.byte(at: i)), at: Self.head + i, into: &packet)
    }
    return length
  }

  private func value(_ source: SocketAddress, _ socket: Int, _ window: UInt64) -> DigestValue {
    var input = InlineArray<40, UInt8>(repeating: 0)
    func put(_ word: UInt64, at place: Int) {
      for i in 0..<8 { input[8 * place + i] = UInt8(truncatingIfNeeded: word >> UInt64(8 * i)) }
    }
    put(source.ip.high, at: 0)
    put(source.ip.low, at: 1)
    put(UInt64(source.port) << 8 | UInt64(source.ip.family.rawValue), at: 2)
    put(UInt64(truncatingIfNeeded: socket), at: 3)
    put(window, at: 4)
    return mac.authenticate(input.span.rawSpan)
  }
}
