import Base

/// A request's method. Methods are case-sensitive (RFC 3261 §7.1).
@frozen
package enum Method: UInt8, Sendable, CaseIterable {
  case other, invite, ack, bye, cancel, options, register, prack, update, info, subscribe, notify,
    refer, message, publish

  /// As it is written on the wire; empty for `.other`, whose text only the message knows.
  package var token: StaticString {
    switch self {
    case .other: ""
    case .invite: "INVITE"
    case .ack: "ACK"
    case .bye: "BYE"
    case .cancel: "CANCEL"
    case .options: "OPTIONS"
    case .register: "REGISTER"
    case .prack: "PRACK"
    case .update: "UPDATE"
    case .info: "INFO"
    case .subscribe: "SUBSCRIBE"
    case .notify: "NOTIFY"
    case .refer: "REFER"
    case .message: "MESSAGE"
    case .publish: "PUBLISH"
    }
  }

  /// `.other` for whatever is none of the above, a token or not.
  package static func parse(_ bytes: RawSpan) -> Method {
    let method = named(bytes.word(at: 0))
    return bytes.equals(method.token) ? method : .other
  }

  /// The only method whose token begins with these eight octets.
  private static func named(_ word: UInt64) -> Method {
    switch word {
    case 0x0000_4554_4956_4e49: .invite
    case 0x0000_0000_004b_4341: .ack
    case 0x0000_0000_0045_5942: .bye
    case 0x0000_4c45_434e_4143: .cancel
    case 0x0053_4e4f_4954_504f: .options
    case 0x5245_5453_4947_4552: .register
    case 0x0000_004b_4341_5250: .prack
    case 0x0000_4554_4144_5055: .update
    case 0x0000_0000_4f46_4e49: .info
    case 0x4249_5243_5342_5553: .subscribe
    case 0x0000_5946_4954_4f4e: .notify
    case 0x0000_0052_4546_4552: .refer
    case 0x0045_4741_5353_454d: .message
    case 0x0048_5349_4c42_5550: .publish
    default: .other
    }
  }
}
