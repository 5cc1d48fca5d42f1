import Base

/// `20261129T044213Z_1p8x2k7ab-4-1.wav`: the moment of the first sample, the recording, the format.
package struct RecordingFileName: Hashable, Sendable {
  /// What a file is called as long as it grows.
  package static let unfinished = ".part"

  /// Since 1970; whole seconds where it was read from a name.
  package var milliseconds: Int64
  package var name: String
  package var format: RecordingFormat

  package init(milliseconds: Int64, name: String, format: RecordingFormat) {
    self.milliseconds = milliseconds
    self.name = name
    self.format = format
  }

  package var text: String {
    // RFC 3339 without its hyphens, colons and fraction.
    let time = Timestamp.text(milliseconds).prefix { $0 != "." }.filter { $0 != "-" && $0 != ":" }
    return "\(time)Z_\(name).\(format.name)"
  }

  /// Nil for a name that this program does not give.
  package init?(_ text: String) {
    let parts = text.split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count == 2, let point = parts[1].lastIndex(of: "."),
      let milliseconds = Self.time(parts[0]),
      let format = RecordingFormat.allCases.first(where: {
        $0.name == parts[1][point...].dropFirst()
      })
    else { return nil }
    let name = String(parts[1][..<point])
    guard Self.isName(name) else { return nil }
    self.init(milliseconds: milliseconds, name: name, format: format)
  }

  /// Letters, digits and hyphens: nothing that leads out of a folder.
  package static func isName(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= RecordingOrder.nameLimit
      && text.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x2d
      }
  }

  private static func time(_ text: Substring) -> Int64? {
    let bytes = Array(text.utf8)
    guard bytes.count == 16, bytes[8] == UInt8(ascii: "T"), bytes[15] == UInt8(ascii: "Z") else {
      return nil
    }
    func part(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
    return Timestamp.milliseconds(
      "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))Z"
    )
  }
}
