import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// Calls that end here: echo, tone, announcement, quality test.

extension Shard {
  func startApplication(_ session: Session, _ strand: Strand, _ index: Int) {
    guard session.configuration.applications.indices.contains(index) else {
      return release(session, by: .system, .internalFault)
    }
    let application = session.configuration.applications[index]
    session.record.to = "application:" + application.name
    let line = session.record.attempts.count
    let attempt = CallAttempt(
      target: session.record.to, address: nil, started: now, ended: nil, status: 0, cause: nil,
      forwardedBy: strand.diversions.last?.name ?? "")
    session.record.attempts.append(attempt)
    tell(.hopTried(attempt), call: session.id)
    let kind = mediaApplication(application.kind, index, session.configuration)
    if let transfer = session.handover?.transfer {
      return targetIsApplication(session, transfer, kind, line: line)
    }
    guard let leg = session.caller, let server = leg.inviteServer, server.isProceeding else {
      return release(session, by: .system, .internalFault)
    }
    session.application = kind
    guard describeApplication(session, leg) else {
      let cause = leg.protection.refusal ?? .mediaUnacceptable
      endAttempt(session, line, 488, cause)
      return memberLost(session, strand, Failure(488, cause))
    }
    endAttempt(session, line, 200, nil)
    leg.fork = session.forksShown
    if let media = leg.media, let application = session.application {
      outbox.media.append(.play(media.transport, application))
    }
    sendSuccess(leg, server)
    body.abandon()
    giveUp(session, Failure(487, .completedElsewhere))
    answered(session)
  }

  func mediaApplication(
    _ kind: ApplicationKind, _ index: Int, _ configuration: Configuration
  ) -> MediaApplication {
    switch kind {
    case .echo: .echo
    case .milliwatt: .milliwatt
    case .announcement: .announcement(configuration.announcement(ofApplication: index) ?? .max)
    case .quality: .qualityTest
    case .music: .music(configuration.announcement(ofApplication: index) ?? .max)
    }
  }

  /// Our answer to the caller's offer, or our offer where it made none, in `body`.
  private func describeApplication(_ session: Session, _ leg: Leg) -> Bool {
    if session.offer.isNone { return writeOffer(leg) }
    let text = blocks.bytes(session.offer)
    guard (try? SessionDescription.parse(text, into: &offered)) != nil,
      let choice = chooseForApplication()
    else { return false }
    return answerApplication(session, leg, text, choice)
  }

  /// Of the offer that was read last.
  func chooseForApplication() -> SDPChoice? {
    SDPWriter.choose(from: offered, speaking: { speaks($0.codec) })
  }

  /// The application speaks to the leg's far end what was chosen; its name, as records have it.
  func adopt(_ choice: SDPChoice, _ leg: Leg) -> String {
    if var remote = leg.media?.remote {
      let format = offered.formats(of: choice.line).first {
        $0.payloadType == choice.codec.payloadType
      }
      remote.codec = format?.codec ?? .unknown
      remote.payloadType = choice.codec.payloadType
      remote.clockRate = choice.codec.clockRate
      // What our answer does not name is not sent either.
      if !choice.hasComfortNoise { remote.treatment.remove(.suppressed) }
      remote.events = EventFormats()
      if let events = choice.telephoneEvent { remote.events = EventFormats(events) }
      follow(remote, leg)
    }
    return "\(choice.codec.encoding.name)/\(choice.codec.clockRate)"
  }

  /// The caller's description, which was read last, is its answer to an offer of ours.
  func adoptsAnswer(_ session: Session, _ leg: Leg) -> Bool {
    guard let choice = chooseForApplication() else { return false }
    session.record.codec = adopt(choice, leg)
    return true
  }

  private func answerApplication(
    _ session: Session, _ leg: Leg, _ text: RawSpan, _ choice: SDPChoice
  ) -> Bool {
    guard let media = leg.media else { return false }
    var choice = choice
    choice.hasComfortNoise = isSparedPauses(session, leg, choice)
    session.record.codec = adopt(choice, leg)
    guard case .some(let protection) = ownProtection(leg) else { return false }
    body.begin()
    SDPWriter.answer(
      to: offered, of: text, choice: choice, as: sdpSession(leg), port: media.local.port,
      protection: protection, into: &body)
    return isSaid(leg)
  }

  /// A re-INVITE or UPDATE of a caller who talks to an application; the offer has passed the machine.
  func answerForApplication(
    _ session: Session, _ leg: Leg, _ transaction: ServerTransaction,
    _ message: borrowing Message
  ) {
    if message.body.isEmpty {
      leg.sdpVersion &+= 1
      guard writeOffer(leg) else { return refuseForApplication(leg, transaction) }
    } else {
      guard let remote = readDescription(message, leg),
        let choice = chooseForApplication()
      else {
        return refuseForApplication(leg, transaction)
      }
      follow(remote, leg)
      leg.sdpVersion &+= 1
      guard
        answerApplication(session, leg, message.bytes.extracting(message.body), choice)
      else { return refuseForApplication(leg, transaction) }
      keepDescription(leg, leg.fork, message)
    }
    if transaction.method == .invite {
      sendSuccess(leg, transaction)
    } else {
      _ = leg.exchange.handle(.updateSuccess, from: .us, hasDescription: true)
      respond(transaction, 200, leg: leg, withBody: true)
    }
    body.abandon()
    mediaAgreed(session)
  }

  private func refuseForApplication(_ leg: Leg, _ transaction: ServerTransaction) {
    respond(transaction, 488, leg: leg)
    leg.exchange.refused(transaction.method == .invite ? .invite : .update)
    guard transaction.method == .invite else { return }
    leg.inviteServer?.leg = nil
    leg.inviteServer = nil
  }
}
