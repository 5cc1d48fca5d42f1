import Base
import Foundation
import MediaControl
import MediaEngine
import RTPWire
import Testing

@Suite(.serialized) struct ApplicationTests {
  /// The tone's codes, its pace, its header and its RTCP.
  @Test(arguments: [AudioCodec.pcmu, .pcma])
  func milliwatt(codec: AudioCodec) throws {
    var settings = MediaSettings()
    settings.reportInterval = .milliseconds(120)
    let rig = try Rig(settings: settings)
    let (alice, control) = (try Peer(), try Peer())
    let end = try rig.open()
    rig.plane.submit([
      .remote(end.id, RemoteMedia(alice.address, rtcp: control.address, codec: codec)),
      .play(end.id, .milliwatt),
    ])
    var packets: [(header: RTPHeader, payload: [UInt8])] = []
    let begin = ContinuousClock.now
    while packets.count < 26 {
      packets.append(try #require(alice.packet()))
    }
    let elapsed = ContinuousClock.now - begin
    #expect((.milliseconds(470)...(.milliseconds(1_500))).contains(elapsed))
    let period = codec == .pcma ? G711.alawMilliwatt : G711.ulawMilliwatt
    let tone = packets.flatMap(\.payload)
    #expect(tone == (0..<tone.count).map { period[$0 % 8] })
    let first = packets[0].header
    for (index, packet) in packets.enumerated() {
      #expect(packet.header.marker == (index == 0))
      #expect(packet.header.payloadType == (codec == .pcma ? 8 : 0))
      #expect(packet.header.ssrc == first.ssrc)
      #expect(packet.header.sequence == first.sequence &+ UInt16(index))
      #expect(packet.header.timestamp == first.timestamp &+ UInt32(160 * index))
    }
    let report = try #require(control.receive()).bytes
    var reader = RTCPReader()
    let packet = try #require(nextPacket(&reader, report))
    #expect(packet.type == RTCPType.senderReport)
    let info = try #require(senderInfo(packet, report))
    #expect(info.octets == info.packets * 160)
    #expect(nextPacket(&reader, report)?.type == RTCPType.sourceDescription)
    rig.plane.submit([.close(end.id)])
    let last = try #require(control.receiveAll(quiet: 100).last)
    #expect(types(last).last == RTCPType.bye)
  }

  /// 425 Hz for a second and silence after it, in either law; a codec that is not known hears nothing at all.
  @Test(arguments: [AudioCodec.pcmu, .pcma])
  func ringback(codec: AudioCodec) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (end, other) = (try rig.open(), try rig.open())
    rig.plane.submit([
      .remote(end.id, RemoteMedia(alice.address, codec: codec)), .play(end.id, .tone(.ringing)),
      .remote(other.id, RemoteMedia(bob.address, codec: .unknown)),
      .play(other.id, .tone(.ringing)),
    ])
    var samples: [Int] = []
    while samples.count < 9_600 {
      let packet = try #require(alice.packet())
      samples += packet.payload.map {
        Int(codec == .pcma ? G711.linear(alaw: $0) : G711.linear(ulaw: $0))
      }
    }
    let tone = samples.prefix(8_000)
    let crossings = zip(tone, tone.dropFirst()).count { $0 < 0 && $1 >= 0 }
    #expect((423...427).contains(crossings))
    #expect((6_500...7_500).contains(tone.max() ?? 0))
    #expect(samples[8_000...].allSatisfy { abs($0) <= 8 })
    #expect(bob.packet() == nil)
  }

  @Test func packetTimeIsHonoured() throws {
    let rig = try Rig()
    let alice = try Peer()
    for (asked, octets) in [(10, 80), (30, 240), (60, 480), (5, 80), (200, 480), (0, 160)] {
      let end = try rig.open()
      rig.plane.submit([
        .remote(end.id, RemoteMedia(alice.address, packetTime: UInt16(asked))),
        .play(end.id, .milliwatt),
      ])
      let packet = try #require(alice.receive())
      #expect(parse(packet.bytes)?.payload.count == octets)
      rig.plane.submit([.close(end.id)])
      _ = alice.receiveAll(quiet: 30)
    }
  }

  @Test(arguments: [AudioCodec.pcmu, .pcma])
  func announcementsPlayToTheirEnd(codec: AudioCodec) throws {
    let samples = (0..<2_500).map { Int16(clamping: 9_000 - ($0 % 180) * 100) }
    let file = try WAVFile(samples, rate: 8_000, channels: 1)
    let rig = try Rig(announcements: [AnnouncementSource(name: "hello", path: file.path)])
    let alice = try Peer()
    let end = try rig.open()
    rig.plane.submit([
      .remote(end.id, RemoteMedia(alice.address, codec: codec)), .play(end.id, .announcement(0)),
    ])
    #expect(rig.log.wait { $0 == .applicationEnded(end.id) ? true : nil } == true)
    let played = alice.receiveAll().compactMap { parse($0)?.payload }.joined()
    let expected = samples.map {
      codec == .pcma ? G711.alaw(linear: $0) : G711.ulaw(linear: $0)
    }
    #expect(Array(played.prefix(2_500)) == expected)
    #expect(played.count == 2_560)
    let silence = codec == .pcma ? G711.alawSilence : G711.ulawSilence
    #expect(played.dropFirst(2_500).allSatisfy { $0 == silence })
    // Exchanged at run time; an index beyond the table is refused, a bad file leaves the table as it is.
    rig.plane.submit([.play(end.id, .announcement(1))])
    #expect(rig.log.wait { $0 == .refused(end.id) ? true : nil } == true)
    #expect(throws: AnnouncementError.self) {
      try rig.plane.replaceAnnouncements([AnnouncementSource(name: "x", path: "/nonexistent")])
    }
    let short = try WAVFile([1_000, 2_000], rate: 8_000, channels: 1)
    try rig.plane.replaceAnnouncements([
      AnnouncementSource(name: "hello", path: file.path),
      AnnouncementSource(name: "short", path: short.path),
    ])
    rig.plane.submit([.play(end.id, .announcement(1))])
    #expect(alice.packet()?.payload.count == 160)
  }

  @Test func echoReturnsThePacketsInAFlowOfItsOwn() throws {
    let rig = try Rig()
    let alice = try Peer()
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, RemoteMedia(alice.address)), .play(end.id, .echo)])
    _ = rig.measure(end)
    var returned: [(header: RTPHeader, payload: [UInt8])] = []
    // A gap and a swap stay as they are; a new source goes on in the same flow.
    for number in [100, 101, 103, 102] {
      alice.send(rtp(number, ssrc: 1), to: end.media)
      returned.append(try #require(alice.packet()))
    }
    alice.send(rtp(9_000, ssrc: 2, payloadType: 101, marker: true), to: end.media)
    returned.append(try #require(alice.packet()))
    let first = returned[0].header
    #expect(first.ssrc != 1)
    #expect(returned.map { $0.header.sequence &- first.sequence } == [0, 1, 3, 2, 4])
    #expect(returned.map { $0.header.timestamp &- first.timestamp } == [0, 160, 480, 320, 640])
    #expect(returned.map { $0.payload[0] } == [100, 101, 103, 102, 40])
    #expect(returned.map(\.header.ssrc) == [UInt32](repeating: first.ssrc, count: 5))
    #expect(returned[4].header.payloadType == 101 && returned[4].header.marker)
    let quality = try #require(rig.measure(end))
    #expect(quality.packets == 5)
    #expect(quality.sent == 5)
  }

  @Test func theQualityTestListensAndSpeaks() throws {
    var settings = MediaSettings()
    settings.qualityListening = .milliseconds(300)
    let rig = try Rig(settings: settings)
    let alice = try Peer()
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, RemoteMedia(alice.address)), .play(end.id, .qualityTest)])
    _ = rig.measure(end)
    // 1 of 41 is lost; what is said then is known up to the jitter.
    for number in 0..<41 where number != 20 { alice.send(rtp(number), to: end.media) }
    var heard: [UInt8] = []
    let words: [SpokenWord] = [.qualityTest, .loss, .two, .point, .four, .percent, .jitter]
    let missing = { words.filter { !contains(heard, SpokenResult.recording($0)) } }
    let begin = ContinuousClock.now
    while ContinuousClock.now - begin < .seconds(12), !missing().isEmpty {
      for _ in 0..<25 { heard += alice.packet()?.payload ?? [] }
    }
    #expect(missing().isEmpty, "not said: \(missing())")
  }

  @Test func theQualityTestEndsAlsoWhenItHeardNothing() throws {
    var settings = MediaSettings()
    settings.qualityListening = .milliseconds(40)
    let rig = try Rig(settings: settings)
    let alice = try Peer()
    let end = try rig.open()
    rig.plane.submit([
      .remote(end.id, RemoteMedia(alice.address, codec: .pcma)), .play(end.id, .qualityTest),
    ])
    let ended = { rig.log.all.contains(.applicationEnded(end.id)) }
    let begin = ContinuousClock.now
    var heard: [UInt8] = []
    while ContinuousClock.now - begin < .seconds(5), !ended() {
      heard += alice.packet()?.payload ?? []
    }
    #expect(ended())
    let expected = SpokenResult.recording(.noAudioReceived).map {
      G711.alaw(linear: G711.linear(ulaw: $0))
    }
    #expect(contains(heard, expected))
    #expect(alice.receive(within: 60) == nil)
  }

  /// Before SDP, and on hold, an application waits; then it begins with its first word.
  @Test func applicationsWaitForSomebodyToHearThem() throws {
    let rig = try Rig()
    let alice = try Peer()
    let end = try rig.open()
    rig.plane.submit([.play(end.id, .milliwatt)])
    #expect(alice.receive(within: 60) == nil)
    rig.plane.submit([.remote(end.id, RemoteMedia(alice.address, weSend: false))])
    #expect(alice.receive(within: 60) == nil)
    rig.plane.submit([.remote(end.id, RemoteMedia(alice.address))])
    #expect(alice.packet()?.header.marker == true)
    let unknown = try rig.open()
    rig.plane.submit([
      .remote(unknown.id, RemoteMedia(alice.address, codec: .unknown)),
      .play(unknown.id, .milliwatt),
    ])
    #expect(rig.log.wait { $0 == .refused(unknown.id) ? true : nil } == true)
  }

  @Test func anApplicationGivesWayToABridge() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = (try rig.open(), try rig.open())
    rig.plane.submit([.remote(a.id, RemoteMedia(alice.address)), .play(a.id, .milliwatt)])
    let tone = try #require(alice.packet()).header
    rig.plane.submit([.remote(b.id, RemoteMedia(bob.address)), .bridge(a.id, b.id)])
    _ = rig.measure(a)
    _ = alice.receiveAll(quiet: 30)
    bob.send(rtp(1), to: b.media)
    let relayed = try #require(alice.packet())
    #expect(relayed.payload == parse(rtp(1))?.payload)
    #expect(relayed.header.ssrc == tone.ssrc)
    rig.plane.submit([.play(a.id, .echo)])
    _ = rig.measure(a)
    bob.send(rtp(2), to: b.media)
    #expect(alice.receive(within: 50) == nil)
    #expect(rig.plane.counters.unbridged == 1)
  }
}

func nextPacket(_ reader: inout RTCPReader, _ bytes: [UInt8]) -> RTCPPacket? {
  reader.next(in: bytes.rawSpan)
}

private func senderInfo(_ packet: RTCPPacket, _ bytes: [UInt8]) -> RTCPSenderInfo? {
  packet.senderInfo(in: bytes.rawSpan)
}

private func types(_ bytes: [UInt8]) -> [UInt8] {
  var reader = RTCPReader()
  var types: [UInt8] = []
  while let packet = reader.next(in: bytes.rawSpan) { types.append(packet.type) }
  return types
}

private func contains(_ haystack: [UInt8], _ needle: [UInt8]) -> Bool {
  Data(haystack).range(of: Data(needle)) != nil
}

/// A WAV file that is gone when the test is.
final class WAVFile {
  let path: String

  init(_ samples: [Int16], rate: UInt32, channels: UInt16) throws {
    path = FileManager.default.temporaryDirectory
      .appending(path: "demarc-\(UUID().uuidString).wav").path()
    try Data(wav(samples, rate: rate, channels: channels)).write(to: URL(filePath: path))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

func wav(
  _ samples: [Int16], rate: UInt32, channels: UInt16, format: UInt16 = 1, bits: UInt16 = 16
) -> [UInt8] {
  func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }
  let data = samples.flatMap { little($0) }
  let chunk =
    little(format) + little(channels) + little(rate) + little(rate * 2 * UInt32(channels))
    + little(channels * 2) + little(bits)
  let body =
    Array("WAVELIST".utf8) + little(UInt32(3)) + [1, 2, 3, 0] + Array("fmt ".utf8)
    + little(UInt32(16)) + chunk + Array("data".utf8) + little(UInt32(data.count)) + data
  return Array("RIFF".utf8) + little(UInt32(body.count)) + body
}
