import Base
import MediaControl

/// The files of the recordings that go on, on the writer's thread.
struct RecordingDesk: ~Copyable {
  private enum Encoder {
    case wav
    case opus(OpusRecording)
  }

  private final class Writing {
    let order: RecordingOrder
    let band: SpeechBand
    /// Without what marks it as unfinished.
    let name: String
    var file: RecordingFile
    let encoder: Encoder
    /// Made and not written yet.
    var bytes: [UInt8] = []
    var frames: UInt64 = 0
    /// Something that was to be in it is not: it ends with what lies there.
    var isBroken = false

    init(
      _ order: RecordingOrder, _ band: SpeechBand, name: String, _ file: consuming RecordingFile,
      _ encoder: Encoder
    ) {
      self.order = order
      self.band = band
      self.name = name
      self.file = file
      self.encoder = encoder
    }

    func add(_ block: [Int16]) {
      frames += UInt64(block.count / 2)
      switch encoder {
      case .wav:
        for sample in block {
          let word = UInt16(bitPattern: sample)
          bytes.append(UInt8(truncatingIfNeeded: word))
          bytes.append(UInt8(truncatingIfNeeded: word >> 8))
        }
      case .opus(let opus): opus.add(block, into: &bytes)
      }
    }

    func write() throws(RecordingFault) {
      guard !bytes.isEmpty else { return }
      defer { bytes.removeAll(keepingCapacity: true) }
      try file.append(bytes)
    }
  }

  /// Bytes that are written at once: a quarter of a second of samples or more, or some of Opus.
  private static let batch = 16_384
  private static let lookEvery = Interval.seconds(1)

  private let settings: RecordingSettings
  private let tell: @Sendable (RecordingID, RecordingEvent) -> Void
  private let endAtWorker: @Sendable (RecordingID, RecordingEnd) -> Void
  private var writings: [Writing?]
  private var block = [Int16](repeating: 0, count: 2 * FrameRing.frames)
  private var nextLook = Instant.zero
  private(set) var counters = RecordingWriter.Counters()

  init(
    _ settings: RecordingSettings,
    tell: @escaping @Sendable (RecordingID, RecordingEvent) -> Void,
    end: @escaping @Sendable (RecordingID, RecordingEnd) -> Void
  ) {
    self.settings = settings
    self.tell = tell
    endAtWorker = end
    writings = Array(repeating: nil, count: settings.maximum)
  }

  // MARK: Begin

  mutating func begin(
    _ index: Int32, _ order: RecordingOrder, _ band: SpeechBand, wall: Int64
  ) {
    guard writings.indices.contains(Int(index)) else { return }
    guard settings.folder.free >= settings.minimumFree else {
      return refuse(order, .diskFull)
    }
    do throws(RecordingFault) {
      let writing = try open(order, band, wall: wall)
      writings[Int(index)] = writing
      counters.active += 1
      counters.begun &+= 1
      tell(order.id, .started(wall: wall, rate: UInt16(clamping: band.rawValue)))
    } catch {
      refuse(order, error.end)
    }
  }

  private func open(
    _ order: RecordingOrder, _ band: SpeechBand, wall: Int64
  ) throws(RecordingFault) -> Writing {
    let name = order.fileName(milliseconds: wall)
    // Somebody may have removed it meanwhile.
    _ = settings.folder.make()
    let file = try RecordingFile(
      creating: settings.folder.path(of: name + RecordingFileName.unfinished))
    var first: [UInt8] = []
    let writing: Writing
    switch order.format {
    case .wav:
      first = WAVRecording.header(band, samples: 0)
      writing = Writing(order, band, name: name, file, .wav)
    case .opus:
      let serial = UInt32(truncatingIfNeeded: Process.random())
      guard let opus = OpusRecording(band, serial: serial) else { throw RecordingFault(code: 12) }
      opus.begin(title: order.name, into: &first)
      writing = Writing(order, band, name: name, file, .opus(opus))
    }
    writing.bytes = first
    do throws(RecordingFault) {
      try writing.write()
    } catch {
      settings.folder.remove(name + RecordingFileName.unfinished)
      throw error
    }
    return writing
  }

  private mutating func refuse(_ order: RecordingOrder, _ end: RecordingEnd) {
    counters.failed &+= 1
    tell(order.id, .ended(RecordingResult(end)))
    endAtWorker(order.id, end)
  }

  // MARK: Go on

  /// The blocks that were put in before so many.
  mutating func take(from ring: borrowing FrameRing, before end: Int) {
    while let owner = ring.pop(before: end, into: &block) {
      guard let writing = writings.indices.contains(Int(owner)) ? writings[Int(owner)] : nil else {
        continue
      }
      writing.add(block)
      guard writing.bytes.count >= Self.batch else { continue }
      write(writing, owner)
    }
  }

  private mutating func write(_ writing: Writing, _ index: Int32) {
    let before = writing.file.size
    do throws(RecordingFault) {
      try writing.write()
      counters.bytes &+= writing.file.size - before
      if writing.order.format == .wav, writing.file.size > WAVRecording.longest {
        giveUp(index, .tooLong)
      }
    } catch {
      writing.isBroken = true
      giveUp(index, error.end)
    }
  }

  /// Ends a file for a reason of ours; the worker's end of it comes later and finds nothing.
  private mutating func giveUp(_ index: Int32, _ end: RecordingEnd) {
    guard let id = writings[Int(index)]?.order.id else { return }
    self.end(index, end, lostBlocks: 0, unread: 0)
    endAtWorker(id, end)
  }

  /// Each second: what is written so far goes to the disk, and whether that has room.
  mutating func look(at now: Instant) {
    guard counters.active > 0, now >= nextLook else { return }
    nextLook = now + Self.lookEvery
    let isFull = settings.folder.free < settings.minimumFree
    for index in writings.indices {
      guard let writing = writings[index] else { continue }
      write(writing, Int32(index))
      if isFull { giveUp(Int32(index), .diskFull) }
    }
  }

  // MARK: End

  mutating func end(_ index: Int32, _ end: RecordingEnd, lostBlocks: UInt64, unread: UInt64) {
    guard writings.indices.contains(Int(index)), let writing = writings[Int(index)] else { return }
    writings[Int(index)] = nil
    counters.active -= 1
    var result = RecordingResult(end)
    result.lostMilliseconds = lostBlocks * UInt64(FrameRing.frames / writing.band.perMillisecond)
    result.unreadPackets = unread
    result.milliseconds = writing.frames / UInt64(writing.band.perMillisecond)
    let before = writing.file.size
    do throws(RecordingFault) {
      if !writing.isBroken { try finish(writing) }
    } catch {
      if !result.end.isFailure { result.end = error.end }
      writing.isBroken = true
    }
    if writing.isBroken {
      // What is there can be played all the same.
      _ = try? RecordingRepair.finish(
        writing.name + RecordingFileName.unfinished, in: settings.folder)
    }
    counters.bytes &+= writing.file.size - before
    result.bytes = writing.file.length
    if result.end.isFailure { counters.failed &+= 1 }
    tell(writing.order.id, .ended(result))
  }

  private func finish(_ writing: Writing) throws(RecordingFault) {
    switch writing.encoder {
    case .wav: try writing.write()
    case .opus(let opus):
      if !writing.bytes.isEmpty || writing.frames > 0 { opus.end(into: &writing.bytes) }
      try writing.write()
    }
    if writing.order.format == .wav { _ = try WAVRecording.finish(writing.file, writing.band) }
    writing.file.flush()
    try settings.folder.rename(
      writing.name + RecordingFileName.unfinished, to: writing.name)
  }

  mutating func endAll(_ end: RecordingEnd) {
    for index in writings.indices { self.end(Int32(index), end, lostBlocks: 0, unread: 0) }
  }
}
