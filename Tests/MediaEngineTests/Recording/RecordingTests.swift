import Base
import Foundation
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Calls that are recorded, through sockets to files.
@Suite(.serialized) struct RecordingTests {
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
  }

  private func share(_ samples: some Collection<Int16>, near level: Int) -> Double {
    samples.isEmpty
      ? 0 : Double(samples.count { abs(Int($0) - level) < 300 }) / Double(samples.count)
  }

  @Test func bothSidesInTheirChannels() throws {
    let folder = RecordedFolder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    talk.speak(packets: 5, 1_000, 1_000)
    rig.plane.submit([.record(talk.a.id, .test(1))])
    let wall = try #require(rig.log.recordingStart(1)).wall
    talk.speak(packets: 60, 4_000, -8_000)
    #expect(rig.counters.recordings == 1)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .released)])
    let result = try #require(rig.log.recordingResult(1))
    #expect(result.end == .released && result.lostMilliseconds == 0 && result.unreadPackets == 0)
    let name = RecordingOrder.test(1).fileName(milliseconds: wall)
    let bytes = try folder.bytes(name)
    #expect(result.bytes == UInt64(bytes.count))
    let file = try StereoSamples(bytes)
    #expect(file.rate == 8_000)
    #expect((9_000...14_000).contains(file.left.count), "\(file.left.count)")
    #expect(share(file.left, near: 4_000) > 0.7 && share(file.right, near: -8_000) > 0.7)
    #expect(share(file.left, near: -8_000) == 0 && share(file.right, near: 4_000) == 0)
    let mode = try FileManager.default.attributesOfItem(atPath: folder.path + "/" + name)
    #expect((mode[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    // Relayed all the while, as ever.
    #expect(talk.bob.receiveAll().count == 65)
    #expect(rig.counters.recordings == 0 && rig.counters.recordingsBegun == 1)
  }

  @Test func pausedIsSilent() throws {
    let folder = RecordedFolder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, .test(1))])
    let wall = try #require(rig.log.recordingStart(1)).wall
    talk.speak(packets: 40, 4_000, 4_000)
    rig.plane.submit([.pauseRecording(RecordingID(raw: 1), isPaused: true)])
    talk.speak(packets: 40, 9_000, 9_000)
    rig.plane.submit([.pauseRecording(RecordingID(raw: 1), isPaused: false)])
    talk.speak(packets: 40, 4_000, 4_000)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .stopped)])
    _ = try #require(rig.log.recordingResult(1))
    let file = try StereoSamples(
      folder.bytes(RecordingOrder.test(1).fileName(milliseconds: wall)))
    for side in [file.left, file.right] {
      // The pause has its length in the file, and nothing of what was said in it.
      #expect(share(side, near: 9_000) == 0)
      #expect((17_000...26_000).contains(side.count), "\(side.count)")
      #expect(share(side, near: 4_000) > 0.5 && share(side, near: 0) > 0.25)
    }
  }

  @Test func digitsAreNotInIt() throws {
    let folder = RecordedFolder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, .test(1))])
    let wall = try #require(rig.log.recordingStart(1)).wall
    talk.speak(packets: 30, 4_000, 4_000, digits: true)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .stopped)])
    let result = try #require(rig.log.recordingResult(1))
    #expect(result.unreadPackets == 0)
    let file = try StereoSamples(
      folder.bytes(RecordingOrder.test(1).fileName(milliseconds: wall)))
    #expect(!file.left.isEmpty && share(file.left, near: 0) == 1 && share(file.right, near: 0) == 1)
  }

  /// The pages of an Ogg file: whole, in order, and with the length that they say.
  @Test func opusInOgg() throws {
    let folder = RecordedFolder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, .test(1, .opus))])
    let wall = try #require(rig.log.recordingStart(1)).wall
    talk.speak(packets: 80, 4_000, -8_000)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .released)])
    let result = try #require(rig.log.recordingResult(1))
    let bytes = try folder.bytes(RecordingOrder.test(1, .opus).fileName(milliseconds: wall))
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
    let folder = RecordedFolder()
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
    rig.plane.submit([.record(talk.a.id, .test(1, notice: 0))])
    talk.speak(packets: 60, 4_000, -8_000)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .released)])
    _ = try #require(rig.log.recordingResult(1))
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
    let wall = try #require(rig.log.recordingStart(1)).wall
    let file = try StereoSamples(
      folder.bytes(RecordingOrder.test(1).fileName(milliseconds: wall)))
    #expect(share(file.left, near: 12_000) == 0 && share(file.right, near: 12_000) == 0)
    #expect(share(file.left, near: 4_000) > 0.5 && share(file.right, near: -8_000) > 0.5)
  }

  @Test func withoutItsAnnouncementNothingIsRecorded() throws {
    let folder = RecordedFolder()
    let rig = try Rig(settings: folder.settings)
    let talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, .test(1, notice: 9))])
    #expect(rig.log.recordingResult(1)?.end == .noticeFailed)
    #expect(RecordingFolder(folder.path).names.filter { $0.hasSuffix("wav") }.isEmpty)
  }

  /// The far ends change: the side that stays keeps its channel, and the file its time line.
  @Test func whoeverIsThere() throws {
    let folder = RecordedFolder()
    let rig = try Rig(settings: folder.settings)
    var talk = try Talk(rig)
    let carol = try Peer()
    let c = try rig.open()
    rig.plane.submit([.remote(c.id, RemoteMedia(carol.address))])
    rig.plane.submit([.record(talk.a.id, .test(1))])
    let wall = try #require(rig.log.recordingStart(1)).wall
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
    _ = try #require(rig.log.recordingResult(1))
    let file = try StereoSamples(
      folder.bytes(RecordingOrder.test(1).fileName(milliseconds: wall)))
    let half = file.right.count / 2
    #expect(
      share(file.right[..<half], near: -8_000) > 0.6
        && share(file.right[half...], near: 12_000) > 0.6)
    #expect(share(file.left, near: 4_000) > 0.6 && share(file.left, near: 12_000) == 0)
  }

  @Test func asManyAsMayBe() throws {
    let folder = RecordedFolder()
    var settings = folder.settings
    settings.recording?.maximum = 1
    let rig = try Rig(settings: settings)
    let (one, other) = (try Talk(rig), try Talk(rig))
    rig.plane.submit([.record(one.a.id, .test(1)), .record(other.a.id, .test(2))])
    #expect(rig.log.recordingResult(2)?.end == .limit)
    #expect(rig.log.recordingStart(1) != nil)
    rig.plane.submit([.stopRecording(RecordingID(raw: 1), .stopped)])
    _ = try #require(rig.log.recordingResult(1))
    rig.plane.submit([.record(other.a.id, .test(3))])
    #expect(rig.log.recordingStart(3) != nil)
  }

  @Test func aDiskWithoutRoom() throws {
    let folder = RecordedFolder()
    var settings = folder.settings
    settings.recording?.minimumFree = .max
    let rig = try Rig(settings: settings)
    var talk = try Talk(rig)
    rig.plane.submit([.record(talk.a.id, .test(1))])
    #expect(rig.log.recordingResult(1)?.end == .diskFull)
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
    rig.plane.submit([.record(talk.a.id, .test(1))])
    #expect(rig.log.recordingResult(1)?.end == .writeFailed)
  }

  /// What a process left unfinished is finished by the next one.
  @Test func repairedAtTheStart() throws {
    let folder = RecordedFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    func put(_ name: String, _ bytes: [UInt8]) throws {
      try Data(bytes).write(to: URL(filePath: folder.path + "/" + name + ".part"))
    }
    // A WAV file whose header says nothing yet, with a sample cut in two.
    var wav = Self.header + [UInt8](repeating: 1, count: 4 * 800 + 3)
    for at in [4, 5, 6, 7, 40, 41, 42, 43] { wav[at] = 0 }
    try put("20261129T044213Z_a-1-1.wav", wav)
    // And one of 16 kHz.
    wav.replaceSubrange(24..<32, with: [0x80, 0x3e, 0, 0, 0, 0xfa, 0, 0])
    try put("20261129T044216Z_a-1-4.wav", wav)
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
      Set(rig.plane.repairedRecordings) == [
        "20261129T044213Z_a-1-1.wav", "20261129T044214Z_a-1-2.opus", "20261129T044216Z_a-1-4.wav",
      ])
    let file = try StereoSamples(folder.bytes("20261129T044213Z_a-1-1.wav"))
    #expect(file.left.count == 800 && file.rate == 8_000)
    let wide = try StereoSamples(folder.bytes("20261129T044216Z_a-1-4.wav"))
    #expect(wide.left.count == 800 && wide.rate == 16_000)
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
