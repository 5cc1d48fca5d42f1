import Base

/// Appends one frame: its length is filled in at the end.
struct FrameWriter {
  private var bytes: [UInt8]
  private let start: Int

  init(bytes: [UInt8]) {
    self.bytes = bytes
    start = bytes.count
  }

  mutating func begin(_ kind: UInt8) {
    put(UInt32(0))
    put(MediaCoding.version)
    put(kind)
  }

  mutating func begin(_ kind: UInt8, _ id: MediaTransportID) {
    begin(kind)
    put(id.raw)
  }

  mutating func put(_ value: some FixedWidthInteger & UnsignedInteger) {
    for shift in stride(from: 0, to: value.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  mutating func put(_ address: IPAddress) {
    put(address.family.rawValue)
    put(address.high)
    put(address.low)
  }

  mutating func put(_ address: SocketAddress) {
    put(address.ip)
    put(address.port)
  }

  mutating func put(_ remote: RemoteMedia) {
    put(remote.proto.rawValue)
    put(remote.rtp)
    put(remote.rtcp)
    put(remote.signallingSource)
    put(remote.latch.rawValue)
    put(UInt8(remote.weSend ? 1 : 0))
    put(UInt8(remote.weReceive ? 1 : 0))
    put(remote.codec.rawValue)
    put(remote.payloadType)
    put(remote.clockRate)
    put(remote.packetTime)
    put(remote.maxPacketTime)
    put(remote.events.narrow)
    put(remote.events.other)
    put(remote.events.otherClock.rawValue)
    put(remote.digits.rawValue)
    put(UInt8(remote.wantsMetrics ? 1 : 0))
    put(remote.treatment.rawValue)
    put(remote.speech.words.low)
    put(remote.speech.words.high)
    switch remote.security?.keying {
    case nil: put(UInt8(0))
    case .given(let sending, let receiving):
      put(UInt8(1))
      put(sending)
      put(receiving)
    case .handshake(let handshake):
      put(UInt8(2))
      put(handshake)
    }
  }

  private mutating func put(_ handshake: MediaHandshake) {
    put(handshake.role.rawValue)
    put(UInt8(handshake.fingerprints.count))
    for fingerprint in handshake.fingerprints {
      put(fingerprint.algorithm.rawValue)
      for byte in fingerprint.bytes { put(byte) }
    }
  }

  mutating func put(_ outcome: HandshakeOutcome) {
    switch outcome {
    case .agreed(let suite):
      put(UInt8(0))
      put(suite.rawValue)
    case .wrongFingerprint: put(UInt8(1))
    }
  }

  private mutating func put(_ key: SRTPKey) {
    put(key.suite.rawValue)
    put(key.identifier)
    put(key.identifierSize)
    for byte in key.secret.exposed { put(byte) }
  }

  mutating func put(_ application: MediaApplication) {
    switch application {
    case .echo: put(UInt8(0))
    case .milliwatt: put(UInt8(1))
    case .announcement(let index):
      put(UInt8(2))
      put(index)
    case .qualityTest: put(UInt8(3))
    case .tone(let tone):
      put(UInt8(4))
      put(tone)
    case .music(let index):
      put(UInt8(5))
      put(index)
    }
  }

  private mutating func put(_ tone: CadencedTone) {
    put(tone.first)
    put(tone.second)
    put(tone.modulation)
    for i in 0..<CadencedTone.cadenceLimit { put(tone.duration(i)) }
  }

  mutating func put(_ digit: MediaDigit) {
    put(digit.event.exposed)
    put(digit.milliseconds)
    put(digit.kind.rawValue)
  }

  mutating func put(_ quality: StreamQuality) {
    put(quality.packets)
    put(quality.octets)
    put(quality.lost)
    put(quality.duplicates)
    put(quality.reordered)
    put(quality.jitter)
    put(quality.maxJitter)
    put(quality.mos)
    put(quality.payloadType)
    put(quality.ssrc)
    put(quality.refused)
    put(quality.malformed)
    put(quality.unauthentic)
    put(quality.replayed)
    put(quality.sent)
    put(quality.rtcpPackets)
    put(quality.remoteFractionLost)
    put(quality.remoteJitter)
    put(quality.roundTrip)
    put(quality.remoteMOS)
    put(quality.sentSSRC)
    put(quality.first.nanoseconds)
    put(quality.last.nanoseconds)
  }

  mutating func put(_ evidence: MediaEvidence) {
    put(evidence.packets)
    put(evidence.payloadType)
    put(evidence.refused)
    put(evidence.refusedSource)
    put(evidence.malformed)
    put(evidence.unopened)
    put(evidence.sent)
    put(evidence.controlPackets)
    put(UInt8(evidence.isAimed ? 1 : 0))
    put(evidence.reportedLoss)
    put(evidence.handshake.rawValue)
  }

  mutating func finish() -> [UInt8] {
    let length = UInt32(truncatingIfNeeded: bytes.count - start - 4)
    for i in 0..<4 { bytes[start + i] = UInt8(truncatingIfNeeded: length >> (8 * i)) }
    return bytes
  }
}

/// Reads one frame. Fields beyond its end read as 0 and are found out by `finish`, so that only values
/// need a check on the way.
struct FrameReader {
  let kind: UInt8
  private var offset: Int
  private let end: Int
  private let start: Int

  /// Nil when the frame is not complete yet.
  init?(_ bytes: borrowing RawSpan, at start: Int) throws(MediaCodingError) {
    guard start >= 0, start <= bytes.byteCount, bytes.byteCount - start >= 4 else { return nil }
    let length = Int(UInt32(truncatingIfNeeded: bytes.word(at: start)))
    guard length <= MediaCoding.maxFrame else {
      throw MediaCodingError(reason: .frameTooLarge, offset: start)
    }
    guard length >= 2 else { throw MediaCodingError(reason: .wrongLength, offset: start) }
    guard bytes.byteCount - start - 4 >= length else { return nil }
    let version = bytes.byte(at: start + 4)
    guard version == MediaCoding.version else {
      throw MediaCodingError(reason: .unknownVersion(version), offset: start + 4)
    }
    kind = bytes.byte(at: start + 5)
    self.start = start
    offset = start + 6
    end = start + 4 + length
  }

  func error(_ reason: MediaCodingError.Reason) -> MediaCodingError {
    MediaCodingError(reason: reason, offset: offset)
  }

  /// Where the next frame begins.
  func finish() throws(MediaCodingError) -> Int {
    guard offset == end else { throw MediaCodingError(reason: .wrongLength, offset: start) }
    return end
  }

  private mutating func take(_ bytes: borrowing RawSpan, _ count: Int) -> UInt64 {
    defer { offset += count }
    guard offset + count <= end else { return 0 }
    let word = bytes.word(at: offset)
    return count == 8 ? word : word & ((1 << UInt64(8 * count)) - 1)
  }

  mutating func u8(_ bytes: borrowing RawSpan) -> UInt8 { UInt8(take(bytes, 1)) }
  mutating func u16(_ bytes: borrowing RawSpan) -> UInt16 { UInt16(take(bytes, 2)) }
  mutating func u32(_ bytes: borrowing RawSpan) -> UInt32 { UInt32(take(bytes, 4)) }
  mutating func u64(_ bytes: borrowing RawSpan) -> UInt64 { take(bytes, 8) }
  mutating func id(_ bytes: borrowing RawSpan) -> MediaTransportID {
    MediaTransportID(raw: u64(bytes))
  }

  func valid<T>(_ value: T?) throws(MediaCodingError) -> T {
    guard let value else { throw error(.badValue) }
    return value
  }

  mutating func flag(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> Bool {
    switch u8(bytes) {
    case 0: false
    case 1: true
    default: throw error(.badValue)
    }
  }

  mutating func ip(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> IPAddress {
    let family = try valid(IPAddress.Family(rawValue: u8(bytes)))
    let high = u64(bytes)
    let low = u64(bytes)
    switch family {
    case .v6: return IPAddress(v6High: high, low: low)
    case .v4:
      guard high == 0, let v4 = UInt32(exactly: low) else { throw error(.badValue) }
      return IPAddress(v4: v4)
    }
  }

  mutating func address(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> SocketAddress {
    let ip = try ip(bytes)
    return SocketAddress(ip, u16(bytes))
  }

  mutating func remote(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> RemoteMedia {
    let proto = try valid(MediaProtocol(rawValue: u8(bytes)))
    var remote = RemoteMedia(
      rtp: try address(bytes), rtcp: try address(bytes), signallingSource: try ip(bytes),
      latch: try valid(LatchPolicy(rawValue: u8(bytes))), weSend: try flag(bytes),
      weReceive: try flag(bytes), codec: try valid(AudioCodec(rawValue: u8(bytes))),
      payloadType: u8(bytes), clockRate: u32(bytes), packetTime: u16(bytes),
      maxPacketTime: u8(bytes), telephoneEvent: u8(bytes), proto: proto)
    let other = EventFormats.Format(u8(bytes), try valid(EventClock(rawValue: u8(bytes))))
    guard other.clock != .narrow || other.payloadType == 255 else { throw error(.badValue) }
    var events = remote.events
    events.append(other)
    remote.events = events
    remote.digits = try valid(DigitKind(rawValue: u8(bytes)))
    remote.wantsMetrics = try flag(bytes)
    remote.treatment = SpeechTreatment(rawValue: u8(bytes))
    guard remote.treatment.isSubset(of: .all) else { throw error(.badValue) }
    remote.speech = try valid(SpeechFormats(words: (u64(bytes), u64(bytes))))
    remote.security = try security(bytes)
    return remote
  }

  private mutating func security(
    _ bytes: borrowing RawSpan
  ) throws(MediaCodingError) -> MediaSecurity? {
    switch u8(bytes) {
    case 0: return nil
    case 1: return MediaSecurity(sending: try key(bytes), receiving: try key(bytes))
    case 2: return MediaSecurity(try handshake(bytes))
    default: throw error(.badValue)
    }
  }

  private mutating func handshake(
    _ bytes: borrowing RawSpan
  ) throws(MediaCodingError) -> MediaHandshake {
    let role = try valid(MediaHandshake.Role(rawValue: u8(bytes)))
    let count = Int(u8(bytes))
    guard count <= MediaHandshake.maxFingerprints else { throw error(.badValue) }
    var fingerprints: [CertificateFingerprint] = []
    for _ in 0..<count {
      let algorithm = try valid(CertificateFingerprint.Algorithm(rawValue: u8(bytes)))
      var digest: [UInt8] = []
      digest.reserveCapacity(algorithm.size)
      for _ in 0..<algorithm.size { digest.append(u8(bytes)) }
      fingerprints.append(try valid(CertificateFingerprint(algorithm, digest)))
    }
    return try valid(MediaHandshake(role, fingerprints))
  }

  mutating func outcome(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> HandshakeOutcome {
    switch u8(bytes) {
    case 0: return .agreed(try valid(SRTPSuite(rawValue: u8(bytes))))
    case 1: return .wrongFingerprint
    default: throw error(.badValue)
    }
  }

  private mutating func key(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> SRTPKey {
    let suite = try valid(SRTPSuite(rawValue: u8(bytes)))
    let identifier = u32(bytes)
    let size = u8(bytes)
    var secret: [UInt8] = []
    secret.reserveCapacity(suite.keySize + suite.saltSize)
    for _ in 0..<suite.keySize + suite.saltSize { secret.append(u8(bytes)) }
    return try valid(
      SRTPKey(suite, secret: secret, identifier: identifier, identifierSize: size))
  }

  mutating func application(
    _ bytes: borrowing RawSpan
  ) throws(MediaCodingError) -> MediaApplication {
    switch u8(bytes) {
    case 0: .echo
    case 1: .milliwatt
    case 2: .announcement(u32(bytes))
    case 3: .qualityTest
    case 4: .tone(try tone(bytes))
    case 5: .music(u32(bytes))
    default: throw error(.badValue)
    }
  }

  private mutating func tone(
    _ bytes: borrowing RawSpan
  ) throws(MediaCodingError) -> CadencedTone {
    let (first, second, modulation) = (u16(bytes), u16(bytes), u16(bytes))
    let cadence = [u16(bytes), u16(bytes), u16(bytes), u16(bytes)]
    return try valid(CadencedTone(first, second, modulation: modulation, cadence: cadence))
  }

  mutating func digit(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> MediaDigit {
    let event = u8(bytes)
    guard event <= MediaDigit.flash else { throw error(.badValue) }
    let milliseconds = u16(bytes)
    return MediaDigit(
      event: event, milliseconds: milliseconds, kind: try valid(DigitKind(rawValue: u8(bytes))))
  }

  mutating func ready(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> MediaFact {
    let address = u16(bytes)
    let first = u16(bytes)
    let last = u16(bytes)
    let count = Int(u32(bytes))
    guard first <= last, count <= (end - offset) / 2 else { throw error(.badValue) }
    var failed: [UInt16] = []
    failed.reserveCapacity(count)
    for _ in 0..<count { failed.append(u16(bytes)) }
    return .ready(address: address, ports: first...last, failed: failed)
  }

  mutating func evidence(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> MediaEvidence {
    var evidence = MediaEvidence()
    evidence.packets = u64(bytes)
    evidence.payloadType = u8(bytes)
    evidence.refused = u64(bytes)
    evidence.refusedSource = try address(bytes)
    evidence.malformed = u64(bytes)
    evidence.unopened = u64(bytes)
    evidence.sent = u64(bytes)
    evidence.controlPackets = u64(bytes)
    evidence.isAimed = try flag(bytes)
    evidence.reportedLoss = u8(bytes)
    evidence.handshake = try valid(HandshakeProgress(rawValue: u8(bytes)))
    return evidence
  }

  mutating func quality(_ bytes: borrowing RawSpan) -> StreamQuality {
    var quality = StreamQuality()
    quality.packets = u64(bytes)
    quality.octets = u64(bytes)
    quality.lost = u64(bytes)
    quality.duplicates = u64(bytes)
    quality.reordered = u64(bytes)
    quality.jitter = u32(bytes)
    quality.maxJitter = u32(bytes)
    quality.mos = u16(bytes)
    quality.payloadType = u8(bytes)
    quality.ssrc = u32(bytes)
    quality.refused = u64(bytes)
    quality.malformed = u64(bytes)
    quality.unauthentic = u64(bytes)
    quality.replayed = u64(bytes)
    quality.sent = u64(bytes)
    quality.rtcpPackets = u64(bytes)
    quality.remoteFractionLost = u8(bytes)
    quality.remoteJitter = u32(bytes)
    quality.roundTrip = u32(bytes)
    quality.remoteMOS = u16(bytes)
    quality.sentSSRC = u32(bytes)
    quality.first = Instant(nanoseconds: u64(bytes))
    quality.last = Instant(nanoseconds: u64(bytes))
    return quality
  }
}
