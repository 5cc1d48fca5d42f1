import Base
import Policy
import SIPCore
import SIPWire

// Globally routable user agent URIs (RFC 5627): one device of a user, by a name that says so.
//
// A public GRUU is the address of record with the instance; nothing needs to be kept for it. A temporary one is
// a sealed number: nobody can tell two of them from any other two, and they end with the registration, or with
// this process.

extension Shard {
  /// `pub-gruu` and `temp-gruu` of a contact with an instance. A number block has none: they are optional there
  /// (RFC 6140 §7.1).
  func writeGRUUs(_ binding: Binding, _ registrant: Registrant) {
    guard !binding.isTrunk else { return }
    let domain = gruuDomain(registrant.tenant, binding.listener)
    outbox.datagrams.append(";pub-gruu=\"sip:")
    outbox.datagrams.append(UserPart.escaped(binding.user))
    outbox.datagrams.append("@")
    outbox.datagrams.append(domain)
    outbox.datagrams.append(";gr=")
    outbox.datagrams.append(binding.instance)
    outbox.datagrams.append("\";temp-gruu=\"sip:tgruu.")
    let number = registrar.number(
      of: Registrar.Instance(key: registrant.key, instance: binding.instance))
    mint.write(
      OwnerToken(
        kind: .gruu, fork: 0,
        owner: SlabHandle(slot: number, generation: UInt32(truncatingIfNeeded: random.next()))),
      into: &outbox.datagrams)
    outbox.datagrams.append("@")
    outbox.datagrams.append(domain)
    outbox.datagrams.append(";gr\"")
  }

  private func gruuDomain(_ tenant: Int, _ listener: ListenerIndex) -> String {
    configuration.tenants.element(at: tenant)?.domains.first ?? ourAddress(listener).description
  }

  /// With the last contact of an instance its temporary GRUUs end (§5.3).
  func forgetInstance(_ binding: Binding) {
    guard !binding.instance.isEmpty else { return }
    let instance = Registrar.Instance(
      key: Registrar.UserKey(
        tenant: binding.tenant, user: binding.user, isTrunk: binding.isTrunk),
      instance: binding.instance)
    if !registrar.hasContact(instance) { registrar.endTemporaryGRUUs(instance) }
  }

  /// Which user's device a request URI names; nil when it is no GRUU of the tenant.
  func gruu(_ message: borrowing Message, tenant: Int?) -> (user: String, instance: String)? {
    let bytes = message.bytes
    guard let tenant, let uri = SIPURI.parse(bytes, message.requestURI),
      let value = uri.param("gr", in: bytes)
    else { return nil }
    if !value.isEmpty {
      let instance = Escapes.string(bytes, value)
      return instance.utf8.count <= 128 ? (Escapes.string(bytes, uri.user), instance) : nil
    }
    let user = bytes.extracting(uri.user)
    let prefix = 6
    guard user.byteCount == prefix + TokenMint.digits, user.slice(0, prefix).equals("tgruu."),
      let token = mint.read(user.slice(prefix, user.byteCount)), token.kind == .gruu,
      let instance = registrar.instance(number: token.owner.slot),
      configuration.tenants[tenant].name == instance.key.tenant
    else { return nil }
    return (instance.key.user, instance.instance)
  }
}
