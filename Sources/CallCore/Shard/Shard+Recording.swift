import Base
import MediaControl
import Policy

// Calls that are recorded: who wants it, when it begins and ends, and what the record says of it. The media plane does
// it, and its facts say what has become of it.

extension Shard {
  // MARK: Asked for

  /// The one way in for whoever asks in the midst of a call.
  func recording(_ action: RecordingAction, of id: CallID) -> RecordingAnswer {
    guard let session = sessionsBySerial[id.serial], session.id == id,
      session.state != .released
    else { return .noCall }
    switch action {
    case .start(let format):
      let rule = recordRule(session)
      guard rule.policy != .off else { return .notAllowed }
      return begin(session, rule, .api, format ?? settings.recordingFormat)
    case .pause: return pause(session, true)
    case .resume: return pause(session, false)
    case .stop:
      guard session.recording != nil else { return .notRecording }
      stopRecording(session, .stopped)
      return .done(session.record)
    }
  }

  func startRecordingByCode(_ session: Session) -> RecordingAnswer {
    let rule = recordRule(session)
    guard rule.policy != .off else { return .notAllowed }
    return begin(session, rule, .code, settings.recordingFormat)
  }

  private func pause(_ session: Session, _ isPaused: Bool) -> RecordingAnswer {
    guard let recording = session.recording, !recording.isStopping else { return .notRecording }
    var line = session.record.recordings[recording.place]
    guard line.isPaused != isPaused else { return isPaused ? .alreadyPaused : .notPaused }
    if isPaused {
      guard line.pauses.count < CallRecording.pauseLimit else { return .tooMany }
      line.pauses.append(CallRecording.Pause(from: now))
    } else {
      line.pauses[line.pauses.count - 1].to = now
    }
    outbox.media.append(.pauseRecording(recording.id, isPaused: isPaused))
    session.record.recordings[recording.place] = line
    tellRecording(session, line)
    return .done(session.record)
  }

  // MARK: Begin

  /// Both sides of the call, as its record names them.
  private func recordRule(_ session: Session) -> RecordRule {
    session.configuration.recordRule(
      of: [session.record.from, session.record.to], tenant: session.tenant)
  }

  /// What both sides have said is in force: the call's recording begins, or hangs on whom the call has now.
  func followRecording(_ session: Session) {
    guard session.state == .answered else { return }
    if !session.isRecordingDecided { return decideRecording(session) }
    guard let recording = session.recording, !recording.isStopping else { return }
    // Two recordings of one pair of speakers would be one too many.
    if session.handover?.partner?.recording.map({ !$0.isStopping }) ?? false {
      return stopRecording(session, .joined)
    }
    guard let leg = recordedLeg(session), let media = leg.media, !leg.mediaClosing,
      media.transport != recording.transport
    else { return }
    recording.transport = media.transport
    outbox.media.append(.moveRecording(recording.id, media.transport, leg.recordedChannel))
  }

  private func decideRecording(_ session: Session) {
    session.isRecordingDecided = true
    let rule = recordRule(session)
    guard rule.policy == .on else { return }
    switch begin(session, rule, .rule, settings.recordingFormat) {
    case .tooMany:
      note("not recorded, though \(rule.by) wants it: as many calls as may be are", session)
    case .oneSided:
      // The call to whom another is handed on has its other side when they are joined.
      session.isRecordingDecided = session.handover == nil
    case .alreadyRecording, .done, .noCall, .notAnswered, .notAllowed, .notRecording,
      .alreadyPaused, .notPaused:
      break
    }
  }

  private func begin(
    _ session: Session, _ rule: RecordRule, _ origin: RecordingOrigin,
    _ format: RecordingFormat
  ) -> RecordingAnswer {
    guard session.state == .answered else { return .notAnswered }
    guard session.recording == nil, session.handover?.partner?.recording == nil else {
      return .alreadyRecording
    }
    let place = session.record.recordings.count
    guard place < CallRecording.limit, recordings.count < settings.limits.recordings else {
      return .tooMany
    }
    guard let leg = recordedLeg(session), let media = leg.media, !leg.mediaClosing,
      session.application == nil, session.other(leg)?.media != nil
    else { return .oneSided }
    lastRecording &+= 1
    let order = RecordingOrder(
      id: RecordingID(raw: lastRecording), format: format, channel: leg.recordedChannel,
      notice: rule.notice.map {
        // What is gone since cannot be heard, and so nothing is recorded.
        session.configuration.notice(named: $0, tenant: session.tenant) ?? .max
      },
      name: "\(session.id)-\(place + 1)")
    let line = CallRecording(
      name: order.name, format: format, origin: origin, by: rule.by,
      hasNotice: order.notice != nil)
    session.record.recordings.append(line)
    session.recording = ActiveRecording(order, place: place, transport: media.transport)
    recordings[order.id] = session
    outbox.media.append(.record(media.transport, order))
    tellRecording(session, line)
    return .done(session.record)
  }

  /// Of the two that speak the one who is the call's own.
  private func recordedLeg(_ session: Session) -> Leg? {
    switch session.handover?.parties {
    case nil, .both?: session.caller
    case .one(let leg)?: leg
    case .none?: nil
    }
  }

  // MARK: End

  /// The record learns what has become of it when the file is closed.
  func stopRecording(_ session: Session, _ end: RecordingEnd) {
    guard let recording = session.recording, !recording.isStopping else { return }
    recording.isStopping = true
    outbox.media.append(.stopRecording(recording.id, end))
  }

  // MARK: Reports

  func recordingReported(_ id: RecordingID, _ event: RecordingEvent) {
    guard let session = recordings[id], let recording = session.recording, recording.id == id,
      session.record.recordings.indices.contains(recording.place)
    else { return }
    var line = session.record.recordings[recording.place]
    switch event {
    case .announced:
      guard line.announced.count < CallRecording.pauseLimit else { return }
      line.announced.append(now)
    case .started(let wall, let rate):
      line.started = now
      line.rate = rate
      line.file = recording.order.fileName(milliseconds: wall)
    case .ended(let result): end(&line, result)
    }
    session.record.recordings[recording.place] = line
    guard line.end != nil else { return tellRecording(session, line) }
    forget(recording, session)
    tellRecording(session, line)
    if session.state == .released, mediaIsClosed(session) { finish(session) }
  }

  private func end(_ line: inout CallRecording, _ result: RecordingResult) {
    line.end = result.end
    line.ended = now
    if line.isPaused { line.pauses[line.pauses.count - 1].to = now }
    line.bytes = result.bytes
    line.milliseconds = result.milliseconds
    line.lostMilliseconds = result.lostMilliseconds
    line.unreadPackets = result.unreadPackets
  }

  private func forget(_ recording: ActiveRecording, _ session: Session) {
    recordings[recording.id] = nil
    session.recording = nil
  }

  /// The media plane has not said what has become of it, and the call is over.
  func giveUpRecording(_ session: Session) {
    guard let recording = session.recording else { return }
    var line = session.record.recordings[recording.place]
    end(&line, RecordingResult(.writeFailed))
    session.record.recordings[recording.place] = line
    forget(recording, session)
    noteFailure(line, session)
  }

  private func tellRecording(_ session: Session, _ line: CallRecording) {
    if line.end != nil { noteFailure(line, session) }
    // The last fact of a call says it too.
    guard sessions.isLive(session.handle) else { return }
    tell(.recordingChanged(line, session.record), call: session.id)
  }

  private func noteFailure(_ line: CallRecording, _ session: Session) {
    guard let end = line.end, end.isFailure else { return }
    note("recording \(line.name) ended: \(end.name)", session)
  }
}

extension Leg {
  fileprivate var recordedChannel: RecordingChannel { side == .a ? .left : .right }
}
