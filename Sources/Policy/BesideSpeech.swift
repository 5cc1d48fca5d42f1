package import SIPWire

/// A stream that may pass beside speech, as documents name it.
package enum BesideSpeech: String, Sendable, CaseIterable {
  case fax, video, text, application

  package var stream: SDPStream {
    switch self {
    case .fax: .fax
    case .video: .video
    case .text: .text
    case .application: .application
    }
  }
}

extension SDPStreams {
  package init(_ named: [BesideSpeech]) {
    self = named.reduce(into: []) { $0.insert(SDPStreams($1.stream)) }
  }

  package var named: [BesideSpeech] {
    BesideSpeech.allCases.filter { contains(SDPStreams($0.stream)) }
  }
}
