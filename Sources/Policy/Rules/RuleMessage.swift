import Base
import SIPWire

/// A message taken apart for rules: start line, headers in order, body. What a rule sets is checked for what it
/// may hold, so no value can end a line.
struct RuleMessage {
  struct Field {
    var header: HeaderID
    var name: [UInt8]
    var value: [UInt8]
  }

  /// Method and version, or version and reason: what stands before and behind the changeable part.
  private var before: [UInt8]
  private(set) var target: [UInt8]
  private var behind: [UInt8]
  let isRequest: Bool
  private(set) var fields: [Field] = []
  private let body: [UInt8]
  private var gained = 0
  private var added = 0

  init(_ message: borrowing Message) {
    let bytes = message.bytes
    isRequest = message.isRequest
    if isRequest {
      before = bytes.array(message.methodToken) + [0x20]
      target = bytes.array(message.requestURI)
      behind = Array(" SIP/2.0".utf8)
    } else {
      before = Array("SIP/2.0 ".utf8)
      target = Array(String(message.status).utf8)
      behind = [0x20] + bytes.array(message.reason)
    }
    body = bytes.array(message.body)
    fields.reserveCapacity(message.headerCount)
    for i in 0..<message.headerCount {
      let field = message.header(i)
      fields.append(
        Field(
          header: field.id, name: bytes.array(field.name),
          value: Self.unfolded(bytes.array(field.value))))
    }
  }

  /// RFC 3261 §7.3.1: a line break with the white space around it is one space.
  private static func unfolded(_ value: [UInt8]) -> [UInt8] {
    guard value.contains(0x0d) || value.contains(0x0a) else { return value }
    var out: [UInt8] = []
    for octet in value {
      let isSpace = octet == 0x0d || octet == 0x0a || octet == 0x20 || octet == 0x09
      if !isSpace { out.append(octet) } else if out.last != 0x20 { out.append(0x20) }
    }
    return out
  }

  var bytes: [UInt8] {
    var out = before + target + behind + [0x0d, 0x0a]
    for field in fields {
      out += field.name + [UInt8(ascii: ":"), 0x20] + field.value + [0x0d, 0x0a]
    }
    return out + [0x0d, 0x0a] + body
  }

  // MARK: Reading

  private func index(_ header: RuleHeader) -> Int? {
    fields.firstIndex { matches($0, header) }
  }

  private func matches(_ field: Field, _ header: RuleHeader) -> Bool {
    guard field.header == header.id else { return false }
    return header.id != .other
      || asciiLowercased(String(decoding: field.name, as: UTF8.self))
        == asciiLowercased(header.name)
  }

  /// Nil: there is none.
  func read(_ part: RulePart) -> [UInt8]? {
    switch part.field {
    case .status: return isRequest ? nil : target
    case .requestURI:
      guard isRequest else { return nil }
      if part.piece == .whole { return target }
      return range(part.piece, inURI: ByteRange(0, target.count), of: target).map {
        Array(target[$0.start..<$0.end])
      }
    case .header(let header):
      guard let index = index(header) else { return nil }
      let value = fields[index].value
      if part.piece == .whole { return value }
      return range(part.piece, in: value).map { Array(value[$0.start..<$0.end]) }
    }
  }

  private func range(_ piece: RulePart.Piece, in value: [UInt8]) -> ByteRange? {
    let span = value.span.rawSpan
    if case .parameter(let name) = piece { return parameter(name, in: value)?.value }
    guard let party = NameAddr.parse(span, firstElement(value)) else { return nil }
    switch piece {
    case .display: return party.display
    case .uri: return party.uri
    case .user, .host: return range(piece, inURI: party.uri, of: value)
    case .whole, .parameter: return nil
    }
  }

  private func range(_ piece: RulePart.Piece, inURI uri: ByteRange, of value: [UInt8])
    -> ByteRange?
  {
    let span = value.span.rawSpan
    guard let read = SIPURI.parse(span, uri) else { return nil }
    switch piece {
    case .user: return read.user
    case .host: return read.host.isEmpty ? nil : read.host
    case .parameter(let name):
      return parameter(name, of: read, in: value)?.value
    case .whole, .display, .uri: return nil
    }
  }

  /// A header's own parameter and all of it from its semicolon on.
  private func parameter(_ name: String, in value: [UInt8]) -> (value: ByteRange, start: Int)? {
    let span = value.span.rawSpan
    let element = firstElement(value)
    let party = NameAddr.parse(span, element)
    let start =
      party?.params.start
      ?? value[element.start..<element.end].firstIndex(of: UInt8(ascii: ";")) ?? element.end
    var walk = Parameters(ByteRange(from: start, to: element.end))
    while let parameter = walk.next(span) {
      if same(span, parameter.name, name) { return (parameter.value, parameter.name.start) }
    }
    return nil
  }

  private func same(_ span: RawSpan, _ range: ByteRange, _ name: String) -> Bool {
    asciiLowercased(span.string(range)) == asciiLowercased(name)
  }

  private func firstElement(_ value: [UInt8]) -> ByteRange {
    var list = CommaList(ByteRange(0, value.count))
    return list.next(value.span.rawSpan) ?? .none
  }

  // MARK: Changing

  /// False: the value may not stand there, the part is not there to be set, or the message has grown enough.
  mutating func set(_ part: RulePart, _ value: [UInt8]) -> Bool {
    guard value.count <= RuleLimits.header, Self.isVisible(value) else { return false }
    switch part.field {
    case .status: return set(status: value)
    case .requestURI:
      guard isRequest else { return false }
      var changed = target
      guard
        part.piece == .whole
          ? replaceAll(&changed, value)
          : replace(part.piece, inURI: ByteRange(0, target.count), of: &changed, value),
        SIPURI.parse(changed.span.rawSpan, ByteRange(0, changed.count)) != nil,
        grow(changed.count - target.count)
      else { return false }
      target = changed
      return true
    case .header(let header):
      guard let index = index(header) else {
        guard part.piece == .whole else { return false }
        return add(header, value)
      }
      var changed = fields[index].value
      guard
        part.piece == .whole
          ? replaceAll(&changed, value) : replace(part.piece, in: &changed, value),
        changed.count <= RuleLimits.header, grow(changed.count - fields[index].value.count)
      else { return false }
      fields[index].value = changed
      return true
    }
  }

  /// Within its class: 183 may become 180 and 603 486, and nothing else than they are.
  private mutating func set(status value: [UInt8]) -> Bool {
    guard !isRequest, value.count == 3, value.allSatisfy({ (0x30...0x39).contains($0) }),
      let old = target.first, let new = value.first, old != 0x32, new != 0x32,
      (old == 0x31) == (new == 0x31), (0x31...0x36).contains(new)
    else { return false }
    target = value
    return true
  }

  private func replaceAll(_ text: inout [UInt8], _ value: [UInt8]) -> Bool {
    text = value
    return !value.isEmpty
  }

  private func party(_ text: [UInt8]) -> NameAddr? {
    NameAddr.parse(text.span.rawSpan, firstElement(text))
  }

  private func replace(_ piece: RulePart.Piece, in text: inout [UInt8], _ value: [UInt8]) -> Bool {
    if case .parameter(let name) = piece { return replace(parameter: name, in: &text, value) }
    guard let party = party(text) else { return false }
    switch piece {
    case .display: return replace(display: party, in: &text, value)
    case .uri:
      guard SIPURI.parse(value.span.rawSpan, ByteRange(0, value.count)) != nil else { return false }
      // Without brackets the URI's parameters would become the header's.
      let isBare = text.indices.contains(party.uri.end) ? text[party.uri.end] != 0x3e : true
      let new = isBare ? [0x3c] + value + [0x3e] : value
      text.replaceSubrange(party.uri.start..<party.uri.end, with: new)
      return true
    case .user, .host: return replace(piece, inURI: party.uri, of: &text, value)
    case .whole, .parameter: return false
    }
  }

  private func replace(display party: NameAddr, in text: inout [UInt8], _ value: [UInt8]) -> Bool {
    var quoted: [UInt8] = []
    for octet in value {
      if octet == UInt8(ascii: "\"") || octet == UInt8(ascii: "\\") { quoted.append(0x5c) }
      quoted.append(octet)
    }
    let start = firstElement(text).start
    let isBare = party.uri.start == 0 || text[party.uri.start - 1] != UInt8(ascii: "<")
    let name = quoted.isEmpty ? [] : [0x22] + quoted + [0x22, 0x20]
    if isBare {
      let uri = Array(text[party.uri.start..<party.uri.end])
      text.replaceSubrange(party.uri.start..<party.uri.end, with: name + [0x3c] + uri + [0x3e])
    } else {
      text.replaceSubrange(start..<(party.uri.start - 1), with: name)
    }
    return true
  }

  private func replace(
    _ piece: RulePart.Piece, inURI range: ByteRange, of text: inout [UInt8], _ value: [UInt8]
  ) -> Bool {
    guard let uri = uri(text, range) else { return false }
    switch piece {
    case .user:
      if uri.scheme == .tel {
        guard !value.isEmpty, value.allSatisfy({ OctetSet.telephone.contains($0) }) else {
          return false
        }
        text.replaceSubrange(uri.user.start..<uri.user.end, with: value)
      } else if uri.user.isEmpty {
        let start = hostStart(uri, text)
        text.insert(contentsOf: Self.escaped(value) + [UInt8(ascii: "@")], at: start)
      } else {
        guard !value.isEmpty else { return false }
        text.replaceSubrange(uri.user.start..<uri.user.end, with: Self.escaped(value))
      }
    case .host:
      guard !uri.host.isEmpty, Self.isHost(value) else { return false }
      let start = hostStart(uri, text)
      let end = uri.host.end + (start < uri.host.start ? 1 : 0)
      text.replaceSubrange(start..<end, with: value)
    case .parameter(let name):
      return replace(uriParameter: name, uri, range, in: &text, value)
    case .whole, .display, .uri: return false
    }
    return true
  }

  private func uri(_ text: [UInt8], _ range: ByteRange) -> SIPURI? {
    SIPURI.parse(text.span.rawSpan, range)
  }

  private func hostStart(_ uri: SIPURI, _ text: [UInt8]) -> Int {
    let start = uri.host.start
    return start > 0 && text[start - 1] == UInt8(ascii: "[") ? start - 1 : start
  }

  private func parameter(_ name: String, of uri: SIPURI, in text: [UInt8]) -> Parameter? {
    let span = text.span.rawSpan
    var walk = URIParameters(uri.params)
    while let parameter = walk.next(span) {
      if same(span, parameter.name, name) { return parameter }
    }
    return nil
  }

  private func replace(
    uriParameter name: String, _ uri: SIPURI, _ range: ByteRange, in text: inout [UInt8],
    _ value: [UInt8]
  ) -> Bool {
    guard value.allSatisfy({ OctetSet.uriParameter.contains($0) }) else { return false }
    let new = value.isEmpty ? [] : [UInt8(ascii: "=")] + value
    if let parameter = parameter(name, of: uri, in: text) {
      let end = parameter.value.isEmpty ? parameter.name.end : parameter.value.end
      text.replaceSubrange(parameter.name.end..<end, with: new)
      return true
    }
    let end = uri.headers.isEmpty ? range.end : uri.headers.start - 1
    text.insert(contentsOf: [UInt8(ascii: ";")] + Array(name.utf8) + new, at: end)
    return true
  }

  private func replace(parameter name: String, in text: inout [UInt8], _ value: [UInt8]) -> Bool {
    let isToken = !value.isEmpty && value.allSatisfy { OctetSet.parameterValue.contains($0) }
    guard value.isEmpty || isToken, asciiLowercased(name) != "tag" else { return false }
    let new = value.isEmpty ? [] : [UInt8(ascii: "=")] + value
    if let (old, start) = parameter(name, in: text) {
      let nameEnd = start + name.utf8.count
      var end = old.isEmpty ? nameEnd : old.end
      if !old.isEmpty, end < text.count, text[end] == UInt8(ascii: "\"") { end += 1 }
      text.replaceSubrange(nameEnd..<end, with: new)
    } else {
      let end = firstElement(text).end
      text.insert(contentsOf: [UInt8(ascii: ";")] + Array(name.utf8) + new, at: end)
    }
    return true
  }

  mutating func add(_ header: RuleHeader, _ value: [UInt8]) -> Bool {
    let name = Array(header.name.utf8)
    guard Self.isVisible(value), value.count <= RuleLimits.header, added < RuleLimits.added,
      grow(name.count + value.count + 4)
    else { return false }
    added += 1
    fields.append(Field(header: header.id, name: name, value: value))
    return true
  }

  /// How many there were.
  mutating func remove(_ header: RuleHeader) -> Int {
    let kept = fields.filter { !matches($0, header) }
    defer { fields = kept }
    return fields.count - kept.count
  }

  func values(_ header: RuleHeader) -> [[UInt8]] {
    fields.filter { matches($0, header) }.map(\.value)
  }

  private mutating func grow(_ count: Int) -> Bool {
    guard gained + count <= RuleLimits.growth else { return false }
    gained += count
    return true
  }

  // MARK: What may stand where

  /// No control character: neither line breaks nor anything else that a reader could take for one.
  static func isVisible(_ value: [UInt8]) -> Bool {
    value.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
  }

  private static func isHost(_ value: [UInt8]) -> Bool {
    guard !value.isEmpty else { return false }
    if value.first == UInt8(ascii: "["), value.last == UInt8(ascii: "]") {
      return value.count > 2
        && value.dropFirst().dropLast().allSatisfy { OctetSet.ipv6.contains($0) }
    }
    return value.allSatisfy { OctetSet.host.contains($0) }
  }

  /// RFC 3261 §25.1: what a user part cannot hold is escaped; escapes that are there stay.
  private static func escaped(_ value: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    for octet in value {
      if OctetSet.user.contains(octet) {
        out.append(octet)
      } else {
        out += [0x25, .hexDigit(octet >> 4), .hexDigit(octet & 15)]
      }
    }
    return out
  }
}
