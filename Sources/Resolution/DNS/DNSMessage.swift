package import Base

/// The types that locating a SIP server needs (RFC 1035, 3596, 2782, 3403).
package enum DNSType: UInt16, Hashable, Sendable, CaseIterable {
  case a = 1, cname = 5, soa = 6, aaaa = 28, srv = 33, naptr = 35
}

package struct DNSQuestion: Hashable, Sendable {
  package var name: DNSName
  package var type: DNSType

  package init(_ name: DNSName, _ type: DNSType) {
    self.name = name
    self.type = type
  }
}

extension DNSQuestion: CustomStringConvertible {
  package var description: String { "\(name) \(type)" }
}

package struct DNSRecord: Hashable, Sendable {
  package enum Value: Hashable, Sendable {
    case address(IPAddress)
    case alias(DNSName)
    case service(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
    /// `flags` and `services` in lower case; the regular expression is empty for SIP (RFC 3263 §4.1).
    case pointer(
      order: UInt16, preference: UInt16, flags: [UInt8], services: [UInt8], hasExpression: Bool,
      replacement: DNSName)
    /// Only what negative caching needs (RFC 2308 §4).
    case authority(minimum: UInt32)
  }

  package var name: DNSName
  /// Seconds.
  package var ttl: UInt32
  package var value: Value

  package init(_ name: DNSName, ttl: UInt32, _ value: Value) {
    self.name = name
    self.ttl = ttl
    self.value = value
  }

  package var type: DNSType {
    switch value {
    case .address(let address): address.family == .v4 ? .a : .aaaa
    case .alias: .cname
    case .service: .srv
    case .pointer: .naptr
    case .authority: .soa
    }
  }
}

/// A response as it was read: answers, and of the authority section what negative caching needs. The
/// additional section is left unread: whatever stands there was not asked for (RFC 5452 §6).
package struct DNSReply: Hashable, Sendable {
  package var id: UInt16
  package var isTruncated: Bool
  package var code: Code
  package var question: DNSQuestion?
  package var answers: [DNSRecord] = []
  package var authority: [DNSRecord] = []

  package enum Code: UInt8, Hashable, Sendable {
    case success, formatError, serverFailure, nameError, notImplemented, refused, other
  }
}

package enum DNSParseError: Error, Hashable {
  /// Byte offsets.
  case tooShort(Int), badName(Int), badRecord(Int), notAResponse, tooManyRecords
}

// MARK: Reading

extension DNSReply {
  /// Records that are read at most: what is more is no answer to a question of ours.
  package static let recordLimit = 256

  package static func parse(_ bytes: RawSpan) throws(DNSParseError) -> DNSReply {
    guard bytes.byteCount >= 12 else { throw .tooShort(bytes.byteCount) }
    let flags = bytes.bigEndian16(at: 2)
    guard flags & 0x8000 != 0, flags & 0x7800 == 0 else { throw .notAResponse }
    var reply = DNSReply(
      id: bytes.bigEndian16(at: 0), isTruncated: flags & 0x0200 != 0,
      code: Code(rawValue: UInt8(flags & 15)) ?? .other)
    let questions = Int(bytes.bigEndian16(at: 4))
    let answers = Int(bytes.bigEndian16(at: 6))
    let authorities = Int(bytes.bigEndian16(at: 8))
    guard questions <= 1 else { throw .badRecord(4) }
    guard answers + authorities <= recordLimit else { throw .tooManyRecords }
    var at = 12
    if questions == 1 { reply.question = try readQuestion(bytes, &at) }
    // What was cut off says no more than that it was: the answer comes by TCP.
    if reply.isTruncated { return reply }
    for _ in 0..<answers {
      if let record = try readRecord(bytes, &at) { reply.answers.append(record) }
    }
    for _ in 0..<authorities {
      if let record = try readRecord(bytes, &at), record.type == .soa {
        reply.authority.append(record)
      }
    }
    return reply
  }

  private static func readQuestion(
    _ bytes: RawSpan, _ at: inout Int
  ) throws(DNSParseError) -> DNSQuestion? {
    let name = try readName(bytes, &at)
    guard at + 4 <= bytes.byteCount else { throw .tooShort(at) }
    let type = DNSType(rawValue: bytes.bigEndian16(at: at))
    let isInternet = bytes.bigEndian16(at: at + 2) == 1
    at += 4
    return isInternet ? type.map { DNSQuestion(name, $0) } : nil
  }

  /// Nil for a record of a type or class that nobody asks for.
  private static func readRecord(
    _ bytes: RawSpan, _ at: inout Int
  ) throws(DNSParseError) -> DNSRecord? {
    let start = at
    let name = try readName(bytes, &at)
    guard at + 10 <= bytes.byteCount else { throw .tooShort(at) }
    let type = DNSType(rawValue: bytes.bigEndian16(at: at))
    let isInternet = bytes.bigEndian16(at: at + 2) == 1
    let ttl = bytes.bigEndian32(at: at + 4)
    let data = at + 10
    let end = data + Int(bytes.bigEndian16(at: at + 8))
    guard end <= bytes.byteCount else { throw .tooShort(data) }
    at = end
    guard isInternet, let type else { return nil }
    guard let value = try readValue(bytes, type, data, end) else { throw .badRecord(start) }
    // RFC 2181 §8: a TTL with its top bit set is 0.
    return DNSRecord(name, ttl: ttl & 0x8000_0000 == 0 ? ttl : 0, value)
  }

  /// Nil for data that its type does not have.
  private static func readValue(
    _ bytes: RawSpan, _ type: DNSType, _ start: Int, _ end: Int
  ) throws(DNSParseError) -> DNSRecord.Value? {
    var at = start
    switch type {
    case .a:
      return end - start == 4 ? .address(IPAddress(v4: bytes.bigEndian32(at: start))) : nil
    case .aaaa:
      guard end - start == 16 else { return nil }
      let high =
        UInt64(bytes.bigEndian32(at: start)) << 32 | UInt64(bytes.bigEndian32(at: start + 4))
      let low =
        UInt64(bytes.bigEndian32(at: start + 8)) << 32 | UInt64(bytes.bigEndian32(at: start + 12))
      return .address(IPAddress(v6High: high, low: low))
    case .cname:
      let name = try readName(bytes, &at)
      return at == end ? .alias(name) : nil
    case .soa:
      _ = try readName(bytes, &at)
      _ = try readName(bytes, &at)
      return at + 20 == end ? .authority(minimum: bytes.bigEndian32(at: at + 16)) : nil
    case .srv:
      guard end - start >= 7 else { return nil }
      at += 6
      let target = try readName(bytes, &at)
      return at == end
        ? .service(
          priority: bytes.bigEndian16(at: start), weight: bytes.bigEndian16(at: start + 2),
          port: bytes.bigEndian16(at: start + 4), target: target) : nil
    case .naptr: return try readPointer(bytes, start, end)
    }
  }

  private static func readPointer(
    _ bytes: RawSpan, _ start: Int, _ end: Int
  ) throws(DNSParseError) -> DNSRecord.Value? {
    var at = start + 4
    guard let flags = readString(bytes, &at, end), let services = readString(bytes, &at, end),
      let expression = readString(bytes, &at, end)
    else { return nil }
    let replacement = try readName(bytes, &at)
    return at == end
      ? .pointer(
        order: bytes.bigEndian16(at: start), preference: bytes.bigEndian16(at: start + 2),
        flags: flags, services: services, hasExpression: !expression.isEmpty,
        replacement: replacement) : nil
  }

  /// A character string (RFC 1035 §3.3) in lower case.
  private static func readString(_ bytes: RawSpan, _ at: inout Int, _ end: Int) -> [UInt8]? {
    let count = Int(bytes.byte(at: at))
    guard at < end, at + 1 + count <= end else { return nil }
    let text = (at + 1..<at + 1 + count).map { bytes.byte(at: $0).asciiLowercased }
    at += 1 + count
    return text
  }

  /// §4.1.4. A pointer may only lead to what stands before everything that was read of this name, so there
  /// is no loop; and no name is longer than 255 bytes, however it is put together.
  private static func readName(
    _ bytes: RawSpan, _ at: inout Int
  ) throws(DNSParseError) -> DNSName {
    var wire: [UInt8] = []
    var i = at
    var lowest = at
    var hasJumped = false
    while true {
      guard i < bytes.byteCount else { throw .badName(i) }
      let length = bytes.byte(at: i)
      switch length & 0xc0 {
      case 0:
        if length == 0 {
          if !hasJumped { at = i + 1 }
          wire.append(0)
          return DNSName(wire: wire)
        }
        guard i + 1 + Int(length) <= bytes.byteCount, wire.count + 1 + Int(length) < DNSName.limit
        else { throw .badName(i) }
        wire.append(length)
        for k in 1...Int(length) { wire.append(bytes.byte(at: i + k).asciiLowercased) }
        i += 1 + Int(length)
      case 0xc0:
        guard i + 2 <= bytes.byteCount else { throw .badName(i) }
        let target = Int(bytes.bigEndian16(at: i) & 0x3fff)
        guard target < lowest else { throw .badName(i) }
        if !hasJumped { at = i + 2 }
        hasJumped = true
        lowest = target
        i = target
      default: throw .badName(i)
      }
    }
  }
}

// MARK: Writing

package enum DNSQuery {
  /// What we can take in one datagram (RFC 6891 §6.2.5): more than that is fragmented on its way.
  package static let payload: UInt16 = 1_232

  /// A recursive question; `extended` adds EDNS0, which some old servers answer with FORMERR.
  package static func bytes(id: UInt16, _ question: DNSQuestion, extended: Bool) -> [UInt8] {
    var bytes: [UInt8] = []
    func append(_ value: UInt16) {
      bytes.append(UInt8(value >> 8))
      bytes.append(UInt8(value & 255))
    }
    append(id)
    append(0x0100)  // RD
    append(1)
    append(0)
    append(0)
    append(extended ? 1 : 0)
    bytes += question.name.wire
    append(question.type.rawValue)
    append(1)
    if extended {
      bytes.append(0)
      append(41)
      append(payload)
      append(0)
      append(0)
      append(0)
    }
    return bytes
  }
}
