/// What a message may be at most. Beyond it, it is refused, never cut.
package enum SIPLimits {
  /// Octets of a message, and so of a datagram.
  package static let messageBytes = 65_535
  /// Octets up to and with the empty line, line breaks before the start line included.
  package static let headerBytes = 32_768
  package static let headerFields = 128
  package static let headerNameBytes = 255
  /// Of one URI, and as many headers behind its question mark: comparing two URIs takes their product.
  package static let uriParameters = 32
}

/// Why a message could not be read, and the offset of the octet that showed it.
package struct SIPParseError: Error, Hashable, Sendable {
  package enum Reason: UInt8, Sendable, CaseIterable {
    /// Nothing but line breaks: a keep-alive (RFC 5626 §3.5.1), or an empty datagram.
    case empty
    case messageTooLong
    /// Neither a request line nor a status line.
    case startLine
    /// A request of another SIP version: 505.
    case version
    /// A header field without a name, with an impossible name, or without a colon.
    case headerName
    /// CR or LF alone.
    case lineEnd
    /// A zero octet or another control character, other than escaped in a quoted string.
    case controlCharacter
    case tooManyHeaders
    case headersTooLong
    /// No empty line ends the header fields.
    case incomplete
    /// Content-Length is no number, or there are several different ones.
    case contentLength
    /// Content-Length says more than the datagram holds.
    case truncatedBody
  }

  package var reason: Reason
  package var offset: Int
  /// The start line is that of a request, so `Message.parseLenient` may find what an answer needs.
  package var headersUsable: Bool

  init(_ reason: Reason, at offset: Int, headersUsable: Bool = false) {
    self.reason = reason
    self.offset = offset
    self.headersUsable = headersUsable
  }

  /// The status to answer with where an answer is possible.
  package var status: Int {
    switch reason {
    case .version: 505
    case .messageTooLong, .headersTooLong, .tooManyHeaders: 513
    default: 400
    }
  }
}
