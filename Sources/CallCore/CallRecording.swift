package import Base
package import MediaControl

package enum RecordingOrigin: String, Sendable, CaseIterable {
  /// By the policy of a trunk or user.
  case rule
  case api
  /// By `recordingCode`.
  case code
}

/// What a call's record says of one of its recordings. A moment is an `Instant` while the call lives, and milliseconds
/// since 1970 where that is kept or told.
package struct RecordingLine<Moment: Hashable & Sendable>: Hashable, Sendable {
  package struct Pause: Hashable, Sendable {
    package var from: Moment
    package var to: Moment?

    package init(from: Moment, to: Moment? = nil) {
      self.from = from
      self.to = to
    }
  }

  /// `CALL-NUMBER`.
  package var name: String
  package var format: RecordingFormat
  package var origin: RecordingOrigin
  /// "trunk:NAME" or "user:NAME" whose policy allows or wants it.
  package var by: String
  /// Empty: there was none.
  package var file = ""
  /// Both sides have to hear an announcement first, and when they had.
  package var hasNotice: Bool
  package var announced: [Moment] = []
  /// Of the first sample.
  package var started: Moment?
  /// Samples of each side in a second; 0: there is no file yet, or not known.
  package var rate: UInt16 = 0
  package var pauses: [Pause] = []
  package var ended: Moment?
  /// Nil: it goes on.
  package var end: RecordingEnd?
  package var bytes: UInt64 = 0
  package var milliseconds: UInt64 = 0
  package var lostMilliseconds: UInt64 = 0
  package var unreadPackets: UInt64 = 0

  package init(
    name: String, format: RecordingFormat, origin: RecordingOrigin, by: String,
    hasNotice: Bool = false
  ) {
    self.name = name
    self.format = format
    self.origin = origin
    self.by = by
    self.hasNotice = hasNotice
  }

  package var isPaused: Bool { pauses.last.map { $0.to == nil } ?? false }

  /// The same by another clock.
  package func map<Other>(_ moment: (Moment) -> Other) -> RecordingLine<Other> {
    var line = RecordingLine<Other>(
      name: name, format: format, origin: origin, by: by, hasNotice: hasNotice)
    line.file = file
    line.announced = announced.map(moment)
    line.started = started.map(moment)
    line.rate = rate
    line.pauses = pauses.map { .init(from: moment($0.from), to: $0.to.map(moment)) }
    line.ended = ended.map(moment)
    line.end = end
    line.bytes = bytes
    line.milliseconds = milliseconds
    line.lostMilliseconds = lostMilliseconds
    line.unreadPackets = unreadPackets
    return line
  }
}

package typealias CallRecording = RecordingLine<Instant>

extension CallRecording {
  /// Of one call, and of one recording.
  static var limit: Int { 16 }
  static var pauseLimit: Int { 64 }
}

/// What can be asked for in the midst of a call.
package enum RecordingAction: Hashable, Sendable {
  /// Nil: the format that the settings say.
  case start(RecordingFormat?)
  case pause, resume, stop
}

package enum RecordingAnswer: Hashable, Sendable {
  case done(CallRecord)
  case noCall
  case notAnswered
  /// Neither side's trunk or user allows it.
  case notAllowed
  case alreadyRecording
  case notRecording
  case alreadyPaused, notPaused
  /// As many calls as may be are recorded, or this one was so often already.
  case tooMany
  /// It ends here: there is one side only.
  case oneSided
}

/// A recording that goes on.
final class ActiveRecording {
  let id: RecordingID
  /// Its place in the call's record.
  let place: Int
  let order: RecordingOrder
  /// The transport that it hangs on.
  var transport: MediaTransportID
  var isStopping = false

  init(_ order: RecordingOrder, place: Int, transport: MediaTransportID) {
    id = order.id
    self.place = place
    self.order = order
    self.transport = transport
  }
}
