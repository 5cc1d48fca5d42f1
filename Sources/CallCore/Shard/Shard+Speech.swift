import Base
import MediaControl
import SIPWire

// Two sides that have no codec in common are joined by turning the one's into the other's. Only then: an offer that is
// passed on has what its maker speaks first, and behind it what we could make of that; so nothing is converted where
// the one who answers can do without. An answer names what its reader has offered. The media plane is told what each
// side has named, and does what follows from that (`SpeechFormats.conversion`).

extension Shard {
  func mayConvert(_ one: Leg?, _ other: Leg) -> Bool {
    other.transcodes && one?.transcodes ?? true
  }

  /// For an offer of `source`'s, on its way to `leg`.
  func speechOffer(
    _ sdp: SessionDescription, _ bytes: RawSpan, from source: Leg?, to leg: Leg
  ) -> SDPSpeech {
    var speech = SDPSpeech()
    guard let source, mayConvert(source, leg), let line = speechLine(sdp, leg) else {
      return speech
    }
    let own = ownFormats(sdp, bytes, of: line, source)
    guard !own.isEmpty else { return speech }
    // Who is not held to a list speaks G.711 at least.
    for codec in AudioCodec.preferred(isWide: own.hasWide)
    where own[codec] == nil && speaks(codec) {
      let isWanted =
        leg.codecs.isEmpty
        ? codec.isG711 || leg.offersAll : leg.codecs.contains { codec.isNamed($0) }
      guard isWanted, let type = payloadType(for: codec, among: sdp.formats(of: line), speech.added)
      else { continue }
      speech.added.append(SpeechFormats.Format(codec, type).described)
    }
    return speech
  }

  /// Whether one who is held to no list, and has refused what there was, may do with the rest of what we could make. An
  /// offer of everything at once would be long, and what it names would be chosen by some for no need.
  func offersAll(_ leg: Leg, _ session: Session) -> Bool {
    guard !leg.offersAll, leg.codecs.isEmpty, let caller = session.caller, !session.offer.isNone
    else { return false }
    let bytes = blocks.bytes(session.offer)
    guard (try? SessionDescription.parse(bytes, into: &offered)) != nil else { return false }
    let before = speechOffer(offered, bytes, from: caller, to: leg).added.count
    leg.offersAll = true
    return speechOffer(offered, bytes, from: caller, to: leg).added.count > before
  }

  func speaks(_ codec: AudioCodec) -> Bool {
    codec != .unknown && (codec != .g729 || settings.speaksG729)
  }

  /// The payload type that RFC 3551 assigns where it is free, else a dynamic one; nil: all of them are taken.
  private func payloadType(
    for codec: AudioCodec, among formats: ArraySlice<SDPFormat>, _ added: [SDPSpeech.Format]
  ) -> UInt8? {
    func isFree(_ type: UInt8) -> Bool {
      !formats.contains { $0.payloadType == type } && !added.contains { $0.payloadType == type }
    }
    if let type = codec.encoding.assignedType {
      if isFree(type) { return type }
      let same = formats.first { $0.payloadType == type }
      return same?.encoding == codec.encoding ? type : nil
    }
    return (UInt8(96)...127).last(where: isFree)
  }

  /// For an answer of `source`'s to what `leg` has offered.
  func speechAnswer(
    _ sdp: SessionDescription, _ bytes: RawSpan, from source: Leg?, to leg: Leg, _ offer: OpenOffer
  ) -> SDPSpeech {
    guard let source, mayConvert(source, leg), speechLine(sdp, leg) != nil else {
      return SDPSpeech()
    }
    return agreed(offer.speech ?? ownFormats(of: offer, leg), sdp, bytes, from: source, to: leg)
  }

  /// For what is said to `leg` once more of what both have agreed to.
  func speechAgain(
    _ sdp: SessionDescription, _ bytes: RawSpan, from source: Leg, to leg: Leg
  ) -> SDPSpeech {
    var speech = SDPSpeech()
    guard let line = speechLine(sdp, leg), let own = leg.media?.remote?.speech else {
      return speech
    }
    let theirs = ownFormats(sdp, bytes, of: line, source)
    let hasCommon = SDPWriter.keepsSpeech(sdp, of: bytes, line: line, codecs: speechNames(leg))
    if !hasCommon, !theirs.isEmpty {
      speech.replacement = own.best(isWide: theirs.hasWide)?.described
    } else if leg.media?.answered != nil {
      speech.withheld = encodings(of: theirs, without: own)
    }
    return speech
  }

  /// For our own answer to an offer of `leg`'s, where the other side, which has named `theirs`, is not asked.
  func speechHere(
    _ own: SpeechFormats, _ theirs: SpeechFormats, hasCommon: Bool, _ leg: Leg
  ) -> SDPSpeech {
    answer(leg, own, theirs, hasCommon: hasCommon)
  }

  private func agreed(
    _ own: SpeechFormats, _ sdp: SessionDescription, _ bytes: RawSpan, from source: Leg,
    to leg: Leg
  ) -> SDPSpeech {
    guard let line = speechLine(sdp, leg) else { return SDPSpeech() }
    let theirs = ownFormats(sdp, bytes, of: line, source)
    // What is answered and is none of ours was offered.
    let hasOther = sdp.formats(of: line).contains {
      $0.encoding.isSpeech && !speaks($0.codec)
    }
    var speech = answer(leg, own, theirs, hasCommon: hasOther)
    speech.withheld = encodings(of: theirs, without: own)
    return speech
  }

  private func answer(
    _ leg: Leg, _ own: SpeechFormats, _ theirs: SpeechFormats, hasCommon: Bool
  ) -> SDPSpeech {
    var speech = SDPSpeech()
    let common = own.common(with: theirs)
    leg.media?.answered = common
    guard common.isEmpty, !theirs.isEmpty, let best = own.best(isWide: theirs.hasWide) else {
      return speech
    }
    leg.media?.answered = SpeechFormats(best)
    guard !hasCommon else { return speech }
    speech.replacement = best.described
    return speech
  }

  /// The codecs that the leg's peer has named last.
  private func speechNames(_ leg: Leg) -> CodecFilter {
    let bytes = blocks.bytes(leg.description)
    guard (try? SessionDescription.parse(bytes, into: &known)) != nil,
      let line = speechLine(known, leg)
    else { return .all }
    return CodecFilter(formatNames(known, bytes) { $0 == line })
  }

  private func encodings(
    of formats: SpeechFormats, without others: SpeechFormats
  ) -> [AudioEncoding] {
    var encodings: [AudioEncoding] = []
    for i in 0..<formats.count where others[formats[i].codec] == nil {
      encodings.append(formats[i].codec.encoding)
    }
    return encodings
  }

  private func speechLine(_ sdp: SessionDescription, _ leg: Leg) -> Int? {
    guard let line = mainLine(sdp, leg), !sdp.media[line].isFax else { return nil }
    return line
  }

  /// What we speak of what `leg` has named, where its trunk lets it through.
  func ownFormats(
    _ sdp: SessionDescription, _ bytes: RawSpan, of line: Int, _ leg: Leg
  ) -> SpeechFormats {
    let allowed = leg.codecs.isEmpty ? .all : CodecFilter(leg.codecs)
    var own = SpeechFormats()
    for format in sdp.formats(of: line) where allowed.allows(format, in: bytes) {
      let codec = format.codec
      if speaks(codec) { own.append(SpeechFormats.Format(codec, format.payloadType)) }
    }
    return own
  }

  private func ownFormats(of offer: OpenOffer, _ leg: Leg) -> SpeechFormats {
    let bytes = blocks.bytes(offer.text)
    guard (try? SessionDescription.parse(bytes, into: &known)) != nil,
      let line = speechLine(known, leg)
    else { return SpeechFormats() }
    return ownFormats(known, bytes, of: line, leg)
  }

  /// The media plane hears what is left of an offer once it has been answered, and the record of what is converted.
  func speechAgreed(_ session: Session, _ one: Leg?, _ other: Leg?) {
    for leg in [one, other] {
      guard let leg, let media = leg.media, let remote = media.remote else { continue }
      // Of most calls the answer has what was offered.
      let hasFewer = media.answeredEvents.map { remote.events != EventFormats($0) } ?? false
      if media.answered != nil || hasFewer { follow(remote, leg) }
    }
    guard let mine = one?.media?.remote?.speech, let theirs = other?.media?.remote?.speech,
      mine.common(with: theirs).isEmpty, let near = mine.best(isWide: theirs.hasWide),
      let far = theirs.best(isWide: mine.hasWide)
    else { return }
    noteOnce(
      "speech is converted: \(near.codec.encoding.name) and \(far.codec.encoding.name)", session)
  }
}

extension SpeechFormats.Format {
  fileprivate var described: SDPSpeech.Format {
    SDPSpeech.Format(codec.encoding, payloadType, clockRate: codec.clockRate)
  }
}

extension SDPFormat {
  /// What it is of ours, by its name, its clock and its channels.
  var codec: AudioCodec {
    let codec: AudioCodec =
      switch encoding {
      case .pcmu: .pcmu
      case .pcma: .pcma
      case .g722: .g722
      case .gsm: .gsm
      case .g729: .g729
      case .l16: clockRate == AudioCodec.l16Wide.clockRate ? .l16Wide : .l16
      case .opus: .opus
      case .other, .g723, .g728, .ilbc, .comfortNoise, .telephoneEvent: .unknown
      }
    // Opus is written with two channels whatever it has (RFC 7587 §7).
    guard codec.clockRate == clockRate, channels == (codec == .opus ? 2 : 1) else {
      return .unknown
    }
    return codec
  }
}

extension AudioCodec {
  var encoding: AudioEncoding {
    switch self {
    case .unknown: .other
    case .pcmu: .pcmu
    case .pcma: .pcma
    case .g722: .g722
    case .gsm: .gsm
    case .l16, .l16Wide: .l16
    case .g729: .g729
    case .opus: .opus
    }
  }

  var isG711: Bool { self == .pcmu || self == .pcma }

  /// A name of a trunk's `codecs`.
  func isNamed(_ name: String) -> Bool {
    self != .unknown && CodecFilter([name]).allows(encoding)
  }
}
