import Base

/// A fragment of a ClientHello, or all of it, as a record of a datagram has it (RFC 6347 §4.2.2, §4.2.3).
///
///     13  message    1: ClientHello
///     14  length     of the whole message (3)
///     17  number     of the message (2): 0, and 1 with a cookie
///     19  offset     where in the message it begins (3)
///     22  count      how much of it is here (3)
///     25  …
struct HelloFragment {
  static let bodyStart = 25

  /// Of its record, and of the message.
  let number: UInt64
  let message: UInt16
  let length: Int
  /// What part of the message it is, and where that lies in the datagram.
  let part: Range<Int>
  let place: Range<Int>
  /// Where in the datagram its record ends.
  let end: Int

  var isFirst: Bool { part.lowerBound == 0 }
  var isWhole: Bool { isFirst && part.upperBound == length }

  /// Of the record that begins at `start`; nil where that is not all there, or none of a ClientHello.
  init?(_ datagram: RawSpan, at start: Int = 0) {
    guard start >= 0, start <= datagram.byteCount,
      DTLSHello.isHello(datagram.slice(start, datagram.byteCount))
    else { return nil }
    let body = start &+ Self.bodyStart
    end = start &+ DTLSHello.recordHeader &+ Int(datagram.bigEndian16(at: start &+ 11))
    guard end <= datagram.byteCount, body <= end, datagram.byte(at: start &+ 1) == 0xfe else {
      return nil
    }
    func word24(_ at: Int) -> Int {
      Int(datagram.byte(at: at)) << 16 | Int(datagram.bigEndian16(at: at &+ 1))
    }
    length = word24(start &+ 14)
    let offset = word24(start &+ 19)
    let count = word24(start &+ 22)
    guard body &+ count <= end, offset &+ count <= length else { return nil }
    part = offset..<offset &+ count
    place = body..<body &+ count
    message = datagram.bigEndian16(at: start &+ 17)
    number =
      UInt64(datagram.bigEndian16(at: start &+ 5)) << 32
      | UInt64(datagram.bigEndian32(at: start &+ 7))
  }
}

/// A ClientHello that is being put together: one for each socket, since what a stranger makes us keep has a bound.
///
/// Only its first fragment bears the cookie. What comes before that is kept as well, as datagrams overtake one another, but
/// gives way to whoever has shown one, and counts for nothing where the first one says otherwise.
struct HelloAssembly {
  /// The longest that is put together: one with key shares of post-quantum cryptography has some 1 700 bytes.
  static let longest = 4_096
  /// Fragments in one datagram that are looked at.
  static let inDatagram = 8
  /// Whoever takes longer repeats all of it (§4.2.4).
  static let patience = Interval.seconds(1)

  let source: SocketAddress
  let rank: SourceRank
  private let message: UInt16
  private let length: Int
  private let began: Instant
  /// Of the first fragment, whose cookie was good.
  private(set) var hello: DTLSHello?
  private var body: [UInt8]
  private var isThere: [Bool]
  private var missing: Int

  /// Nil: it is longer than any that we take.
  init?(_ fragment: HelloFragment, from source: SocketAddress, _ rank: SourceRank, at now: Instant)
  {
    guard fragment.length <= Self.longest else { return nil }
    self.source = source
    self.rank = rank
    message = fragment.message
    length = fragment.length
    began = now
    body = Array(repeating: 0, count: length)
    isThere = Array(repeating: false, count: length)
    missing = length
  }

  func has(_ fragment: HelloFragment, from source: SocketAddress) -> Bool {
    source == self.source && fragment.message == message && fragment.length == length
  }

  /// Whether another one may take its place. `isProven`: that has shown a cookie.
  func yields(
    to rank: SourceRank, from source: SocketAddress, isProven: Bool, at now: Instant
  ) -> Bool {
    if now - began >= Self.patience { return true }
    if isProven { return hello == nil || rank >= self.rank }
    return hello == nil && (rank > self.rank || source == self.source)
  }

  /// `hello`: of the first fragment, with a good cookie. What was there stays, unless this is proven.
  mutating func take(_ fragment: HelloFragment, _ datagram: RawSpan, _ hello: DTLSHello?) {
    if let hello { self.hello = hello }
    for (at, place) in zip(fragment.part, fragment.place) where at < length {
      if !isThere[at] {
        isThere[at] = true
        missing -= 1
      } else if hello == nil {
        continue
      }
      body[at] = datagram.byte(at: place)
    }
  }

  /// All of it, as one record with one message; nil: something is missing.
  ///
  /// A handshake counts a message in fragments as if it had come whole (§4.2.6).
  var whole: (hello: DTLSHello, datagram: [UInt8])? {
    guard let hello, missing == 0 else { return nil }
    func word(_ value: UInt64, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
    }
    var datagram: [UInt8] = [22, 0xfe, 0xfd, 0, 0]
    datagram += word(hello.number, 6) + word(UInt64(length + 12), 2)
    datagram += [1] + word(UInt64(length), 3) + word(UInt64(message), 2)
    datagram += word(0, 3) + word(UInt64(length), 3) + body
    return (hello, datagram)
  }
}
