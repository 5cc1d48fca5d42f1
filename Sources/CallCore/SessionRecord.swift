package import Base
package import MediaControl

/// An established call as it is written down: what a restarted process, another process or a second node
/// needs to end it, and to go on with it. Small, flat, and versioned: version 2.
///
/// What the configuration says is not in it, but by which names: an index may mean something else after a restart.
package struct SessionRecord: Hashable, Sendable {
  /// What of a leg has a fixed size.
  package struct LegState: Hashable, Sendable {
    package var side: LegSide
    package var isOurs: Bool
    package var followsSource = false
    package var fork: UInt8 = 0
    package var localCSeq: UInt32 = 0
    package var remoteCSeq: UInt32 = 0
    package var destination: SocketAddress
    package var source: SocketAddress
    /// What the peer said that it can do (`PeerAbilities`).
    package var abilities: UInt8 = 0
    /// Seconds of the session timer, 0: none runs; and who refreshes it.
    package var timerSeconds: UInt32 = 0
    package var isRefreshedByUs = false
    /// Its media is under keys, which are not here.
    package var isProtected = false
    package var sdpSession: UInt64 = 0
    package var sdpVersion: UInt64 = 0
    /// Where our RTP socket is bound.
    package var media: SocketAddress?
    /// What our answer has left of the peer's codecs (`LegMedia.answered`).
    package var answered: SpeechFormats?

    package init(
      side: LegSide, isOurs: Bool, destination: SocketAddress, source: SocketAddress
    ) {
      self.side = side
      self.isOurs = isOurs
      self.destination = destination
      self.source = source
    }
  }

  package struct LegRecord: Hashable, Sendable {
    package var state: LegState
    /// Ours, as the peer knows it.
    package var tag: [UInt8] = []
    package var callID: [UInt8] = []
    /// From and To values as we write them, ours without the tag.
    package var local: [UInt8] = []
    package var remote: [UInt8] = []
    package var remoteTag: [UInt8] = []
    package var target: [UInt8] = []
    package var routes: [UInt8] = []
    /// Names in the settings and in the configuration; no trunk for a phone.
    package var listener: [UInt8] = []
    package var network: [UInt8] = []
    package var trunk: [UInt8] = []
    /// The peer's SDP in force, without keys of media.
    package var description: [UInt8] = []

    package init(_ state: LegState) { self.state = state }
  }

  /// A place that the call holds in a limit, or a channel of a trunk.
  package struct Seat: Hashable, Sendable {
    /// `LimitSeats.Kind`, or `channel`.
    package var kind: UInt8
    package var isWayOut: Bool
    package var tenant: String
    package var name: String

    package init(kind: UInt8, isWayOut: Bool, tenant: String, name: String) {
      self.kind = kind
      self.isWayOut = isWayOut
      self.tenant = tenant
      self.name = name
    }

    package static let channel: UInt8 = 0x7e
    /// No place: the call that this one has been joined with, by its name.
    static let partner: UInt8 = 0x7d
  }

  /// The call whose party speaks with the one that is left of this one (`Handover`).
  package var partner: CallID? {
    seats.first { $0.kind == Seat.partner }.flatMap { CallID($0.name) }
  }

  package static let version: UInt8 = 2

  package var call: CallID
  package var seats: [Seat]
  package var legs: [LegRecord]

  package init(call: CallID, seats: [Seat], legs: [LegRecord]) {
    self.call = call
    self.seats = seats
    self.legs = legs
  }

  package var encoded: [UInt8] {
    var output = OutputBuffer(byteLimit: 1 << 26, recordLimit: 1)
    output.begin()
    Self.write(call: call, into: &output)
    for seat in seats { Self.write(seat, into: &output) }
    Self.writeEndOfSeats(into: &output)
    for leg in legs {
      Self.write(leg.state, into: &output)
      for text in leg.texts { Self.write(text.rawSpan, into: &output) }
    }
    return output.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) }
  }

  /// Nil for another version, a truncated record, or one with something left over.
  package init?(_ bytes: [UInt8]) {
    var reader = RecordReader(bytes)
    guard reader.byte() == Self.version, let incarnation = reader.word(),
      let serial = reader.word()
    else { return nil }
    call = CallID(incarnation: incarnation, serial: serial)
    seats = []
    legs = []
    while true {
      guard let kind = reader.byte() else { return nil }
      if kind == Self.endOfSeats { break }
      guard let tenant = reader.text(), let name = reader.text() else { return nil }
      seats.append(
        Seat(kind: kind & 0x7f, isWayOut: kind & 0x80 != 0, tenant: tenant, name: name))
    }
    while !reader.isAtEnd {
      guard let leg = LegRecord(&reader) else { return nil }
      legs.append(leg)
    }
  }
}

extension SessionRecord.LegRecord {
  /// In the order in which they are written.
  fileprivate var texts: [[UInt8]] {
    [
      tag, callID, local, remote, remoteTag, target, routes, listener, network, trunk, description,
    ]
  }

  fileprivate init?(_ reader: inout RecordReader) {
    guard let state = SessionRecord.LegState(&reader), let tag = reader.array(),
      let callID = reader.array(), let local = reader.array(), let remote = reader.array(),
      let remoteTag = reader.array(), let target = reader.array(), let routes = reader.array(),
      let listener = reader.array(), let network = reader.array(), let trunk = reader.array(),
      let description = reader.array()
    else { return nil }
    self.init(state)
    self.tag = tag
    self.callID = callID
    self.local = local
    self.remote = remote
    self.remoteTag = remoteTag
    self.target = target
    self.routes = routes
    self.listener = listener
    self.network = network
    self.trunk = trunk
    self.description = description
  }
}

extension SessionRecord.LegState {
  private static let (isB, isOurs, follows, refreshes, media, answered, protected):
    (
      UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8
    ) = (1, 2, 4, 8, 16, 32, 64)

  fileprivate var flags: UInt8 {
    (side == .b ? Self.isB : 0) | (isOurs ? Self.isOurs : 0) | (followsSource ? Self.follows : 0)
      | (isRefreshedByUs ? Self.refreshes : 0) | (media != nil ? Self.media : 0)
      | (answered != nil ? Self.answered : 0) | (isProtected ? Self.protected : 0)
  }

  fileprivate init?(_ reader: inout RecordReader) {
    guard let flags = reader.byte(), flags < 128, let fork = reader.byte(),
      let abilities = reader.byte(), let sequences = reader.word(), let timer = reader.word(),
      let destination = reader.address(), let source = reader.address(),
      let sdpSession = reader.word(), let sdpVersion = reader.word()
    else { return nil }
    self.init(
      side: flags & Self.isB != 0 ? .b : .a, isOurs: flags & Self.isOurs != 0,
      destination: destination, source: source)
    followsSource = flags & Self.follows != 0
    isRefreshedByUs = flags & Self.refreshes != 0
    isProtected = flags & Self.protected != 0
    self.fork = fork
    self.abilities = abilities
    localCSeq = UInt32(truncatingIfNeeded: sequences >> 32)
    remoteCSeq = UInt32(truncatingIfNeeded: sequences)
    guard let seconds = UInt32(exactly: timer) else { return nil }
    timerSeconds = seconds
    self.sdpSession = sdpSession
    self.sdpVersion = sdpVersion
    if flags & Self.media != 0 {
      guard let address = reader.address() else { return nil }
      media = address
    }
    if flags & Self.answered != 0 {
      guard let low = reader.word(), let high = reader.word(),
        let formats = SpeechFormats(words: (low, high))
      else { return nil }
      answered = formats
    }
  }
}

// Integers big-endian, texts with a 16-bit length before them. In this order: call, places in limits, their end, and for
// each leg its state and its texts.
extension SessionRecord {
  private static let endOfSeats: UInt8 = 0xff

  static func write(call: CallID, into output: inout OutputBuffer) {
    output.append(byte: version)
    output.append(bigEndian: call.incarnation)
    output.append(bigEndian: call.serial)
  }

  static func write(_ seat: Seat, into output: inout OutputBuffer) {
    output.append(byte: seat.kind & 0x7f | (seat.isWayOut ? 0x80 : 0))
    write(seat.tenant.utf8Span.span.rawSpan, into: &output)
    write(seat.name.utf8Span.span.rawSpan, into: &output)
  }

  static func writeEndOfSeats(into output: inout OutputBuffer) {
    output.append(byte: endOfSeats)
  }

  /// The texts must follow, in the order of their declaration.
  static func write(_ leg: LegState, into output: inout OutputBuffer) {
    output.append(byte: leg.flags)
    output.append(byte: leg.fork)
    output.append(byte: leg.abilities)
    output.append(bigEndian: UInt64(leg.localCSeq) << 32 | UInt64(leg.remoteCSeq))
    output.append(bigEndian: UInt64(leg.timerSeconds))
    output.append(recorded: leg.destination)
    output.append(recorded: leg.source)
    output.append(bigEndian: leg.sdpSession)
    output.append(bigEndian: leg.sdpVersion)
    if let media = leg.media { output.append(recorded: media) }
    if let answered = leg.answered {
      output.append(bigEndian: answered.words.low)
      output.append(bigEndian: answered.words.high)
    }
  }

  static func write(_ text: RawSpan, into output: inout OutputBuffer) {
    let count = min(text.byteCount, 0xffff)
    writeLength(count, into: &output)
    output.append(text, ByteRange(0, count))
  }

  /// Of a text that follows.
  static func writeLength(_ count: Int, into output: inout OutputBuffer) {
    output.append(byte: UInt8(truncatingIfNeeded: count >> 8))
    output.append(byte: UInt8(truncatingIfNeeded: count))
  }
}

extension OutputBuffer {
  fileprivate mutating func append(recorded address: SocketAddress) {
    append(byte: address.ip.family == .v4 ? 4 : 6)
    append(bigEndian: address.ip.high)
    append(bigEndian: address.ip.low)
    append(bigEndian: UInt64(address.port))
  }
}

private struct RecordReader {
  private let bytes: [UInt8]
  private var at = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { at == bytes.count }

  mutating func byte() -> UInt8? {
    guard at < bytes.count else { return nil }
    at += 1
    return bytes[at - 1]
  }
  mutating func word() -> UInt64? {
    guard at + 8 <= bytes.count else { return nil }
    var value: UInt64 = 0
    for i in at..<(at + 8) { value = value << 8 | UInt64(bytes[i]) }
    at += 8
    return value
  }
  mutating func array() -> [UInt8]? {
    guard at + 2 <= bytes.count else { return nil }
    let count = Int(bytes[at]) << 8 | Int(bytes[at + 1])
    guard at + 2 + count <= bytes.count else { return nil }
    defer { at += 2 + count }
    return Array(bytes[(at + 2)..<(at + 2 + count)])
  }
  mutating func text() -> String? { array().map { String(decoding: $0, as: UTF8.self) } }
  mutating func address() -> SocketAddress? {
    guard let family = byte(), let high = word(), let low = word(), let port = word() else {
      return nil
    }
    let ip: IPAddress
    switch family {
    case 4: ip = IPAddress(v4: UInt32(truncatingIfNeeded: low))
    case 6: ip = IPAddress(v6High: high, low: low)
    default: return nil
    }
    return SocketAddress(ip, UInt16(truncatingIfNeeded: port))
  }
}
