/// Those codecs that we speak ourselves among what a far end has named, in its order and with its payload types.
package struct SpeechFormats: Hashable, Sendable {
  package struct Format: Hashable, Sendable {
    package var codec: AudioCodec
    package var payloadType: UInt8

    package init(_ codec: AudioCodec, _ payloadType: UInt8) {
      self.codec = codec
      self.payloadType = payloadType
    }
  }

  package static let limit = 4

  /// A word of 16 bits each, the codec below its payload type, the first one lowest; 0 ends them.
  package private(set) var word: UInt64 = 0

  package init() {}

  package init(_ formats: Format...) {
    for format in formats { append(format) }
  }

  /// Nil where it could not have come about by `append`.
  package init?(word: UInt64) {
    var rest = word
    while rest != 0 {
      guard let codec = AudioCodec(rawValue: UInt8(rest & 0xff)), codec != .unknown,
        rest & 0xffff < 0x8000
      else { return nil }
      append(Format(codec, UInt8(rest >> 8 & 0x7f)))
      rest >>= 16
    }
    guard self.word == word else { return nil }
  }

  package var isEmpty: Bool { word == 0 }

  package var count: Int { (64 - word.leadingZeroBitCount + 15) / 16 }

  package subscript(i: Int) -> Format {
    let bits = word >> UInt64(16 * i)
    return Format(AudioCodec(rawValue: UInt8(bits & 0xff)) ?? .unknown, UInt8(bits >> 8 & 0x7f))
  }

  /// A codec counts where it is named first.
  package mutating func append(_ format: Format) {
    guard format.codec != .unknown, format.payloadType < 128, count < Self.limit,
      self[format.codec] == nil
    else { return }
    word |= (UInt64(format.payloadType) << 8 | UInt64(format.codec.rawValue)) << UInt64(16 * count)
  }

  package subscript(codec: AudioCodec) -> Format? {
    for i in 0..<count where self[i].codec == codec { return self[i] }
    return nil
  }

  package subscript(payloadType payloadType: UInt8) -> Format? {
    for i in 0..<count where self[i].payloadType == payloadType { return self[i] }
    return nil
  }

  /// Those that the other has too.
  package func common(with other: SpeechFormats) -> SpeechFormats {
    var found = SpeechFormats()
    for i in 0..<count where other[self[i].codec] != nil { found.append(self[i]) }
    return found
  }

  /// What something else is best turned into: G.711 takes nothing away from the speech of a telephone, G.722 costs more,
  /// and GSM is heard.
  package var best: Format? {
    var best: Format?
    for i in 0..<count where best.map({ self[i].codec.cost < $0.codec.cost }) ?? true {
      best = self[i]
    }
    return best
  }

  /// What a packet of this type has to become for who has named `other`; nil: it goes as it is.
  package func conversion(of payloadType: UInt8, for other: SpeechFormats) -> (
    from: Format, to: Format
  )? {
    guard let from = self[payloadType: payloadType], other[from.codec] == nil, let to = other.best
    else { return nil }
    return (from, to)
  }
}

extension AudioCodec {
  fileprivate var cost: Int {
    switch self {
    case .pcmu, .pcma: 0
    case .g722: 1
    case .gsm: 2
    case .unknown: 3
    }
  }
}

extension RemoteMedia {
  /// The same far end, of whose codecs our answer has left these.
  package func left(_ formats: SpeechFormats) -> RemoteMedia {
    var remote = self
    remote.speech = formats
    if codec != .unknown, formats[codec] == nil, !formats.isEmpty {
      remote.codec = formats[0].codec
      remote.payloadType = formats[0].payloadType
    }
    return remote
  }
}
