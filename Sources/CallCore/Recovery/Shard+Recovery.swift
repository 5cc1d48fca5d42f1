package import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// The calls of a process that ended without ending them. Each dialog is known again by the tag that it was given then,
// each port opened again, and what both sides had agreed to holds: whoever hangs up, refreshes or offers anew is
// answered as if nothing had been. What cannot go on is ended with a BYE to both sides, and the record says why.

extension Shard {
  /// In a request of ours the CSeq must be above any that was used (RFC 3261 §12.2.1.1), and not every one that was is
  /// written down: digits and refreshes count too.
  private static let sequenceGap: UInt32 = 10_000
  /// Of a leg that had no session timer: so often we ask whether it is still there, twice in that time.
  static let recoveredInterval: UInt32 = 1_800

  /// Before anything else reaches the shard. What it causes is in `outbox` when this returns, but for what many peers
  /// would have to be told at once (`recoveryDue`).
  package func recover(_ calls: [EstablishedCall], at now: Instant) {
    self.now = max(self.now, now)
    guard !calls.isEmpty else { return }
    // New calls begin above them, so that a serial names one call whatever process made it.
    lastCallSerial = calls.reduce(lastCallSerial) { max($0, $1.record.id.serial) }
    var outcome = RecoveryOutcome()
    // Those of two that have been joined, until the other one is there.
    var halves: [CallID: JoinedHalf] = [:]
    for call in calls { recover(call, &outcome, &halves) }
    for half in halves.values.sorted(by: { $0.session.id.serial < $1.session.id.serial }) {
      goOn(half.session, because: .joined, &outcome)
    }
    counters.recovery = outcome
    tell(.callsRecovered(outcome))
    recoveryDue()
  }

  private func recover(
    _ call: EstablishedCall, _ outcome: inout RecoveryOutcome,
    _ halves: inout [CallID: JoinedHalf]
  ) {
    do throws(RecoveryObstacle) {
      let session = try restore(call)
      guard let partner = call.session.partner else {
        return goOn(session, because: restoreMedia(session, call.session), &outcome)
      }
      let half = JoinedHalf(session: session, stored: call.session)
      guard let other = halves.removeValue(forKey: partner) else {
        halves[session.id] = half
        return
      }
      let obstacle = join(half, other)
      goOn(other.session, because: obstacle, &outcome)
      goOn(session, because: obstacle, &outcome)
    } catch {
      outcome.lost += 1
      close(call, because: error)
    }
  }

  /// Or not: nil is no obstacle.
  private func goOn(
    _ session: Session, because obstacle: RecoveryObstacle?, _ outcome: inout RecoveryOutcome
  ) {
    // The first that anybody hears of it: what is noted of it comes after.
    tell(
      .callRecovered(session.record, session: establishedRecord(session).encoded), call: session.id)
    if let obstacle {
      outcome.released += 1
      note(obstacle, session)
      dues.add(.release(session))
    } else {
      outcome.recovered += 1
      mediaAgreed(session)
      for leg in [session.caller, session.callee] {
        if let leg, leg.protection.renewal != nil { dues.add(.renew(leg)) }
      }
    }
  }

  private static let noteOfEnd = "could not go on after a restart: "

  func note(_ obstacle: RecoveryObstacle, _ session: Session) {
    note(Self.noteOfEnd + obstacle.rawValue, session)
  }

  /// Its end is the last moment at which somebody saw it.
  private func close(_ call: EstablishedCall, because obstacle: RecoveryObstacle) {
    var record = call.record
    record.state = .interrupted
    record.end = [record.setup, record.answer ?? record.setup, call.lastAlive].max()
    record.releasedBy = .system
    record.cause = .interrupted
    record.note(Self.noteOfEnd + obstacle.rawValue)
    endRecordings(&record, at: call.lastAlive)
    tell(.callEnded(record), call: record.id)
  }

  // MARK: The call

  private func restore(_ call: EstablishedCall) throws(RecoveryObstacle) -> Session {
    guard let tenant = configuration.tenant(named: call.record.tenant) else { throw .party }
    guard sessionsBySerial[call.record.id.serial] == nil else { throw .doubled }
    guard call.record.answer != nil, (1...2).contains(call.session.legs.count) else {
      throw .dialog
    }
    let number = call.record.callerNumber
    let identity = CallerIdentity(
      number: number.isEmpty || number == CallerIdentity.anonymous ? nil : number, origin: .unknown)
    var holding = CallerHolding()
    guard
      let session = enter(
        call.record, tenant: tenant, plan: RoutePlan(hops: []), identity: identity, &holding)
    else { throw .capacity }
    session.state = .answered
    session.record.state = .answered
    session.record.note("went on after a restart")
    // A rule that had it recorded has it recorded again; what somebody asked for is over.
    session.isRecordingDecided = !session.record.recordings.contains {
      $0.end == nil && $0.origin == .rule
    }
    endRecordings(&session.record, at: call.lastAlive)
    do throws(RecoveryObstacle) {
      for leg in call.session.legs { try restore(leg, session) }
    } catch {
      forget(session)
      throw error
    }
    takePlaces(session, call.session)
    beginToll(session)
    return session
  }

  private func endRecordings(_ record: inout CallRecord, at end: Instant) {
    for i in record.recordings.indices where record.recordings[i].end == nil {
      record.recordings[i].end = .interrupted
      record.recordings[i].ended = max(record.recordings[i].started ?? end, end)
    }
  }

  private func forget(_ session: Session) {
    for leg in [session.caller, session.callee].compactMap({ $0 }) {
      leg.state = .ended
      leg.session = nil
      wheel.cancel(&leg.timer.id)
      removeIfDone(leg)
    }
    session.caller = nil
    session.callee = nil
    sessionsBySerial[session.id.serial] = nil
    _ = sessions.remove(session.handle)
  }

  /// They are held whatever the limits are now: the call is there.
  private func takePlaces(_ session: Session, _ stored: SessionRecord) {
    for seat in stored.seats {
      if seat.kind == SessionRecord.Seat.channel {
        let held = seats.occupy(TrunkSeats.Key(tenant: seat.tenant, name: seat.name))
        if seat.isWayOut { session.egressSeat = held } else { session.ingressSeat = held }
      } else if let kind = LimitSeats.Kind(rawValue: seat.kind),
        let held = limits.occupy(
          LimitSeats.Key(kind: kind, tenant: seat.tenant, name: seat.name), configuration)
      {
        if seat.isWayOut {
          session.egressLimits.append(held)
        } else {
          session.ingressLimits.append(held)
        }
      }
    }
    if session.record.isEmergency {
      session.emergency = configuration.emergency(
        session.record.calledNumber, tenant: session.tenant)
      if session.emergency != nil { emergencyCalls[session.record.tenant, default: 0] += 1 }
    }
  }

  // MARK: A leg

  private func restore(
    _ stored: SessionRecord.LegRecord, _ session: Session
  ) throws(RecoveryObstacle) {
    let state = stored.state
    guard !stored.callID.isEmpty, !stored.target.isEmpty, !stored.tag.isEmpty,
      state.side == .a ? session.caller == nil : session.callee == nil
    else { throw .dialog }
    guard
      let listener = listeners.firstIndex(where: { $0.name.utf8.elementsEqual(stored.listener) }),
      let network = configuration.network(named: String(decoding: stored.network, as: UTF8.self))
    else { throw .party }
    let leg = Leg(
      side: state.side, isOurs: state.isOurs, call: session.id, destination: state.destination,
      listener: ListenerIndex(clamping: listener), network: network)
    leg.source = state.source
    leg.followsSource = state.followsSource
    try followParty(leg, session, trunk: String(decoding: stored.trunk, as: UTF8.self))
    guard let handle = legs.insert(leg) else { throw .capacity }
    leg.handle = handle
    leg.session = session
    if state.side == .a { session.caller = leg } else { session.callee = leg }
    guard let text = dialogText(stored) else { throw .capacity }
    leg.dialog = text
    leg.state = .confirmed
    leg.fork = state.fork
    leg.localCSeq = min(state.localCSeq, UInt32(Int32.max) / 2) + Self.sequenceGap
    leg.remoteCSeq = state.remoteCSeq
    leg.abilities = PeerAbilities(rawValue: state.abilities)
    leg.sdpSession = state.sdpSession
    leg.sdpVersion = UInt32(clamping: state.sdpVersion)
    leg.hold.hasListened = true
    if !stored.description.isEmpty {
      guard let description = blocks.store(stored.description.rawSpan) else { throw .capacity }
      leg.description = description
    }
    guard recovered.insert(stored.tag, tagKey(of: stored.tag.rawSpan), handle) else {
      throw .doubled
    }
    let isDetached = noteDetached(leg, session)
    if state.isProtected { leg.protection.renewal = KeyRenewal(awaitsConnection: isDetached) }
    restoreTimer(leg, state)
  }

  /// Whoever refreshed goes on to. A peer that knew of no timer is asked by us, so that nothing stays for ever.
  private func restoreTimer(_ leg: Leg, _ state: SessionRecord.LegState) {
    let isNew = state.timerSeconds == 0
    leg.timer.seconds = isNew ? Self.recoveredInterval : state.timerSeconds
    let refresher: SessionTimer.Refresher = isNew || state.isRefreshedByUs ? .us : .them
    handleTimer(leg, .agreed(refresher, .seconds(Int(leg.timer.seconds))))
  }

  /// What the configuration says of whoever is at the leg's other end.
  private func followParty(
    _ leg: Leg, _ session: Session, trunk name: String
  ) throws(RecoveryObstacle) {
    let kind = try party(leg, session, trunk: name)
    let policy = dialogPolicy(of: kind)
    leg.timer.policy = policy.timerPolicy
    leg.passesInfo = policy.dtmfInfo
    leg.protection.rules = protectionRules(of: kind, configuration)
    leg.streams = streams(of: kind, configuration)
    leg.transcodes = transcodes(kind, configuration)
    leg.treatment = treatment(of: kind, configuration)
    leg.dtmf = digitPolicy(of: kind, configuration)
    switch kind {
    case .phone: leg.silence = UInt32(clamping: ResourceDefaults.mediaTimeout.milliseconds)
    case .user(let user):
      leg.silence = UInt32(clamping: configuration.users[user].mediaTimeout.milliseconds)
      leg.codecs = configuration.users[user].codecs
    case .trunk(let index):
      let peer = configuration.trunks[index]
      leg.trunk = index
      leg.watched = target(ofTrunk: peer, leg.isOurs ? leg.destination : leg.source)
      leg.rules = configuration.rules(ofTrunk: index)
      leg.silence = UInt32(clamping: peer.mediaTimeout.milliseconds)
      leg.codecs = peer.codecs
      leg.wideLatching = peer.wideLatching
      if !leg.followsSource {
        leg.security = security(ofTrunk: peer, leg.source).map(PeerSecurity.init)
      }
      guard leg.isOurs else { return }
      leg.credentials = peer.register == nil ? peer.credentials : peer.registrationCredentials
      leg.realm = peer.register?.realm
    }
  }

  private func party(
    _ leg: Leg, _ session: Session, trunk name: String
  ) throws(RecoveryObstacle) -> CallerKind {
    if !name.isEmpty {
      guard let trunk = configuration.trunk(named: name, tenant: session.tenant) else {
        throw .party
      }
      return .trunk(trunk)
    }
    let party = leg.side == .a ? session.record.from : session.record.to
    if party.hasPrefix("user:"),
      let user = configuration.user(named: String(party.dropFirst(5)), tenant: session.tenant)
    {
      return .user(user)
    }
    // It is asked for nothing that depends on which.
    return .phone(0)
  }

  private func dialogText(_ stored: SessionRecord.LegRecord) -> DialogText? {
    var dialog = DialogText()
    body.begin()
    func keep(_ bytes: [UInt8]) -> ByteRange {
      let start = body.position
      body.append(bytes.rawSpan)
      return ByteRange(from: start, to: body.position)
    }
    dialog.callID = keep(stored.callID)
    dialog.local = keep(stored.local)
    dialog.remote = keep(stored.remote)
    // A peer of old may have none (RFC 2543).
    let place = stored.remoteTag.isEmpty ? 0 : stored.remote.lastPlace(of: stored.remoteTag)
    dialog.remoteTag = ByteRange(dialog.remote.start + (place ?? 0), stored.remoteTag.count)
    dialog.target = keep(stored.target)
    dialog.routes = keep(stored.routes)
    let block =
      body.isOverflowing || place == nil ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let block else { return nil }
    dialog.text = block
    return dialog
  }

  // MARK: Media

  /// Nil: both sides are as they were.
  private func restoreMedia(_ session: Session, _ stored: SessionRecord) -> RecoveryObstacle? {
    let application = session.callee == nil ? application(ofCall: session) : nil
    guard let caller = session.caller, session.callee != nil || application != nil else {
      return .joined
    }
    if let obstacle = reopen(session, stored) { return obstacle }
    guard let mine = caller.media else { return .ports }
    if let theirs = session.callee?.media {
      outbox.media.append(.bridge(mine.transport, theirs.transport))
    } else if let application {
      session.application = application
      // A peer that has to agree to new keys chooses anew.
      guard caller.protection.renewal != nil || adoptsAnswer(session, caller) else {
        return .media
      }
      outbox.media.append(.play(mine.transport, application))
    }
    return nil
  }

  /// The ports of a call's legs, and what their peers have said of themselves.
  func reopen(_ session: Session, _ stored: SessionRecord) -> RecoveryObstacle? {
    for stored in stored.legs {
      let leg = stored.state.side == .a ? session.caller : session.callee
      guard let leg, openAgain(leg, stored.state) else { return .ports }
    }
    for leg in [session.caller, session.callee].compactMap({ $0 }) {
      if leg.protection.renewal != nil {
        guard preparesRenewal(leg) else { return .protected }
      } else if !describesAgain(leg) {
        let isKeyed = leg.description.isNone || leg.protection.refusal == .srtpUnsupported
        return isKeyed ? .protected : .media
      }
    }
    return nil
  }

  /// What the caller hears, from its beginning; nil: somebody.
  private func application(ofCall session: Session) -> MediaApplication? {
    let name = session.record.to
    guard name.hasPrefix("application:"),
      let index = configuration.application(
        named: String(name.dropFirst(12)), tenant: session.tenant),
      let kind = configuration.applications.element(at: index)?.kind
    else { return nil }
    return mediaApplication(kind, index, configuration)
  }

  /// At the address and port that the peer knows.
  private func openAgain(_ leg: Leg, _ state: SessionRecord.LegState) -> Bool {
    guard let bound = state.media,
      let address = settings.mediaAddresses.firstIndex(where: {
        $0.bound == bound.ip && $0.ports.contains(bound.port)
      })
    else { return false }
    let local = LocalMedia(address: UInt16(clamping: address), port: bound.port)
    guard ports.claim(local) else { return false }
    let transport = MediaTransportID(raw: leg.handle.packed)
    leg.media = LegMedia(transport: transport, local: local)
    leg.media?.answered = state.answered
    outbox.media.append(.open(transport, local))
    return true
  }

  // MARK: Tags

  /// The leg whose tag of ours this is.
  func leg(ofTag tag: RawSpan) -> Leg? {
    if let token = mint.read(tag) { return token.kind == .tag ? leg(token.owner) : nil }
    guard !recovered.isEmpty else { return nil }
    return recovered.leg(tagKey(of: tag)).flatMap { leg($0) }
  }

  /// A 2xx to an INVITE of the earlier process, in a dialog that goes on: whose ACK was lost, or never sent, the peer would
  /// end the call for (RFC 3261 §13.3.1.4).
  func acknowledgesRecovered(_ message: borrowing Message, _ cseq: CSeq) -> Bool {
    guard let from = message.from, let to = message.to,
      let leg = leg(ofTag: message.bytes.extracting(from.tag)), leg.state == .confirmed,
      recovered.tag(of: leg.handle) != nil
    else { return false }
    let text = blocks.bytes(leg.text)
    guard text.extracting(leg.callID).equals(message.bytes.extracting(message.callID)),
      text.extracting(leg.remoteTag).equals(message.bytes.extracting(to.tag))
    else { return false }
    writeAcknowledgement(leg, cseq: cseq.number, withBody: false)
    secure(leg)
    send(
      to: leg.destination, leg.listener, connectPort: connectPort(leg), serial: leg.call.serial,
      side: leg.side)
    return true
  }

  func writeOwnTag(_ leg: Leg, into output: inout OutputBuffer) {
    if !recovered.isEmpty, let tag = recovered.tag(of: leg.handle) {
      output.append(tag.rawSpan)
    } else {
      mint.write(
        OwnerToken(kind: .tag, fork: leg.isOurs ? 0 : leg.fork, owner: leg.tagHandle), into: &output
      )
    }
  }

  private func tagKey(of tag: RawSpan) -> HashKey { hash.key(tag, seed: 0x900) }
}

extension [UInt8] {
  /// Where the last copy of `part` begins; nil: there is none.
  fileprivate func lastPlace(of part: [UInt8]) -> Int? {
    guard !part.isEmpty, part.count <= count else { return nil }
    return (0...(count - part.count)).last { self[$0..<($0 + part.count)].elementsEqual(part) }
  }
}
