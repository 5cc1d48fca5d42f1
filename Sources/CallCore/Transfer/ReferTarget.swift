import Base
import SIPWire

/// Where a REFER wants the call to go (RFC 3515 §2.1).
struct ReferTarget {
  /// As it would be dialled; empty where only a dialog is named.
  var number: String
  /// The dialog that is to be replaced, where the URI names one.
  var replaces: ReplacedDialog?

  /// Nil: no Refer-To or several, or one that is not of a call. Of the header fields that a URI may ask for, only
  /// Replaces means anything: nobody writes our requests for us.
  static func read(_ message: borrowing Message) -> ReferTarget? {
    let bytes = message.bytes
    var values = message.values(of: .referTo)
    guard let value = values.next(bytes), values.next(bytes) == nil,
      let address = NameAddr.parse(bytes, value), let uri = SIPURI.parse(bytes, address.uri),
      uri.scheme != .other
    else { return nil }
    if let method = uri.param("method", in: bytes),
      !bytes.extracting(method).equalsIgnoringCase("INVITE")
    {
      return nil
    }
    let number = Escapes.string(bytes, uri.user)
    guard number.utf8.count <= 64 else { return nil }
    var target = ReferTarget(number: number)
    for field in bytes.string(uri.headers).split(separator: "&") {
      guard field.lowercased().hasPrefix("replaces=") else { continue }
      let escaped = Array(field.utf8.dropFirst(9))
      let text = Escapes.string(escaped.rawSpan, ByteRange(0, escaped.count))
      guard target.replaces == nil, let dialog = ReplacedDialog(text) else { return nil }
      target.replaces = dialog
    }
    return number.isEmpty && target.replaces == nil ? nil : target
  }
}

/// The dialog that a Replaces names (RFC 3891 §6.1): `call-id;to-tag=…;from-tag=…[;early-only]`.
struct ReplacedDialog: Equatable {
  var callID: String
  /// Of whoever gets the request that bears the Replaces, and of the other side.
  var toTag: String
  var fromTag: String
  var isEarlyOnly = false

  init?(_ text: String) {
    guard text.utf8.count <= 512 else { return nil }
    let parts = text.split(separator: ";", omittingEmptySubsequences: false).map {
      $0.trimmingSpaces
    }
    guard let first = parts.first, !first.isEmpty else { return nil }
    callID = first
    var toTag: String?
    var fromTag: String?
    for part in parts.dropFirst() {
      let name = part.prefix { $0 != "=" }.lowercased()
      let value = String(part.dropFirst(name.utf8.count + 1))
      switch name {
      case "to-tag" where toTag == nil: toTag = value
      case "from-tag" where fromTag == nil: fromTag = value
      case "to-tag", "from-tag": return nil
      case "early-only": isEarlyOnly = true
      default: break
      }
    }
    guard let toTag, let fromTag, !toTag.isEmpty, !fromTag.isEmpty else { return nil }
    self.toTag = toTag
    self.fromTag = fromTag
  }
}

extension Substring {
  fileprivate var trimmingSpaces: String {
    var text = self.drop { $0 == " " || $0 == "\t" }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return String(text)
  }
}
