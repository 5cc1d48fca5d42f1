import Base
import Policy
import SIPCore
import SIPWire

// Calls between a PBX and the phones whose registrations it keeps (decision record 0026). Who calls whom is the PBX's
// affair, and so is who may: a phone's call goes to the PBX as it was dialled, with its challenge and the phone's
// answer to it carried; the PBX calls a phone by the Contact that we gave it.

/// A phone that calls, known by its address and by where it is registered from.
struct CallingPhone {
  var trunk: Int
  /// Of its address: what stands before the `@`.
  var user: String
  var address: String
}

/// What a phone's call takes along to its PBX.
struct PhoneCall {
  /// The request URI: the digest is over it (RFC 3261 §22.4).
  var uri: String
  var domain: String

  func shape(_ target: inout CallTarget) {
    target.uri = uri
    target.domain = domain
    target.calledDomain = domain
    // The phone proves itself, not the trunk.
    target.credentials = nil
  }
}

extension Shard {
  /// The phone that sends a request, if it is one whose registration a PBX keeps: its From, or what it would rather be
  /// called where that says nobody, is registered from there.
  func callingPhone(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) -> CallingPhone? {
    guard configuration.passesRegistrations else { return nil }
    let bytes = message.bytes
    let preferred = message.first(.pPreferredIdentity).flatMap { NameAddr.parse(bytes, $0)?.uri }
    for range in [fields.from.uri, preferred] {
      guard let range, let address = addressOfRecord(bytes, range),
        let trunk = configuration.passing(domain: address.domain),
        let domain = configuration.trunks[trunk].passing?.domain
      else { continue }
      let peer = configuration.trunks[trunk]
      let name = "\(address.user)@\(domain)"
      let known = registrar.entries(Registrar.UserKey(tenant: peer.tenant, user: name))
      let isThere = known.contains {
        $0.binding.source == arrival.source && $0.binding.listener == arrival.listener
          && $0.binding.passed?.trunk == peer.name
      }
      if isThere { return CallingPhone(trunk: trunk, user: address.user, address: name) }
    }
    return nil
  }

  /// A request for a PBX's phones' domain, from nobody who is registered there and no trunk.
  func isStrangeToPBX(
    _ message: borrowing Message, _ fields: RequestFields, network: Int, _ arrival: Arrival
  ) -> Bool {
    passingTrunk(message) != nil
      && (knownTrunk(fields.via, network: network, arrival)
        ?? locatedTrunk(arrival.source, network: network)) == nil
  }

  /// What the phone dialled is for its PBX to read.
  func read(
    _ message: borrowing Message, _ fields: RequestFields, _ phone: CallingPhone
  ) -> InviteReading {
    let bytes = message.bytes
    let uri = SIPURI.parse(bytes, message.requestURI)
    let dialled = uri.map { Escapes.string(bytes, $0.user.first(128)) } ?? ""
    let claim = claim(message, fields, .phone(phone.trunk))
    var reading = InviteReading(
      dialled: dialled, called: .success(dialled),
      identity: .success(
        CallerIdentity(
          number: phone.user, origin: .asGiven, isPrivate: claim.isPrivate)), device: nil)
    reading.from = "phone:" + phone.address
    reading.passed = lines(of: [.authorization, .proxyAuthorization], in: message).map {
      Array($0.dropLast(2))
    }
    reading.phone = PhoneCall(
      uri: bytes.string(message.requestURI),
      domain: configuration.trunks[phone.trunk].passing?.domain ?? "")
    reading.plan = .success(
      plan(
        .trunk(phone.trunk), dialled, rings: ResourceDefaults.ringTimeout,
        answers: ResourceDefaults.carrierTimeout))
    return reading
  }

  private func plan(
    _ target: PlannedTarget, _ called: String, rings: Interval, answers: Interval
  ) -> RoutePlan {
    RoutePlan(hops: [
      PlannedHop(
        target: target, answerTimeout: rings, responseTimeout: answers, continueOn: CauseSet(),
        calledNumber: called)
    ])
  }

  // MARK: To a phone

  /// The contact that a PBX calls by the name that we gave it; the inner nil: one of a phone that is not registered
  /// any more. Nil: it calls something else.
  func calledContact(_ message: borrowing Message, _ caller: CallerKind) -> Binding?? {
    guard case .trunk(let trunk) = caller, configuration.trunks[trunk].passing != nil,
      let uri = SIPURI.parse(message.bytes, message.requestURI),
      uri.user.count == TokenMint.digits, isHexadecimal(message.bytes, uri.user)
    else { return nil }
    let peer = configuration.trunks[trunk]
    let binding = registrar.binding(token: message.bytes.string(uri.user))
    return .some(
      binding.flatMap { $0.passed?.trunk == peer.name && $0.tenant == peer.tenant ? $0 : nil })
  }

  private func isHexadecimal(_ bytes: RawSpan, _ range: ByteRange) -> Bool {
    for at in range.start..<range.end {
      switch bytes.byte(at: at) {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): continue
      default: return false
      }
    }
    return true
  }

  func read(
    _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind,
    to contact: Binding?
  ) -> InviteReading {
    guard let binding = contact else {
      var reading = InviteReading(
        dialled: "", called: .failure(.notRegistered),
        identity: identify(message, fields, caller), device: nil)
      reading.plan = .failure(.notRegistered)
      return reading
    }
    let called = binding.user.split(separator: "@").first.map(String.init) ?? binding.user
    var reading = InviteReading(
      dialled: called, called: .success(called), identity: identify(message, fields, caller),
      device: nil)
    if case .failure(let cause) = reading.identity {
      reading.plan = .failure(cause)
    } else {
      reading.plan = .success(
        plan(
          .contact(binding.passed?.token ?? ""), called, rings: ResourceDefaults.ringTimeout,
          answers: ResourceDefaults.phoneTimeout))
    }
    return reading
  }

  /// Nil: the phone is not registered any more.
  func target(ofContact token: String, _ session: Session) -> CallTarget? {
    guard let binding = registrar.binding(token: token), let passed = binding.passed,
      let network = configuration.network(ofListener: binding.listener)
    else { return nil }
    var target = CallTarget(
      name: "phone:" + binding.user, address: binding.source, listener: binding.listener,
      network: network, uri: binding.contact, codecs: [], wideLatching: false,
      followsSource: true, credentials: nil,
      silence: UInt32(clamping: ResourceDefaults.mediaTimeout.milliseconds))
    target.routes = Array(binding.path.utf8)
    // What the phone shows is what it can call back.
    target.domain =
      configuration.trunks.first {
        $0.name == passed.trunk && $0.tenant == binding.tenant
      }?.passing?.domain
    target.calledDomain = target.domain
    return target
  }
}
