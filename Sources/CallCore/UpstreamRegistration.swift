package import Base
import Policy
import Resolution
import SIPCore

/// How one of our registrations with a provider stands.
package struct UpstreamStatus: Hashable, Sendable {
  package enum State: String, Sendable, CaseIterable {
    case unregistered, trying, challenged, registered, failed, unregistering
  }

  package var tenant: String
  package var trunk: String
  package var registrar: String
  package var addressOfRecord: String
  package var state: State
  /// Whether calls leave by it: also while a refresh has failed and the old time is not over.
  package var isRegistered: Bool
  /// Of the last failure; empty while all is well.
  package var reason = ""
  /// The status that the registrar gave with it; 0: none.
  package var status = 0
  package var since: Instant
  package var expires: Instant?
  /// When REGISTER is sent next.
  package var next: Instant?
  /// Where the last REGISTER went.
  package var address: SocketAddress?
  /// Public identities that the registrar gave us (RFC 7315 §4.1).
  package var identities: [String] = []
  /// REGISTER requests sent, and tries that failed.
  package var attempts: UInt64 = 0
  package var failures: UInt64 = 0

  package init(
    tenant: String, trunk: String, registrar: String, addressOfRecord: String, state: State,
    isRegistered: Bool, since: Instant
  ) {
    self.tenant = tenant
    self.trunk = trunk
    self.registrar = registrar
    self.addressOfRecord = addressOfRecord
    self.state = state
    self.isRegistered = isRegistered
    self.since = since
  }
}

/// A trunk's registration with its provider: the machine, and what it needs to speak.
final class UpstreamRegistration {
  /// Names it to the wheel.
  let serial: UInt64
  /// As it was when this registration began; a trunk that changes what matters here gets another one.
  let trunk: Trunk
  let register: TrunkRegistration
  let credentials: Credentials?
  let line: String
  var machine: ClientRegistration
  var digest: DigestSession?
  /// Who gave us the challenge that `digest` answers: another server hears nothing of it.
  var digestAddress: SocketAddress?
  /// What is changed in each REGISTER.
  var rules: RuleSet?

  let callID: [UInt8]
  let tag: [UInt8]
  var cseq: UInt32 = 0
  /// Where the configuration says that REGISTER goes, and what that came to; with names, by their order for
  /// this registration.
  let targets: [SIPTarget]
  var addresses: [SocketAddress] = []
  /// What the names had come to when `addresses` was made of it.
  var locations: [Set<LocatedAddress>] = []
  /// Since when the first answer for a name is waited for, and the name that has none.
  var awaitsNameSince: Instant?
  var unresolved = ""
  /// Which of them is tried, and how many of them have failed since one answered.
  var chosen = 0
  var failedAddresses = 0
  /// By which it is registered: calls leave by the same (listener, address).
  var flow: (listener: ListenerIndex, address: SocketAddress)?
  /// How often the registrar wants the flow kept alive (RFC 5626 §5.4); nil: it says nothing.
  var flowTimer: Interval?
  /// RFC 3608: the Route of our requests, as one header value.
  var serviceRoute: [UInt8] = []
  var identities: [[UInt8]] = []

  var transaction: ClientTransaction?
  var timer = TimerID.none
  var keepAlive = TimerID.none
  var next: Instant?
  var since: Instant
  var told: UpstreamStatus?
  var attempts: UInt64 = 0
  var failed: UInt64 = 0

  init(
    serial: UInt64, trunk: Trunk, register: TrunkRegistration, line: String, callID: [UInt8],
    tag: [UInt8], at now: Instant
  ) {
    self.serial = serial
    self.trunk = trunk
    self.register = register
    self.line = line
    self.callID = callID
    self.tag = tag
    credentials = trunk.registrationCredentials
    targets = trunk.registrarTargets
    machine = ClientRegistration(wanted: register.expires)
    since = now
  }

  var key: TrunkSeats.Key { TrunkSeats.Key(tenant: trunk.tenant, name: trunk.name) }

  /// Nothing of what a registration is made of differs.
  func matches(_ other: Trunk) -> Bool {
    other.register == register && other.registrationCredentials == credentials
      && other.network == trunk.network && other.registrarTargets == targets
      && other.transport == trunk.transport && other.ownSecurity == trunk.ownSecurity
  }

  /// What the registrar keeps of it is the same.
  func hasContact(of other: Trunk) -> Bool {
    guard let next = other.register, other.registrationLine == line else { return false }
    return next.registrar == register.registrar && next.ownUser == register.ownUser
      && next.addressOfRecord == register.addressOfRecord && other.network == trunk.network
      && other.registrarTargets == targets
  }

  /// One clause for people: what went wrong last, or what the first try waits for.
  private var reason: String {
    if awaitsNameSince != nil { return "waits for the address of \(unresolved)" }
    guard let problem = machine.problem else { return "" }
    return problem == .unresolved ? "no address is known for \(unresolved)" : problem.text
  }

  func status(at now: Instant) -> UpstreamStatus {
    let isRegistered = machine.isRegistered(at: now)
    let state: UpstreamStatus.State =
      switch machine.state {
      case .unregistered, .removed: .unregistered
      case .trying: isRegistered ? .registered : .trying
      case .challenged: isRegistered ? .registered : .challenged
      case .registered: isRegistered ? .registered : .trying
      case .waiting: .failed
      case .removing: .unregistering
      }
    var status = UpstreamStatus(
      tenant: trunk.tenant, trunk: trunk.name, registrar: register.registrarHost,
      addressOfRecord: "sip:" + register.addressOfRecord, state: state, isRegistered: isRegistered,
      since: since)
    status.reason = reason
    status.status = machine.problem?.status ?? 0
    status.expires = machine.expires
    status.next = next
    status.address = addresses.element(at: chosen)
    status.identities = identities.map { $0.rawSpan.displayText }
    status.attempts = attempts
    status.failures = failed
    return status
  }
}

extension Array {
  func element(at index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
