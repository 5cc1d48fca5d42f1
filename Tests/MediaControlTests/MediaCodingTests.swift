import Base
import MediaControl
import Testing

private let id = MediaTransportID(raw: 0x0102_0304_0506_0708)

private func protected(_ suite: SRTPSuite) -> MediaCommand {
  func key(_ first: UInt8, _ identifierSize: UInt8) -> SRTPKey? {
    let count = suite.keySize + suite.saltSize
    return SRTPKey(
      suite, secret: (0..<count).map { first &+ UInt8($0) }, identifier: 0x0102,
      identifierSize: identifierSize)
  }
  let security = key(0, 0).flatMap { sending in
    key(200, 2).map { MediaSecurity(sending: sending, receiving: $0) }
  }
  return .remote(
    id,
    RemoteMedia(
      rtp: SocketAddress(.loopbackV4, 4_000), rtcp: SocketAddress(.loopbackV4, 4_001),
      signallingSource: .loopbackV4, latch: .signalled, weSend: true, weReceive: true, codec: .pcmu,
      payloadType: 0, clockRate: 8_000, packetTime: 20, telephoneEvent: 255, security: security))
}

private func handshake(_ role: MediaHandshake.Role) -> MediaCommand {
  let fingerprints = CertificateFingerprint.Algorithm.allCases.compactMap { algorithm in
    CertificateFingerprint(algorithm, (0..<algorithm.size).map { UInt8($0) &* 3 })
  }
  return .remote(
    id,
    RemoteMedia(
      rtp: SocketAddress(.loopbackV4, 4_000), rtcp: SocketAddress(.loopbackV4, 4_001),
      signallingSource: .loopbackV4, latch: .signalled, weSend: true, weReceive: true, codec: .pcmu,
      payloadType: 0, clockRate: 8_000, packetTime: 20, telephoneEvent: 255,
      security: MediaHandshake(role, fingerprints).map { MediaSecurity($0) }))
}

private var evenly: MediaCommand {
  var remote = RemoteMedia(
    rtp: SocketAddress(.loopbackV4, 4_000), rtcp: SocketAddress(.loopbackV4, 4_001),
    signallingSource: .loopbackV4, latch: .signalled, weSend: true, weReceive: true, codec: .pcmu,
    payloadType: 0, clockRate: 8_000, packetTime: 20, telephoneEvent: 255)
  remote.treatment = .even
  return .remote(id, remote)
}

private var numbered: MediaCommand {
  var numbers = PayloadNumbers()
  numbers.append(PayloadNumbers.Entry(heard: 107, own: 96, leaving: 120))
  numbers.append(PayloadNumbers.Entry(heard: 0, own: 0, leaving: 127))
  return .number(id, numbers)
}

private var wideEvents: MediaCommand {
  var remote = RemoteMedia(
    rtp: SocketAddress(.loopbackV4, 4_000), rtcp: SocketAddress(.loopbackV4, 4_001),
    signallingSource: .loopbackV4, latch: .signalled, weSend: false, weReceive: true, codec: .opus,
    payloadType: 111, clockRate: 48_000, packetTime: 20, telephoneEvent: 255)
  remote.events = EventFormats(.init(110, .full), .init(126))
  return .remote(id, remote)
}

private let commands: [MediaCommand] = [
  .open(id, LocalMedia(address: 3, port: 40_002)),
  .remote(
    id,
    RemoteMedia(
      rtp: SocketAddress(IPAddress(v4: 0xc000_0207), 4_000),
      rtcp: SocketAddress(IPAddress(v6High: 0x2001_0db8_0000_0001, low: 9), 4_001),
      signallingSource: IPAddress(v4: 0xc633_6401), latch: .window, weSend: true,
      weReceive: false, codec: .pcma, payloadType: 8, clockRate: 8_000, packetTime: 30,
      telephoneEvent: 101,
      speech: SpeechFormats(SpeechFormats.Format(.pcma, 8), SpeechFormats.Format(.g722, 9)),
      digits: .tones)),
  .bridge(id, MediaTransportID(raw: 9)),
  .play(id, .echo), .play(id, .milliwatt), .play(id, .announcement(.max)), .play(id, .qualityTest),
  .play(id, .tone(.ringing)), .play(id, .music(7)), .interpose(id, .music(0)), .interpose(id, nil),
  .heed(id),
  CadencedTone(400, 450, modulation: 16, cadence: [400, 200, 400, 2_000]).map {
    .play(id, .tone($0))
  } ?? .close(id),
  .watch(id, silenceMilliseconds: 30_000), .measure(id), .close(id),
  .examine(id, afterMilliseconds: 2_500),
  .record(
    id,
    RecordingOrder(
      id: RecordingID(raw: 9), format: .opus, channel: .right, notice: 3, name: "a-1")),
  .record(id, RecordingOrder(id: RecordingID(raw: 9), format: .wav, channel: .left, name: "a-2")),
  .moveRecording(RecordingID(raw: 9), id, .left),
  .pauseRecording(RecordingID(raw: 9), isPaused: true),
  .stopRecording(RecordingID(raw: 9), .joined),
  protected(.aesCM128HMAC80), protected(.aeadAES256GCM), handshake(.client), handshake(.server),
  .digit(id, MediaDigit(event: 11, milliseconds: 160, kind: .info)), evenly,
  numbered, .number(id, PayloadNumbers()), wideEvents,
]

private var facts: [MediaFact] {
  var quality = StreamQuality()
  quality.packets = 1
  quality.octets = 2
  quality.lost = 3
  quality.duplicates = 4
  quality.reordered = 5
  quality.jitter = 6
  quality.maxJitter = 7
  quality.mos = 441
  quality.payloadType = 0
  quality.ssrc = 8
  quality.refused = 9
  quality.malformed = 10
  quality.unauthentic = 17
  quality.replayed = 18
  quality.sent = .max
  quality.rtcpPackets = 11
  quality.remoteFractionLost = 12
  quality.remoteJitter = 13
  quality.roundTrip = 14
  quality.first = Instant(nanoseconds: 15)
  quality.last = Instant(nanoseconds: 16)
  var evidence = MediaEvidence()
  evidence.packets = 1
  evidence.payloadType = 2
  evidence.refused = 3
  evidence.refusedSource = SocketAddress(.loopbackV6, 4)
  evidence.malformed = 5
  evidence.unopened = 9
  evidence.sent = 6
  evidence.controlPackets = 7
  evidence.isAimed = true
  evidence.reportedLoss = 8
  var result = RecordingResult(.diskFull)
  result.bytes = 1
  result.milliseconds = 2
  result.lostMilliseconds = 3
  result.unreadPackets = 4
  evidence.handshake = .wrongFingerprint
  return [
    .ready(address: 1, ports: 20_000...20_099, failed: [20_002, 20_008]),
    .ready(address: 1, ports: 0...65_535, failed: Array(stride(from: 0, to: 65_535, by: 2))),
    .opened(id), .refused(id),
    .latched(id, SocketAddress(.loopbackV6, 5), at: Instant(nanoseconds: 77)),
    .silent(id, last: Instant(nanoseconds: .max)), .quality(id, quality), .applicationEnded(id),
    .closed(id), .evidence(id, evidence), .handshake(id, .agreed(.aeadAES128GCM)),
    .handshake(id, .wrongFingerprint),
    .digit(id, MediaDigit(event: 16, milliseconds: 65_535, kind: .tones)),
    .recording(RecordingID(raw: 9), .announced),
    .recording(RecordingID(raw: 9), .started(wall: 1_795_927_333_250, rate: 16_000)),
    .recording(RecordingID(raw: 9), .ended(result)),
  ]
}

private func decodeCommands(_ bytes: [UInt8]) throws(MediaCodingError) -> [MediaCommand] {
  var offset = 0
  var decoded: [MediaCommand] = []
  while let command = try MediaCoding.command(in: bytes.rawSpan, at: &offset) {
    decoded.append(command)
  }
  return decoded
}

private func decodeFacts(_ bytes: [UInt8]) throws(MediaCodingError) -> [MediaFact] {
  var offset = 0
  var decoded: [MediaFact] = []
  while let fact = try MediaCoding.fact(in: bytes.rawSpan, at: &offset) { decoded.append(fact) }
  return decoded
}

@Suite struct MediaCodingTests {
  @Test func everyCommandComesBack() throws {
    var bytes: [UInt8] = []
    for command in commands { MediaCoding.encode(command, into: &bytes) }
    #expect(try decodeCommands(bytes) == commands)
  }

  @Test func everyFactComesBack() throws {
    var bytes: [UInt8] = []
    for fact in facts { MediaCoding.encode(fact, into: &bytes) }
    #expect(try decodeFacts(bytes) == facts)
  }

  /// The form on the wire is a contract between releases.
  @Test func theBytesOfVersionSix() {
    var bytes: [UInt8] = []
    MediaCoding.encode(commands[0], into: &bytes)
    #expect(bytes == [14, 0, 0, 0, 6, 0, 8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0x42, 0x9c])
  }

  @Test func anIncompleteFrameWaits() throws {
    for command in commands {
      var bytes: [UInt8] = []
      MediaCoding.encode(command, into: &bytes)
      for length in 0..<bytes.count {
        #expect(try decodeCommands(Array(bytes.prefix(length))) == [])
      }
    }
  }

  @Test func wrongFramesAreRefusedWithTheirPlace() {
    var frame: [UInt8] = []
    MediaCoding.encode(commands[3], into: &frame)
    func failure(_ change: (inout [UInt8]) -> Void) -> MediaCodingError? {
      var bytes = frame
      change(&bytes)
      do {
        _ = try decodeCommands(bytes)
        return nil
      } catch { return error }
    }
    #expect(failure { $0[4] = 9 } == MediaCodingError(reason: .unknownVersion(9), offset: 4))
    #expect(failure { $0[5] = 99 } == MediaCodingError(reason: .unknownKind(99), offset: 6))
    #expect(failure { $0[14] = 7 } == MediaCodingError(reason: .badValue, offset: 15))
    #expect(failure { $0[0] = 1 } == MediaCodingError(reason: .wrongLength, offset: 0))
    #expect(failure { $0[0] -= 1 } == MediaCodingError(reason: .wrongLength, offset: 0))
    #expect(failure { $0[3] = 1 } == MediaCodingError(reason: .frameTooLarge, offset: 0))
    #expect(
      failure {
        $0[0] += 1
        $0.append(0)
      } == MediaCodingError(reason: .wrongLength, offset: 0))
  }

  /// Any byte changed to anything: a value, an error, or a frame that waits; never a trap.
  @Test func mutationsNeverTrap() {
    var frames: [[UInt8]] = []
    for command in commands {
      frames.append([])
      MediaCoding.encode(command, into: &frames[frames.count - 1])
    }
    for fact in facts where fact != facts[1] {
      frames.append([])
      MediaCoding.encode(fact, into: &frames[frames.count - 1])
    }
    for frame in frames {
      for index in frame.indices {
        for value in [0, 1, 2, 0x7f, 0xff] as [UInt8] {
          var bytes = frame
          bytes[index] = value
          _ = try? decodeCommands(bytes)
          _ = try? decodeFacts(bytes)
        }
      }
    }
  }
}
