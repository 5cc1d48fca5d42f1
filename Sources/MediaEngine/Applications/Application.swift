import Base
import MediaControl
import RTPWire

/// What stands in the place of a peer: a source of G.711 frames, and for echo nothing, since its packets are
/// made of the caller's.
struct Application: Sendable {
  enum Kind: Sendable {
    case none, echo
    /// The digital milliwatt; the position in its period of eight.
    case milliwatt(Int)
    case tone(ToneSource)
    case clip(Clip, position: Int)
    /// A clip that begins anew at its end.
    case music(Clip, position: Int)
    /// Silence until the instant (nil: not begun), then the result as a clip.
    case listening(until: Instant?)
  }

  private(set) var kind = Kind.none
  private var listening = Interval.zero
  /// The end was reached and reported; nothing more is sent.
  private(set) var hasEnded = false
  /// The first packet carries the marker bit (RFC 3551 §4.1).
  var isFirst = true
  /// When the next packet is due.
  var due = Instant.zero

  init() {}

  /// Nil when there is no such announcement.
  init?(
    _ application: MediaApplication, _ announcements: AnnouncementTable, _ settings: MediaSettings
  ) {
    switch application {
    case .echo: kind = .echo
    case .milliwatt: kind = .milliwatt(0)
    case .tone(let tone): kind = .tone(ToneSource(tone))
    case .music(let index):
      guard let clip = announcements[index] else { return nil }
      kind = .music(clip, position: 0)
    case .announcement(let index):
      guard let clip = announcements[index] else { return nil }
      kind = .clip(clip, position: 0)
    case .qualityTest:
      kind = .listening(until: nil)
      listening = settings.qualityListening
    }
  }

  var isActive: Bool { if case .none = kind { false } else { true } }
  /// Whether it makes packets of its own.
  var isPaced: Bool {
    switch kind {
    case .none, .echo: false
    case .milliwatt, .tone, .clip, .music, .listening: true
    }
  }

  /// It is speech, with pauses that nobody misses.
  var hasPauses: Bool { if case .clip = kind { true } else { false } }

  mutating func end() { hasEnded = true }

  /// Begins to listen, or says that the listening is over.
  mutating func listeningIsOver(at now: Instant) -> Bool {
    guard case .listening(let until) = kind else { return false }
    guard let until else {
      kind = .listening(until: now + listening)
      return false
    }
    return now >= until
  }

  /// It says nothing that the far end has to hear: where that speaks what we do not, it stays silent.
  var isOptional: Bool {
    switch kind {
    case .tone, .music: true
    case .none, .echo, .milliwatt, .clip, .listening: false
    }
  }

  mutating func speak(_ clip: Clip) { kind = .clip(clip, position: 0) }

  /// Writes the next `count` samples behind the RTP header. False when there are none left; the last frame
  /// is filled up with silence.
  mutating func fill(_ buffer: inout PacketBuffer, count: Int, alaw: Bool) -> Bool {
    var packet = buffer.mutableBytes(RTPHeader.size + count)
    switch kind {
    case .none, .echo: return false
    case .listening:
      let silence = alaw ? G711.alawSilence : G711.ulawSilence
      for i in 0..<count { packet.put(silence, at: RTPHeader.size + i) }
    case .milliwatt(let phase):
      for i in 0..<count {
        packet.put(Milliwatt.code(phase + i, alaw: alaw), at: RTPHeader.size + i)
      }
      kind = .milliwatt((phase + count) % 8)
    case .tone(var source):
      for i in 0..<count {
        let sample = source.next()
        packet.put(
          alaw ? G711.alaw(linear: sample) : G711.ulaw(linear: sample), at: RTPHeader.size + i)
      }
      kind = .tone(source)
    case .music(let clip, let position):
      kind = .music(clip, position: clip.loop(from: position, count, alaw: alaw, into: &packet))
    case .clip(let clip, let position):
      guard position < clip.count else { return false }
      clip.copy(from: position, count: count, alaw: alaw, into: &packet)
      kind = .clip(clip, position: position + count)
    }
    return true
  }
}

enum Milliwatt {
  @inline(__always)
  static func code(_ index: Int, alaw: Bool) -> UInt8 {
    // The sequences of `G711`, one code a byte from the low end.
    let codes: UInt64 = alaw ? 0xb4a1_a1b4_3421_2134 : 0x9e8b_8b9e_1e0b_0b1e
    return UInt8(truncatingIfNeeded: codes >> UInt64(8 * (index & 7)))
  }
}

extension MutableRawSpan {
  @inline(__always)
  mutating func put(_ byte: UInt8, at index: Int) {
    guard index < byteCount else { return }
    storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
  }
}
