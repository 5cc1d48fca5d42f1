import Base
import Policy
import SIPCore
import SIPWire

// Registrations that a PBX behind us keeps (decision record 0026). A phone's REGISTER becomes one of ours: with a
// Contact of ours for each contact of the phone, and with the phone's credentials as they came, since they prove the
// phone to the PBX and to nobody else (RFC 3261 §22.1).
//
//     phone                     demarc                      PBX
//      │ REGISTER Contact: phone  │ REGISTER Contact: token@us │
//      │ ───────────────────────▶ │ ─────────────────────────▶ │
//      │ 401 challenge of the PBX │ 401                        │
//      │ ◀─────────────────────── │ ◀───────────────────────── │
//      │ REGISTER, Authorization  │ REGISTER, Authorization    │
//      │ ───────────────────────▶ │ ─────────────────────────▶ │
//      │ 200 expires=60           │ 200 expires=3600           │
//      │ ◀─────────────────────── │ ◀───────────────────────── │
//      │ REGISTER (a refresh)     │                            │
//      │ ───────────────────────▶ │  answered here until half  │
//      │ 200 expires=60           │  of the hour is over       │
//      │ ◀─────────────────────── │                            │
//
// Nothing is kept for a phone before the PBX has accepted it: Call-ID, tag and Contact are made from the phone's by
// the process's secret, so that the request with credentials follows the one without (§22.2), and a phone has one
// Contact at the PBX, however often it asks.

/// Bounds of what a phone or a PBX can make us carry.
enum PassingLimits {
  static let uriBytes = 256
  static let userBytes = 128
  static let fields = 8
  static let fieldBytes = 2_048
  /// Addresses of the PBX that one REGISTER is sent to.
  static let tries = 3
  /// How long an address is waited for, where another is left and where none is: the phone gives up after 32 s.
  static let patience = Interval.seconds(4)
  static let lastPatience = Interval.seconds(10)
  /// What must be left of the PBX's time when a phone's own runs out.
  static let margin = Interval.seconds(10)
  /// When a phone is to come back; drawn, so that not all come at once.
  static let comeBack = 10..<30
}

/// A phone's REGISTER on its way to the PBX.
final class PassedRegister {
  struct Way {
    var address: SocketAddress
    var listener: ListenerIndex
    var security: TrunkSecurity?
    var watched: TrunkTarget?
  }
  struct Contact {
    var requested: RequestedContact
    var token: String
    /// Asked of the PBX, in seconds.
    var asked: Int
  }

  let serial: UInt64
  let server: ServerTransaction
  let peer: Trunk
  let request: PassedRequest
  let ways: [Way]
  var chosen = 0
  var transaction: ClientTransaction?
  var timer = TimerID.none

  init(
    serial: UInt64, server: ServerTransaction, peer: Trunk, _ request: PassedRequest,
    ways: [Way]
  ) {
    self.serial = serial
    self.server = server
    self.peer = peer
    self.request = request
    self.ways = ways
  }
}

/// What a phone's REGISTER says, read for passing it on.
struct PassedRequest {
  var register: RegisterRequest
  var registrant: Registrant
  var arrival: Arrival
  var callID: String
  var cseq: UInt32
  var userAgent: String
  var requestURI: [UInt8]
  var maxForwards: Int
  /// Of our request: the same for each REGISTER of the phone.
  var identity: HashKey
  var credentials: [[UInt8]]
  /// Whose guess it is if the PBX refuses it; nil: it bears no credentials.
  var guesser: HashKey?
  var contacts: [PassedRegister.Contact] = []
}

extension Shard {
  /// True: the REGISTER is for a PBX that keeps its phones' registrations, and has been dealt with.
  func passesRegister(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, network: Int,
    _ arrival: Arrival
  ) -> Bool {
    guard let trunk = passingTrunk(message) else { return false }
    let peer = configuration.trunks[trunk]
    guard let passing = peer.passing, configuration.passes(trunk, network: network),
      let registrant = registrant(passedTo: trunk, passing, message, fields)
    else {
      refuse(message, fields, 403, .forbidden, arrival)
      return true
    }
    var register = RegisterRequest(message)
    var outcome = register.read(message, isTrunk: false)
    register.leaveOutExtensions()
    var request = read(message, fields, register, registrant, arrival)
    outcome = outcome ?? olderThanKnown(request)
    if outcome == nil, refreshesHere(request, peer, passing) {
      counters.passing.answeredHere &+= 1
      outcome = .done
    }
    if let outcome {
      guard let transaction = makeServer(message, fields, key, arrival) else {
        refuse(message, fields, 503, .capacity, arrival)
        return true
      }
      answerRegister(transaction, outcome, register, registrant)
      return true
    }
    if request.credentials.isEmpty, refusesStranger(message, fields, network: network, arrival) {
      return true
    }
    if guessesTooOften(request) {
      sendBack(message, fields, .authenticationFailed, arrival)
      return true
    }
    addContacts(to: &request, peer, passing)
    carry(request, trunk, peer, message, fields, key)
    return true
  }

  /// The trunk whose phones' domain the request is for.
  func passingTrunk(_ message: borrowing Message) -> Int? {
    guard configuration.passesRegistrations,
      let uri = SIPURI.parse(message.bytes, message.requestURI), uri.scheme != .other
    else { return nil }
    return configuration.passing(domain: message.bytes.string(uri.host.first(253)))
  }

  /// §10.3 step 5: the address of record must be of the domain.
  func registrant(
    passedTo trunk: Int, _ passing: RegistrationPassing, _ message: borrowing Message,
    _ fields: RequestFields
  ) -> Registrant? {
    guard message.requestURI.count <= PassingLimits.uriBytes,
      let tenant = configuration.tenant(ofTrunk: trunk),
      let address = addressOfRecord(message.bytes, fields.to.uri),
      configuration.passing(domain: address.domain) == trunk
    else { return nil }
    return Registrant(
      key: Registrar.UserKey(
        tenant: configuration.trunks[trunk].tenant, user: "\(address.user)@\(passing.domain)"),
      tenant: tenant, names: [], maxContacts: passing.maxContacts)
  }

  /// User, as written, and domain of a phone's address.
  func addressOfRecord(_ bytes: RawSpan, _ range: ByteRange) -> (user: String, domain: String)? {
    guard let uri = SIPURI.parse(bytes, range), uri.scheme == .sip || uri.scheme == .sips,
      !uri.user.isEmpty, uri.user.count <= PassingLimits.userBytes
    else { return nil }
    return (bytes.string(uri.user), bytes.string(uri.host.first(253)))
  }

  func read(
    _ message: borrowing Message, _ fields: RequestFields, _ register: RegisterRequest,
    _ registrant: Registrant, _ arrival: Arrival
  ) -> PassedRequest {
    let bytes = message.bytes
    let callID = bytes.string(fields.callID.first(256))
    let owner = Array(registrant.key.user.utf8)
    let identity = hash.extend(
      hash.key(owner.rawSpan, seed: 0x700), bytes.extracting(fields.callID))
    return PassedRequest(
      register: register, registrant: registrant, arrival: arrival, callID: callID,
      cseq: fields.cseq.number,
      userAgent: message.first(.userAgent).map { bytes.string($0.first(128)) } ?? "",
      requestURI: bytes.array(message.requestURI),
      maxForwards: max((message.maxForwards ?? 70) - 1, 1), identity: identity,
      credentials: lines(of: [.authorization, .proxyAuthorization], in: message),
      guesser: guesser(message, tenant: registrant.tenant, arrival))
  }

  /// Header fields as they came, each a line: what a phone and a PBX prove to one another is theirs.
  func lines(of ids: [HeaderID], in message: borrowing Message) -> [[UInt8]] {
    var lines: [[UInt8]] = []
    for id in ids {
      var next = message.next(id, after: -1)
      while let at = next, lines.count < PassingLimits.fields {
        next = message.next(id, after: at)
        let value = message.header(at).value
        guard value.count <= PassingLimits.fieldBytes else { continue }
        lines.append(
          Array("\(id.name): ".utf8) + message.bytes.array(value) + [0x0d, 0x0a])
      }
    }
    return lines
  }

  // MARK: Answered here

  /// §10.3 step 7.
  func olderThanKnown(_ request: PassedRequest) -> RegisterOutcome? {
    let known = registrar.entries(request.registrant.key)
    let isOlder = known.contains { entry in
      (request.register.isWildcard
        || request.register.contacts.contains { $0.isSame(as: entry.binding) })
        && entry.binding.callID == request.callID && entry.binding.cseq >= request.cseq
    }
    return isOlder ? .status(500) : nil
  }

  /// A refresh by a phone that is where it was, while the PBX keeps its contact for long enough. It asks for nothing
  /// that it has not proved before, so its credentials are not looked at.
  func refreshesHere(
    _ request: PassedRequest, _ peer: Trunk, _ passing: RegistrationPassing
  ) -> Bool {
    let register = request.register
    guard !register.isWildcard, !register.contacts.isEmpty else { return false }
    let known = registrar.entries(request.registrant.key)
    var refreshed: [(Binding, RequestedContact)] = []
    for var contact in register.contacts {
      guard contact.expires > 0,
        var binding = known.first(where: { contact.isSame(as: $0.binding) })?.binding,
        let passed = binding.passed, isSame(binding, contact, request)
      else { return false }
      contact.expires = granted(contact, kept: passed.kept - now, passing, request.arrival)
      guard isFresh(passed, for: .seconds(contact.expires), peer) else { return false }
      binding.cseq = request.cseq
      binding.expires = now + .seconds(contact.expires)
      refreshed.append((binding, contact))
    }
    for (binding, contact) in refreshed where !put(binding, for: contact, request.registrant) {
      return false
    }
    return true
  }

  func isSame(
    _ binding: Binding, _ contact: RequestedContact, _ request: PassedRequest
  ) -> Bool {
    binding.contact == contact.uri && binding.source == request.arrival.source
      && binding.listener == request.arrival.listener && binding.callID == request.callID
      && binding.preference == contact.preference && binding.path == request.register.path
  }

  /// The PBX keeps it, has not been away since, and will still keep it when the phone's time runs out.
  func isFresh(_ passed: PassedContact, for time: Interval, _ peer: Trunk) -> Bool {
    guard passed.trunk == peer.name, passed.since > .zero, now < passed.renew,
      passed.since >= passingRenewed[seats.seat(of: peer)] ?? .zero
    else { return false }
    return now + time + PassingLimits.margin <= passed.kept
  }

  /// What the phone is granted, in seconds: not more than the PBX's time, and behind a NAT not more than its mapping
  /// is sure to live (RFC 5626 §3.5 names 30 s to 2 min for UDP).
  func granted(
    _ contact: RequestedContact, kept: Interval, _ passing: RegistrationPassing,
    _ arrival: Arrival
  ) -> Int {
    let most = min(contact.expires, max(kept.wholeSeconds, 0))
    return isBehindNAT(contact, arrival) ? min(most, passing.natExpires.wholeSeconds) : most
  }

  /// Its Contact names another place than it speaks from, by datagrams: a connection is its own keeper.
  func isBehindNAT(_ contact: RequestedContact, _ arrival: Arrival) -> Bool {
    guard !isReliable(arrival.listener) else { return false }
    let text = Array(contact.uri.utf8)
    let bytes = text.rawSpan
    guard let uri = SIPURI.parse(bytes, ByteRange(0, text.count)),
      let ip = uri.hostAddress(in: bytes)
    else { return true }
    return SocketAddress(ip, uri.port ?? 5_060) != arrival.source
  }
}
