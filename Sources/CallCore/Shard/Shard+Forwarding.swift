import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// Calls that are sent on: by a user's own settings, or by a 3xx (RFC 3261 §8.1.3.4). Whoever sends a call on
// is its caller from there on: the plan, its permissions and limits are theirs; whom the called side sees
// stays who called.

extension Shard {
  // MARK: A user's settings

  /// Sends the hop on as its user wants it for this reason. False: the user does not.
  func forwards(
    _ session: Session, _ strand: Strand, user: Int, _ reason: DiversionReason
  ) -> Bool {
    let configuration = session.configuration
    guard !strand.isDiverted,
      let plan = configuration.forwarding(ofUser: user, on: reason, random: &random)
    else { return false }
    let diversion = diversion(by: user, configuration, reason)
    divert(session, strand, diversion, to: plan)
    return true
  }

  private func diversion(
    by user: Int, _ configuration: Configuration, _ reason: DiversionReason
  ) -> Diversion {
    let account = configuration.users[user]
    return Diversion(
      number: account.callerID ?? account.extension, reason: reason,
      name: "user:" + account.name)
  }

  /// One more member of the hop, which is held: what comes of it is what comes of the hop.
  private func divert(
    _ session: Session, _ strand: Strand, _ diversion: Diversion, to plan: RoutePlan
  ) {
    strand.isDiverted = true
    strand.failure = nil
    guard mayDivert(session, strand, diversion) else { return strand.note(Failure(.loopDetected)) }
    let next = Strand(
      plan: plan, parent: strand, deadline: strand.deadline,
      diversions: strand.diversions + [diversion])
    session.diversionCount += 1
    strand.strands.append(next)
    strand.pending += 1
    sayForwarded(session)
    startHop(session, next, 0)
  }

  /// Nobody twice on one way, nobody whom another network has already seen sending it on, and no more than
  /// a few in all (RELIABILITY C6).
  private func mayDivert(_ session: Session, _ strand: Strand, _ diversion: Diversion) -> Bool {
    let earlier = session.receivedDiversions
    guard earlier.count + strand.diversions.count < DiversionLimits.most,
      session.diversionCount < 2 * DiversionLimits.most
    else { return false }
    // A trunk may send different calls on; a user only once.
    if !diversion.name.isEmpty, diversion.reason != .deflection,
      strand.diversions.contains(where: { $0.name == diversion.name })
    {
      return false
    }
    return !earlier.contains { sameNumber($0.number, diversion.number) }
  }

  private func sameNumber(_ a: String, _ b: String) -> Bool {
    a == b || a == DialString.withOtherPlus(b)
  }

  /// 181, so that the caller knows why it takes a while (§21.1.3).
  private func sayForwarded(_ session: Session) {
    guard let caller = session.caller, let server = caller.inviteServer, server.isProceeding else {
      return
    }
    respond(server, 181, fork: session.forksShown, leg: caller)
    restart(&session.progressTimer, .progress, .seconds(60), session.handle)
  }

  // MARK: 3xx

  /// Calls the contacts of a 3xx in the order of their q, where its sender may redirect at all. False: it
  /// is a refusal like any other.
  func redirected(_ session: Session, _ branch: Branch, _ message: borrowing Message) -> Bool {
    let strand = branch.strand
    guard let sender = redirector(session, strand) else { return false }
    let contacts = contacts(message)
    var hops: [PlannedHop] = []
    var isLoop = false
    var group: (q: Int, plans: [RoutePlan]) = (-1, [])
    for contact in contacts {
      // A carrier that names the number that it was called for means another server of its own, which is not where we
      // look for numbers: the next carrier may have it.
      if case .trunk = sender, contact.number == strand.hop?.calledNumber { continue }
      guard session.redirectedTo.insert(contact.number).inserted,
        contact.number != strand.hop?.calledNumber, !isSelf(contact.number, sender, session)
      else {
        isLoop = true
        continue
      }
      let plan = session.configuration.resolve(
        called: contact.number, caller: sender, tenant: session.tenant, random: &random)
      guard case .success(let found) = plan else { continue }
      if contact.q != group.q { close(&group, q: contact.q, into: &hops) }
      group.plans.append(found)
    }
    close(&group, q: -1, into: &hops)
    guard !hops.isEmpty || isLoop else { return false }
    endAttempt(session, branch, message.status, .forwarded)
    let diversion = deflection(sender, session, strand)
    leave(session, branch)
    strand.pending += 1
    if hops.isEmpty {
      strand.note(Failure(.loopDetected))
    } else {
      divert(session, strand, diversion, to: RoutePlan(hops: hops))
    }
    // The branch that was left, and the hold.
    strand.pending -= 1
    memberEnded(session, strand)
    return true
  }

  private func close(
    _ group: inout (q: Int, plans: [RoutePlan]), q: Int, into hops: inout [PlannedHop]
  ) {
    if !group.plans.isEmpty {
      hops.append(
        PlannedHop(
          target: .ring(group.plans), answerTimeout: ResourceDefaults.ringTimeout,
          responseTimeout: ResourceDefaults.ringTimeout,
          continueOn: CauseSet(ResourceDefaults.continueOn), calledNumber: ""))
    }
    group = (q, [])
  }

  /// Who has sent the 3xx, if it is one whose redirections are followed. What a phone proves to its PBX goes nowhere
  /// else.
  private func redirector(_ session: Session, _ strand: Strand) -> CallerKind? {
    if session.phone != nil { return nil }
    switch strand.hop?.target {
    case .user(let user):
      return session.configuration.users[user].redirects == .follow ? .user(user) : nil
    case .trunk(let trunk):
      return session.configuration.trunks[trunk].redirects == .follow ? .trunk(trunk) : nil
    case .application, .contact, .ring, nil: return nil
    }
  }

  private func isSelf(_ number: String, _ sender: CallerKind, _ session: Session) -> Bool {
    guard case .user(let user) = sender else { return false }
    let account = session.configuration.users[user]
    return number == account.name || number == account.extension
  }

  private func deflection(
    _ sender: CallerKind, _ session: Session, _ strand: Strand
  ) -> Diversion {
    switch sender {
    case .user(let user): diversion(by: user, session.configuration, .deflection)
    case .trunk(let trunk), .phone(let trunk):
      Diversion(
        number: strand.hop?.calledNumber ?? "", reason: .deflection,
        name: "trunk:" + session.configuration.trunks[trunk].name)
    }
  }

  /// The numbers of a 3xx, highest q first, in thousandths; 1000 where none is said.
  private func contacts(_ message: borrowing Message) -> [(number: String, q: Int)] {
    let bytes = message.bytes
    var found: [(number: String, q: Int)] = []
    var values = message.values(of: .contact)
    while let value = values.next(bytes), found.count < DiversionLimits.most {
      guard let contact = NameAddr.parse(bytes, value), let uri = SIPURI.parse(bytes, contact.uri),
        uri.scheme != .other
      else { continue }
      let number = Escapes.string(bytes, uri.user)
      guard !number.isEmpty, number.utf8.count <= 64 else { continue }
      found.append((number, contact.param("q", in: bytes).map { QValue.read(bytes, $0) } ?? 1_000))
    }
    // Stable: of equal q the first stays first.
    return found.enumerated().sorted {
      ($1.element.q, $0.offset) < ($0.element.q, $1.offset)
    }.map(\.element)
  }

  // MARK: What trunks are told

  /// What came with the call. Numbers that a caller may not be seen as are not shown that way either.
  private func shownDiversions(_ session: Session) -> [Diversion] {
    guard let trunk = session.caller?.trunk, session.configuration.showsDiversions(ofTrunk: trunk)
    else { return [] }
    return session.receivedDiversions
  }

  /// Diversion and History-Info of the call's way so far, where the trunk wants them.
  func writeDiversions(_ leg: Leg, _ session: Session) {
    guard let branch = leg.branch, case .trunk(let trunk)? = branch.strand.hop?.target else {
      return
    }
    let style = session.configuration.trunks[trunk].diversion
    guard style != .none else { return }
    let all = shownDiversions(session) + branch.strand.diversions
    guard !all.isEmpty else { return }
    let host = ourAddress(leg.listener)
    if style.hasDiversion {
      for diversion in all.suffix(DiversionLimits.read).reversed() {
        outbox.datagrams.append("Diversion: ")
        writeEntry(diversion.number, host)
        outbox.datagrams.append(">;reason=")
        outbox.datagrams.append(diversion.reason.diversionText)
        outbox.datagrams.append(";counter=1\r\n")
      }
    }
    if style.hasHistory { writeHistory(all, called: branch.strand.hop?.calledNumber ?? "", host) }
  }

  /// RFC 7044 §10.1: one entry for each number on the way, each index a level below the one before.
  private func writeHistory(_ all: [Diversion], called: String, _ host: SocketAddress) {
    var index = "1"
    var cause: Int?
    for (position, number) in (all.map(\.number) + [called]).enumerated() {
      outbox.datagrams.append("History-Info: ")
      writeEntry(number, host)
      if let cause {
        outbox.datagrams.append(";cause=")
        outbox.datagrams.append(decimal: cause)
      }
      outbox.datagrams.append(">;index=")
      outbox.datagrams.append(index)
      if position > 0 {
        outbox.datagrams.append(";mp=")
        outbox.datagrams.append(String(index.dropLast(2)))
      }
      outbox.datagrams.append("\r\n")
      if position < all.count { cause = all[position].reason.historyCause }
      index += ".1"
    }
  }

  private func writeEntry(_ number: String, _ host: SocketAddress) {
    outbox.datagrams.append("<sip:")
    outbox.datagrams.append(UserPart.escaped(number))
    outbox.datagrams.append("@")
    outbox.datagrams.append(host)
  }
}

/// `qvalue` of RFC 3261 §25.1 in thousandths.
enum QValue {
  static func read(_ bytes: RawSpan, _ range: ByteRange) -> Int {
    let text = bytes.extracting(range)
    guard text.byteCount > 0, text.byte(at: 0) == UInt8(ascii: "0") else { return 1_000 }
    var value = 0
    var scale = 100
    var i = 2
    while i < min(text.byteCount, 5), text.byte(at: i).isASCIIDigit {
      value += Int(text.byte(at: i) - 0x30) * scale
      scale /= 10
      i += 1
    }
    return value
  }
}
