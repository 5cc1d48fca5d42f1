internal import Foundation

/// The notes of a call as a JSON list of texts.
enum NoteText {
  static func append(_ notes: [String], to out: inout [UInt8]) {
    out.append(UInt8(ascii: "["))
    for (position, note) in notes.enumerated() {
      if position > 0 { out.append(UInt8(ascii: ",")) }
      out.append(json: note)
    }
    out.append(UInt8(ascii: "]"))
  }

  /// Nothing for a text that this program did not write.
  static func read(_ text: String?) -> [String] {
    guard let text else { return [] }
    return (try? JSONDecoder().decode([String].self, from: Data(text.utf8))) ?? []
  }
}
