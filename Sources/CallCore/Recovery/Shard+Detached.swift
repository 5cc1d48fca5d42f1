import Base
import Policy
import SIPWire

/// Legs of phones whose connection went with an earlier process, by whose phone it is. As many as there were calls at the
/// start at most; what is over is dropped when the user's phones come again.
struct DetachedLegs {
  private var legs: [Registrar.UserKey: [SlabHandle]] = [:]

  var isEmpty: Bool { legs.isEmpty }

  mutating func add(_ leg: SlabHandle, of user: Registrar.UserKey) {
    legs[user, default: []].append(leg)
  }

  mutating func take(of user: Registrar.UserKey) -> [SlabHandle] {
    legs.removeValue(forKey: user) ?? []
  }
}

// A phone by TCP, TLS or WebSocket is reached by the connection that it made, or not at all. When it has made another one
// and registers by it (RFC 5626 §4.4.1), what goes to it in its calls goes there from then on.

extension Shard {
  /// Of a call that goes on. False: its peer is reached as ever.
  func noteDetached(_ leg: Leg, _ session: Session) -> Bool {
    let party = leg.side == .a ? session.record.from : session.record.to
    guard leg.followsSource, isReliable(leg.listener), party.hasPrefix("user:") else {
      return false
    }
    detached.add(
      leg.handle,
      of: Registrar.UserKey(tenant: session.record.tenant, user: String(party.dropFirst(5))))
    return true
  }

  /// The user's phone has proven who it is.
  func attach(_ binding: Binding, _ user: Registrar.UserKey) {
    for handle in detached.take(of: user) {
      guard let leg = leg(handle), leg.state == .confirmed else { continue }
      guard transport(leg.listener) == transport(binding.listener), names(binding.contact, leg)
      else {
        detached.add(handle, of: user)
        continue
      }
      follow(leg, Arrival(source: binding.source, listener: binding.listener))
      attached(leg)
    }
  }

  /// Whether the contact is that of the dialog. Its port may be of the connection.
  private func names(_ contact: String, _ leg: Leg) -> Bool {
    let target = blocks.bytes(leg.text).extracting(leg.target)
    let contact = Array(contact.utf8)
    guard let own = SIPURI.parse(target, ByteRange(0, target.byteCount)),
      let other = SIPURI.parse(contact.rawSpan, ByteRange(0, contact.count))
    else { return false }
    return target.extracting(own.user).equals(contact.rawSpan.extracting(other.user))
      && target.extracting(own.host).equals(contact.rawSpan.extracting(other.host))
  }
}
