import Base
import Policy
import SIPCore
import SIPWire

// Registered contacts as targets of calls.

extension Shard {
  /// A user's phones, those of one q together and those of a higher one first (RFC 3261 §16.6); of a call to
  /// one device (RFC 5627) only that.
  func waves(ofUser user: Int, _ session: Session) -> [[CallTarget]] {
    let account = session.configuration.users[user]
    guard let network = session.configuration.network(ofUser: user) else { return [] }
    let key = Registrar.UserKey(tenant: account.tenant, user: account.name)
    let device = session.device.flatMap { $0.user == account.name ? $0.instance : nil }
    var waves: [[CallTarget]] = []
    var preference: UInt16?
    for binding in registrar.targets(key, instance: device ?? "") {
      var target = CallTarget(
        name: "user:" + account.name, address: binding.source, listener: binding.listener,
        network: network, uri: binding.contact, codecs: account.codecs, wideLatching: false,
        followsSource: true, credentials: nil,
        silence: UInt32(clamping: account.mediaTimeout.milliseconds))
      target.routes = Array(binding.path.utf8)
      target.srtp = account.srtp
      target.streams = account.streams
      target.transcodes = account.transcode
      target.treatment = account.treatment
      target.dtmf = account.dtmf
      let isFull = waves.last.map { $0.count >= ForkLimits.legsTogether } ?? true
      if isFull || binding.preference != preference {
        waves.append([target])
        preference = binding.preference
      } else {
        waves[waves.count - 1].append(target)
      }
    }
    return waves
  }

  /// What a PBX registered for its trunk: a single contact is called as it stands, of a number block with the
  /// number put in (RFC 6140 §5.2).
  func targets(
    registeredFor trunk: Int, _ peer: Trunk, network: Int, _ called: String
  ) -> [CallTarget] {
    guard peer.registersWithUs else { return [] }
    let key = Registrar.UserKey(tenant: peer.tenant, user: peer.name, isTrunk: true)
    return registrar.targets(key).map {
      var target = CallTarget(
        peer, trunk, network: network, address: $0.source, listener: $0.listener,
        uri: $0.isNumberBlock ? NumberBlock.uri($0.contact, number: called) : $0.contact)
      // Its own connection, which it made: there is none that we would make.
      target.followsSource = true
      target.security = nil
      target.routes = Array($0.path.utf8)
      return target
    }
  }
}

enum NumberBlock {
  /// The contact with the number before its host and without `bnc`.
  static func uri(_ contact: String, number: String) -> String {
    let text = Array(contact.utf8)
    let bytes = text.rawSpan
    guard let uri = SIPURI.parse(bytes, ByteRange(0, text.count)), uri.user.isEmpty else {
      return contact
    }
    let host = bytes.string(uri.host)
    var result = "sip:\(UserPart.escaped(number))@" + (host.contains(":") ? "[\(host)]" : host)
    if let port = uri.port { result += ":\(port)" }
    var parameters = URIParameters(uri.params)
    while let parameter = parameters.next(bytes) {
      if bytes.extracting(parameter.name).equalsIgnoringCase("bnc") { continue }
      result += ";" + bytes.string(parameter.name)
      if !parameter.value.isEmpty { result += "=" + bytes.string(parameter.value) }
    }
    return result
  }
}
