import Foundation
import MediaControl
import MediaEngine
import Testing

/// A folder for recordings that goes away with the test.
final class RecordedFolder {
  let path = FileManager.default.temporaryDirectory
    .appending(path: "demarc-recordings-\(UUID().uuidString)").path

  var settings: MediaSettings {
    var settings = MediaSettings()
    settings.recording = RecordingSettings(folder: RecordingFolder(path))
    settings.recording?.minimumFree = 0
    return settings
  }

  func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(filePath: path + "/" + name)))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// What a WAV file of two channels holds.
struct StereoSamples {
  var rate: Int
  var left: [Int16] = []
  var right: [Int16] = []

  init(_ bytes: [UInt8]) throws {
    try #require(bytes.count >= 44)
    #expect(bytes[0..<4].elementsEqual("RIFF".utf8) && bytes[36..<40].elementsEqual("data".utf8))
    func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
    #expect(word(4) == bytes.count - 8 && word(40) == bytes.count - 44)
    rate = word(24)
    #expect(word(28) == 4 * rate && bytes[22] == 2 && bytes[34] == 16)
    for at in stride(from: 44, to: bytes.count - 3, by: 4) {
      left.append(Int16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8))
      right.append(Int16(bitPattern: UInt16(bytes[at + 2]) | UInt16(bytes[at + 3]) << 8))
    }
  }
}

extension RecordingOrder {
  static func test(
    _ id: UInt64, _ format: RecordingFormat = .wav, notice: UInt32? = nil
  ) -> RecordingOrder {
    RecordingOrder(
      id: RecordingID(raw: id), format: format, channel: .left, notice: notice, name: "test-\(id)")
  }
}

extension FactLog {
  func recordingResult(_ id: UInt64) -> RecordingResult? {
    wait { fact in
      if case .recording(RecordingID(raw: id), .ended(let result)) = fact { result } else { nil }
    }
  }

  /// When its first sample was, and how many there are in a second.
  func recordingStart(_ id: UInt64) -> (wall: Int64, rate: UInt16)? {
    wait { fact in
      if case .recording(RecordingID(raw: id), .started(let wall, let rate)) = fact {
        (wall, rate)
      } else {
        nil
      }
    }
  }
}
