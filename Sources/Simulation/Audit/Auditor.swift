package import Base
import CallCore
import Policy

/// Watches everything that passes the edge of the engine under test, and holds it to RELIABILITY's
/// invariants. It knows only messages, facts and instants; nothing of the engine's inside.
package final class Auditor {
  /// One Call-ID between the engine and a peer.
  struct Leg {
    /// The engine sent its first INVITE.
    var isOurs: Bool
    var peer: SocketAddress
    var started: Instant
    /// The first final answer, BYE or 2xx of each kind.
    var firstSuccess: Instant?
    var firstRinging: Instant?
    var refused: (status: Int, at: Instant)?
    var bye: Instant?
    var cancelled: Instant?
    /// When the first provisional response came: no CANCEL may be sent before (§9.1).
    var firstProvisional: Instant?
    /// ICMP, or the end of its connection, ended the INVITE (§17.1.1.2, §18.4): what comes later is to nobody.
    var lost: Instant?
    /// Far-end tags whose 2xx came in (ours) or own tags whose 2xx went out (theirs), and those of BYEs.
    var successTags: Set<String> = []
    var byeTags: Set<String> = []
    /// In each dialog: a second 2xx is hung up at once, and the first one's goes on.
    var isHungUp: Bool { bye != nil && byeTags.isSuperset(of: successTags) }
    /// The last message in while nobody had hung up.
    var lastReceived: Instant
    var lastSent: Instant
    var plan: Int?
    /// A CANCEL of the peer's came before our final answer.
    var isCancelledByPeer = false

    /// A CANCEL that nothing final follows within 64·T1 ends the INVITE: what comes later is to nobody (RFC 3261
    /// §9.1).
    var released: Instant? {
      if let bye { return bye }
      guard let cancelled else { return lost ?? refused?.at }
      let given = cancelled + AgentTimers.end
      return min(refused?.at ?? given, given)
    }
  }

  /// An INVITE of a peer's, by branch.
  struct InviteServer {
    var callID: String
    var finals: Set<String> = []
    /// It crossed one of ours.
    var isGlare = false
  }

  /// A 2xx of ours to an INVITE, by Call-ID, CSeq and To tag.
  struct Success {
    var callID: String
    var tag: String
    var sent: [Instant] = []
    var acknowledged: Instant?
  }

  unowned let world: World
  var legs: [String: Leg] = [:]
  var inviteServers: [String: InviteServer] = [:]
  var successes: [String: Success] = [:]
  var sequences: [String: (last: UInt32, branches: Set<String>)] = [:]
  var copies: [String: Int] = [:]
  var sources: Set<SocketAddress> = []
  var exchanges = Exchanges()
  var calls: [CallID: CallTrack] = [:]
  var attemptOfCaller: [String: CallID] = [:]
  /// Call-IDs of dialogs in which a REFER came.
  var referred: Set<String> = []
  /// Call-IDs of dialogs that a REFER was to replace: whoever sent it leaves them when it likes (RFC 5589 §7).
  var consulted: Set<String> = []
  /// Call-IDs of dialogs that a SUBSCRIBE began, and the version of the document that is due.
  var subscribed: Set<String> = []
  var versions: [String: Int] = [:]
  /// Subscriptions that have had their last NOTIFY.
  var notifiedLast: Set<String> = []
  var confirmedSequence: UInt64 = 0
  var lastSequence: UInt64 = 0
  /// Which of a swarm's plans a first INVITE of ours belongs to, and which A leg each plan has.
  package var planOfInvite: (AgentMessage, SocketAddress) -> Int? = { _, _ in nil }
  package var planOfCaller: (String) -> Int? = { _ in nil }
  /// Which plan a transfer to a number is of.
  package var planOfTransfer: (String) -> Int? = { _ in nil }
  var callOfPlan: [Int: CallID] = [:]

  init(world: World) {
    self.world = world
    for trunk in world.settings.resources.trunks {
      sources.formUnion(trunk.targets.compactMap(\.address))
    }
  }

  /// After a crash, nothing is owed for what was under way.
  package func forget() {
    legs = [:]
    inviteServers = [:]
    successes = [:]
    sequences = [:]
    copies = [:]
    exchanges = Exchanges()
    calls = [:]
    attemptOfCaller = [:]
    callOfPlan = [:]
    referred = []
    consulted = []
    subscribed = []
    versions = [:]
    notifiedLast = []
    confirmedSequence = 0
    lastSequence = 0
  }

  func call(ofPlan plan: Int) -> CallID? { callOfPlan[plan] }
  /// With those that its parties made to hand it on.
  func calls(ofPlan plan: Int) -> [CallID] {
    calls.values.filter { $0.ended == 0 && planOfCaller($0.record.sipCallID) == plan }
      .map(\.record.id).sorted { $0.serial < $1.serial }
  }
  /// Plans whose second leg got its INVITE.
  var plansInvited: Set<Int> { Set(legs.values.filter(\.isOurs).compactMap(\.plan)) }
  func legs(ofPlan plan: Int) -> [String] { legs.filter { $0.value.plan == plan }.map(\.key) }

  func fail(_ rule: Rule, _ text: String, _ callID: String) { world.violate(rule, text, callID) }

  // MARK: From peers

  func received(_ datagram: Datagram) {
    sources.insert(datagram.from)
    guard let message = datagram.message else { return }
    if let uri = message.uri(.contact), let address = AgentText.address(inURI: uri) {
      sources.insert(address)
    }
    if legs[message.callID]?.isHungUp == false { legs[message.callID]?.lastReceived = world.now }
    if message.isRequest {
      return receivedRequest(message, from: datagram.from)
    }
    noteResponse(message, from: datagram.from)
    if message.method == .invite, let leg = legs[message.callID], leg.isOurs {
      receivedAnswer(message)
    }
  }

  private func receivedRequest(_ message: AgentMessage, from: SocketAddress) {
    switch message.method {
    case .invite:
      let key = message.branch
      if inviteServers[key] == nil {
        inviteServers[key] = InviteServer(callID: message.callID)
        if !message.toTag.isEmpty { noteReInvite(message) }
      }
      if message.toTag.isEmpty, legs[message.callID] == nil {
        legs[message.callID] = Leg(
          isOurs: false, peer: from, started: world.now, lastReceived: world.now,
          lastSent: world.now, plan: planOfCaller(message.callID))
      }
    case .ack:
      let key = Auditor.successKey(message.callID, message.cseq, message.toTag)
      if successes[key] != nil, successes[key]?.acknowledged == nil {
        successes[key]?.acknowledged = world.now
      }
    case .bye:
      noteBye(message, tag: legs[message.callID]?.isOurs == true ? message.fromTag : message.toTag)
    case .refer:
      if message.toTag.isEmpty == false { referred.insert(message.callID) }
      if let replaced = replacedCallID(message) { consulted.insert(replaced) }
    case .subscribe:
      if message.toTag.isEmpty { subscribed.insert(message.callID) }
    case .cancel:
      noteCancel(message)
    case .options, .publish, .register, .prack, .update, .info, .notify, .other:
      break
    }
  }

  /// As the agents write it.
  private func replacedCallID(_ refer: AgentMessage) -> String? {
    guard let target = refer.text(after: "Refer-To"),
      let start = target.firstRange(of: "?Replaces=")
    else { return nil }
    return String(target[start.upperBound...].prefix { $0 != "%" && $0 != ">" })
  }

  private func receivedAnswer(_ message: AgentMessage) {
    guard var leg = legs[message.callID] else { return }
    if message.status < 200 {
      if leg.lost == nil { leg.firstProvisional = leg.firstProvisional ?? world.now }
    } else if (200..<300).contains(message.status) {
      leg.firstSuccess = leg.firstSuccess ?? world.now
      leg.successTags.insert(message.toTag)
    } else if message.status >= 300, leg.firstSuccess == nil {
      // A challenge is no end: the INVITE comes again with credentials.
      if message.status != 401, message.status != 407 {
        leg.refused = leg.refused ?? (message.status, world.now)
      } else if leg.refused == nil {
        leg.firstProvisional = nil
      }
    }
    legs[message.callID] = leg
  }

  /// ICMP says that nobody listens there.
  func unreachable(_ address: SocketAddress) {
    noteLoss(of: address)
    lose(address) { $0.firstProvisional == nil }
  }

  /// A phone is reached by the connection that it made; a trunk that rings can make another, and answer.
  func flowLost(_ address: SocketAddress) {
    noteLoss(of: address)
    let isTrunk = world.settings.resources.trunks.contains {
      $0.targets.contains { $0.address == address }
    }
    lose(address) { !isTrunk || $0.firstProvisional == nil }
  }

  private func lose(_ address: SocketAddress, where isConcerned: (Leg) -> Bool) {
    for (callID, leg) in legs
    where leg.isOurs && leg.peer == address && leg.firstSuccess == nil && leg.lost == nil
      && isConcerned(leg)
    {
      legs[callID]?.lost = world.now
    }
  }

  private func noteBye(_ message: AgentMessage, tag: String) {
    guard var leg = legs[message.callID] else { return }
    if leg.successTags.contains(tag) {
      leg.bye = leg.bye ?? world.now
      leg.byeTags.insert(tag)
    }
    legs[message.callID] = leg
  }

  static func successKey(_ callID: String, _ cseq: UInt32, _ tag: String) -> String {
    "\(callID) \(cseq) \(tag)"
  }

  // MARK: From the engine

  func sent(_ datagram: Datagram) {
    if !sources.contains(datagram.to) {
      fail(.destination, "\(AgentText.hostPort(datagram.to)) was never heard of", "")
    }
    checkCanaries(datagram)
    guard let message = datagram.message else { return }
    // Whoever asks about a dialog that is over, because its BYE went with a connection, is told so at any time.
    if message.status != 481 { legs[message.callID]?.lastSent = world.now }
    if message.isRequest {
      noteRequest(message, from: datagram.from, to: datagram.to)
      sentRequest(message, to: datagram.to)
    } else {
      noteStatus(message, to: datagram.to)
      if message.method == .invite { sentAnswer(message) }
    }
    let key = message.branch + message.methodText + String(message.status) + message.toTag
    copies[key, default: 0] += 1
    if copies[key] == 1, message.hasBody { checkDescription(message) }
    if copies[key] == 64 {
      fail(.retransmission, "\(message.methodText) sent 64 times", message.callID)
    }
  }

  private func sentRequest(_ message: AgentMessage, to: SocketAddress) {
    if message.method == .invite, message.toTag.isEmpty { sentFirstInvite(message, to: to) }
    if message.method == .bye {
      noteBye(message, tag: legs[message.callID]?.isOurs == true ? message.toTag : message.fromTag)
    }
    if message.method == .cancel, legs[message.callID]?.cancelled == nil {
      legs[message.callID]?.cancelled = world.now
    }
    if message.method == .other { fail(.method, "unasked \(message.methodText)", message.callID) }
    if message.method == .notify { checkNotify(message) }
    guard message.method != .ack, message.method != .cancel else { return }
    let key = message.callID + message.fromTag + message.toTag
    var known = sequences[key] ?? (0, [])
    if known.branches.insert(message.branch).inserted {
      if message.cseq <= known.last {
        fail(
          .cseq, "\(message.methodText) CSeq \(message.cseq) after \(known.last)", message.callID)
      }
      known.last = message.cseq
    }
    sequences[key] = known
  }

  /// Only whoever sent a REFER or a SUBSCRIBE is told, and nothing behind the last one. RFC 3515 §2.4: of a REFER
  /// each time a status; RFC 4235 §3.9, RFC 3680 §5.1: documents are numbered from 0 on.
  private func checkNotify(_ message: AgentMessage) {
    guard copies[message.branch + "NOTIFY0" + message.toTag] == nil else { return }
    let name = "\(message.callID) \(message.fromTag) \(message.value(.event) ?? "")"
    if subscribed.contains(message.callID) {
      if let found = message.bodyText.firstMatch(of: #/version="(\d+)" state=/#) {
        let due = versions[name] ?? 0
        versions[name] = due + 1
        if Int(found.output.1) != due { fail(.method, "not version \(due)", message.callID) }
      }
    } else {
      if !referred.contains(message.callID) {
        fail(.method, "NOTIFY where nobody sent a REFER", message.callID)
      }
      if !message.bodyText.hasPrefix("SIP/2.0 ") {
        fail(.method, "NOTIFY without a status line", message.callID)
      }
    }
    if notifiedLast.contains(name) {
      fail(.method, "NOTIFY behind the last one", message.callID)
    }
    if message.value(.subscriptionState)?.hasPrefix("terminated") == true {
      notifiedLast.insert(name)
    }
  }

  private func sentFirstInvite(_ message: AgentMessage, to: SocketAddress) {
    guard copies[message.branch + "INVITE0"] == nil else { return }
    let plan = planOfInvite(message, to)
    if legs[message.callID] == nil {
      legs[message.callID] = Leg(
        isOurs: true, peer: to, started: world.now, lastReceived: world.now, lastSent: world.now,
        plan: plan)
    }
    if let hops = message.value(.maxForwards).flatMap({ Int($0) }), hops >= 70 {
      fail(.method, "Max-Forwards did not fall", message.callID)
    }
    guard let plan else { return }
    guard let call = callOfPlan[plan], let track = calls[call] else {
      fail(.durability, "INVITE of a call that was never attempted", message.callID)
      return
    }
    if track.attemptedSequence > confirmedSequence, !track.record.isEmergency {
      fail(.durability, "INVITE before its attempt was durable", message.callID)
    }
    if track.ended > 0 { fail(.orphan, "INVITE after the call's end", message.callID) }
    checkOrder(message, plan: plan, to: to)
  }

  private func sentAnswer(_ message: AgentMessage) {
    guard message.status >= 200 else {
      // 181 says that the call goes on elsewhere, and is ours.
      if message.status > 100, message.status != 181, legs[message.callID]?.firstRinging == nil {
        legs[message.callID]?.firstRinging = world.now
      }
      return
    }
    if inviteServers[message.branch] == nil {
      fail(.finalResponse, "\(message.status) to an INVITE that never came", message.callID)
    }
    inviteServers[message.branch]?.finals.insert("\(message.status) \(message.toTag)")
    if message.status < 300, inviteServers[message.branch]?.isGlare == true {
      fail(.glare, "a re-INVITE that crossed ours was taken", message.callID)
    }
    guard var leg = legs[message.callID], !leg.isOurs else { return }
    if message.status >= 300 {
      if leg.firstSuccess == nil, message.status != 401, message.status != 407 {
        leg.refused = leg.refused ?? (message.status, world.now)
      }
      legs[message.callID] = leg
      return
    }
    leg.firstSuccess = leg.firstSuccess ?? world.now
    leg.successTags.insert(message.toTag)
    legs[message.callID] = leg
    let key = Auditor.successKey(message.callID, message.cseq, message.toTag)
    var success = successes[key] ?? Success(callID: message.callID, tag: message.toTag)
    if success.acknowledged != nil {
      fail(.retransmission, "2xx again after its ACK", message.callID)
    }
    success.sent.append(world.now)
    successes[key] = success
  }

  /// The addresses in our SDP are ours, and were open when they were first named.
  private func checkDescription(_ message: AgentMessage) {
    guard let sdp = AgentSDP(message.bodyText) else { return }
    checkVersion(message)
    for address in [sdp.media] + sdp.beside.compactMap(\.media)
    where address.port != 0 && !world.media.isOpen(address) {
      fail(.sdp, "\(AgentText.hostPort(address)) in SDP is not open", message.callID)
    }
  }

  /// Whatever a peer wrote as its own must not reach another.
  private func checkCanaries(_ datagram: Datagram) {
    guard let own = world.network.canary(of: datagram.to) else { return }
    // A collector of quality is told which calls its reports are about: that is what it is there for (RFC 6035 §4.6.2).
    if let message = datagram.message, message.isRequest, message.method == .publish { return }
    let prefix = Auditor.canaryPrefix
    var index = 0
    let last = datagram.bytes.count - prefix.count - 3
    while index <= last {
      // 'z' is rare: the rest is compared only behind it.
      if datagram.bytes[index] == prefix[0], matches(datagram.bytes, at: index, prefix) {
        let token = datagram.bytes[index..<(index + prefix.count + 3)]
        if !token.elementsEqual(own) {
          fail(
            .canary,
            "\(String(decoding: token, as: UTF8.self)) in \(datagram.message?.methodText ?? "?") to another",
            datagram.message?.callID ?? "")
        }
        index += prefix.count
      }
      index += 1
    }
  }

  private static let canaryPrefix = Array(Agent.canaryPrefix.utf8)

  private func matches(_ bytes: [UInt8], at start: Int, _ prefix: [UInt8]) -> Bool {
    for offset in 1..<prefix.count where bytes[start + offset] | 0x20 != prefix[offset] {
      return false
    }
    return true
  }
}
