import Base
import Policy
import SIPCore
import SIPWire

// Why a call ended, carried from one side to the other (RFC 3326, RFC 6432), and the name that it has on both
// (RFC 7989).

extension Shard {
  /// A BYE of an answered call: hanging up, unless its Reason says that something broke.
  func byeCause(_ session: Session, _ message: borrowing Message) -> Cause {
    let reason = message.releaseReason
    session.reason = reason
    return Cause.told(reason) ?? .normalClearing
  }

  /// The Q.850 number that the other side is told: the peer's own where it named one.
  func releaseCode(_ leg: Leg, _ cause: Cause) -> UInt8 {
    if let told = leg.session?.reason.q850, told != 0 { return told }
    return cause == .normalClearing ? 0 : UInt8(clamping: cause.q850)
  }

  func writeReason(_ q850: UInt8, into output: inout OutputBuffer) {
    guard q850 != 0 else { return }
    output.append("Reason: Q.850;cause=")
    output.append(decimal: Int(q850))
    output.append("\r\n")
  }

  // MARK: Session-ID

  /// The caller's half; ours stands for the callee until it names its own.
  func noteSessionID(_ session: Session, _ message: borrowing Message) {
    guard let uuid = message.sessionUUID else { return }
    let own = SessionUUID(high: random.next(), low: random.next() | 1)
    session.names = (SessionUUID(message.bytes.extracting(uuid)), own)
  }

  func noteCalleeID(_ session: Session, _ message: borrowing Message) {
    guard session.names != nil, let uuid = message.sessionUUID else { return }
    session.names?.callee = SessionUUID(message.bytes.extracting(uuid))
  }

  /// Seen from a leg, the other side is the sender (RFC 7989 §7).
  func writeSessionID(_ leg: Leg, into output: inout OutputBuffer) {
    guard let names = leg.session?.names else { return }
    let (far, near) =
      leg.side == .a ? (names.callee, names.caller) : (names.caller, names.callee)
    output.append("Session-ID: ")
    far.write(into: &output)
    output.append(";remote=")
    near.write(into: &output)
    output.append("\r\n")
  }

  // MARK: Loops

  /// A request with a From tag of ours went out here and came back through proxies (RFC 5393 §4.2). Under
  /// another number that is a spiral and lawful; under the same one it is a loop.
  func isLoop(_ message: borrowing Message, _ fields: RequestFields) -> Bool {
    guard let token = mint.read(message.bytes.extracting(fields.from.tag)), token.kind == .tag,
      let leg = leg(token.owner), leg.isOurs,
      let uri = SIPURI.parse(message.bytes, message.requestURI)
    else { return false }
    let text = blocks.bytes(leg.text)
    guard let ours = SIPURI.parse(text, leg.target) else { return false }
    return message.bytes.extracting(uri.user).equals(text.extracting(ours.user))
  }
}

/// Half of a Session-ID.
struct SessionUUID {
  var high: UInt64
  var low: UInt64

  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Of 32 hexadecimal digits; what is none counts as 0.
  init(_ text: RawSpan) {
    high = 0
    low = 0
    for i in 0..<32 {
      let digit = UInt64(text.byte(at: i).hexDigitValue ?? 0)
      if i < 16 { high = high << 4 | digit } else { low = low << 4 | digit }
    }
  }

  func write(into output: inout OutputBuffer) {
    output.append(hex: high, digits: 16)
    output.append(hex: low, digits: 16)
  }
}
