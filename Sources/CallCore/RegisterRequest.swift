import Base
import Policy
import SIPWire

/// A contact as a REGISTER names it.
struct RequestedContact {
  var uri: String
  /// In seconds; 0 removes it.
  var expires: Int
  var preference: UInt16
  var instance: String
  var flow: UInt32
  var isNumberBlock: Bool

  /// Whether the binding is the one that this contact refreshes, replaces or removes: that of the same flow
  /// (RFC 5626 §6), that of the same device, which comes back with another port or address, or that of the
  /// same URI (RFC 3261 §10.3 step 7).
  func isSame(as binding: Binding) -> Bool {
    if flow != 0 { return binding.instance == instance && binding.flow == flow }
    if !instance.isEmpty, binding.instance == instance, binding.flow == 0 { return true }
    return binding.flow == 0 && Self.equals(uri, binding.contact)
  }

  /// §19.1.4, on the bytes of both.
  private static func equals(_ a: String, _ b: String) -> Bool {
    if a == b { return true }
    let left = Array(a.utf8)
    let right = Array(b.utf8)
    let leftBytes = left.rawSpan
    let rightBytes = right.rawSpan
    guard let first = SIPURI.parse(leftBytes, ByteRange(0, left.count)),
      let second = SIPURI.parse(rightBytes, ByteRange(0, right.count))
    else { return false }
    return first.equals(second, in: leftBytes, otherIn: rightBytes)
  }
}

/// What a REGISTER says, read once.
struct RegisterRequest {
  private(set) var contacts: [RequestedContact] = []
  private(set) var isWildcard = false
  /// RFC 3327, as one header value.
  private(set) var path = ""
  private(set) var supportsGRUU: Bool
  /// RFC 5626 §6 applies.
  private(set) var isOutbound = false
  /// No proxy stands between the phone and us.
  private(set) var isFirstHop: Bool

  private static let contactLimit = 8
  private static let uriLimit = 512
  private static let pathLimit = 1_024

  init(_ message: borrowing Message) {
    supportsGRUU = message.lists("gruu", in: .supported) || message.lists("gruu", in: .require)
    var vias = 0
    var values = message.values(of: .via)
    while values.next(message.bytes) != nil, vias < 2 { vias += 1 }
    isFirstHop = vias < 2
  }

  /// Nil: it can be followed. Otherwise what it is answered with.
  mutating func read(_ message: borrowing Message, isTrunk: Bool) -> RegisterOutcome? {
    let bytes = message.bytes
    if let refusal = readPath(message) { return refusal }
    let header = message.expires.map { Int($0) }
    let wantsOutbound =
      message.lists("outbound", in: .supported) || message.lists("outbound", in: .require)
    var values = message.values(of: .contact)
    while let value = values.next(bytes) {
      if NameAddr.isWildcard(bytes, value) {
        isWildcard = true
        continue
      }
      guard contacts.count < Self.contactLimit, let contact = contact(bytes, value, header) else {
        return .status(400)
      }
      if contact.isNumberBlock, !isTrunk { return .status(403) }
      if contact.expires > 0, contact.expires < RegistrationTimes.least { return .tooBrief }
      contacts.append(contact)
    }
    // Step 6: "*" stands alone and only to remove everything.
    if isWildcard, !contacts.isEmpty || header != 0 { return .status(400) }
    return applyOutbound(bytes, wanted: wantsOutbound)
  }

  /// What a registrar behind us does not hear of, so that nobody is promised it: flows and GRUUs.
  mutating func leaveOutExtensions() {
    for i in contacts.indices { contacts[i].flow = 0 }
    isOutbound = false
    supportsGRUU = false
  }

  private mutating func readPath(_ message: borrowing Message) -> RegisterOutcome? {
    let bytes = message.bytes
    var values = message.values(of: .path)
    while let value = values.next(bytes) {
      guard NameAddr.parse(bytes, value) != nil,
        path.utf8.count + Int(value.count) + 2 <= Self.pathLimit
      else { return .status(400) }
      path += (path.isEmpty ? "" : ", ") + bytes.string(value)
    }
    // RFC 3327 §5.3: the phone must know that somebody put himself on the way.
    if !path.isEmpty, !message.lists("path", in: .supported), !message.lists("path", in: .require) {
      return .status(420)
    }
    return nil
  }

  private func contact(
    _ bytes: RawSpan, _ value: ByteRange, _ header: Int?
  ) -> RequestedContact? {
    guard let contact = NameAddr.parse(bytes, value),
      let uri = SIPURI.parse(bytes, contact.uri), uri.scheme == .sip,
      contact.uri.count <= Self.uriLimit
    else { return nil }
    let own = contact.param("expires", in: bytes).flatMap { bytes.decimal($0) }
    let wanted = own.map { Int(clamping: $0) } ?? header ?? RegistrationTimes.usual
    let isNumberBlock = uri.param("bnc", in: bytes) != nil
    // RFC 6140 §5.2, §5.3: such a Contact has neither a user part nor a `user` parameter.
    if isNumberBlock, !uri.user.isEmpty || uri.param("user", in: bytes) != nil { return nil }
    var instance = contact.param("+sip.instance", in: bytes).map { bytes.string($0) } ?? ""
    if instance.hasPrefix("<"), instance.hasSuffix(">") {
      instance = String(instance.dropFirst().dropLast())
    }
    guard instance.utf8.count <= 128, instance.utf8.allSatisfy(Self.isPlain) else { return nil }
    let flow = contact.param("reg-id", in: bytes).flatMap { bytes.decimal($0) } ?? 0
    return RequestedContact(
      uri: bytes.string(contact.uri), expires: min(wanted, RegistrationTimes.most),
      preference: Preference.read(bytes, contact.param("q", in: bytes)), instance: instance,
      flow: instance.isEmpty || flow > 0x7fff_ffff ? 0 : UInt32(flow), isNumberBlock: isNumberBlock)
  }

  /// What can stand in a quoted string and in a URI's parameter as it is: of a URN, everything.
  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"),
      UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "$"), UInt8(ascii: "&"):
      true
    default: byte.isASCIIDigit || byte.isASCIILetter
    }
  }

  /// RFC 5626 §6: a flow counts when the phone asks for it and the first hop keeps it.
  private mutating func applyOutbound(_ bytes: RawSpan, wanted: Bool) -> RegisterOutcome? {
    guard contacts.contains(where: { $0.flow != 0 }) else { return nil }
    let isKept = isFirstHop || path.firstPathHasFlow
    if wanted, !isKept { return .status(439) }
    guard wanted, isKept else {
      for i in contacts.indices { contacts[i].flow = 0 }
      return nil
    }
    if contacts.count(where: { $0.expires > 0 }) > 1 { return .status(400) }
    isOutbound = true
    return nil
  }
}

extension String {
  /// The first URI of a Path bears `ob`.
  fileprivate var firstPathHasFlow: Bool {
    let text = Array(utf8)
    let bytes = text.rawSpan
    var list = CommaList(ByteRange(0, text.count))
    guard let first = list.next(bytes), let hop = NameAddr.parse(bytes, first),
      let uri = SIPURI.parse(bytes, hop.uri)
    else { return false }
    return uri.param("ob", in: bytes) != nil
  }
}

/// The `q` of a Contact in thousandths (RFC 3261 §20.10).
enum Preference {
  /// What cannot be read counts as not written.
  static func read(_ bytes: RawSpan, _ range: ByteRange?) -> UInt16 {
    guard let range, !range.isEmpty, range.count <= 5 else { return 1_000 }
    var value = 0
    var decimals = -1
    for i in range.start..<range.end {
      let byte = bytes.byte(at: i)
      if byte == UInt8(ascii: "."), decimals < 0 {
        decimals = 0
      } else if byte.isASCIIDigit {
        value = value * 10 + Int(byte - 0x30)
        if decimals >= 0 { decimals += 1 }
      } else {
        return 1_000
      }
    }
    guard decimals <= 3 else { return 1_000 }
    for _ in max(decimals, 0)..<3 { value *= 10 }
    return UInt16(min(value, 1_000))
  }

  /// Behind "0."; of less than one.
  static func digits(_ preference: UInt16) -> String {
    let text = String(min(preference, 999))
    return String(repeating: "0", count: 3 - text.count) + text
  }
}
