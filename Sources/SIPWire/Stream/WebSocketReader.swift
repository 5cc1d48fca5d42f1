import Base

/// Why a WebSocket connection must be failed, as the code of the Close frame that says so (RFC 6455 §7.4.1).
package struct WebSocketProblem: Error, Hashable, Sendable {
  package var code: UInt16
  package static let protocolError = WebSocketProblem(code: 1002)
  package static let notUTF8 = WebSocketProblem(code: 1007)
  package static let tooLong = WebSocketProblem(code: 1009)
}

/// Reads what a client sends over a WebSocket (RFC 6455 §5), a message a SIP message (RFC 7118 §5).
///
///      0               1               2               3
///     +-+-+-+-+-------+-+-------------+-------------------------------+
///     |F|R|R|R| opcode|M| length      | extended length (16 or 64)    |
///     |I|S|S|S|       |A| 0-125, 126, | if 126 or 127                 |
///     |N|V|V|V|       |S| 127         |                               |
///     +-+-+-+-+-------+K+-------------+-------------------------------+
///     | masking key: 4 octets         | payload                       |
///
/// Octets are taken as they come, and the payload goes straight to where the message is collected: a frame
/// is never held as a whole. A message is at most as long as a SIP message may be.
package struct WebSocketReader: Sendable {
  package enum Event: Hashable, Sendable {
    /// Everything was taken; nothing is whole.
    case more
    /// `message` holds a message.
    case message
    /// `control` holds what the pong must repeat (§5.5.3).
    case ping
    case pong
    /// The peer's code; 1005 where it gave none (§7.1.5).
    case close(UInt16)
  }

  private enum Opcode: UInt8 {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10
    var isControl: Bool { rawValue & 8 != 0 }
  }

  /// The message so far; the owner reads it at `.message`, and the next call begins anew.
  package private(set) var message: [UInt8] = []
  package private(set) var control: [UInt8] = []

  private var header: [UInt8] = []
  private var opcode = Opcode.continuation
  private var isFinal = false
  /// Of the frame at hand; nil between frames.
  private var left: Int?
  private var mask = InlineArray<4, UInt8>(repeating: 0)
  private var masked = 0
  /// A fragmented message is open, and whether its first frame said text (§5.4).
  private var isOpen = false
  private var isText = false
  private var isDelivered = false

  package init() {}

  /// Nothing of a message or frame is held.
  package var isBetweenMessages: Bool { !isOpen && left == nil && header.isEmpty }

  /// Reads on from `at`, which moves, up to the first thing that is whole.
  package mutating func next(_ bytes: RawSpan, at: inout Int) throws(WebSocketProblem) -> Event {
    if isDelivered {
      isDelivered = false
      message.removeAll(keepingCapacity: message.capacity <= 4_096)
    }
    while true {
      if left == nil {
        guard try readHeader(bytes, &at) else { return .more }
      }
      guard takePayload(bytes, &at) else { return .more }
      left = nil
      if let event = try frameEnded() { return event }
    }
  }

  /// True when the frame's header is whole.
  private mutating func readHeader(_ bytes: RawSpan, _ at: inout Int) throws(WebSocketProblem)
    -> Bool
  {
    while at < bytes.byteCount {
      header.append(bytes.byte(at: at))
      at &+= 1
      guard header.count >= 2 else { continue }
      if header.count == 2 { try checkStart() }
      let short = Int(header[1] & 0x7f)
      let extended = short == 126 ? 2 : short == 127 ? 8 : 0
      guard header.count == 6 &+ extended else { continue }
      try begin(short, extended)
      return true
    }
    return false
  }

  private mutating func checkStart() throws(WebSocketProblem) {
    // No extension was agreed on, so the reserved bits are 0 (§5.2); a client masks (§5.1).
    guard header[0] & 0x70 == 0, header[1] & 0x80 != 0, let code = Opcode(rawValue: header[0] & 15)
    else { throw .protocolError }
    opcode = code
    isFinal = header[0] & 0x80 != 0
    // §5.5: a control frame is short and whole. §5.4: a continuation needs a beginning, a new message none.
    if code.isControl {
      guard isFinal, header[1] & 0x7f < 126 else { throw .protocolError }
    } else {
      guard isOpen == (code == .continuation) else { throw .protocolError }
    }
  }

  private mutating func begin(_ short: Int, _ extended: Int) throws(WebSocketProblem) {
    var length: UInt64 = 0
    for i in 0..<extended { length = length << 8 | UInt64(header[2 &+ i]) }
    if extended == 0 { length = UInt64(short) }
    // §5.2: the shortest form, and never the highest bit.
    guard extended != 2 || length > 125, extended != 8 || length > 0xffff, length >> 63 == 0 else {
      throw .protocolError
    }
    if !opcode.isControl {
      guard length <= UInt64(SIPLimits.messageBytes &- message.count) else { throw .tooLong }
      if opcode != .continuation {
        isOpen = true
        isText = opcode == .text
      }
    } else {
      control.removeAll(keepingCapacity: true)
    }
    let key = 2 &+ extended
    mask = [header[key], header[key &+ 1], header[key &+ 2], header[key &+ 3]]
    masked = 0
    left = Int(length)
    header.removeAll(keepingCapacity: true)
  }

  /// True when the payload is whole.
  private mutating func takePayload(_ bytes: RawSpan, _ at: inout Int) -> Bool {
    let wanted = left ?? 0
    let count = min(wanted, bytes.byteCount &- at)
    let payload = bytes.slice(at, at &+ count)
    let phase = masked & 3
    if opcode.isControl {
      Self.unmask(payload, mask, from: phase, into: &control)
    } else {
      Self.unmask(payload, mask, from: phase, into: &message)
    }
    masked &+= count
    at &+= count
    left = wanted &- count
    return count == wanted
  }

  /// §5.3: octet i of the frame with octet i mod 4 of the key.
  private static func unmask(
    _ payload: RawSpan, _ mask: InlineArray<4, UInt8>, from phase: Int, into output: inout [UInt8]
  ) {
    let start = output.count
    output.append(copying: payload)
    var span = output.mutableSpan
    for i in start..<span.count { span[i] ^= mask[(i &- start &+ phase) & 3] }
  }

  private mutating func frameEnded() throws(WebSocketProblem) -> Event? {
    switch opcode {
    case .continuation, .text, .binary:
      guard isFinal else { return nil }
      isOpen = false
      isDelivered = true
      if isText, String(validating: message, as: UTF8.self) == nil { throw .notUTF8 }
      return .message
    case .ping: return .ping
    case .pong: return .pong
    case .close:
      guard control.count != 1 else { throw .protocolError }
      return .close(control.count < 2 ? 1005 : UInt16(control[0]) << 8 | UInt16(control[1]))
    }
  }
}

/// What we send over a WebSocket: whole frames without a mask (§5.1).
package enum WebSocketWriter {
  package enum Kind: UInt8, Sendable {
    case text = 1
    case close = 8
    case pong = 10
  }

  /// What goes before `count` octets of payload.
  package static func header(_ kind: Kind, count: Int, into output: inout [UInt8]) {
    output.append(0x80 | kind.rawValue)
    if count < 126 {
      output.append(UInt8(truncatingIfNeeded: count))
    } else if count <= 0xffff {
      output.append(126)
      output.append(UInt8(truncatingIfNeeded: count >> 8))
      output.append(UInt8(truncatingIfNeeded: count))
    } else {
      output.append(127)
      for shift in stride(from: 56, through: 0, by: -8) {
        output.append(UInt8(truncatingIfNeeded: count >> shift))
      }
    }
  }

  /// A Close frame with its code (§5.5.1).
  package static func close(_ code: UInt16, into output: inout [UInt8]) {
    header(.close, count: 2, into: &output)
    output.append(UInt8(truncatingIfNeeded: code >> 8))
    output.append(UInt8(truncatingIfNeeded: code))
  }
}
