import Base
import Foundation
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Calls that are recorded, through sockets to files.
@Suite(.serialized) struct RecordingTests {
  /// A folder that goes away with the test.
  private final class Folder {
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

  /// Two that speak with each other, in PCMU.
  private struct Talk {
    let rig: Rig
    let alice: Peer
    let bob: Peer
    let a: End
    let b: End
    private(set) var number = 0

    init(_ rig: Rig) throws {
      self.rig = rig
      (alice, bob) = (try Peer(), try Peer())
      (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    }

    /// Each says his level, in real time.
    mutating func speak(packets: Int, _ one: Int16, _ other: Int16, digits: Bool = false) {
      for _ in 0..<packets {
        number += 1
        for (peer, end, level, ssrc) in [(alice, a, one, UInt32(1)), (bob, b, other, 2)] {
          var packet = rtp(number, ssrc: ssrc, payloadType: digits ? 101 : 0)
          for i in 0..<160 { packet[RTPHeader.size + i] = G711.ulaw(linear: level) }
          peer.send(packet, to: end.media)
        }
        usleep(20_000)
      }
    }

    func order(
      _ id: UInt64, _ format: RecordingFormat = .wav, notice: UInt32? = nil
    ) -> RecordingOrder {
      RecordingOrder(
        id: RecordingID(raw: id), format: format, channel: .left, notice: notice,
        name: "test-\(id)")
    }

    func result(_ id: UInt64) -> RecordingResult? {
      rig.log.wait { fact in
        if case .recording(RecordingID(raw: id), .ended(let result)) = fact { result } else { nil }
      }
    }

    func started(_ id: UInt64) -> Int64? {
      rig.log.wait { fact in
        if case .recording(RecordingID(raw: id), .started(let wall)) = fact { wall } else { nil }
      }
    }
  }

  /// Left and right samples of a WAV file.
  private func channels(_ bytes: [UInt8]) throws -> (left: [Int16], right: [Int16]) {
    try #require(bytes.count >= 44)
    #expect(bytes[0..<4].elementsEqual("RIFF".utf8) && bytes[36..<40].elementsEqual("data".utf8))
    func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
    #expect(word(4) == bytes.count - 8 && word(40) == bytes.count - 44)
    #expect(word(24) == 8_000 && bytes[22] == 2 && bytes[34] == 16)
    var (left, right): ([Int16], [Int16]) = ([], [])
    for at in stride(from: 44, to: bytes.count - 3, by: 4) {
      left.append(Int16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8))
      right.append(Int16(bitPattern: UInt16(bytes[at + 2]) | UInt16(bytes[at + 3]) << 8))
    }
    return (left, right)
  }

  private func share(_ samples: some Collection<Int16>, near level: Int) -> Double {
    samples.isEmpty
      ? 0 : Double(samples.count { abs(Int($0) - level) < 300 }) / Double(samples.count)
  }

  @Test func bothSidesInTheirChannels() throws {
    let folder = Folder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    talk.speak(packets: 5, 1_000, 1_000)
    rig.plane.submit([.record(talk.a.id, talk.order(1))])
    let wall = try #require(talk.started(1))
    talk.speak(packets: 60, 4_000, -8_000)
    #expect(rig.counters.recordings == 1)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .released)])
    let result = try #require(talk.result(1))
    #expect(result.end == .released && result.lostMilliseconds == 0 && result.unreadPackets == 0)
    let name = talk.order(1).fileName(milliseconds: wall)
    let bytes = try folder.bytes(name)
    #expect(result.bytes == UInt64(bytes.count))
    let (left, right) = try channels(bytes)
    #expect((9_000...14_000).contains(left.count), "\(left.count)")
    #expect(share(left, near: 4_000) > 0.7 && share(right, near: -8_000) > 0.7)
    #expect(share(left, near: -8_000) == 0 && share(right, near: 4_000) == 0)
    let mode = try FileManager.default.attributesOfItem(atPath: folder.path + "/" + name)
    #expect((mode[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    // Relayed all the while, as ever.
    #expect(talk.bob.receiveAll().count == 65)
    #expect(rig.counters.recordings == 0 && rig.counters.recordingsBegun == 1)
  }

  @Test func pausedIsSilent() throws {
    let folder = Folder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, talk.order(1))])
    let wall = try #require(talk.started(1))
    talk.speak(packets: 40, 4_000, 4_000)
    rig.plane.submit([.pauseRecording(RecordingID(raw: 1), isPaused: true)])
    talk.speak(packets: 40, 9_000, 9_000)
    rig.plane.submit([.pauseRecording(RecordingID(raw: 1), isPaused: false)])
    talk.speak(packets: 40, 4_000, 4_000)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .stopped)])
    _ = try #require(talk.result(1))
    let (left, right) = try channels(
      try folder.bytes(talk.order(1).fileName(milliseconds: wall)))
    for side in [left, right] {
      // The pause has its length in the file, and nothing of what was said in it.
      #expect(share(side, near: 9_000) == 0)
      #expect((17_000...26_000).contains(side.count), "\(side.count)")
      #expect(share(side, near: 4_000) > 0.5 && share(side, near: 0) > 0.25)
    }
  }

  @Test func digitsAreNotInIt() throws {
    let folder = Folder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, talk.order(1))])
    let wall = try #require(talk.started(1))
    talk.speak(packets: 30, 4_000, 4_000, digits: true)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .stopped)])
    let result = try #require(talk.result(1))
    #expect(result.unreadPackets == 0)
    let (left, right) = try channels(
      try folder.bytes(talk.order(1).fileName(milliseconds: wall)))
    #expect(!left.isEmpty && share(left, near: 0) == 1 && share(right, near: 0) == 1)
  }

  /// The pages of an Ogg file: whole, in order, and with the length that they say.
  @Test func opusInOgg() throws {
    let folder = Folder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, talk.order(1, .opus))])
    let wall = try #require(talk.started(1))
    talk.speak(packets: 80, 4_000, -8_000)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .released)])
    let result = try #require(talk.result(1))
    let bytes = try folder.bytes(talk.order(1, .opus).fileName(milliseconds: wall))
    var pages: [OggPage] = []
    var offset = 0
    while offset < bytes.count {
      let page = try #require(OggPage(bytes[offset...]), "at \(offset)")
      pages.append(page)
      offset += page.size
    }
    #expect(pages.count >= 4)
    #expect(pages.first?.flags == OggStream.Flags.first)
    #expect(pages.last?.flags == OggStream.Flags.last)
    #expect(bytes[28..<36].elementsEqual("OpusHead".utf8) && bytes[37] == 2)
    let preSkip = UInt64(bytes[38]) | UInt64(bytes[39]) << 8
    #expect(pages.last?.granule == preSkip + result.milliseconds * 48)
    #expect((1_300...2_200).contains(result.milliseconds))
  }

  /// Both hear to its end that they are recorded, and nothing of each other meanwhile; then it begins.
  @Test func announcedFirst() throws {
    let folder = Folder()
    let clip = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).wav")
    defer { try? FileManager.default.removeItem(at: clip) }
    try Self.wav(level: 12_000, samples: 3_200).write(to: clip)
    let rig = try Rig(
      announcements: [AnnouncementSource(name: "notice", path: clip.path)],
      settings: folder.settings)
    var talk = try Talk(rig)
    talk.speak(packets: 5, 2_000, 2_000)
    _ = talk.alice.receiveAll()
    _ = talk.bob.receiveAll()
    rig.plane.submit([.record(talk.a.id, talk.order(1, notice: 0))])
    talk.speak(packets: 60, 4_000, -8_000)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .released)])
    _ = try #require(talk.result(1))
    let events = rig.log.all.compactMap { fact -> RecordingEvent? in
      if case .recording(_, let event) = fact { event } else { nil }
    }
    #expect(events.first == .announced)
    for (peer, other) in [(talk.alice, Int16(-8_000)), (talk.bob, 4_000)] {
      let heard = peer.receiveAll().compactMap(parse)
      let levels = heard.map { $0.payload.first.map { G711.linear(ulaw: $0) } ?? 0 }
      let notice = levels.prefix { abs(Int($0) - 12_000) < 400 }
      #expect((19...21).contains(notice.count), "\(levels)")
      #expect(levels.dropFirst(notice.count).allSatisfy { abs(Int($0) - Int(other)) < 400 })
      // One flow, whoever speaks in it.
      #expect(Set(heard.map(\.header.ssrc)).count == 1)
      let sequences = heard.map(\.header.sequence)
      #expect(zip(sequences, sequences.dropFirst()).allSatisfy { $1 == $0 &+ 1 })
    }
    let wall = try #require(talk.started(1))
    let (left, right) = try channels(
      try folder.bytes(talk.order(1).fileName(milliseconds: wall)))
    #expect(share(left, near: 12_000) == 0 && share(right, near: 12_000) == 0)
    #expect(share(left, near: 4_000) > 0.5 && share(right, near: -8_000) > 0.5)
  }

  @Test func withoutItsAnnouncementNothingIsRecorded() throws {
    let folder = Folder()
    let rig = try Rig(settings: folder.settings)
    let talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, talk.order(1, notice: 9))])
    #expect(talk.result(1)?.end == .noticeFailed)
    #expect(RecordingFolder(folder.path).names.filter { $0.hasSuffix("wav") }.isEmpty)
  }

  /// The far ends change: the side that stays keeps its channel, and the file its time line.
  @Test func whoeverIsThere() throws {
    let folder = Folder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    let carol = try Peer()
    let c = try rig.open()
    rig.plane.submit([.remote(c.id, RemoteMedia(carol.address))])
    rig.plane.submit([.record(talk.a.id, talk.order(1))])
    let wall = try #require(talk.started(1))
    talk.speak(packets: 30, 4_000, -8_000)
    rig.plane.submit([.bridge(talk.a.id, c.id), .close(talk.b.id)])
    _ = rig.measure(c)
    for number in 1...30 {
      for (peer, end, level) in [(talk.alice, talk.a, Int16(4_000)), (carol, c, 12_000)] {
        var packet = rtp(number, ssrc: level == 4_000 ? 1 : 3)
        packet[2] = level == 4_000 ? 0 : packet[2]
        packet[3] = level == 4_000 ? UInt8(30 + number) : packet[3]
        for i in 0..<160 { packet[RTPHeader.size + i] = G711.ulaw(linear: level) }
        peer.send(packet, to: end.media)
      }
      usleep(20_000)
    }
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .released)])
    _ = try #require(talk.result(1))
    let (left, right) = try channels(
      try folder.bytes(talk.order(1).fileName(milliseconds: wall)))
    let half = right.count / 2
    #expect(share(right[..<half], near: -8_000) > 0.6 && share(right[half...], near: 12_000) > 0.6)
    #expect(share(left, near: 4_000) > 0.6 && share(left, near: 12_000) == 0)
  }

  @Test func asManyAsMayBe() throws {
    let folder = Folder()
    var settings = folder.settings
    settings.recording?.maximum = 1
    let rig = try Rig(settings: settings)
    let (one, other) = (try Talk(rig), try Talk(rig))
    rig.plane.submit([.record(one.a.id, one.order(1)), .record(other.a.id, other.order(2))])
    #expect(other.result(2)?.end == .limit)
    #expect(one.started(1) != nil)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .stopped)])
    _ = try #require(one.result(1))
    rig.plane.submit([.record(other.a.id, other.order(3))])
    #expect(other.started(3) != nil)
  }

  @Test func aDiskWithoutRoom() throws {
    let folder = Folder()
    var settings = folder.settings
    settings.recording?.minimumFree = .max
    let rig = try Rig(settings: settings)
    var talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, talk.order(1))])
    #expect(talk.result(1)?.end == .diskFull)
    talk.speak(packets: 3, 1_000, 1_000)
    #expect(talk.bob.receiveAll().count == 3)
    #expect(rig.counters.recordingsFailed == 1)
  }

  /// A folder that cannot be: the error of the file system is the end of the recording, not of the call.
  @Test func aFolderThatCannotBe() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try Data("x".utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    var settings = MediaSettings()
    settings.recording = RecordingSettings(folder: RecordingFolder(file.path + "/recordings"))
    settings.recording?.minimumFree = 0
    let rig = try Rig(settings: settings)
    let talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, talk.order(1))])
    #expect(talk.result(1)?.end == .writeFailed)
  }

  /// What a process left unfinished is finished by the next one.
  @Test func repairedAtTheStart() throws {
    let folder = Folder()
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    func put(_ name: String, _ bytes: [UInt8]) throws {
      try Data(bytes).write(to: URL(filePath: folder.path + "/" + name + ".part"))
    }
    // A WAV file whose header says nothing yet, with a sample cut in two.
    var wav = Self.header + [UInt8](repeating: 1, count: 4 * 800 + 3)
    for at in [4, 5, 6, 7, 40, 41, 42, 43] { wav[at] = 0 }
    try put("20261129T044213Z_a-1-1.wav", wav)
    // Ogg with its last page cut.
    var stream = OggStream(serial: 5)
    var ogg: [UInt8] = []
    for (page, text) in ["head", "tags", "one", "two", "three"].enumerated() {
      stream.add(Array(text.utf8)[...])
      stream.page(granule: UInt64(page * 960), flags: page == 0 ? 2 : 0, into: &ogg)
    }
    try put("20261129T044214Z_a-1-2.opus", ogg.dropLast(2))
    try put("20261129T044215Z_a-1-3.wav", [1, 2, 3])
    let rig = try Rig(settings: folder.settings)
    #expect(
      rig.plane.repairedRecordings == ["20261129T044213Z_a-1-1.wav", "20261129T044214Z_a-1-2.opus"])
    let (left, _) = try channels(try folder.bytes("20261129T044213Z_a-1-1.wav"))
    #expect(left.count == 800)
    let bytes = try folder.bytes("20261129T044214Z_a-1-2.opus")
    var last: OggPage?
    var offset = 0
    while offset < bytes.count, let page = OggPage(bytes[offset...]) {
      last = page
      offset += page.size
    }
    #expect(offset == bytes.count && last?.flags == OggStream.Flags.last && last?.granule == 2_880)
    #expect(RecordingFolder(folder.path).names.filter { $0.hasSuffix(".part") }.isEmpty)
  }

  @Test func names() throws {
    let name = RecordingFileName(milliseconds: 1_795_927_333_250, name: "1p8x-4-1", format: .opus)
    #expect(name.text.hasSuffix("Z_1p8x-4-1.opus") && name.text.count == 16 + 1 + 8 + 5)
    let read = try #require(RecordingFileName(name.text))
    #expect(read.milliseconds == 1_795_927_333_000 && read.name == name.name)
    for bad in ["", "x", "20261129T044213Z_../x.wav", "20261129T044213Z_.wav", "x_a.wav"] {
      #expect(RecordingFileName(bad) == nil, "\(bad)")
    }
  }

  private static let header: [UInt8] =
    Array("RIFF".utf8) + [0, 0, 0, 0] + Array("WAVEfmt ".utf8)
    + [16, 0, 0, 0, 1, 0, 2, 0, 0x40, 0x1f, 0, 0, 0, 0x7d, 0, 0, 4, 0, 16, 0]
    + Array("data".utf8) + [0, 0, 0, 0]

  /// A level for so many samples, mono.
  private static func wav(level: Int16, samples: Int) -> Data {
    func word(_ value: Int, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    var bytes = Array("RIFF".utf8) + word(36 + 2 * samples, 4) + Array("WAVEfmt ".utf8)
    bytes += word(16, 4) + word(1, 2) + word(1, 2) + word(8_000, 4) + word(16_000, 4)
    bytes += word(2, 2) + word(16, 2) + Array("data".utf8) + word(2 * samples, 4)
    for _ in 0..<samples { bytes += word(Int(UInt16(bitPattern: level)), 2) }
    return Data(bytes)
  }
}
