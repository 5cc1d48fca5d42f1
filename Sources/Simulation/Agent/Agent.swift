package import Base
package import Policy
package import SIPWire

/// A scripted SIP endpoint with one address: a phone, a PBX or a carrier. It has its own small parser,
/// writer and transactions, so that an error of the trunk's cannot hide behind the same error here.
package final class Agent {
  package let index: Int
  package let name: String
  package let address: SocketAddress
  /// Stands in everything that may not cross the trunk: Call-ID, tags, Via host, From display,
  /// User-Agent, SDP origin and session, unknown headers.
  package let canary: String
  let canaryBytes: [UInt8]
  unowned let world: World
  var random: SeededRandom
  let born: Instant

  /// Where requests go that have no dialog yet: a listener of the trunk's.
  package var trunk: SocketAddress
  /// What it answers the trunk's challenges with.
  package var credentials: Credentials?
  /// What the trunk must answer its challenges with.
  package var demands: Credentials?
  /// It challenges each request within a call, whatever the request proves: it is after the responses.
  package var collectsResponses = false
  /// Who it is, in the user part of From and Contact.
  package var user: String
  package var domain = "trunk.example"
  /// Nil: it knows plain RTP alone.
  package var srtp: AgentSRTP?
  /// The trunk's resources say that nothing of its media may be plain.
  package var mustBeEncrypted = false
  package var dtls: AgentDTLS?
  /// What it takes beside speech, and in its place.
  package var takes = Set(AgentLine.Kind.allCases)
  package var onInvite: (AgentMessage) -> CalleeScript = { _ in .answering() }
  /// Told of a call that it makes by itself, before that begins.
  package var onConsultation: (_ of: AgentCall, _ to: AgentCall) -> Void = { _, _ in }
  /// False: nothing is sent, answered or heard any more.
  package var alive = true
  /// Behind the Via of its requests, and in its responses behind the topmost one in place of an `oc` without a
  /// value.
  package var viaParameters = ""
  package var viaAnswer: String?

  package internal(set) var calls: [AgentCall] = []
  var callsByID: [String: AgentCall] = [:]
  var deadCalls: Set<String> = []
  var clientTransactions: [String: AgentClientTransaction] = [:]
  var serverTransactions: [String: AgentServerTransaction] = [:]
  package var challenge: AgentChallenge?
  var lastAuthorization: String?
  /// Of our own challenges to the trunk.
  var demandedAlgorithm = AgentHash.Algorithm.md5
  package var stalesNext = false
  var issuedNonces: Set<String> = []
  var staleNonces: Set<String> = []
  var usedCounts: Set<String> = []
  package var registration = AgentRegistration()
  /// Set: it is a registrar, and takes REGISTER.
  package var registrar: AgentRegistrar?
  /// Final statuses of requests sent outside of calls, by name.
  package internal(set) var answers: [String: Int] = [:]
  package internal(set) var answered: [String: AgentMessage] = [:]
  var subscriptions: [String: AgentSubscription] = [:]
  /// PUBLISH requests that came, and how they are answered.
  package private(set) var published: [AgentMessage] = []
  package var publishStatus = 200
  package internal(set) var strays = 0
  /// What came, where a test has asked for it.
  package var keepsMessages = false
  package private(set) var received: [AgentMessage] = []
  private var serial = 0

  init(
    index: Int, name: String, address: SocketAddress, trunk: SocketAddress, user: String,
    world: World, random: SeededRandom
  ) {
    self.index = index
    self.name = name
    self.address = address
    self.trunk = trunk
    self.user = user
    self.world = world
    self.random = random
    born = world.now
    let digits = String(index, radix: 36)
    canary = Agent.canaryPrefix + String(repeating: "0", count: max(0, 3 - digits.count)) + digits
    canaryBytes = Array(canary.utf8)
  }

  static let canaryPrefix = "zqcanary"

  /// Whatever it writes has its canary wherever there is room for it.
  package var isAdorned: Bool {
    get { adornment != nil }
    set { adornment = newValue ? Adornment(random: random.fork()) : nil }
  }
  private var adornment: Adornment?

  func adornedFields() -> String { adornment?.fields(canary) ?? "" }
  func adornedPhrase(_ phrase: String) -> String { adornment?.phrase(phrase, canary) ?? phrase }
  func adornedDescription(_ sdp: String) -> String { adornment?.description(sdp, canary) ?? sdp }

  func unique() -> Int {
    serial += 1
    return serial
  }

  func newBranch() -> String { "z9hG4bK\(canary)b\(unique())" }
  func newTag() -> String { "\(canary)t\(unique())" }

  /// What it believes its address to be, behind a NAT.
  package var innerAddress: SocketAddress?

  /// What it speaks with the trunk: what the listener that it knows does.
  package var transport: Transport { world.network.transport(of: trunk) }

  package var contact: String {
    let parameter = transport == .udp ? "" : ";transport=\(transport.name)"
    return "sip:\(user)@\(AgentText.hostPort(innerAddress ?? address))\(parameter)"
  }

  /// The host starts anew: of calls and transactions it knows nothing more.
  func reboot() {
    for call in calls { call.die() }
    for transaction in clientTransactions.values { transaction.state = .done }
    for transaction in serverTransactions.values { transaction.acknowledged = true }
    clientTransactions = [:]
    serverTransactions = [:]
  }

  func calls(_ callID: String) -> AgentCall? { callsByID[callID] }

  /// Whether this call, or the whole agent, died.
  func isMute(_ callID: String) -> Bool { !alive || deadCalls.contains(callID) }

  func transmit(_ bytes: [UInt8], to: SocketAddress, callID: String) {
    guard !isMute(callID) else { return }
    world.network.send(bytes, from: address, to: to)
  }

  func receive(_ message: AgentMessage, from: SocketAddress) {
    guard !isMute(message.callID) else { return }
    if keepsMessages { received.append(message) }
    if message.isRequest {
      receiveRequest(message, from: from)
    } else {
      receiveResponse(message)
    }
  }

  private func receiveRequest(_ message: AgentMessage, from: SocketAddress) {
    switch message.method {
    case .ack:
      serverTransactions[Agent.serverKey(message)]?.acknowledged = true
      calls(message.callID)?.receiveAck(message)
    case .invite where message.toTag.isEmpty:
      newInvite(message, from: from)
    case .options where message.toTag.isEmpty:
      guard let transaction = admit(message, from: from) else { return }
      answer(message, transaction, status: 200, tag: newTag())
    case .publish:
      guard let transaction = admit(message, from: from) else { return }
      if let demands, !isAuthorised(message, demands, transaction) { return }
      published.append(message)
      answer(message, transaction, status: publishStatus, tag: newTag())
    case .cancel:
      cancel(message, from: from)
    case .register where registrar != nil:
      guard let transaction = admit(message, from: from) else { return }
      receiveRegister(message, transaction)
    case .invite, .bye, .options, .register, .prack, .update, .info, .refer, .notify, .subscribe,
      .other:
      guard let transaction = admit(message, from: from) else { return }
      if message.method == .notify, let subscription = subscriptions[message.callID] {
        return subscription.receiveNotify(message, transaction)
      }
      guard let call = calls(message.callID), call.owns(message) else {
        answer(message, transaction, status: 481, tag: newTag())
        return
      }
      if collectsResponses { return challengeTrunk(message, transaction, stale: false) }
      call.receiveRequest(message, transaction)
    }
  }

  private func newInvite(_ message: AgentMessage, from: SocketAddress) {
    guard let transaction = admit(message, from: from) else { return }
    if let demands, !isAuthorised(message, demands, transaction) { return }
    let call = AgentCall(answering: message, agent: self)
    calls.append(call)
    callsByID[message.callID] = call
    call.receiveInvite(message, transaction, script: onInvite(message))
  }

  private func cancel(_ message: AgentMessage, from: SocketAddress) {
    guard let transaction = admit(message, from: from) else { return }
    guard let invite = serverTransactions[message.branch + "I"] else {
      answer(message, transaction, status: 481, tag: newTag())
      return
    }
    invite.cancelled = world.now
    let call = calls(message.callID)
    answer(message, transaction, status: 200, tag: call?.localTag ?? newTag())
    call?.receiveCancel(invite)
  }

  // MARK: Requests without a call

  /// Sends a request of its own making; its final status is found in `answers[name]`.
  package func request(
    _ name: String, method: String, uri: String? = nil, headers: [String] = [],
    toTag: String? = nil,
    callID: String? = nil, maxForwards: Int = 70, cseq: UInt32 = 1
  ) {
    let branch = newBranch()
    let callID = callID ?? "\(canary)-\(unique())"
    var request = AgentWriter.Request(
      method: AgentMethod(rawValue: method) ?? .other,
      uri: uri ?? "sip:\(AgentText.hostPort(trunk))",
      branch: branch, from: "\"\(canary)\" <sip:\(user)@\(domain)>;tag=\(newTag())",
      to: "<\(uri ?? "sip:\(domain)")>" + (toTag.map { ";tag=\($0)" } ?? ""), callID: callID,
      cseq: cseq, headers: ["Contact: <\(contact)>"] + headers, sdp: nil, maxForwards: maxForwards)
    request.methodText = method
    begin(
      AgentWriter.request(request, agent: self), branch: branch, isInvite: method == "INVITE",
      callID: callID, to: trunk
    ) { [self] response in
      guard let response else {
        answers[name] = 408
        return
      }
      if response.status >= 200 {
        answers[name] = response.status
        answered[name] = response
      }
    }
  }

  /// Bytes as they are, whatever they are.
  package func sendRaw(_ bytes: [UInt8]) { world.network.send(bytes, from: address, to: trunk) }
}
