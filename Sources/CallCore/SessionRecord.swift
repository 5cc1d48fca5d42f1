package import Base
package import MediaControl

/// An established call as it is written down: what a restarted process, another process or a second node
/// needs to end it, and to go on with it. Small, flat, and versioned: version 1.
package struct SessionRecord: Hashable, Sendable {
  /// What of a leg has a fixed size.
  package struct LegState: Hashable, Sendable {
    package var side: LegSide
    package var isOurs: Bool
    package var tagOwner: UInt64
    package var fork: UInt8
    package var localCSeq: UInt32
    package var remoteCSeq: UInt32
    package var destination: SocketAddress
    package var source: SocketAddress
    package var listener: UInt16
    package var network: UInt16
    package var sdpSession: UInt64
    package var sdpVersion: UInt64
    package var media: LocalMedia?
    package var remoteRTP: SocketAddress?
    package var remoteRTCP: SocketAddress?
  }

  package struct LegRecord: Hashable, Sendable {
    package var state: LegState
    package var callID: [UInt8]
    package var local: [UInt8]
    package var remote: [UInt8]
    package var remoteTag: [UInt8]
    package var target: [UInt8]
    package var routes: [UInt8]

    package init(
      side: LegSide, isOurs: Bool, tagOwner: UInt64, fork: UInt8, localCSeq: UInt32,
      remoteCSeq: UInt32, destination: SocketAddress, source: SocketAddress, listener: UInt16,
      network: UInt16, callID: [UInt8], local: [UInt8], remote: [UInt8], remoteTag: [UInt8],
      target: [UInt8], routes: [UInt8], sdpSession: UInt64, sdpVersion: UInt64, media: LocalMedia?,
      remoteRTP: SocketAddress?, remoteRTCP: SocketAddress?
    ) {
      state = LegState(
        side: side, isOurs: isOurs, tagOwner: tagOwner, fork: fork, localCSeq: localCSeq,
        remoteCSeq: remoteCSeq, destination: destination, source: source, listener: listener,
        network: network, sdpSession: sdpSession, sdpVersion: sdpVersion, media: media,
        remoteRTP: remoteRTP, remoteRTCP: remoteRTCP)
      self.callID = callID
      self.local = local
      self.remote = remote
      self.remoteTag = remoteTag
      self.target = target
      self.routes = routes
    }
  }

  package static let version: UInt8 = 1

  package var call: CallID
  package var tenant: String
  package var from: String
  package var to: String
  package var legs: [LegRecord]

  package var encoded: [UInt8] {
    var output = OutputBuffer(byteLimit: 1 << 26, recordLimit: 1)
    output.begin()
    Self.write(call: call, tenant: tenant, from: from, to: to, legs: legs.count, into: &output)
    for leg in legs.prefix(255) {
      Self.write(
        leg.state, callID: leg.callID.rawSpan, local: leg.local.rawSpan,
        remote: leg.remote.rawSpan, remoteTag: leg.remoteTag.rawSpan, target: leg.target.rawSpan,
        routes: leg.routes.rawSpan, into: &output)
    }
    return output.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) }
  }

  /// Nil for another version, a truncated record, or one with something left over.
  package init?(_ bytes: [UInt8]) {
    var reader = RecordReader(bytes)
    guard reader.byte() == Self.version, let incarnation = reader.word(),
      let serial = reader.word(), let tenant = reader.text(), let from = reader.text(),
      let to = reader.text(), let count = reader.byte()
    else { return nil }
    call = CallID(incarnation: incarnation, serial: serial)
    self.tenant = tenant
    self.from = from
    self.to = to
    legs = []
    for _ in 0..<count {
      guard let leg = LegRecord(&reader) else { return nil }
      legs.append(leg)
    }
    guard reader.isAtEnd else { return nil }
  }

  package init(call: CallID, tenant: String, from: String, to: String, legs: [LegRecord]) {
    self.call = call
    self.tenant = tenant
    self.from = from
    self.to = to
    self.legs = legs
  }
}

extension SessionRecord.LegRecord {
  fileprivate init?(_ reader: inout RecordReader) {
    guard let side = reader.byte().flatMap(LegSide.init(rawValue:)), let isOurs = reader.byte(),
      let tagOwner = reader.word(), let fork = reader.byte(), let localCSeq = reader.word(),
      let remoteCSeq = reader.word(), let destination = reader.address(),
      let source = reader.address(), let listener = reader.word(), let network = reader.word(),
      let callID = reader.array(), let local = reader.array(), let remote = reader.array(),
      let remoteTag = reader.array(), let target = reader.array(), let routes = reader.array(),
      let sdpSession = reader.word(), let sdpVersion = reader.word(), let media = reader.word(),
      let rtp = reader.address(), let rtcp = reader.address()
    else { return nil }
    self.init(
      side: side, isOurs: isOurs != 0, tagOwner: tagOwner, fork: fork,
      localCSeq: UInt32(truncatingIfNeeded: localCSeq),
      remoteCSeq: UInt32(truncatingIfNeeded: remoteCSeq), destination: destination,
      source: source, listener: UInt16(truncatingIfNeeded: listener),
      network: UInt16(truncatingIfNeeded: network), callID: callID, local: local, remote: remote,
      remoteTag: remoteTag, target: target, routes: routes, sdpSession: sdpSession,
      sdpVersion: sdpVersion,
      media: media == .max
        ? nil
        : LocalMedia(
          address: UInt16(truncatingIfNeeded: media >> 16),
          port: UInt16(truncatingIfNeeded: media)),
      remoteRTP: rtp.port == 0 ? nil : rtp, remoteRTCP: rtcp.port == 0 ? nil : rtcp)
  }
}

// Integers big-endian, texts with a 16-bit length before them.
extension SessionRecord {
  /// What comes before the legs, of which `write(_:…)` must follow as many as said here, at most 255.
  static func write(
    call: CallID, tenant: String, from: String, to: String, legs: Int,
    into output: inout OutputBuffer
  ) {
    output.append(byte: version)
    output.append(bigEndian: call.incarnation)
    output.append(bigEndian: call.serial)
    output.append(text: tenant.utf8Span.span.rawSpan)
    output.append(text: from.utf8Span.span.rawSpan)
    output.append(text: to.utf8Span.span.rawSpan)
    output.append(byte: UInt8(clamping: legs))
  }

  static func write(
    _ leg: LegState, callID: RawSpan, local: RawSpan, remote: RawSpan, remoteTag: RawSpan,
    target: RawSpan, routes: RawSpan, into output: inout OutputBuffer
  ) {
    output.append(byte: leg.side.rawValue)
    output.append(byte: leg.isOurs ? 1 : 0)
    output.append(bigEndian: leg.tagOwner)
    output.append(byte: leg.fork)
    output.append(bigEndian: UInt64(leg.localCSeq))
    output.append(bigEndian: UInt64(leg.remoteCSeq))
    output.append(recorded: leg.destination)
    output.append(recorded: leg.source)
    output.append(bigEndian: UInt64(leg.listener))
    output.append(bigEndian: UInt64(leg.network))
    output.append(text: callID)
    output.append(text: local)
    output.append(text: remote)
    output.append(text: remoteTag)
    output.append(text: target)
    output.append(text: routes)
    output.append(bigEndian: leg.sdpSession)
    output.append(bigEndian: leg.sdpVersion)
    output.append(bigEndian: leg.media.map { UInt64($0.address) << 16 | UInt64($0.port) } ?? .max)
    output.append(recorded: leg.remoteRTP ?? SocketAddress(.anyV4, 0))
    output.append(recorded: leg.remoteRTCP ?? SocketAddress(.anyV4, 0))
  }
}

extension OutputBuffer {
  fileprivate mutating func append(text: RawSpan) {
    let count = min(text.byteCount, 0xffff)
    append(byte: UInt8(truncatingIfNeeded: count >> 8))
    append(byte: UInt8(truncatingIfNeeded: count))
    append(text, ByteRange(0, count))
  }

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
