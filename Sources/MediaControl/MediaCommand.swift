package import Base

/// One of our ends of a media path: an RTP port, the RTCP port after it, and whoever is at the far end.
///
/// Chosen by the engine; unique while the transport lives and for the quarantine after it.
@frozen
package struct MediaTransportID: Hashable, Sendable {
  package var raw: UInt64
  @inlinable package init(raw: UInt64) { self.raw = raw }
}

/// A media address that the process was given: where its sockets are bound, and what SDP says instead
/// when a NAT stands in front of it. Ports come in pairs, RTP even and RTCP odd (RFC 3550 §11).
package struct MediaAddress: Hashable, Sendable {
  package var name: String
  package var bound: IPAddress
  package var ports: ClosedRange<UInt16>

  package init(name: String, bound: IPAddress, ports: ClosedRange<UInt16>) {
    self.name = name
    self.bound = bound
    self.ports = ports
  }
}

/// A leased local port pair: the index of its `MediaAddress`, and the even RTP port.
@frozen
package struct LocalMedia: Hashable, Sendable {
  package var address: UInt16
  package var port: UInt16
  @inlinable package init(address: UInt16, port: UInt16) {
    self.address = address
    self.port = port
  }
}

/// From whom the first packet may be taken as proof of where the far end is.
package enum LatchPolicy: UInt8, Sendable {
  /// Only the IP address of the SDP or that of the signalling's source, any port.
  case signalled
  /// Anyone, within the first `MediaLimits.latchWindow` packets. A choice made per trunk.
  case window
}

package enum MediaLimits {
  package static let latchWindow = 5
}

/// How a stream goes over the wire (SDP's proto).
package enum MediaProtocol: UInt8, Sendable {
  /// RTP and RTCP, under keys or not.
  case rtp
  /// ITU-T T.38's datagrams, which are passed on as they are.
  case udptl
  /// RTP and RTCP as above, and what leaves keeps the sources and the numbers that it came with, under a key as well:
  /// feedback, retransmissions and error correction of pictures name them.
  case rtpAsSent
}

/// What SDP said of the far end of a transport. Sent again whole on each re-offer: the transport's
/// port, SSRCs and counters stay, and its latch stays too unless `rtp` changed.
package struct RemoteMedia: Hashable, Sendable {
  // In an order that leaves no holes: a far end is kept three times in a call.

  /// Of UDPTL: where it all goes; there is nothing for `rtcp` then.
  package var rtp: SocketAddress
  package var clockRate: UInt32
  package var rtcp: SocketAddress
  /// Milliseconds of speech in a packet that it wants, and the most that it takes; 0: not said, and 20 is assumed.
  package var packetTime: UInt16 {
    get { UInt16(wantedTime) }
    set { wantedTime = UInt8(clamping: newValue) }
  }
  private var wantedTime: UInt8 = 0
  package var maxPacketTime: UInt8 = 0
  package var payloadType: UInt8
  /// It asks for VoIP metrics in RTCP XR (RFC 3611 §5.1).
  package var wantsMetrics: Bool {
    get { marks & 0x80 != 0 }
    set { marks = newValue ? marks | 0x80 : marks & 0x7f }
  }
  /// What is done to the speech that it is sent.
  package var treatment: SpeechTreatment {
    get { SpeechTreatment(rawValue: marks & 0x7f) }
    set { marks = marks & 0x80 | newValue.rawValue & 0x7f }
  }
  private var marks: UInt8 = 0
  package var signallingSource: IPAddress
  package var latch: LatchPolicy
  /// Whether we may send to the far end, and whether it may send to us (SDP direction, seen from us).
  package var weSend: Bool {
    get { bits & 1 != 0 }
    set { bits = newValue ? bits | 1 : bits & ~1 }
  }
  package var weReceive: Bool {
    get { bits & 2 != 0 }
    set { bits = newValue ? bits | 2 : bits & ~2 }
  }
  /// Those two, and above them the clock of `otherEvent`.
  private var bits: UInt8 = 0
  private var otherEvent: UInt8 = 255
  /// The first audio format both sides agreed on.
  package var codec: AudioCodec
  /// How digits go to the far end, and come from there.
  package var digits: DigitKind
  /// What it has named as telephone-event (RFC 4733).
  package var events: EventFormats {
    get {
      var events = EventFormats(EventFormats.Format(narrowEvent))
      events.append(
        EventFormats.Format(otherEvent, EventClock(rawValue: bits >> 2) ?? .narrow))
      return events
    }
    set {
      narrowEvent = newValue.narrow
      otherEvent = newValue.other
      bits = bits & 3 | newValue.otherClock.rawValue << 2
    }
  }
  private var narrowEvent: UInt8
  /// The telephone-event that goes beside its codec; nil: none.
  package var event: EventFormats.Format? { events.beside(clockRate: clockRate) }
  /// Whether a packet is an event.
  @inline(__always)
  package func isEvent(_ payloadType: UInt8) -> Bool {
    payloadType < 128 && (payloadType == narrowEvent || payloadType == otherEvent)
  }
  package var proto: MediaProtocol
  /// What the far end may be sent, and sends itself, of the codecs that we speak. A packet of one that the other end of
  /// a bridge has not named is turned into one that it has.
  package var speech: SpeechFormats
  /// The keys of SRTP and SRTCP, or the handshake that brings them; nil: plain RTP, and nothing else. The same key
  /// keeps its context, and with it the rollover counter (RFC 3711 §3.3.1); a new one begins at 0 (RFC 4568 §7.1.4).
  /// The same handshake keeps what it has brought.
  package var security: MediaSecurity?

  package init(
    rtp: SocketAddress, rtcp: SocketAddress, signallingSource: IPAddress, latch: LatchPolicy,
    weSend: Bool, weReceive: Bool, codec: AudioCodec, payloadType: UInt8, clockRate: UInt32,
    packetTime: UInt16, maxPacketTime: UInt8 = 0, telephoneEvent: UInt8,
    security: MediaSecurity? = nil, proto: MediaProtocol = .rtp,
    speech: SpeechFormats = SpeechFormats(), digits: DigitKind = .unknown
  ) {
    self.digits = digits
    self.proto = proto
    self.speech = speech
    self.rtp = rtp
    self.rtcp = rtcp
    self.signallingSource = signallingSource
    self.latch = latch
    self.codec = codec
    self.payloadType = payloadType
    self.clockRate = clockRate
    wantedTime = UInt8(clamping: packetTime)
    self.maxPacketTime = maxPacketTime
    narrowEvent = telephoneEvent
    self.security = security
    self.weSend = weSend
    self.weReceive = weReceive
  }
}

/// What is done to speech on its way to a far end, and what that can bear: seven bits (`RemoteMedia.marks`).
package struct SpeechTreatment: OptionSet, Hashable, Sendable {
  package var rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// It is kept until its time has come, and sent in order and evenly, by our clock.
  package static let even = SpeechTreatment(rawValue: 1)

  /// It makes use of what a packet of Opus says of the one before (useinbandfec, RFC 7587 §6.1).
  package static let repeated = SpeechTreatment(rawValue: 2)
  /// It has named comfort noise of 8 kHz (RFC 3389).
  package static let comfortNoise = SpeechTreatment(rawValue: 4)
  /// Silence may be left out of what we make for it, if it has.
  package static let suppressed = SpeechTreatment(rawValue: 8)

  package static let all: SpeechTreatment = [.even, .repeated, .comfortNoise, .suppressed]
}

/// What an application leg hears.
package enum MediaApplication: Hashable, Sendable {
  /// The caller's own packets, returned.
  case echo
  /// The digital milliwatt of ITU-T G.711 (tables 5 and 6): a sequence of eight codes that decodes to
  /// 1000 Hz at 0 dBm0. (1004 Hz is what analogue test lines use instead; it is no exact sequence.)
  case milliwatt
  /// A WAV file of the announcement table, by index; `.applicationEnded` when it is over.
  case announcement(UInt32)
  /// Listens for some seconds, then speaks loss, jitter and MOS of what it heard; then ends.
  case qualityTest
  /// Music on hold, from its beginning to its end and again: a WAV file of the announcement table, by index.
  case music(UInt32)
  /// A tone of the network, until it is ended.
  case tone(CadencedTone)
}

/// What the engine tells the media plane. Flat values only: the same commands may cross a process
/// boundary (`MediaCoding`).
package enum MediaCommand: Hashable, Sendable {
  /// Take the port and begin to receive; nothing is sent or relayed yet.
  case open(MediaTransportID, LocalMedia)
  /// Who is at the far end, now or after a re-offer.
  case remote(MediaTransportID, RemoteMedia)
  /// Relay between two transports, both ways.
  case bridge(MediaTransportID, MediaTransportID)
  /// Feed a transport by an application instead of a peer.
  case play(MediaTransportID, MediaApplication)
  /// While the peer that the transport is bridged with says nothing, its far end hears the application instead; nil ends
  /// that, as does the end of the bridge. What cannot be played is not heard, and nothing else comes of it.
  case interpose(MediaTransportID, MediaApplication?)
  /// Report `.silent` each time that nothing of the far end (RTP or RTCP) was received for so many ms;
  /// 0 ends the watch (hold).
  case watch(MediaTransportID, silenceMilliseconds: UInt32)
  /// Looks after so many ms whether both sides are heard, from now on, and answers with `.evidence` where something
  /// speaks against it; 0 calls it off.
  case examine(MediaTransportID, afterMilliseconds: UInt32)
  /// Say a digit to the far end, in the way of its `RemoteMedia.digits`, that its other side has said outside of the
  /// media. Digits wait for each other, and what comes while too many wait is counted and not said.
  case digit(MediaTransportID, MediaDigit)
  /// The far end's digits are told by `.digit` from now on and not passed on, however they come: who is told says again
  /// what is meant for the other side.
  case heed(MediaTransportID)
  /// By which payload types the far end's formats come and leave, as long as the bridge lasts; none: as they are.
  case number(MediaTransportID, PayloadNumbers)
  /// A snapshot of the counters, answered by `.quality`.
  case measure(MediaTransportID)
  /// Stop, answer with the last `.quality` and then `.closed`, and quarantine the port.
  case close(MediaTransportID)
  /// Write down what the far end of the transport says, and of whatever that is bridged with, now and later.
  case record(MediaTransportID, RecordingOrder)
  /// The far end of this transport has the channel from now on, and what that is bridged with the other.
  case moveRecording(RecordingID, MediaTransportID, RecordingChannel)
  /// Paused, both sides are silent in the file, which grows on.
  case pauseRecording(RecordingID, isPaused: Bool)
  case stopRecording(RecordingID, RecordingEnd)
}

/// What a transport received, from RTP alone; of UDPTL packets are counted and no more. Durations in microseconds, MOS in hundredths.
package struct StreamQuality: Hashable, Sendable {
  package var packets: UInt64 = 0
  package var octets: UInt64 = 0
  /// Expected by sequence number and never seen (RFC 3550 §A.3), never below 0.
  package var lost: UInt64 = 0
  package var duplicates: UInt64 = 0
  package var reordered: UInt64 = 0
  /// Interarrival jitter (RFC 3550 §6.4.1) at the end and at its worst.
  package var jitter: UInt32 = 0
  package var maxJitter: UInt32 = 0
  /// ITU-T G.107 estimate x 100 (441 for clean G.711); 0 where the codec has no published model.
  package var mos: UInt16 = 0
  package var payloadType: UInt8 = 255
  package var ssrc: UInt32 = 0
  /// Packets refused because their source was not the one signalled or latched.
  package var refused: UInt64 = 0
  package var malformed: UInt64 = 0
  /// Packets refused by SRTP: not under the far end's key or not protected at all, and repeated or too old.
  package var unauthentic: UInt64 = 0
  package var replayed: UInt64 = 0
  package var sent: UInt64 = 0
  package var rtcpPackets: UInt64 = 0
  /// What the far end says of our stream (RTCP report blocks): fraction lost in 1/256, jitter, round trip.
  package var remoteFractionLost: UInt8 = 0
  /// What it says that this is like to listen to in a conversation (MOS-CQ of RFC 3611 §4.7.5) x 100; 0: not said.
  package var remoteMOS: UInt16 = 0
  package var remoteJitter: UInt32 = 0
  package var roundTrip: UInt32 = 0
  /// Of what was sent to it; 0: nothing was.
  package var sentSSRC: UInt32 = 0
  package var first: Instant = .zero
  package var last: Instant = .zero

  package init() {}
}

/// What the media plane tells the engine.
package enum MediaFact: Hashable, Sendable {
  /// These port pairs of an address are bound and may be leased; `failed` were taken by others.
  case ready(address: UInt16, ports: ClosedRange<UInt16>, failed: [UInt16])
  case opened(MediaTransportID)
  /// A command named an unknown transport or a port that cannot be used, found the queue full, or asked for
  /// an application that cannot be played (no such announcement, a codec that we do not speak).
  case refused(MediaTransportID)
  /// The first accepted packet of a source: where the far end really is. Again after a re-offer that moved
  /// it, and while a window is open (`LatchPolicy.window`).
  case latched(MediaTransportID, SocketAddress, at: Instant)
  case silent(MediaTransportID, last: Instant)
  case evidence(MediaTransportID, MediaEvidence)
  /// The handshake of a transport's RTP has ended; a wrong fingerprint is told once.
  case handshake(MediaTransportID, HandshakeOutcome)
  /// The far end has said a digit which goes on in another way, or to an application of ours; at its end.
  case digit(MediaTransportID, MediaDigit)
  case quality(MediaTransportID, StreamQuality)
  case applicationEnded(MediaTransportID)
  case closed(MediaTransportID)
  case recording(RecordingID, RecordingEvent)
}
