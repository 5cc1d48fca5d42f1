import Base
import MediaControl
import SIPWire

/// The streams of a leg beside the one of `Leg.media`, which carries speech or a fax in its place: each an m-line with
/// a transport of its own. Apart from the leg, because few have any.
package final class FurtherStreams {
  /// A leg has no more of them: each takes a port pair.
  package static let limit = 4

  struct Stream {
    /// Position of the m-line in the descriptions of the leg's dialog, which is the same on both sides of a call.
    let line: Int
    /// Ours, once we have named a port for it.
    var media: LegMedia?
    /// What the peer said of it; nil while our offer of it has no answer.
    var remote: RemoteMedia?
    /// What it is bridged with.
    var peer: MediaTransportID?
    /// What offer and answer have come to of its keys.
    var protection = LineProtection()
  }

  private(set) var streams: [Stream] = []
  /// Transports that the leg has had besides its first.
  private var opened: UInt8 = 0

  subscript(line: Int) -> Stream? {
    get { streams.first { $0.line == line } }
    set {
      let i = streams.firstIndex { $0.line == line }
      switch (i, newValue) {
      case (let i?, let stream?): streams[i] = stream
      case (let i?, nil): streams.remove(at: i)
      case (nil, let stream?) where streams.count < Self.limit: streams.append(stream)
      case (nil, _): break
      }
    }
  }

  /// Takes out what does not hold.
  func remove(where fails: (Stream) -> Bool) -> [Stream] {
    let gone = streams.filter(fails)
    if !gone.isEmpty { streams.removeAll(where: fails) }
    return gone
  }

  /// One of them has keys.
  var isProtected: Bool { streams.contains { $0.remote?.security != nil } }

  /// A name for one more transport of the leg; nil when it has had too many.
  func nextTransport(of leg: Leg) -> MediaTransportID? {
    guard opened < .max, leg.handle.slot < 1 << Self.serialShift else { return nil }
    opened += 1
    return MediaTransportID(raw: leg.handle.packed | UInt64(opened) << (32 + Self.serialShift))
  }

  static func isName(_ transport: MediaTransportID) -> Bool {
    transport.raw >> (32 + serialShift) != 0
  }

  /// Slots of legs stay below, so that no name of a further transport is that of a leg.
  private static let serialShift: UInt64 = 24
}

/// What a peer's description comes to.
struct RemoteStreams {
  /// Of `Leg.media`; nil: nothing goes there.
  var main: RemoteMedia?
  /// By m-line.
  var further: [(line: Int, remote: RemoteMedia)] = []
}

/// An offer of a leg's peer that is being answered.
struct OpenOffer {
  var text: Block
  /// 0: to be counted.
  var lines = 0
  /// Of a fax only its line may be answered, and with a fax.
  var mayBeFax = true
  /// What we speak of it; nil: to be read.
  var speech: SpeechFormats?
  /// Its telephone-event; nil: as the peer has described itself last.
  var events: EventFormats?
}
