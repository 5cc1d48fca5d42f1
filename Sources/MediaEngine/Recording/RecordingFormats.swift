import Base
import MediaControl

/// RIFF/WAVE with 16-bit linear samples in stereo.
enum WAVRecording {
  static let headerSize = 44
  /// Of a sample of both sides.
  static let frameSize = 4
  /// Its lengths are words of 32 bits: 37 hours of 8 kHz.
  static let longest = UInt64(UInt32.max) - 4_096

  static func header(_ band: SpeechBand, samples bytes: UInt64) -> [UInt8] {
    let bytes = min(bytes, longest)
    var out: [UInt8] = []
    func put(_ value: UInt64, _ count: Int) { OggStream.append(value, count: count, to: &out) }
    out.append(contentsOf: "RIFF".utf8)
    put(bytes + 36, 4)
    out.append(contentsOf: "WAVEfmt ".utf8)
    put(16, 4)
    put(1, 2)
    put(2, 2)
    put(UInt64(band.rawValue), 4)
    put(UInt64(band.rawValue * frameSize), 4)
    put(UInt64(frameSize), 2)
    put(16, 2)
    out.append(contentsOf: "data".utf8)
    put(bytes, 4)
    return out
  }

  /// Brings the lengths in the header up to what is there. False: nothing is worth keeping.
  static func finish(
    _ file: borrowing RecordingFile, _ band: SpeechBand
  ) throws(RecordingFault) -> Bool {
    let length = file.length
    guard length >= UInt64(headerSize) else { return false }
    let samples = (length - UInt64(headerSize)) / UInt64(frameSize) * UInt64(frameSize)
    try file.truncate(to: UInt64(headerSize) + samples)
    try file.write(header(band, samples: samples), at: 0)
    return true
  }

  /// As the header says that is there; where a crash of the machine has left none, most are narrow.
  static func band(of file: borrowing RecordingFile) -> SpeechBand {
    let rate = file.read(4, at: 24).reversed().reduce(0) { $0 << 8 | Int($1) }
    return SpeechBand(rawValue: rate) ?? .narrow
  }
}

/// Opus in Ogg, with a page each second.
final class OpusRecording {
  private let encoder: StereoOpusEncoder
  private let preSkip: Int
  private var pages: OggStream
  /// Samples of each side that were taken.
  private var taken: UInt64 = 0
  private var packets = 0
  private static let packetsInPage = 50

  init?(_ band: SpeechBand, serial: UInt32) {
    guard let encoder = StereoOpusEncoder(band) else { return nil }
    self.encoder = encoder
    preSkip = encoder.preSkip
    pages = OggStream(serial: serial)
  }

  /// The two pages before the speech (RFC 7845 §5).
  func begin(title: String, into bytes: inout [UInt8]) {
    var head = Array("OpusHead".utf8)
    head += [1, 2]
    OggStream.append(UInt64(preSkip), count: 2, to: &head)
    OggStream.append(UInt64(encoder.band.rawValue), count: 4, to: &head)
    // No gain; mapping family 0: left and right.
    head += [0, 0, 0]
    pages.add(head[...])
    pages.page(granule: 0, flags: OggStream.Flags.first, into: &bytes)
    var tags = Array("OpusTags".utf8)
    for (count, text) in [(0, "Demarc"), (1, "TITLE=" + title)] {
      if count > 0 { OggStream.append(UInt64(count), count: 4, to: &tags) }
      OggStream.append(UInt64(text.utf8.count), count: 4, to: &tags)
      tags.append(contentsOf: text.utf8)
    }
    pages.add(tags[...])
    pages.page(granule: 0, into: &bytes)
  }

  /// Samples of both sides in turn.
  func add(_ block: [Int16], into bytes: inout [UInt8]) {
    for start in stride(from: 0, to: block.count, by: 2 * encoder.frames) {
      addPacket(block, from: start, into: &bytes)
    }
    taken += UInt64(block.count / 2)
  }

  private func addPacket(_ block: [Int16], from start: Int, into bytes: inout [UInt8]) {
    let size = encoder.encode(block, from: start)
    if !pages.hasRoom(for: size) { endPage(into: &bytes) }
    pages.add(encoder.payload[..<size])
    packets += 1
    if packets % Self.packetsInPage == 0 { endPage(into: &bytes) }
  }

  /// A page's time is that of the last sample that its packets decode to, the samples to be left out at the beginning
  /// included.
  private func endPage(into bytes: inout [UInt8]) {
    pages.page(granule: UInt64(packets * 960), into: &bytes)
  }

  /// The last page says how many samples there are, which cuts off what the encoder needs beyond (§4.4).
  func end(into bytes: inout [UInt8]) {
    let end = UInt64(preSkip) + taken * UInt64(48 / encoder.band.perMillisecond)
    while UInt64(packets * 960) < end { addPacket([], from: 0, into: &bytes) }
    pages.page(granule: end, flags: OggStream.Flags.last, into: &bytes)
  }

  /// Makes the last whole page of a file the last of its stream. False: nothing is worth keeping.
  static func finish(_ file: borrowing RecordingFile) throws(RecordingFault) -> Bool {
    let length = file.length
    var offset: UInt64 = 0
    var last: (offset: UInt64, page: OggPage)?
    var pages = 0
    while offset < length {
      // No page is larger.
      let bytes = file.read(OggStream.headerSize + 255 * 256, at: offset)
      guard let page = OggPage(bytes[...]) else { break }
      last = (offset, page)
      offset += UInt64(page.size)
      pages += 1
    }
    guard let last, pages > 2 else { return false }
    try file.truncate(to: offset)
    var bytes = file.read(last.page.size, at: last.offset)
    guard bytes.count == last.page.size else { return false }
    bytes[5] |= OggStream.Flags.last
    OggStream.sign(&bytes, from: 0)
    try file.write(bytes, at: last.offset)
    return true
  }
}

/// Files that a process left unfinished.
enum RecordingRepair {
  /// Makes of an unfinished file one that can be played, under its proper name; that of a file in which nothing was
  /// worth keeping is nil, and it is removed.
  static func finish(_ name: String, in folder: RecordingFolder) throws(RecordingFault) -> String? {
    let proper = String(name.dropLast(RecordingFileName.unfinished.utf8.count))
    guard let parts = RecordingFileName(proper) else { return nil }
    let file = try RecordingFile(opening: folder.path(of: name))
    let isWorthIt =
      switch parts.format {
      case .wav: try WAVRecording.finish(file, WAVRecording.band(of: file))
      case .opus: try OpusRecording.finish(file)
      }
    file.flush()
    guard isWorthIt else {
      folder.remove(name)
      return nil
    }
    try folder.rename(name, to: proper)
    return proper
  }

  /// All of a folder, before anything new is written there.
  static func finishAll(in folder: RecordingFolder) -> [String] {
    folder.names.filter { $0.hasSuffix(RecordingFileName.unfinished) }.compactMap { name in
      try? finish(name, in: folder)
    }
  }
}
