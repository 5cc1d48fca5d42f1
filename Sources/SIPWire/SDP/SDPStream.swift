import Base

/// What an m-line that we can pass on carries.
@frozen
package enum SDPStream: UInt8, Sendable, CaseIterable {
  /// Audio over RTP or SRTP.
  case speech
  /// Fax in real time by ITU-T T.38, as UDPTL datagrams.
  case fax
  /// Over plain RTP: pictures, text in real time (RFC 4103), and what else is sent beside speech.
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
    case .audio: transport.isPlainRTP || transport.isSecureRTP ? .speech : nil
    case .image: transport == .udptl ? .fax : nil
    case .video: transport.isPlainRTP ? .video : nil
    case .text: transport.isPlainRTP ? .text : nil
    case .application: transport.isPlainRTP ? .application : nil
    case .other: nil
    }
  }
}

// The attributes of streams beside speech are those of an agreement that we only carry. What stands in the lists
// here says something of coding and feedback; no address, name or key is in any of it.
extension SDPWriter {
  /// `b=` with a number, and the listed attributes, as they stand below the line.
  static func further(_ media: SDPMedia, of bytes: RawSpan, into out: inout OutputBuffer) {
    var at = media.section.start
    while at < media.section.end {
      let end = bytes.find(0x0a, from: at, to: media.section.end)
      var line = ByteRange(from: at, to: end)
      at = end &+ 1
      if line.count > 0, bytes.byte(at: line.end &- 1) == 0x0d {
        line = ByteRange(from: line.start, to: line.end &- 1)
      }
      guard passes(line, media, bytes) else { continue }
      out.append(bytes, line)
      out.append("\r\n")
    }
  }

  private static func passes(_ line: ByteRange, _ media: SDPMedia, _ bytes: RawSpan) -> Bool {
    guard line.count > 2, bytes.isPrintable(line) else { return false }
    let value = ByteRange(from: line.start &+ 2, to: line.end)
    let colon = bytes.find(UInt8(ascii: ":"), from: value.start, to: value.end)
    let name = ByteRange(from: value.start, to: colon)
    switch bytes.byte(at: line.start) {
    case UInt8(ascii: "b"):
      guard colon < value.end else { return false }
      let number = ByteRange(from: colon &+ 1, to: value.end)
      let isKnown = bytes.matches(name, "AS") || bytes.matches(name, "TIAS")
      return isKnown && bytes.number(number, limit: UInt32(Int32.max)) != nil
    case UInt8(ascii: "a"):
      if media.isFax {
        return name.count > 3 && bytes.matches(ByteRange(name.start, 3), "T38")
      }
      return bytes.matches(name, "rtcp-fb") || bytes.matches(name, "framerate")
    default: return false
    }
  }
}

extension RawSpan {
  /// Visible ASCII characters and spaces alone.
  func isPrintable(_ range: ByteRange) -> Bool {
    for i in range.start..<range.end where !(0x20...0x7e ~= byte(at: i)) { return false }
    return true
  }
}
