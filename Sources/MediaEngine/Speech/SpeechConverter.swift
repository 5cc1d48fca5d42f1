import Base
import MediaControl
import RTPWire

/// Turns the speech of one flow into another codec, packet by packet: what comes has its place and its time in the flow,
/// and so has what leaves, so numbers and time stamps are those of what came. All these codecs have a clock of 8 kHz.
///
/// What is lost stays lost: the far end hears the gap and conceals it by its own means, which know more of it.
final class SpeechConverter {
  /// A packet of more is none of speech: a quarter of a second.
  static let longest = 2_000

  let from: SpeechFormats.Format
  let to: SpeechFormats.Format
  private let decoder: SpeechDecoder
  private let encoder: SpeechEncoder
  private var samples = [Int16](repeating: 0, count: longest)

  init?(from: SpeechFormats.Format, to: SpeechFormats.Format) {
    guard let decoder = SpeechDecoder(from.codec), let encoder = SpeechEncoder(to.codec) else {
      return nil
    }
    self.from = from
    self.to = to
    self.decoder = decoder
    self.encoder = encoder
  }

  /// The packet's new length; nil: its payload is no speech of the codec. `packet` has room for what comes of it.
  func convert(_ packet: inout MutableRawSpan, _ header: RTPHeader) -> Int? {
    let payload = header.payload
    guard let count = SpeechDecoder.samples(Int(payload.count), of: from.codec),
      count <= Self.longest,
      let size = SpeechEncoder.bytes(count, of: to.codec),
      payload.start &+ size <= packet.byteCount
    else { return nil }
    decoder.decode(packet.bytes.extracting(payload), into: &samples)
    encoder.encode(samples, count: count, into: &packet, at: payload.start)
    // No padding is left behind the payload.
    let first = packet.bytes.byte(at: 0)
    packet.storeBytes(of: first & ~0x20, toByteOffset: 0, as: UInt8.self)
    let marker: UInt8 = header.marker ? 0x80 : 0
    packet.storeBytes(of: to.payloadType | marker, toByteOffset: 1, as: UInt8.self)
    return payload.start &+ size
  }
}
