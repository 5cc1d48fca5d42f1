import Base
import Policy
import SIPWire

/// Somebody to whom a call came and who sent it on.
struct Diversion: Equatable {
  /// As it is shown to others: a caller ID, an extension, or the number that was called.
  var number: String
  var reason: DiversionReason
  /// "user:NAME" or "trunk:NAME" of ours; empty for what another network has told.
  var name = ""
}

/// How often a call may be sent on, by whomever: RFC 5806 §9 leaves the number open, five is what most
/// telephone networks allow.
enum DiversionLimits {
  static let most = 5
  /// Entries of a peer's header that are looked at.
  static let read = 16
}

extension DiversionReason {
  /// RFC 5806 §5.
  var diversionText: StaticString {
    switch self {
    case .always: "unconditional"
    case .busy: "user-busy"
    case .noAnswer: "no-answer"
    case .unreachable: "unavailable"
    case .deflection: "deflection"
    case .unknown: "unknown"
    }
  }

  /// RFC 4458 §2, as History-Info's `cause` has it.
  var historyCause: Int {
    switch self {
    case .always: 302
    case .busy: 486
    case .noAnswer: 408
    case .unreachable: 503
    case .deflection: 480
    case .unknown: 404
    }
  }

  init(diversion bytes: RawSpan, _ text: ByteRange) {
    let text = bytes.extracting(text)
    self =
      Self.allCases.first { text.equalsIgnoringCase($0.diversionText) } ?? .unknown
  }

  init(historyCause: Int?) {
    self = Self.allCases.first { $0.historyCause == historyCause } ?? .unknown
  }

  /// What a hop that ended with this cause may be forwarded by.
  init?(_ cause: Cause) {
    switch cause {
    case .busy: self = .busy
    case .noAnswer: self = .noAnswer
    case .unreachable, .notRegistered, .carrierTimeout, .carrierUnavailable, .transportFailed:
      self = .unreachable
    default: return nil
    }
  }
}

/// What a peer says of earlier forwards: the longer of its two lists, oldest first.
enum DiversionReader {
  static func read(_ message: borrowing Message) -> [Diversion] {
    let simple = diversion(message)
    let history = history(message)
    return history.count > simple.count ? history : simple
  }

  /// A number or name as it may be shown to others.
  private static func number(_ bytes: RawSpan, _ uri: SIPURI) -> String {
    let text = Escapes.string(bytes, uri.user)
    let isPlain = text.utf8.allSatisfy {
      $0.isASCIIDigit || $0.isASCIILetter || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-")
        || $0 == UInt8(ascii: ".")
    }
    return isPlain && (1...64).contains(text.utf8.count) ? text : "anonymous"
  }

  /// RFC 5806 §6: the topmost is the most recent; `counter` stands for several.
  private static func diversion(_ message: borrowing Message) -> [Diversion] {
    let bytes = message.bytes
    var found: [Diversion] = []
    var values = message.values(of: .diversion)
    while let value = values.next(bytes), found.count < DiversionLimits.read {
      guard let entry = NameAddr.parse(bytes, value), let uri = SIPURI.parse(bytes, entry.uri)
      else { continue }
      let reason = entry.param("reason", in: bytes).map { DiversionReason(diversion: bytes, $0) }
      let count = entry.param("counter", in: bytes).flatMap { bytes.decimal($0) } ?? 1
      let one = Diversion(
        number: number(bytes, uri), reason: reason ?? .unknown)
      found += Array(repeating: one, count: min(max(Int(clamping: count), 1), DiversionLimits.read))
    }
    return found.prefix(DiversionLimits.read).reversed()
  }

  /// RFC 7044 §10: an entry with `mp` was reached since the one with that index was sent on, for the
  /// reason that its URI's `cause` tells.
  private static func history(_ message: borrowing Message) -> [Diversion] {
    let bytes = message.bytes
    var numbers: [(index: String, number: String)] = []
    var found: [Diversion] = []
    var values = message.values(of: .historyInfo)
    while let value = values.next(bytes), numbers.count < DiversionLimits.read {
      guard let entry = NameAddr.parse(bytes, value), let uri = SIPURI.parse(bytes, entry.uri),
        let index = entry.param("index", in: bytes)
      else { continue }
      if let mapped = entry.param("mp", in: bytes),
        let from = numbers.last(where: { $0.index == bytes.string(mapped.first(32)) })
      {
        let cause = Parameters.find("cause", bytes, uri.params).flatMap { bytes.decimal($0) }
        found.append(
          Diversion(
            number: from.number,
            reason: DiversionReason(historyCause: cause.map { Int(clamping: $0) })))
      }
      numbers.append(
        (bytes.string(index.first(32)), number(bytes, uri)))
    }
    return found
  }
}
