/// What an m-line that we can pass on carries.
@frozen
package enum SDPStream: UInt8, Sendable, CaseIterable {
  /// Audio over RTP or SRTP, wherever its keys come from.
  case speech
  /// Fax in real time by ITU-T T.38, as UDPTL datagrams.
  case fax
  /// Over RTP or SRTP: pictures, text in real time (RFC 4103), and what else is sent beside speech.
  case video, text, application
}

/// The streams beside speech that may pass.
package struct SDPStreams: OptionSet, Hashable, Sendable {
  package var rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }
  package init(_ stream: SDPStream) { rawValue = 1 &<< stream.rawValue }

  package static let all = SDPStreams(
    SDPStream.allCases.filter { $0 != .speech }.map { SDPStreams($0) })
}

extension SDPMedia {
  /// Nil: nothing that we can pass on.
  package var stream: SDPStream? {
    switch kind {
    case .audio: transport.isRTP ? .speech : nil
    case .image: transport == .udptl ? .fax : nil
    case .video: transport.isRTP ? .video : nil
    case .text: transport.isRTP ? .text : nil
    case .application: transport.isRTP ? .application : nil
    case .other: nil
    }
  }
}
