import FoundationEssentials
import Glibc

/// A WAV file that may be played by its index in the table; without a path: music of our own (`HoldMusic`).
package struct AnnouncementSource: Hashable, Sendable {
  package var name: String
  package var path: String

  package init(name: String, path: String) {
    self.name = name
    self.path = path
  }
}

/// Why a file cannot be an announcement, and how to make it one.
package struct AnnouncementError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Reason: Hashable, Sendable {
    case unreadable
    case tooLarge
    case notWAV
    /// Format tag, channels, rate and bits as the file says them.
    case unsupported(format: UInt16, channels: UInt16, rate: UInt32, bits: UInt16)
    case empty
  }
  package var name: String
  package var path: String
  package var reason: Reason

  package init(name: String, path: String, reason: Reason) {
    self.name = name
    self.path = path
    self.reason = reason
  }

  @usableFromInline package var description: String {
    let what =
      switch reason {
      case .unreadable: "cannot be read; does it exist, and may this user read it?"
      case .tooLarge: "is larger than \(WAV.maxBytes >> 20) MiB; cut it, or use 8 kHz mono"
      case .notWAV: "is no WAV file (RIFF/WAVE with a fmt and a data chunk)"
      case .unsupported(let format, let channels, let rate, let bits):
        "has format \(format), \(channels) channels, \(rate) Hz, \(bits) bits; wanted is 16-bit PCM, "
          + "mono or stereo, 8 or 16 kHz: sox in.wav -r 8000 -c 1 -b 16 out.wav"
      case .empty: "holds no samples"
      }
    return "announcement \(name): \(path) \(what)"
  }
}

/// Announcements, read and converted once.
final class AnnouncementTable: Sendable {
  private let clips: [Clip]

  init() { clips = [] }

  init(_ sources: [AnnouncementSource]) throws(AnnouncementError) {
    var clips: [Clip] = []
    for source in sources {
      clips.append(
        Clip(linear: source.path.isEmpty ? HoldMusic.samples() : try WAV.samples(of: source)))
    }
    self.clips = clips
  }

  subscript(index: UInt32) -> Clip? { index < clips.count ? clips[Int(index)] : nil }
}

/// RIFF/WAVE: chunks of a name, a length and that many bytes, filled up to an even number.
package enum WAV {
  /// 17 minutes at 16 kHz in stereo, 70 at 8 kHz mono.
  static let maxBytes = 64 << 20

  private struct Format {
    var tag: UInt16
    var channels: UInt16
    var rate: UInt32
    var bits: UInt16
  }

  /// The file as mono at 8 kHz.
  static func samples(of source: AnnouncementSource) throws(AnnouncementError) -> [Int16] {
    func failure(_ reason: AnnouncementError.Reason) -> AnnouncementError {
      AnnouncementError(name: source.name, path: source.path, reason: reason)
    }
    var status = stat()
    guard unsafe stat(source.path, &status) == 0 else { throw failure(.unreadable) }
    guard status.st_size <= maxBytes else { throw failure(.tooLarge) }
    guard let data = try? Data(contentsOf: URL(filePath: source.path)) else {
      throw failure(.unreadable)
    }
    switch samples(of: [UInt8](data)) {
    case .success(let samples): return samples
    case .failure(let problem): throw failure(problem.reason)
    }
  }

  package struct Problem: Error {
    package var reason: AnnouncementError.Reason
  }

  package static func samples(of bytes: [UInt8]) -> Result<[Int16], Problem> {
    var format: Format?
    guard bytes.count >= 12, bytes[0..<4].elementsEqual("RIFF".utf8),
      bytes[8..<12].elementsEqual("WAVE".utf8)
    else { return .failure(Problem(reason: .notWAV)) }
    var offset = 12
    while offset + 8 <= bytes.count {
      let name = bytes[offset..<offset + 4]
      // A length beyond the file is that of a recording that was cut off: what is there counts.
      let length = min(Int(bytes.u32(offset + 4)), bytes.count - offset - 8)
      let body = offset + 8
      if name.elementsEqual("fmt ".utf8), length >= 16 {
        format = Format(
          tag: bytes.u16(body), channels: bytes.u16(body + 2), rate: bytes.u32(body + 4),
          bits: bytes.u16(body + 14))
        // WAVE_FORMAT_EXTENSIBLE: the format proper opens its GUID.
        if format?.tag == 0xfffe, length >= 26 { format?.tag = bytes.u16(body + 24) }
      } else if name.elementsEqual("data".utf8) {
        guard let format else { return .failure(Problem(reason: .notWAV)) }
        return decode(bytes, body, length, format)
      }
      offset = body + length + length % 2
    }
    return .failure(Problem(reason: .notWAV))
  }

  private static func decode(
    _ bytes: [UInt8], _ start: Int, _ length: Int, _ format: Format
  ) -> Result<[Int16], Problem> {
    let channels = Int(format.channels)
    guard format.tag == 1, format.bits == 16, (1...2).contains(channels),
      format.rate == 8_000 || format.rate == 16_000
    else {
      return .failure(
        Problem(
          reason: .unsupported(
            format: format.tag, channels: format.channels, rate: format.rate, bits: format.bits)))
    }
    let frames = length / (2 * channels)
    guard frames > 0 else { return .failure(Problem(reason: .empty)) }
    var mono: [Int16] = []
    mono.reserveCapacity(frames)
    for frame in 0..<frames {
      var sum = 0
      for channel in 0..<channels {
        let at = start + 2 * (frame * channels + channel)
        sum += Int(Int16(bitPattern: bytes.u16(at)))
      }
      mono.append(Int16(truncatingIfNeeded: sum / channels))
    }
    return .success(format.rate == 16_000 ? halved(mono) : mono)
  }

  /// 16 kHz to 8 kHz: a half-band low-pass (windowed sinc, 47 taps, -6 dB at 4 kHz) and every second sample.
  package static func halved(_ samples: [Int16]) -> [Int16] {
    let reach = 23
    let taps = (-reach...reach).map { n in
      let sinc = n == 0 ? 0.5 : sin(Double.pi * Double(n) / 2) / (Double.pi * Double(n))
      return sinc * (0.54 + 0.46 * cos(Double.pi * Double(n) / Double(reach + 1)))
    }
    let gain = taps.reduce(0, +)
    return stride(from: 0, to: samples.count, by: 2).map { center in
      var sum = 0.0
      for (index, tap) in taps.enumerated() {
        let at = center + index - reach
        if at >= 0, at < samples.count { sum += tap * Double(samples[at]) }
      }
      return Int16(clamping: Int((sum / gain).rounded()))
    }
  }
}

extension [UInt8] {
  fileprivate func u16(_ at: Int) -> UInt16 { UInt16(self[at]) | UInt16(self[at + 1]) << 8 }
  fileprivate func u32(_ at: Int) -> UInt32 { UInt32(u16(at)) | UInt32(u16(at + 2)) << 16 }
}
