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
    for codec in AudioCodec.allCases where own[codec] == nil {
      let isWanted = leg.codecs.isEmpty ? codec.isG711 : leg.codecs.contains { codec.isNamed($0) }
      guard isWanted, let type = codec.encoding.assignedType,
        !sdp.formats(of: line).contains(where: {
          $0.payloadType == type && $0.encoding != codec.encoding
        })
      else { continue }
      speech.added.append(SDPSpeech.Format(codec.encoding, type))
    }
    return speech
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
    guard mayConvert(source, leg), let own = leg.media?.remote?.speech else { return SDPSpeech() }
    return agreed(own, sdp, bytes, from: source, to: leg)
  }

  /// For our own answer to an offer of `leg`'s, where the other side is not asked; `theirs`: what that has named.
  func speechHere(_ own: SpeechFormats, _ theirs: SpeechFormats, _ leg: Leg) -> SDPSpeech {
    let common = own.common(with: theirs)
    var speech = SDPSpeech()
    if common.isEmpty, !theirs.isEmpty, let best = own.best {
      speech.replacement = best.described
      leg.media?.answered = SpeechFormats(best)
    } else {
      leg.media?.answered = common
    }
    return speech
  }

  private func agreed(
    _ own: SpeechFormats, _ sdp: SessionDescription, _ bytes: RawSpan, from source: Leg,
    to leg: Leg
  ) -> SDPSpeech {
    var speech = SDPSpeech()
    guard let line = speechLine(sdp, leg) else { return speech }
    let theirs = ownFormats(sdp, bytes, of: line, source)
    for i in 0..<theirs.count where own[theirs[i].codec] == nil {
      speech.withheld.append(theirs[i].codec.encoding)
    }
    let common = own.common(with: theirs)
    let hasOther = sdp.formats(of: line).contains {
      $0.encoding.isSpeech && $0.encoding.codec == .unknown
    }
    if common.isEmpty, let best = own.best, !theirs.isEmpty {
      leg.media?.answered = SpeechFormats(best)
      if !hasOther { speech.replacement = best.described }
    } else {
      leg.media?.answered = common
    }
    return speech
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
    for format in sdp.formats(of: line)
    where format.clockRate == 8_000 && format.channels == 1 && allowed.allows(format, in: bytes) {
      own.append(SpeechFormats.Format(format.encoding.codec, format.payloadType))
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
      if let leg, leg.media?.answered != nil, let remote = leg.media?.remote { follow(remote, leg) }
    }
    guard let mine = one?.media?.remote?.speech, let theirs = other?.media?.remote?.speech,
      mine.common(with: theirs).isEmpty, let near = mine.best, let far = theirs.best
    else { return }
    noteOnce(
      "speech is converted: \(near.codec.encoding.name) and \(far.codec.encoding.name)", session)
  }
}

extension SpeechFormats.Format {
  fileprivate var described: SDPSpeech.Format { SDPSpeech.Format(codec.encoding, payloadType) }
}

extension AudioEncoding {
  var codec: AudioCodec {
    switch self {
    case .pcmu: .pcmu
    case .pcma: .pcma
    case .g722: .g722
    case .gsm: .gsm
    case .other, .g723, .g728, .g729, .ilbc, .opus, .comfortNoise, .telephoneEvent: .unknown
    }
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
    }
  }

  var isG711: Bool { self == .pcmu || self == .pcma }

  /// A name of a trunk's `codecs`.
  func isNamed(_ name: String) -> Bool {
    self != .unknown && CodecFilter([name]).allows(encoding)
  }
}
