import Base
import MediaControl
import RTPWire

/// One of our ends of a path: its ports, who is at the far end, and what is counted there. Plain words,
/// one for each slot, so that the packet path touches nothing else.
struct Transport: Sendable {
  var id = MediaTransportID(raw: 0)
  var isOpen = false
  var hasRemote = false
  /// The application is echo: known here, so that the packet path needs no look at the application.
  var isEcho = false
  /// The far end has heard another before: packets for it go on in the flow that it knows.
  var isRenumbered = false
  /// The far end's payload types are not those that it has named, or not those of the other end (`PayloadNumbering`).
  var isRenamed = false
  /// The far end sends codecs that the other end of the bridge has not named.
  var converts = false
  /// A flow of it or for it is made anew here: RTCP does not pass, and reports are ours.
  var endsReports = false
  /// What has to be done with the digits of the far end, and the way in which those came first.
  var digits = DigitHandling()
  var saysDigits = DigitKind.unknown
  /// They are told and not passed on.
  var heedsDigits = false
  /// The far end is a port of ours (`EchoAllowance`).
  var facesOurselves = false
  /// The recorder that its speech goes to, by index; -1: none. And as what.
  var recorder: Int16 = -1
  var recordedChannel = RecordingChannel.left
  /// It hears that the call is recorded, and nothing of the other side meanwhile.
  var hearsNotice = false
  /// What the far end hears in place of the other side while that says nothing.
  var interlude = Interlude.none
  /// Whether the kernel relays what the far end sends.
  var passage = Passage.socket
  /// It has keys: what is not protected by them neither comes in nor goes out.
  var isProtected = false
  /// Its keys come, or have come, by DTLS.
  var hasHandshake = false
  /// Slot of the transport that this one is bridged with; -1: none.
  var peer: Int32 = -1
  var remote = RemoteMedia.nobody
  var latch = SourceLatch()
  var controlLatch = SourceLatch()
  /// Where packets for the far end go: latched, else as in SDP, else nowhere.
  var target = SendTarget()
  var controlTarget = SendTarget()

  var echoAllowance = EchoAllowance()

  /// When the watch for silence began anew; 0 ms: no watch.
  var watchMilliseconds: UInt32 = 0
  var watchStart = Instant.zero
  /// RTP or RTCP, and RTP alone.
  var lastHeard = Instant.zero
  var firstMedia = Instant.zero
  var lastMedia = Instant.zero

  var refused: UInt64 = 0
  var refusedSource = SocketAddress(.anyV4, 0)
  var malformed: UInt64 = 0
  var unauthentic: UInt64 = 0
  var replayed: UInt64 = 0
  var sent: UInt64 = 0
  var controlPackets: UInt64 = 0
  /// Of UDPTL.
  var datagrams: UInt64 = 0

  var remoteFractionLost: UInt8 = 0
  var remoteJitter: UInt32 = 0
  var roundTrip: UInt32 = 0
  var remoteMOS: UInt16 = 0
  /// The counters when `MediaCommand.examine` came.
  var examined = MediaEvidence()
  /// The last SR that went to the far end, for its round trip, and the last that came from it, for our
  /// reports: middle of its NTP time, and our wall clock then.
  var reportSent = ReportMark()
  var reportHeard = ReportMark()

  /// Milliseconds of speech in a packet that we make.
  var packetMilliseconds: Int {
    remote.packetTime == 0 ? 20 : min(max(Int(remote.packetTime), 10), 60)
  }

  /// Clock of a payload type on this path in Hz; 0 where a packet's timestamp tells no time.
  func clockRate(_ payloadType: UInt8) -> UInt32 {
    if payloadType == remote.payloadType { return remote.clockRate }
    if remote.isEvent(payloadType) { return 0 }
    let fixed = staticClockRate(payloadType: payloadType)
    return fixed != 0 ? fixed : remote.clockRate
  }
}

struct ReportMark: Hashable, Sendable {
  var middle: UInt32 = 0
  var wall: UInt64 = 0
}

/// A flow of RTP with one SSRC at a time, kept apart from the transport that carries it: what came in, and
/// how what leaves is numbered. A relayed packet leaves as it came, until the far end gets to hear another: then
/// its flow goes on, as that of an application does, continuous over changes of what feeds it. There are phones
/// that play nothing of a new source whose numbers are below those of the one before.
struct RTPStream: Sendable {
  var reception = ReceptionStatistics()
  var outgoing = OutgoingStream()
}

package struct OutgoingStream: Sendable {
  var ssrc: UInt32 = 0
  var canonicalName: UInt64 = 0
  /// Of the last packet sent.
  var sequence: UInt16 = 0
  var timestamp: UInt32 = 0
  var packets: UInt32 = 0
  var octets: UInt32 = 0
  /// Wall clock at the last packet; 0: there was none.
  package var wall: UInt64 = 0
  var packetsAtReport: UInt32 = 0
  var reports: UInt32 = 0

  /// How an incoming flow is mapped into this one; valid for `mappedSSRC` alone.
  var isMapped = false
  var mappedSSRC: UInt32 = 0
  var sequenceOffset: UInt16 = 0
  var timestampOffset: UInt32 = 0
  /// Packets of our own are in between since the last of the incoming flow, which had this number there.
  private var isInterrupted = false
  private var lastRelayed: UInt16 = 0
  /// Where the mapping in force began, in the incoming flow's numbers; of those before it none is left.
  private var hasFloor = false
  private var floor: UInt16 = 0

  package init() {}

  /// Longer silences count as this one: with half of a clock's numbers, 12 hours at 48 kHz, later would mean earlier.
  private static let longestSilence: UInt64 = 3_600_000

  /// Milliseconds since something was sent, and `least` where nothing was.
  package func silence(at wall: UInt64, atLeast least: UInt64) -> UInt64 {
    guard self.wall != 0 else { return least }
    return max(min((wall &- min(self.wall, wall)) / 1_000_000, Self.longestSilence), least)
  }

  /// A new flow with random origins (RFC 3550 §5.1).
  init(from random: inout RandomSource) {
    let origins = random.next()
    ssrc = UInt32(truncatingIfNeeded: origins)
    sequence = UInt16(truncatingIfNeeded: origins >> 32)
    timestamp = UInt32(truncatingIfNeeded: random.next())
    canonicalName = random.next()
  }

  /// How this flow's packets differ from those that feed it; nil while nothing does.
  var mapping: RTPMapping? {
    guard isMapped else { return nil }
    return RTPMapping(
      source: mappedSSRC, shown: ssrc, sequenceOffset: sequenceOffset,
      timestampOffset: timestampOffset)
  }

  mutating func count(octets: Int, wall: UInt64) {
    packets &+= 1
    self.octets &+= UInt32(truncatingIfNeeded: octets)
    self.wall = wall
  }

  /// The next number is for a packet of our own; what is passed on goes on behind it.
  mutating func interrupt() {
    if !isInterrupted {
      isInterrupted = true
      lastRelayed = sequence &- sequenceOffset
    }
    sequence &+= 1
  }

  /// Whether a packet may be passed on by `map`, after an interruption behind what was said then. One that is older than
  /// that is not: its number has been used for another, which under SRTP would be a place of the key stream used twice.
  /// `least`: timestamp units from the last packet of ours to it.
  mutating func resume(_ header: RTPHeader, least: UInt32) -> Bool {
    guard isInterrupted || hasFloor else { return true }
    guard isMapped, header.ssrc == mappedSSRC else {
      isInterrupted = false
      isMapped = false
      return true
    }
    let first = isInterrupted ? lastRelayed &+ 1 : floor
    let step = Int(Int16(bitPattern: header.sequence &- first))
    guard step >= 0 else {
      if step >= -ReceptionStatistics.maxMisorder { return false }
      isInterrupted = false
      isMapped = false
      return true
    }
    if isInterrupted {
      isInterrupted = false
      begin(header)
      let ahead = Int32(bitPattern: header.timestamp &+ timestampOffset &- timestamp)
      if ahead < Int32(least) {
        timestampOffset &+= UInt32(bitPattern: Int32(least) &- ahead)
      }
    } else if step > ReceptionStatistics.maxMisorder {
      hasFloor = false
    }
    return true
  }

  private mutating func begin(_ header: RTPHeader) {
    hasFloor = true
    floor = header.sequence
    sequenceOffset = sequence &+ 1 &- header.sequence
  }

  /// The header for a packet that is passed on in this flow. A new source, or a jump that a receiver would
  /// take for one, goes on where the flow was.
  mutating func map(_ header: RTPHeader, gap: UInt32) -> RTPHeader {
    let step = Int(Int16(bitPattern: header.sequence &+ sequenceOffset &- sequence))
    if !isMapped || header.ssrc != mappedSSRC || abs(step) > ReceptionStatistics.maxMisorder {
      isMapped = true
      mappedSSRC = header.ssrc
      begin(header)
      timestampOffset = timestamp &+ gap &- header.timestamp
    }
    var mapped = header
    mapped.ssrc = ssrc
    mapped.sequence = header.sequence &+ sequenceOffset
    mapped.timestamp = header.timestamp &+ timestampOffset
    if Int16(bitPattern: mapped.sequence &- sequence) > 0 {
      sequence = mapped.sequence
      timestamp = mapped.timestamp
    }
    return mapped
  }
}

extension RemoteMedia {
  static let nobody = RemoteMedia(
    rtp: SocketAddress(.anyV4, 0), rtcp: SocketAddress(.anyV4, 0), signallingSource: .anyV4,
    latch: .signalled, weSend: false, weReceive: false, codec: .unknown, payloadType: 0,
    clockRate: 0, packetTime: 0, telephoneEvent: 255)
}
