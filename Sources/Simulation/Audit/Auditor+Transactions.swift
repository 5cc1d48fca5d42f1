import Base
import Policy
import SIPWire

/// What the auditor knows of single transactions, whichever call they belong to.
struct Exchanges {
  /// A request of the engine's other than ACK, by branch and method.
  struct Client {
    var callID: String
    var method: AgentMethod
    var to: SocketAddress
    var isReliable: Bool
    /// When each copy left.
    var sent: [Instant]
    var heard: Instant?
    var final: (status: Int, at: Instant)?
    /// ICMP, or the end of its connection.
    var lost: Instant?
    var cancelled: Instant?

    /// An INVITE that has no final answer, and may still get one (RFC 3261 §17.1.1.2, §9.1).
    func isOpen(at now: Instant) -> Bool {
      guard final == nil, lost == nil, let first = sent.first else { return false }
      if let cancelled { return now < cancelled + AgentTimers.end }
      // What is heard after timer B comes to nobody.
      return min(heard ?? now, now) < first + AgentTimers.end
    }
  }

  /// What the message that the engine reads now must bring about before it reads the next.
  enum Due {
    case acknowledgement(AgentMessage)
    /// A CANCEL: 200 for itself, 487 for its INVITE.
    case cancellation(callID: String, branch: String, isAnswered: Bool)
  }

  var clients: [String: Client] = [:]
  var due: Due?
  /// 2xx that came in, by `successKey`: the first copy, and whether one has been acknowledged.
  var answers: [String: (first: Instant, isAcknowledged: Bool)] = [:]
  /// Final statuses that we gave, by peer, branch and method.
  var statuses: [String: (status: Int, at: Instant)] = [:]
  /// re-INVITEs that are open, by Call-ID: branches of ours and of the peer's.
  var ours: [String: String] = [:]
  var theirs: [String: String] = [:]
  /// What we said last of each session: version, and the description without the line that has it.
  var descriptions: [String: (version: UInt64, rest: String)] = [:]
  /// Targets that each plan's calls have been offered to.
  var tried: [Int: Set<SocketAddress>] = [:]
  /// Peers that were asked twice or failed at some time: they may be spared from then on.
  var shaky: Set<SocketAddress> = []
}

// MARK: - What comes in

extension Auditor {
  func noteResponse(_ message: AgentMessage, from: SocketAddress) {
    let key = message.branch + message.methodText
    guard var client = exchanges.clients[key], client.to == from else { return }
    let isAlive = client.method != .invite || client.isOpen(at: world.now)
    client.heard = client.heard ?? world.now
    if message.status == 408 || (500..<600).contains(message.status) {
      exchanges.shaky.insert(from)
    }
    if message.method == .invite, message.status >= 200, client.lost == nil {
      let isDue = message.status < 300 ? owesAgain(message) : owes(client, isAlive)
      if isDue { exchanges.due = .acknowledgement(message) }
    }
    if message.status >= 200, client.final == nil {
      if isAlive {
        client.final = (message.status, world.now)
      } else {
        client.lost = client.lost ?? world.now
      }
    }
    exchanges.clients[key] = client
  }

  /// RFC 3261 §17.1.1.2: each copy of a refusal is acknowledged, for 32 s on UDP.
  private func owes(_ client: Exchanges.Client, _ isAlive: Bool) -> Bool {
    guard let final = client.final else { return isAlive }
    return final.status >= 300 && !client.isReliable && world.now < final.at + AgentTimers.end
  }

  /// RFC 3261 §13.2.2.4: each copy of a 2xx gets the ACK that the first one got, for 64·T1. The first may have to wait
  /// for an answer of the other side's.
  private func owesAgain(_ message: AgentMessage) -> Bool {
    let key = Auditor.successKey(message.callID, message.cseq, message.toTag)
    let known = exchanges.answers[key] ?? (world.now, false)
    exchanges.answers[key] = known
    return known.isAcknowledged && world.now < known.first + AgentTimers.end
  }

  /// RFC 3261 §9.2: whatever has no final answer yet ends with 487, and its call is recorded as cancelled.
  func noteCancel(_ message: AgentMessage) {
    guard let server = inviteServers[message.branch], server.finals.isEmpty,
      server.callID == message.callID, legs[message.callID]?.firstSuccess == nil
    else { return }
    legs[message.callID]?.isCancelledByPeer = true
    exchanges.due = .cancellation(
      callID: message.callID, branch: message.branch, isAnswered: false)
  }

  /// The first copy of an INVITE within a dialog.
  func noteReInvite(_ message: AgentMessage) {
    exchanges.theirs[message.callID] = message.branch
    // §14.2: one that crosses ours is refused with 491.
    if let branch = exchanges.ours[message.callID],
      exchanges.clients[branch + "INVITE"]?.isOpen(at: world.now) == true
    {
      inviteServers[message.branch]?.isGlare = true
    }
  }

  /// The engine has done what it does about a message at once.
  func handled() {
    guard let due = exchanges.due else { return }
    exchanges.due = nil
    switch due {
    case .acknowledgement(let message):
      fail(.acknowledgement, "a copy of \(message.status) got no ACK", message.callID)
    case .cancellation(let callID, let branch, let isAnswered):
      if !isAnswered { fail(.finalResponse, "CANCEL was not answered 200", callID) }
      if inviteServers[branch]?.finals.contains(where: { $0.hasPrefix("487 ") }) != true {
        fail(.finalResponse, "a cancelled INVITE was not answered 487", callID)
      }
    }
  }

  /// What waits for an answer ends, and what waits for copies of a refusal (RFC 3261 §17.1.1.2).
  func noteLoss(of address: SocketAddress) {
    exchanges.shaky.insert(address)
    for (key, client) in exchanges.clients
    where client.to == address && (client.final?.status ?? 300) >= 300 && client.lost == nil {
      exchanges.clients[key]?.lost = world.now
    }
  }

  // MARK: What goes out

  func noteRequest(_ message: AgentMessage, from: SocketAddress, to: SocketAddress) {
    if message.method == .ack { return noteAck(message) }
    if message.method == .cancel {
      let invite = message.branch + "INVITE"
      if exchanges.clients[invite]?.cancelled == nil {
        exchanges.clients[invite]?.cancelled = world.now
      }
    }
    let key = message.branch + message.methodText
    if exchanges.clients[key] != nil { return noteCopy(message, key) }
    exchanges.clients[key] = Exchanges.Client(
      callID: message.callID, method: message.method, to: to,
      isReliable: world.network.transport(of: from).isReliable, sent: [world.now])
    guard message.method == .invite, !message.toTag.isEmpty else { return }
    // RFC 3261 §14.1: none while another is in progress, whichever way that goes.
    if let branch = exchanges.ours[message.callID],
      exchanges.clients[branch + "INVITE"]?.isOpen(at: world.now) == true
    {
      fail(.glare, "re-INVITE while one of ours is open", message.callID)
    }
    if let branch = exchanges.theirs[message.callID], inviteServers[branch]?.finals.isEmpty == true
    {
      fail(.glare, "re-INVITE while one of the peer's is open", message.callID)
    }
    exchanges.ours[message.callID] = message.branch
  }

  private func noteAck(_ message: AgentMessage) {
    if case .acknowledgement(let answer)? = exchanges.due, answer.callID == message.callID,
      answer.cseq == message.cseq, answer.toTag == message.toTag
    {
      exchanges.due = nil
    }
    let key = Auditor.successKey(message.callID, message.cseq, message.toTag)
    exchanges.answers[key]?.isAcknowledged = true
  }

  /// Timers A and E (RFC 3261 §17.1.1.2, §17.1.2.2).
  private func noteCopy(_ message: AgentMessage, _ key: String) {
    guard var client = exchanges.clients[key] else { return }
    defer { exchanges.clients[key] = client }
    let number = client.sent.count
    let gap = world.now - (client.sent.last ?? world.now)
    client.sent.append(world.now)
    exchanges.shaky.insert(client.to)
    if client.final != nil || client.method == .invite && client.heard != nil {
      return fail(.retransmission, "\(message.methodText) again after its answer", client.callID)
    }
    let due = Auditor.pause(number, client.method)
    if client.heard == nil, gap < due || gap > due + Auditor.slack {
      fail(
        .retransmission, "\(message.methodText) copy \(number + 1) after \(gap.milliseconds) ms",
        client.callID)
    }
  }

  private static let slack = Interval.milliseconds(60)

  /// Before the copy with this number, the first being 0.
  private static func pause(_ number: Int, _ method: AgentMethod) -> Interval {
    let doubled = Interval.milliseconds(500 << min(number - 1, 6))
    return method == .invite ? doubled : min(doubled, AgentTimers.t2)
  }

  /// RFC 3261 §17.2.2: copies of a request are answered alike, for as long as its transaction lives.
  func noteStatus(_ message: AgentMessage, to: SocketAddress) {
    if case .cancellation(let callID, message.branch, _)? = exchanges.due,
      message.method == .cancel, message.status == 200
    {
      exchanges.due = .cancellation(callID: callID, branch: message.branch, isAnswered: true)
    }
    // A CANCEL is answered without a transaction: 481 once its INVITE has been forgotten. Either stops it.
    guard message.status >= 200, message.method != .cancel else { return }
    let key = "\(AgentText.hostPort(to)) \(message.branch) \(message.methodText)"
    guard let known = exchanges.statuses[key] else {
      exchanges.statuses[key] = (message.status, world.now)
      return
    }
    // 481 is said without a transaction, and by a connection that we know meanwhile the request may come again.
    guard known.status != 481 else { return }
    if known.status != message.status, world.now < known.at + AgentTimers.end {
      fail(
        .finalResponse,
        "\(message.methodText) answered \(known.status), its copy \(message.status)",
        message.callID)
    }
  }

  /// RFC 3264 §8: the version grows with every description that differs from the one before, and one that keeps its
  /// version is the same. That it grows by one is not looked at: what was written and could not be sent counts.
  /// What an unreliable response shows is a preview, and no answer (RFC 3261 §13.2.1).
  func checkVersion(_ message: AgentMessage) {
    if (100..<200).contains(message.status), !message.lists("100rel", .require) { return }
    let lines = message.bodyText.split(separator: "\r\n")
    guard let origin = lines.first(where: { $0.hasPrefix("o=") }) else { return }
    let words = origin.split(separator: " ")
    guard words.count == 6, let version = UInt64(words[2]) else {
      return fail(.sdp, "an origin that is none: \(origin)", message.callID)
    }
    let rest = lines.filter { !$0.hasPrefix("o=") }.joined(separator: "\r\n")
    // Each early dialog has its session, and our tag names it.
    let key = message.callID + (message.isRequest ? message.fromTag : message.toTag)
    defer { exchanges.descriptions[key] = (version, rest) }
    guard let known = exchanges.descriptions[key] else { return }
    if version == known.version ? rest != known.rest : version < known.version {
      fail(.sdp, "version \(version) of a description after \(known.version)", message.callID)
    }
  }

  /// A route's carriers take turns by their priority: a lower one gets no call before each higher one has had its
  /// chance, but those that were in trouble.
  func checkOrder(_ message: AgentMessage, plan: Int, to: SocketAddress) {
    let resources = world.settings.resources
    func target(_ carrier: RouteCarrier) -> [SocketAddress] {
      resources.trunks.first { $0.name == carrier.trunk }?.targets.compactMap(\.address) ?? []
    }
    let tried = exchanges.tried[plan, default: []]
    for route in resources.routes {
      guard let own = route.carriers.first(where: { target($0).contains(to) }) else { continue }
      for carrier in route.carriers where carrier.priority < own.priority {
        let all = target(carrier)
        if tried.isDisjoint(with: all), exchanges.shaky.isDisjoint(with: all) {
          fail(.order, "\(own.trunk) before \(carrier.trunk)", message.callID)
        }
      }
    }
    exchanges.tried[plan, default: []].insert(to)
  }

  // MARK: At rest

  /// Requests that only their own timers end, and not what they were sent on behalf of.
  private static let persistent: Set<AgentMethod> = [.invite, .bye, .cancel, .register]

  /// Nothing that was owed by timers A, B, E and F was given up before its time.
  func checkClients() {
    for client in exchanges.clients.values
    where !client.isReliable && Auditor.persistent.contains(client.method) {
      guard let first = client.sent.first else { continue }
      let end = [client.heard, client.lost].compactMap { $0 }.reduce(first + AgentTimers.end, min)
      var (due, number) = (first, 1)
      while due + Auditor.pause(number, client.method) + Auditor.slack < end {
        due = due + Auditor.pause(number, client.method)
        number += 1
      }
      // The seventh INVITE comes too late to be cancelled, and is not sent where nobody waits for the call any more.
      if client.method == .invite { number = min(number, 6) }
      if client.sent.count < number {
        fail(
          .retransmission,
          "\(client.method.rawValue) sent \(client.sent.count) times, and not \(number)",
          client.callID)
      }
    }
  }
}
