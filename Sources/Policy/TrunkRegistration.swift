package import Base
import CryptoCore
import SIPWire

/// How we register with the other side of a trunk (RFC 3261 §10.2), so that it knows where to send its calls.
package struct TrunkRegistration: Hashable, Sendable {
  /// The host of the registrar's URI: a domain, or an address with an optional port. It stands in the request
  /// URI, and as the domain of From, To and of the calls that we send.
  package var registrar: String
  /// The user part of the address of record.
  package var username: String
  /// The whole address of record where its domain is not the registrar's: `user@domain`.
  package var aor: String?
  /// What challenges are answered with; nil: the trunk's `credentials`.
  package var credentials: Credentials?
  /// Only challenges of this realm are answered; nil: of whatever realm the registrar names.
  package var realm: String?
  /// What we ask for; the registrar grants what it likes.
  package var expires: Interval
  /// Where REGISTER goes in place of the registrar: an address, or a name that is located (RFC 3263).
  package var outboundProxy: SIPTarget?
  /// The user part of our Contact; nil: the username.
  package var contactUser: String?
  /// How often an empty line is sent to the registrar, for a NAT before us; nil: never.
  package var keepAlive: Interval?
  /// Register every number of the trunk at once (RFC 6140): a Contact with `bnc` and without a user.
  package var numberBlock = false

  package init(
    registrar: String, username: String, expires: Interval = ResourceDefaults.registrationExpires
  ) {
    self.registrar = registrar
    self.username = username
    self.expires = expires
  }
}

extension TrunkRegistration {
  /// The registrar where it is an address.
  package var registrarAddress: SocketAddress? { registrarAddress(by: .udp) }

  /// Without a port it has that of the transport (RFC 3263 §4.2).
  func registrarAddress(by transport: TrunkTransport) -> SocketAddress? {
    SocketAddress(registrar)
      ?? IPAddress(registrar).map { SocketAddress($0, transport.wire.defaultPort) }
  }

  /// The registrar's name without a port; nil where it is an address.
  var registrarDomain: String? {
    guard registrarAddress == nil else { return nil }
    return registrar.split(separator: ":").first.map(String.init)
  }

  /// The name that a certificate must be for (RFC 5922 §4): of whom REGISTER is sent to, where that is named.
  var certifiedName: String? {
    if case .name(let proxy)? = outboundProxy?.host { return proxy }
    return registrarDomain
  }

  /// What stands behind the `@` of the registrar's URI.
  package var registrarHost: String {
    if let address = IPAddress(registrar), address.family == .v6 { return "[\(address)]" }
    return registrar
  }

  /// `user@domain` of the address of record.
  package var addressOfRecord: String { aor ?? "\(UserText.escaped(username))@\(domain)" }

  /// The domain of the address of record, which our calls bear too.
  package var domain: String {
    guard let aor, let at = aor.lastIndex(of: "@") else { return registrarHost }
    return String(aor[aor.index(after: at)...])
  }

  /// The user part of our Contact, as it is; nil for a number block, which has none.
  package var ownUser: String? { numberBlock ? nil : contactUser ?? username }
}

extension Trunk {
  /// Its PBX may register, and is then called where it registered.
  package var registersWithUs: Bool { kind == .pbx && authentication != nil }

  /// What answers the registrar's challenges.
  package var registrationCredentials: Credentials? { register?.credentials ?? credentials }

  /// Where REGISTER is sent, in order of preference. A registrar by name is located only where nothing else
  /// says where it is.
  package var registrarTargets: [SIPTarget] {
    guard let register else { return [] }
    if let proxy = register.outboundProxy { return [proxy.reached(by: transport)] }
    if let address = register.registrarAddress(by: transport) { return [SIPTarget(address)] }
    if !targets.isEmpty { return targets }
    return SIPTarget(register.registrar).map { [$0] } ?? []
  }

  /// Those that are addresses as they stand.
  package var registrarAddresses: [SocketAddress] { registrarTargets.compactMap(\.address) }

  /// Whose addresses speak for the trunk where it has no `sources`.
  package var speakingTargets: [SIPTarget] { targets.isEmpty ? registrarTargets : targets }

  /// The `line` parameter of our Contact: which registration a call came by. It is the same after a restart,
  /// so that the registrar replaces its old binding, and nobody without the password can make it up.
  package var registrationLine: String? {
    guard let register, let password = registrationCredentials?.password else { return nil }
    let text = "line\n\(tenant)\n\(name)\n\(register.addressOfRecord)"
    let key = Array(password.utf8)
    let value = HMAC.sha256(key: key.rawSpan, Array(text.utf8).rawSpan)
    return String(value.hex.description.prefix(24))
  }
}

/// The user part of a URI that is made from what somebody configured.
enum UserText {
  /// RFC 3261 §25.1: what is neither unreserved nor user-unreserved is escaped.
  static func escaped(_ text: String) -> String {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      if isPlain(byte) {
        bytes.append(byte)
      } else {
        bytes.append(contentsOf: [0x25, .hexDigit(byte >> 4), .hexDigit(byte)])
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x2a, 0x2b, 0x2d, 0x2e, 0x5f: true  // * + - . _
    default: byte.isASCIIDigit || byte.isASCIILetter
    }
  }
}
