import Base
import CryptoCore
package import MediaControl
import RTPWire

/// What became of a packet.
package enum SRTPOutcome: Hashable, Sendable {
  /// It is whole, and so long.
  case passed(length: Int)
  /// Not RTP or RTCP, or too short or too long for what was to be done.
  case malformed
  /// Its tag is not the key's, or it came unencrypted.
  case unauthentic
  /// Taken in before, or too old to know. Of a packet to be sent: its place in the key stream is used up.
  case replayed
  /// No key lasts for more (RFC 3711 §9.2), or for more sources than `SRTPSources.limit`.
  case exhausted
}

/// The cryptographic contexts of §3.2.3 under one key: each source counts for itself.
struct SRTPSources: Sendable {
  /// A far end that changes its source more often than this under one key is not heard any more: to forget
  /// one would let its packets in a second time.
  static let limit = 128

  struct Source: Sendable, BitwiseCopyable {
    var ssrc: UInt32
    var media = ReplayWindow()
    var control = ReplayWindow()
  }

  private var list: [Source] = []
  /// Of the last packet: nearly always that of the next one.
  private var last = 0

  init() { list.reserveCapacity(2) }

  var isFull: Bool { list.count >= Self.limit }

  mutating func find(_ ssrc: UInt32) -> Source? {
    if last < list.count, list[last].ssrc == ssrc { return list[last] }
    guard let place = list.firstIndex(where: { $0.ssrc == ssrc }) else { return nil }
    last = place
    return list[place]
  }

  /// Changes the source that `find` gave, or makes room for it; only for one that has proven itself.
  mutating func store(_ source: Source) {
    if last < list.count, list[last].ssrc == source.ssrc {
      list[last] = source
    } else if !isFull {
      last = list.count
      list.append(source)
    }
  }
}

/// Protects what we send under one key. It never uses a place of the key stream twice: a packet with an SSRC
/// and an index that have been sent is refused, as is one that is too old to know.
package struct SRTPSender: ~Copyable {
  package let key: SRTPKey
  private let media: SRTPTransform
  private let control: SRTPTransform
  private var sources = SRTPSources()
  /// One count for all our sources: so no pair of SSRC and index comes twice.
  private var controlIndex: UInt64 = 0

  package init?(_ key: SRTPKey) {
    guard let media = SRTPTransform(key, control: false, .seals),
      let control = SRTPTransform(key, control: true, .seals)
    else { return nil }
    self.key = key
    self.media = media
    self.control = control
  }

  /// The packet of `length` bytes at the beginning of `packet`; the tag needs up to 16 bytes behind it.
  package mutating func protect(_ packet: inout MutableRawSpan, length: Int) -> SRTPOutcome {
    guard length >= 0, length <= packet.byteCount,
      let header = SRTPHeader(packet.bytes.slice(0, length))
    else { return .malformed }
    let known = sources.find(header.ssrc)
    if known == nil, sources.isFull { return .exhausted }
    var source = known ?? SRTPSources.Source(ssrc: header.ssrc)
    guard let index = source.media.index(of: header.sequence), source.media.admits(index) else {
      return .replayed
    }
    guard index < SRTPIndex.mediaLimit else { return .exhausted }
    // Before the key stream is used, not after: what fails half-way is used up as well.
    source.media.note(index)
    sources.store(source)
    guard let sealed = media.sealMedia(&packet, length: length, header, index: index) else {
      return .malformed
    }
    return .passed(length: sealed)
  }

  package mutating func protectControl(_ packet: inout MutableRawSpan, length: Int) -> SRTPOutcome {
    guard length >= SRTPTransform.controlHeaderSize, length <= packet.byteCount else {
      return .malformed
    }
    guard controlIndex < SRTPIndex.controlLimit else { return .exhausted }
    let index = UInt32(truncatingIfNeeded: controlIndex)
    controlIndex &+= 1
    let ssrc = packet.bytes.bigEndian32(at: 4)
    guard let sealed = control.sealControl(&packet, length: length, ssrc: ssrc, index: index) else {
      return .malformed
    }
    return .passed(length: sealed)
  }
}

/// Takes in what comes under one key: each packet once, and only what the key's owner has sent.
package struct SRTPReceiver: ~Copyable {
  package let key: SRTPKey
  private let media: SRTPTransform
  private let control: SRTPTransform
  private var sources = SRTPSources()

  package init?(_ key: SRTPKey) {
    guard let media = SRTPTransform(key, control: false, .opens),
      let control = SRTPTransform(key, control: true, .opens)
    else { return nil }
    self.key = key
    self.media = media
    self.control = control
  }

  /// Opens the packet of `length` bytes in place. Anything but `.passed` leaves bytes that mean nothing.
  package mutating func unprotect(_ packet: inout MutableRawSpan, length: Int) -> SRTPOutcome {
    guard length >= 0, length <= packet.byteCount,
      let header = SRTPHeader(packet.bytes.slice(0, length))
    else { return .malformed }
    let known = sources.find(header.ssrc)
    var source = known ?? SRTPSources.Source(ssrc: header.ssrc)
    guard let index = source.media.index(of: header.sequence), source.media.admits(index) else {
      return .replayed
    }
    if index >= SRTPIndex.mediaLimit || known == nil && sources.isFull { return .exhausted }
    guard let length = media.openMedia(&packet, length: length, header, index: index, key: key)
    else { return .unauthentic }
    source.media.note(index)
    sources.store(source)
    return .passed(length: length)
  }

  /// A packet that is authentic and not encrypted (E = 0) is refused: nobody has agreed to that.
  package mutating func unprotectControl(
    _ packet: inout MutableRawSpan, length: Int
  ) -> SRTPOutcome {
    guard length >= 0, length <= packet.byteCount, packet.bytes.hasControlVersion(length),
      let trailer = control.controlTrailer(length: length, key: key)
    else { return .malformed }
    let word = packet.bytes.bigEndian32(at: trailer)
    guard word & SRTPTransform.encryptedFlag != 0 else { return .unauthentic }
    let index = UInt64(word & ~SRTPTransform.encryptedFlag)
    let ssrc = packet.bytes.bigEndian32(at: 4)
    let known = sources.find(ssrc)
    var source = known ?? SRTPSources.Source(ssrc: ssrc)
    guard source.control.admits(index) else { return .replayed }
    if known == nil, sources.isFull { return .exhausted }
    guard
      let length = control.openControl(
        &packet, length: length, ssrc: ssrc, trailer: trailer, key: key)
    else { return .unauthentic }
    source.control.note(index)
    sources.store(source)
    return .passed(length: length)
  }
}

extension ReplayWindow {
  /// The first packet's sequence number is its index: the rollover counter of a new key is 0.
  fileprivate func index(of sequence: UInt16) -> UInt64? {
    isEmpty ? UInt64(sequence) : SRTPIndex.estimate(sequence: sequence, highest: highest)
  }
}

extension RawSpan {
  fileprivate func hasControlVersion(_ length: Int) -> Bool {
    length >= SRTPTransform.controlHeaderSize && byte(at: 0) >> 6 == 2
      && (192...223).contains(byte(at: 1))
  }
}
