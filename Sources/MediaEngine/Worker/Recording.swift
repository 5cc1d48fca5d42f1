import Base
import MediaControl
import RTPWire

// Calls that are recorded: what each far end sends goes to a track of the recorder, decoded, and on as before. The
// recorder hangs on one transport, which the engine has named; the other side is whoever that is bridged with.
//
// Where an announcement is ordered both sides hear it first, in the place of each other, and nothing is recorded until
// both have heard it to its end; who comes later, by a transfer, hears it too.

extension Worker {
  static let handEvery = Interval.milliseconds(100)

  // MARK: Commands

  mutating func record(_ id: MediaTransportID, _ order: RecordingOrder) {
    guard recordingWriter != nil else { return refuse(order.id, .writeFailed) }
    guard let slot = slots[id] else { return refuse(order.id, .released) }
    guard transports[slot].recorder < 0 else { return refuse(order.id, .joined) }
    guard let index = recorders.firstIndex(where: { $0 == nil }) else {
      return refuse(order.id, .limit)
    }
    let recorder = Recorder(order, index: Int32(index))
    recorder.main = slot
    recorders[index] = recorder
    counters.recordings += 1
    tap(recorder)
    begin(recorder)
  }

  mutating func moveRecording(
    _ id: RecordingID, _ transport: MediaTransportID, _ channel: RecordingChannel
  ) {
    guard let recorder = recorder(id), let slot = slots[transport] else { return }
    let heard = Set(recorder.tapped)
    untap(recorder)
    recorder.main = slot
    recorder.channel = channel
    tap(recorder)
    if !Set(recorder.tapped).isSubset(of: heard) { begin(recorder) }
  }

  mutating func pauseRecording(_ id: RecordingID, _ isPaused: Bool) {
    guard let recorder = recorder(id), recorder.isPaused != isPaused else { return }
    recorder.isPaused = isPaused
    recorder.keepNothing(before: now)
  }

  mutating func stopRecording(_ id: RecordingID, _ end: RecordingEnd) {
    if let recorder = recorder(id) { finish(recorder, end) }
  }

  /// A command that could not be done is an end of its recording, and no fault of a transport's.
  private mutating func refuse(_ id: RecordingID, _ end: RecordingEnd) {
    facts.append(.recording(id, .ended(RecordingResult(end))))
  }

  private func recorder(_ id: RecordingID) -> Recorder? {
    for recorder in recorders { if let recorder, recorder.order.id == id { return recorder } }
    return nil
  }

  // MARK: Which packets

  /// Both directions go by the sockets from now on, and past the recorder.
  private mutating func tap(_ recorder: Recorder) {
    let main = recorder.main
    guard main >= 0, transports[main].isOpen else { return }
    takeBack(main)
    for (slot, channel) in [
      (main, recorder.channel), (Int(transports[main].peer), recorder.channel.other),
    ] where slot >= 0 && transports[slot].recorder < 0 {
      transports[slot].recorder = Int16(truncatingIfNeeded: recorder.index)
      transports[slot].recordedChannel = channel
      recorder.tapped.append(slot)
    }
  }

  private mutating func untap(_ recorder: Recorder) {
    endNotice(recorder)
    for slot in recorder.tapped where transports[slot].recorder == recorder.index {
      transports[slot].recorder = -1
      offerPassage(slot)
    }
    recorder.tapped.removeAll()
  }

  /// A bridge has come or gone: the recorders of its ends hang on what there is now.
  mutating func followRecording(_ slot: Int) {
    guard transports[slot].recorder >= 0,
      let recorder = recorders[Int(transports[slot].recorder)]
    else { return }
    untap(recorder)
    tap(recorder)
    if recorder.tapped.count == 2 { begin(recorder) }
  }

  /// The transport is about to close.
  mutating func leaveRecording(_ slot: Int) {
    guard transports[slot].recorder >= 0,
      let recorder = recorders[Int(transports[slot].recorder)]
    else { return }
    untap(recorder)
    if recorder.main == slot {
      recorder.main = -1
    } else {
      tap(recorder)
    }
  }

  /// A packet of the far end of `slot`, in the buffer.
  mutating func noteSpeech(_ header: RTPHeader, _ stamp: UInt64, _ slot: Int) {
    guard let recorder = recorders[Int(transports[slot].recorder)],
      let codec = speechCodec(header.payloadType, slot)
    else { return }
    let waited = stamp == 0 || stamp > wall ? 0 : min(wall - stamp, 1_000_000_000)
    let arrival = now + Interval(nanoseconds: -Int64(waited))
    buffer.give(header, to: recorder, codec, transports[slot].recordedChannel, at: arrival)
  }

  /// Nil: the packet holds no speech, but a digit or comfort noise.
  private func speechCodec(_ payloadType: UInt8, _ slot: Int) -> AudioCodec? {
    let remote = transports[slot].remote
    let peer = Int(transports[slot].peer)
    guard !remote.isEvent(payloadType), payloadType != 13 else { return nil }
    if let format = remote.speech[payloadType: payloadType] { return format.codec }
    if payloadType == remote.payloadType { return remote.codec }
    if peer >= 0, transports[peer].remote.isEvent(payloadType) { return nil }
    // RFC 3551 §6.
    switch payloadType {
    case 0: return .pcmu
    case 3: return .gsm
    case 8: return .pcma
    case 9: return .g722
    case 18: return .g729
    default: return .unknown
    }
  }

  // MARK: The announcement

  private mutating func begin(_ recorder: Recorder) {
    if recorder.order.notice == nil { return run(recorder) }
    endNotice(recorder)
    recorder.phase = .announcing
    // Nobody is there to hear it yet: it begins with the bridge.
    guard recorder.tapped.count == 2 else { return }
    // Who is on hold hears this instead of music.
    for slot in recorder.tapped { endInterlude(slot) }
    guard let notice = recorder.order.notice,
      let clip = Application(.announcement(notice), announcements, settings),
      recorder.tapped.allSatisfy({ canHear($0) })
    else { return finish(recorder, .noticeFailed) }
    recorder.hearers = recorder.tapped
    for slot in recorder.tapped {
      // What converted the one's speech for the other would be in the way of the announcement's own.
      converters[slot] = nil
      beginOwnFlow(slot)
      transports[slot].hearsNotice = true
    }
    for slot in recorder.tapped { startApplication(slot, clip) }
  }

  private func canHear(_ slot: Int) -> Bool {
    transports[slot].remote.proto == .rtp && transports[slot].remote.codec != .unknown
      && !applications[slot].isActive
  }

  /// The announcement has come to its end for `slot`.
  mutating func noticeHeard(_ slot: Int) {
    guard transports[slot].recorder >= 0,
      let recorder = recorders[Int(transports[slot].recorder)]
    else { return }
    recorder.hearers.removeAll { $0 == slot }
    guard recorder.hearers.isEmpty else { return }
    endNotice(recorder)
    facts.append(.recording(recorder.order.id, .announced))
    // The writer tells of the beginning by itself: this comes before.
    sink(facts)
    facts.removeAll(keepingCapacity: true)
    run(recorder)
  }

  /// It cannot be played: then nothing is recorded.
  mutating func noticeFailed(_ slot: Int) {
    guard transports[slot].recorder >= 0,
      let recorder = recorders[Int(transports[slot].recorder)]
    else { return }
    finish(recorder, .noticeFailed)
  }

  /// Both hear each other again, in the flows that they know.
  private mutating func endNotice(_ recorder: Recorder) {
    recorder.hearers.removeAll()
    for slot in recorder.tapped where transports[slot].hearsNotice {
      transports[slot].hearsNotice = false
      stopApplication(slot)
      streams[slot].outgoing.isMapped = false
      if transports[slot].endsReports {
        timers.arm(timer(.report, slot), at: now + reportDelay(halves: 1))
      }
    }
  }

  // MARK: The time line

  private mutating func run(_ recorder: Recorder) {
    recorder.phase = .running
    guard recorder.begin == nil else { return recorder.keepNothing(before: now) }
    recorder.begin(at: now, band(recorder))
    nextHand = min(nextHand, now + Self.handEvery)
    recordingWriter?.begin(recorder, wall: Int64(clamping: wall / 1_000_000))
  }

  /// What is heard of one side is worth the room, whatever the other has.
  private func band(_ recorder: Recorder) -> SpeechBand {
    recorder.tapped.contains { transports[$0].remote.codec.isWide } ? .wide : .narrow
  }

  private mutating func finish(_ recorder: Recorder, _ end: RecordingEnd) {
    let freed = recorder.tapped
    untap(recorder)
    recorders[Int(recorder.index)] = nil
    counters.recordings -= 1
    // Who could not be recorded for two of them can be now.
    for slot in freed where transports[slot].peer >= 0 {
      followRecording(Int(transports[slot].peer))
    }
    guard recorder.begin != nil else { return refuse(recorder.order.id, end) }
    let before = recorder.lostBlocks
    recordingWriter?.end(recorder, end, at: now)
    count(recorder.lostBlocks - before, recorder.band)
  }

  /// Hands on what has been said, some times a second.
  mutating func handRecordings() {
    guard counters.recordings > 0, now >= nextHand else { return }
    nextHand = now + Self.handEvery
    for recorder in recorders {
      guard let recorder else { continue }
      let before = recorder.lostBlocks
      recordingWriter?.hand(recorder, at: now)
      count(recorder.lostBlocks - before, recorder.band)
    }
  }

  private mutating func count(_ lostBlocks: UInt64, _ band: SpeechBand) {
    counters.recordingFramesLost &+=
      lostBlocks &* UInt64(FrameRing.frames / (20 * band.perMillisecond))
  }
}

extension PacketBuffer {
  fileprivate func give(
    _ header: RTPHeader, to recorder: Recorder, _ codec: AudioCodec, _ channel: RecordingChannel,
    at arrival: Instant
  ) {
    recorder.take(
      header, bytes(header.payload.end).extracting(header.payload), codec, channel, at: arrival)
  }
}
