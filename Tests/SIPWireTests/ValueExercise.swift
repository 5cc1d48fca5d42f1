import Base
import SIPWire

/// Reads one value of a header field and holds what was read against what the grammar says of it: the property tests
/// and the fuzz targets (Fuzz/run.sh compiles this file too) share it.
///
/// Three things hold for each kind. What stands around a value in its message changes nothing; the pieces that were
/// read, put together again, are read as the same pieces; and where two readers know the same value, they agree.
enum ValueExercise {
  /// What is wrong, or nil.
  static func uri(_ bytes: [UInt8]) -> String? {
    let whole = ByteRange(0, bytes.count)
    let read = SIPURI.parse(bytes.rawSpan, whole)
    let pieces = read.map { self.pieces($0, bytes.rawSpan) }
    if let problem = beside(
      bytes, pieces, { bytes, range in SIPURI.parse(bytes, range).map { self.pieces($0, bytes) } })
    {
      return "URI: \(problem)"
    }
    guard let read, let pieces else { return nil }
    if !areInside(pieces, bytes.count) { return "URI: a piece outside" }
    // A URI is all visible characters without "<" and ">": it may stand between them.
    let bracketed = Array("<".utf8) + bytes + Array(">".utf8)
    guard let name = NameAddr.parse(bracketed.rawSpan, ByteRange(0, bracketed.count)),
      bracketed.rawSpan.array(name.uri) == bytes
    else { return "URI: not read between < and >" }
    guard read.scheme == .sip || read.scheme == .sips else { return nil }
    let again = rebuilt(read, pieces)
    guard let second = SIPURI.parse(again.rawSpan, ByteRange(0, again.count)),
      second.scheme == read.scheme, self.pieces(second, again.rawSpan) == pieces
    else { return "URI: written again it is another: \(String(decoding: again, as: UTF8.self))" }
    return equality(read, pieces, bytes)
  }

  /// RFC 3261 §19.1.4: the user part with an escape for its first character is the same; another host is another URI.
  private static func equality(_ uri: SIPURI, _ pieces: [[UInt8]], _ bytes: [UInt8]) -> String? {
    var other = pieces
    // What is reserved is not the same as its escape.
    if let first = other[0].first, first.isASCIILetter || first.isASCIIDigit {
      other[0].replaceSubrange(
        0..<1,
        with: [UInt8(ascii: "%"), UInt8.hexDigit(first >> 4), UInt8.hexDigit(first & 15)])
      let escaped = rebuilt(uri, other)
      guard let twin = SIPURI.parse(escaped.rawSpan, ByteRange(0, escaped.count)) else {
        return "URI: refused with an escape in it"
      }
      let forth = uri.equals(twin, in: bytes.rawSpan, otherIn: escaped.rawSpan)
      let back = twin.equals(uri, in: escaped.rawSpan, otherIn: bytes.rawSpan)
      let own = uri.equals(uri, in: bytes.rawSpan, otherIn: bytes.rawSpan)
      if forth != back { return "URI: equality depends on the side" }
      if forth != own { return "URI: an escape makes it another" }
    }
    other = pieces
    other[2] = Array("elsewhere.invalid".utf8)
    let moved = rebuilt(uri, other)
    guard moved != bytes, other[2] != pieces[2],
      let stranger = SIPURI.parse(moved.rawSpan, ByteRange(0, moved.count))
    else { return nil }
    return uri.equals(stranger, in: bytes.rawSpan, otherIn: moved.rawSpan)
      && !bytes.rawSpan.extracting(uri.host).equalsIgnoringCase("elsewhere.invalid")
      ? "URI: equal to one of another host" : nil
  }

  static func via(_ bytes: [UInt8]) -> String? {
    let read = Via.parse(bytes.rawSpan, ByteRange(0, bytes.count))
    let pieces = read.map { self.pieces($0, bytes.rawSpan) }
    if let problem = beside(
      bytes, pieces, { bytes, range in Via.parse(bytes, range).map { self.pieces($0, bytes) } })
    {
      return "Via: \(problem)"
    }
    guard let read, let pieces else { return nil }
    if !areInside(pieces, bytes.count) { return "Via: a piece outside" }
    if read.host.isEmpty || read.port == 0 { return "Via: sent-by" }
    // What a response is routed by must be in the value as written, not made of the end of one parameter.
    if let rport = read.rport, !read.hasRport || rport == 0 && !bytes.contains(0x30) {
      return "Via: rport"
    }
    let again =
      Array("SIP/2.0/".utf8) + pieces[0] + [0x20] + hostPort(pieces[1], read.port) + pieces[2]
    guard let second = Via.parse(again.rawSpan, ByteRange(0, again.count)),
      self.pieces(second, again.rawSpan) == pieces, second.port == read.port,
      second.rport == read.rport, second.ttl == read.ttl, second.transport == read.transport
    else { return "Via: written again it is another: \(String(decoding: again, as: UTF8.self))" }
    return nil
  }

  static func nameAddr(_ bytes: [UInt8]) -> String? {
    let read = NameAddr.parse(bytes.rawSpan, ByteRange(0, bytes.count))
    let pieces = read.map { self.pieces($0, bytes.rawSpan) }
    if let problem = beside(
      bytes, pieces,
      { bytes, range in NameAddr.parse(bytes, range).map { self.pieces($0, bytes) } })
    {
      return "name-addr: \(problem)"
    }
    let display = quoted(bytes)
    let whole = [UInt8(ascii: "\"")] + display + Array("\" <sip:a@b>;tag=t".utf8)
    guard let own = NameAddr.parse(whole.rawSpan, ByteRange(0, whole.count)),
      self.pieces(own, whole.rawSpan)
        == [display, Array("sip:a@b".utf8), Array(";tag=t".utf8), Array("t".utf8)]
    else { return "name-addr: a quoted name is not read whole" }
    guard let read, let pieces else { return nil }
    if !areInside(pieces, bytes.count) { return "name-addr: a piece outside" }
    let isQuoted = read.display.start > 0 && bytes[read.display.start - 1] == UInt8(ascii: "\"")
    let quote = isQuoted ? [UInt8(ascii: "\"")] : []
    let again =
      quote + pieces[0] + quote + [UInt8(ascii: "<")] + pieces[1] + [UInt8(ascii: ">")] + pieces[2]
    guard let second = NameAddr.parse(again.rawSpan, ByteRange(0, again.count)),
      self.pieces(second, again.rawSpan) == pieces
    else {
      return "name-addr: written again it is another: \(String(decoding: again, as: UTF8.self))"
    }
    // The tag is that of the parameters, as they are walked by everybody else.
    if let tag = read.param("tag", in: bytes.rawSpan), bytes.rawSpan.array(tag) != pieces[3] {
      return "name-addr: two tags are told"
    }
    return nil
  }

  static func authParams(_ bytes: [UInt8]) -> String? {
    let read = AuthParams.parse(bytes.rawSpan, ByteRange(0, bytes.count))
    let pieces = read.map { self.pieces($0, bytes.rawSpan) }
    if let problem = beside(
      bytes, pieces,
      { bytes, range in AuthParams.parse(bytes, range).map { self.pieces($0, bytes) } })
    {
      return "credentials: \(problem)"
    }
    let realm = quoted(bytes)
    let whole = Array("Digest realm=\"".utf8) + realm + Array("\",nonce=\"n\"".utf8)
    guard let own = AuthParams.parse(whole.rawSpan, ByteRange(0, whole.count)),
      own.realm.map({ whole.rawSpan.array($0) }) == realm,
      own.nonce.map({ whole.rawSpan.array($0) }) == [UInt8(ascii: "n")]
    else { return "credentials: a quoted realm is not read whole" }
    guard let read, let pieces else { return nil }
    if !areInside(pieces, bytes.count) { return "credentials: a piece outside" }
    _ = read.offersAuth(in: bytes.rawSpan)
    // All of them in quotes, which says the same.
    var again = Array("Digest ".utf8)
    for (name, value) in named(read, bytes.rawSpan) {
      if again.count > 7 { again.append(UInt8(ascii: ",")) }
      again += Array(name.utf8) + Array("=\"".utf8) + value + [UInt8(ascii: "\"")]
    }
    guard again.count > 7 else { return nil }
    guard let second = AuthParams.parse(again.rawSpan, ByteRange(0, again.count)),
      self.pieces(second, again.rawSpan) == pieces
    else {
      return "credentials: written again they are others: \(String(decoding: again, as: UTF8.self))"
    }
    return nil
  }

  /// A field of the kind that the first byte names, with the rest as its value, in a message that is read whole.
  static func field(_ bytes: [UInt8], _ exercise: inout Exercise) -> String? {
    guard let first = bytes.first else { return nil }
    let id = HeaderID.allCases[Int(first) % HeaderID.allCases.count]
    var message = Array(
      ("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\n"
        + "To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n").utf8)
    message += Array((id == .other ? "X-Other" : "\(id.name)").utf8) + Array(": ".utf8)
    // A value has no line of its own.
    message += bytes.dropFirst().filter { $0 != 0x0d && $0 != 0x0a }
    message += Array("\r\nContent-Length: 0\r\n\r\n".utf8)
    return exercise.datagram(message.rawSpan)
  }

  // MARK: Pieces

  private static func pieces(_ uri: SIPURI, _ bytes: RawSpan) -> [[UInt8]] {
    [
      bytes.array(uri.user), bytes.array(uri.password), bytes.array(uri.host),
      bytes.array(uri.params), bytes.array(uri.headers), bytes.array(uri.opaque),
      Array("\(uri.scheme) \(uri.port ?? 0)".utf8),
    ]
  }

  private static func pieces(_ via: Via, _ bytes: RawSpan) -> [[UInt8]] {
    [
      bytes.array(via.transportToken), bytes.array(via.host), bytes.array(via.params),
      bytes.array(via.branch), bytes.array(via.received ?? .none), bytes.array(via.maddr ?? .none),
    ]
  }

  private static func pieces(_ name: NameAddr, _ bytes: RawSpan) -> [[UInt8]] {
    [
      bytes.array(name.display), bytes.array(name.uri), bytes.array(name.params),
      bytes.array(name.tag),
    ]
  }

  private static func pieces(_ params: AuthParams, _ bytes: RawSpan) -> [[UInt8]] {
    named(params, bytes).map { Array($0.0.utf8) + [0] + $0.1 }
  }

  private static func named(_ params: AuthParams, _ bytes: RawSpan) -> [(String, [UInt8])] {
    let all: [(String, ByteRange?)] = [
      ("realm", params.realm), ("nonce", params.nonce), ("opaque", params.opaque),
      ("algorithm", params.algorithm), ("qop", params.qop), ("uri", params.uri),
      ("response", params.response), ("username", params.username), ("cnonce", params.cnonce),
      ("nc", params.nc), ("stale", params.stale), ("domain", params.domain),
      ("userhash", params.userhash), ("nextnonce", params.nextnonce),
      ("rspauth", params.rspauth),
    ]
    return all.compactMap { name, range in range.map { (name, bytes.array($0)) } }
  }

  private static func rebuilt(_ uri: SIPURI, _ pieces: [[UInt8]]) -> [UInt8] {
    var text = Array(uri.scheme == .sips ? "sips:".utf8 : "sip:".utf8)
    if !pieces[0].isEmpty {
      text += pieces[0]
      if !pieces[1].isEmpty { text += [UInt8(ascii: ":")] + pieces[1] }
      text.append(UInt8(ascii: "@"))
    }
    text += hostPort(pieces[2], uri.port) + pieces[3]
    if !pieces[4].isEmpty { text += [UInt8(ascii: "?")] + pieces[4] }
    return text
  }

  private static func hostPort(_ host: [UInt8], _ port: UInt16?) -> [UInt8] {
    let isV6 = host.contains(UInt8(ascii: ":"))
    let text = isV6 ? [UInt8(ascii: "[")] + host + [UInt8(ascii: "]")] : host
    return text + (port.map { Array(":\($0)".utf8) } ?? [])
  }

  /// Any visible text as a quoted string has it between its marks (RFC 3261 §25.1).
  private static func quoted(_ bytes: [UInt8]) -> [UInt8] {
    bytes.filter { 0x20...0x7e ~= $0 }.flatMap {
      $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") ? [UInt8(ascii: "\\"), $0] : [$0]
    }
  }

  private static func areInside(_ pieces: [[UInt8]], _ count: Int) -> Bool {
    pieces.allSatisfy { $0.count <= count + 16 }
  }

  /// The same value in the midst of others that would mean something.
  private static func beside(
    _ bytes: [UInt8], _ pieces: [[UInt8]]?,
    _ read: (borrowing RawSpan, ByteRange) -> [[UInt8]]?
  ) -> String? {
    for (before, after) in [
      ("<\"sip:x@", "@evil;tag=e,\">"), ("Digest a=\"", "0[5:\"=1;branch=z9hG4bKx"),
    ] {
      let around = Array(before.utf8) + bytes + Array(after.utf8)
      let range = ByteRange(before.utf8.count, bytes.count)
      if read(around.rawSpan, range) != pieces { return "what stands around it changes it" }
    }
    return nil
  }
}
