/// Those codecs that we speak ourselves among what a far end has named, in its order and with its payload types.
package struct SpeechFormats: Hashable, Sendable {
  package struct Format: Hashable, Sendable {
    package var codec: AudioCodec
    package var payloadType: UInt8

    package init(_ codec: AudioCodec, _ payloadType: UInt8) {
      self.codec = codec
      self.payloadType = payloadType
    }

    fileprivate var bits: UInt64 { UInt64(payloadType) << 8 | UInt64(codec.rawValue) }

    /// Of the lowest 16 bits.
    fileprivate init(bits: UInt64) {
      codec = AudioCodec(rawValue: UInt8(bits & 0xff)) ?? .unknown
      payloadType = UInt8(bits >> 8 & 0x7f)
    }
  }

  /// As many as there are codecs.
  package static let limit = 8

  /// 16 bits each, the codec below its payload type, the first one lowest; 0 ends them.
  package private(set) var words: (low: UInt64, high: UInt64) = (0, 0)

  package init() {}

  package init(_ formats: Format...) {
    for format in formats { append(format) }
  }

  /// Nil where they could not have come about by `append`.
  package init?(words: (low: UInt64, high: UInt64)) {
    for i in 0..<Self.limit {
      let bits = (i < 4 ? words.low : words.high) >> UInt64(16 * (i & 3)) & 0xffff
      if bits == 0 { break }
      append(Format(bits: bits))
    }
    guard self.words == words else { return nil }
  }

  package static func == (a: SpeechFormats, b: SpeechFormats) -> Bool { a.words == b.words }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(words.low)
    hasher.combine(words.high)
  }

  package var isEmpty: Bool { words.low == 0 }

  package var count: Int {
    words.high == 0
      ? (64 - words.low.leadingZeroBitCount + 15) / 16
      : 4 + (64 - words.high.leadingZeroBitCount + 15) / 16
  }

  package subscript(i: Int) -> Format {
    Format(bits: (i < 4 ? words.low : words.high) >> UInt64(16 * (i & 3)))
  }

  /// A codec counts where it is named first.
  package mutating func append(_ format: Format) {
    let count = count
    guard format.codec != .unknown, format.payloadType < 128, count < Self.limit,
      self[format.codec] == nil
    else { return }
    let bits = format.bits << UInt64(16 * (count & 3))
    if count < 4 { words.low |= bits } else { words.high |= bits }
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

  /// The first of them that a wide band comes in.
  package var hasWide: Bool { (0..<count).contains { self[$0].codec.isWide } }

  /// What speech of the band is best turned into; of two that are alike the one that was named first.
  package func best(isWide: Bool) -> Format? {
    var best: Format?
    for i in 0..<count
    where best.map({ self[i].codec.cost(isWide: isWide) < $0.codec.cost(isWide: isWide) }) ?? true {
      best = self[i]
    }
    return best
  }

  /// What a packet of this type has to become for who has named `other`; nil: it goes as it is.
  package func conversion(of payloadType: UInt8, for other: SpeechFormats) -> (
    from: Format, to: Format
  )? {
    guard let from = self[payloadType: payloadType], other[from.codec] == nil,
      let to = other.best(isWide: from.codec.isWide)
    else { return nil }
    return (from, to)
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
      remote.clockRate = remote.codec.clockRate
    }
    return remote
  }
}
