/// What a session description may be at most.
package enum SDPLimits {
  package static let bytes = 65_535
  package static let lineBytes = 4_096
  package static let mediaLines = 16
  /// In each m-line.
  package static let formats = 64
  package static let attributes = 1_024
  /// a=crypto lines of an m-line that are kept; further ones are not chosen from.
  package static let crypto = 16
  /// The same of a=fingerprint lines, of the session or of an m-line.
  package static let fingerprints = 8
}

/// Why a session description could not be read, and the offset of the octet that showed it.
package struct SDPParseError: Error, Hashable, Sendable {
  package enum Reason: UInt8, Sendable, CaseIterable {
    case empty
    case tooLong
    /// Longer than `SDPLimits.lineBytes`.
    case lineTooLong
    /// No `x=`, an unknown type letter, a zero octet, CR alone, or a value that may not be empty.
    case line
    /// The lines stand in an impossible order, or one that may stand once stands twice.
    case order
    case version
    case origin
    /// A c= line that isn't one.
    case connection
    /// An m-line with a port has no c= line, its own or the session's.
    case missingConnection
    /// A host name or a network other than the Internet where an address is needed.
    case unsupportedAddress
    case media
    case tooManyMedia
    case tooManyFormats
    case tooManyAttributes
    /// A malformed attribute of those that are read.
    case attribute
  }

  package var reason: Reason
  package var offset: Int

  init(_ reason: Reason, at offset: Int) {
    self.reason = reason
    self.offset = offset
  }
}
