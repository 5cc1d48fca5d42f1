/// A recording between the engine, which chooses it and uses it once, and the media plane.
@frozen
package struct RecordingID: Hashable, Sendable {
  package var raw: UInt64
  @inlinable package init(raw: UInt64) { self.raw = raw }
}

package enum RecordingFormat: UInt8, Sendable, CaseIterable {
  /// RIFF/WAVE, linear samples of 16 bits.
  case wav
  /// Opus in Ogg (RFC 7845).
  case opus

  /// Its name in documents, and how its files' names end.
  package var name: String {
    switch self {
    case .wav: "wav"
    case .opus: "opus"
    }
  }
}

/// Which channel of the file a far end has: the left one is the caller's.
package enum RecordingChannel: UInt8, Sendable {
  case left, right

  package var other: RecordingChannel { self == .left ? .right : .left }
}

/// What the media plane needs to know to begin.
package struct RecordingOrder: Hashable, Sendable {
  /// Bytes of a name.
  package static let nameLimit = 64

  package var id: RecordingID
  package var format: RecordingFormat
  /// The channel of the transport that the order names; what that is bridged with has the other.
  package var channel: RecordingChannel
  /// Index of the announcement that both sides hear to its end before anything is recorded; nil: none.
  package var notice: UInt32?
  /// What the file is called between its time and its ending: letters, digits and hyphens.
  package var name: String

  package init(
    id: RecordingID, format: RecordingFormat, channel: RecordingChannel, notice: UInt32? = nil,
    name: String
  ) {
    self.id = id
    self.format = format
    self.channel = channel
    self.notice = notice
    self.name = name
  }

  /// `20261129T044213Z_1p8x2k7ab-4-1.wav`: sorts by time.
  package func fileName(milliseconds: Int64) -> String {
    RecordingFileName(milliseconds: milliseconds, name: name, format: format).text
  }
}

/// Why a recording is over.
package enum RecordingEnd: UInt8, Sendable, CaseIterable {
  /// The call is.
  case released
  /// Somebody asked for it.
  case stopped
  /// The call was joined with one that is recorded already.
  case joined
  case diskFull
  case writeFailed
  /// The announcement could not be played to both sides, so nothing was recorded.
  case noticeFailed
  /// As many as may be are recorded already.
  case limit
  /// The file can grow no further.
  case tooLong
  /// The process ended in the middle.
  case interrupted

  package var name: String {
    switch self {
    case .released: "released"
    case .stopped: "stopped"
    case .joined: "joined"
    case .diskFull: "disk-full"
    case .writeFailed: "write-failed"
    case .noticeFailed: "notice-failed"
    case .limit: "limit"
    case .tooLong: "too-long"
    case .interrupted: "interrupted"
    }
  }

  package init?(name: String) {
    guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = found
  }

  /// What was asked for did not come about, or not to its end.
  package var isFailure: Bool {
    switch self {
    case .released, .stopped, .joined: false
    case .diskFull, .writeFailed, .noticeFailed, .limit, .tooLong, .interrupted: true
    }
  }
}

/// What has come of a recording.
package struct RecordingResult: Hashable, Sendable {
  package var end: RecordingEnd
  /// Of the file.
  package var bytes: UInt64 = 0
  package var milliseconds: UInt64 = 0
  /// Silence in the file because the disk was too slow.
  package var lostMilliseconds: UInt64 = 0
  /// Packets of codecs that we do not speak; in the file they are silence.
  package var unreadPackets: UInt64 = 0

  package init(_ end: RecordingEnd) { self.end = end }
}

package enum RecordingEvent: Hashable, Sendable {
  /// Both sides have heard the announcement; again for whoever joins later.
  case announced
  /// There is a file, whose first sample is of this moment, in milliseconds since 1970, and which has so many of each
  /// side in a second.
  case started(wall: Int64, rate: UInt16)
  /// The last of a recording.
  case ended(RecordingResult)
}
