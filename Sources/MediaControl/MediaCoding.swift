import Base

/// What stopped the decoding of a frame; `offset` counts from the start of the span that was read.
package struct MediaCodingError: Error, Hashable, Sendable {
  package enum Reason: Hashable, Sendable {
    /// The frame ends before its fields do, or goes on after them.
    case wrongLength
    case frameTooLarge
    case unknownVersion(UInt8)
    case unknownKind(UInt8)
    /// A field holds none of its values.
    case badValue
  }
  package var reason: Reason
  package var offset: Int

  package init(reason: Reason, offset: Int) {
    self.reason = reason
    self.offset = offset
  }
}

/// Commands and facts as bytes, so that the media plane can live in another process.
///
/// A frame is a 32-bit length of what follows it, a version byte, a kind byte and the fields in the order
/// of their declaration, all little-endian and of fixed size but for the list in `.ready`, the keys or
/// fingerprints of `.remote` and the name in `.record`. A reader
/// refuses versions and kinds that it does not know: both ends come from one release or agree first.
package enum MediaCoding {
  package static let version: UInt8 = 6
  /// `.ready` with every port of an address failed is the largest frame.
  package static let maxFrame = 1 << 18

  package static func encode(_ command: MediaCommand, into bytes: inout [UInt8]) {
    var writer = FrameWriter(bytes: bytes)
    bytes = []  // one owner while it grows
    switch command {
    case .open(let id, let media):
      writer.begin(0, id)
      writer.put(media.address)
      writer.put(media.port)
    case .remote(let id, let remote):
      writer.begin(1, id)
      writer.put(remote)
    case .bridge(let a, let b):
      writer.begin(2, a)
      writer.put(b.raw)
    case .play(let id, let application):
      writer.begin(3, id)
      writer.put(application)
    case .heed(let id): writer.begin(10, id)
    case .number(let id, let numbers):
      writer.begin(11, id)
      writer.put(UInt8(numbers.count))
      writer.put(numbers.heard)
      writer.put(numbers.own)
      writer.put(numbers.leaving)
    case .interpose(let id, let application):
      writer.begin(9, id)
      writer.put(UInt8(application == nil ? 0 : 1))
      if let application { writer.put(application) }
    case .watch(let id, let milliseconds):
      writer.begin(4, id)
      writer.put(milliseconds)
    case .measure(let id): writer.begin(5, id)
    case .close(let id): writer.begin(6, id)
    case .examine(let id, let milliseconds):
      writer.begin(7, id)
      writer.put(milliseconds)
    case .record(let id, let order):
      writer.begin(16, id)
      writer.put(order)
    case .moveRecording(let recording, let id, let channel):
      writer.begin(17, id)
      writer.put(recording.raw)
      writer.put(channel.rawValue)
    case .pauseRecording(let recording, let isPaused):
      writer.begin(18)
      writer.put(recording.raw)
      writer.put(UInt8(isPaused ? 1 : 0))
    case .stopRecording(let recording, let end):
      writer.begin(19)
      writer.put(recording.raw)
      writer.put(end.rawValue)
    case .digit(let id, let digit):
      writer.begin(8, id)
      writer.put(digit)
    }
    bytes = writer.finish()
  }

  package static func encode(_ fact: MediaFact, into bytes: inout [UInt8]) {
    var writer = FrameWriter(bytes: bytes)
    bytes = []
    switch fact {
    case .ready(let address, let ports, let failed):
      writer.begin(0)
      writer.put(address)
      writer.put(ports.lowerBound)
      writer.put(ports.upperBound)
      writer.put(UInt32(failed.count))
      for port in failed { writer.put(port) }
    case .opened(let id): writer.begin(1, id)
    case .refused(let id): writer.begin(2, id)
    case .latched(let id, let address, let at):
      writer.begin(3, id)
      writer.put(address)
      writer.put(at.nanoseconds)
    case .silent(let id, let last):
      writer.begin(4, id)
      writer.put(last.nanoseconds)
    case .quality(let id, let quality):
      writer.begin(5, id)
      writer.put(quality)
    case .applicationEnded(let id): writer.begin(6, id)
    case .closed(let id): writer.begin(7, id)
    case .evidence(let id, let evidence):
      writer.begin(8, id)
      writer.put(evidence)
    case .recording(let recording, let event):
      writer.begin(16)
      writer.put(recording.raw)
      writer.put(event)
    case .handshake(let id, let outcome):
      writer.begin(9, id)
      writer.put(outcome)
    case .digit(let id, let digit):
      writer.begin(10, id)
      writer.put(digit)
    }
    bytes = writer.finish()
  }

  /// The command that begins at `offset`, which moves past it; nil, and `offset` as it was, when the
  /// frame is not complete yet.
  package static func command(
    in bytes: borrowing RawSpan, at offset: inout Int
  ) throws(MediaCodingError) -> MediaCommand? {
    guard var reader = try FrameReader(bytes, at: offset) else { return nil }
    let command: MediaCommand
    switch reader.kind {
    case 0:
      let id = reader.id(bytes)
      let address = reader.u16(bytes)
      command = .open(id, LocalMedia(address: address, port: reader.u16(bytes)))
    case 1:
      let id = reader.id(bytes)
      command = .remote(id, try reader.remote(bytes))
    case 2:
      let a = reader.id(bytes)
      command = .bridge(a, reader.id(bytes))
    case 3:
      let id = reader.id(bytes)
      command = .play(id, try reader.application(bytes))
    case 4:
      let id = reader.id(bytes)
      command = .watch(id, silenceMilliseconds: reader.u32(bytes))
    case 5: command = .measure(reader.id(bytes))
    case 6: command = .close(reader.id(bytes))
    case 7:
      let id = reader.id(bytes)
      command = .examine(id, afterMilliseconds: reader.u32(bytes))
    case 9:
      let id = reader.id(bytes)
      let isOn = try reader.flag(bytes)
      command = .interpose(id, isOn ? try reader.application(bytes) : nil)
    case 10: command = .heed(reader.id(bytes))
    case 11:
      let id = reader.id(bytes)
      let numbers = PayloadNumbers(
        count: Int(reader.u8(bytes)), heard: reader.u64(bytes), own: reader.u64(bytes),
        leaving: reader.u64(bytes))
      command = .number(id, try reader.valid(numbers))
    case 16:
      let id = reader.id(bytes)
      command = .record(id, try reader.recordingOrder(bytes))
    case 17:
      let id = reader.id(bytes)
      let recording = RecordingID(raw: reader.u64(bytes))
      command = .moveRecording(recording, id, try reader.channel(bytes))
    case 18:
      let recording = RecordingID(raw: reader.u64(bytes))
      command = .pauseRecording(recording, isPaused: try reader.flag(bytes))
    case 19:
      let recording = RecordingID(raw: reader.u64(bytes))
      command = .stopRecording(recording, try reader.recordingEnd(bytes))
    case 8:
      let id = reader.id(bytes)
      command = .digit(id, try reader.digit(bytes))
    default: throw reader.error(.unknownKind(reader.kind))
    }
    offset = try reader.finish()
    return command
  }

  /// As `command(in:at:)`.
  package static func fact(
    in bytes: borrowing RawSpan, at offset: inout Int
  ) throws(MediaCodingError) -> MediaFact? {
    guard var reader = try FrameReader(bytes, at: offset) else { return nil }
    let fact: MediaFact
    switch reader.kind {
    case 0: fact = try reader.ready(bytes)
    case 1: fact = .opened(reader.id(bytes))
    case 2: fact = .refused(reader.id(bytes))
    case 3:
      let id = reader.id(bytes)
      let address = try reader.address(bytes)
      fact = .latched(id, address, at: Instant(nanoseconds: reader.u64(bytes)))
    case 4:
      let id = reader.id(bytes)
      fact = .silent(id, last: Instant(nanoseconds: reader.u64(bytes)))
    case 5:
      let id = reader.id(bytes)
      fact = .quality(id, reader.quality(bytes))
    case 6: fact = .applicationEnded(reader.id(bytes))
    case 7: fact = .closed(reader.id(bytes))
    case 8:
      let id = reader.id(bytes)
      fact = .evidence(id, try reader.evidence(bytes))
    case 16:
      let recording = RecordingID(raw: reader.u64(bytes))
      fact = .recording(recording, try reader.recordingEvent(bytes))
    case 9:
      let id = reader.id(bytes)
      fact = .handshake(id, try reader.outcome(bytes))
    case 10:
      let id = reader.id(bytes)
      fact = .digit(id, try reader.digit(bytes))
    default: throw reader.error(.unknownKind(reader.kind))
    }
    offset = try reader.finish()
    return fact
  }
}
