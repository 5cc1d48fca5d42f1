import Base
import MediaControl
import Policy
import SIPWire

// What is done to speech on its way to a peer, by the policy of its trunk or user and by what it has named.

extension Shard {
  func treatment(of caller: CallerKind, _ configuration: Configuration) -> SpeechTreatment {
    switch caller {
    case .phone: []
    case .user(let user): configuration.users[user].treatment
    case .trunk(let trunk): configuration.trunks[trunk].treatment
    }
  }

  /// Whether an answer to `leg`, whose speech is made by us, names comfort noise which the other side has not named.
  func answersNoise(
    _ formats: ArraySlice<SDPFormat>, _ speech: SDPSpeech, _ leg: Leg
  ) -> Bool {
    guard let treatment = leg.media?.remote?.treatment,
      treatment.contains(.comfortNoise), treatment.contains(.suppressed)
    else { return false }
    return (speech.replacement != nil || treatment.contains(.even))
      && !formats.contains { $0.encoding == .comfortNoise || $0.payloadType == 13 }
  }

  /// Whether the pauses of what is played to `leg` are left out, so that our answer names comfort noise: of announcements
  /// alone, as what is measured or given back should come whole. It has a clock of 8 kHz (RFC 3389 §4).
  func isSparedPauses(_ session: Session, _ leg: Leg, _ choice: SDPChoice) -> Bool {
    guard case .announcement = session.application, choice.codec.clockRate == 8_000,
      let treatment = leg.media?.remote?.treatment
    else { return false }
    return treatment.isSuperset(of: [.comfortNoise, .suppressed])
  }

  func abilities(_ formats: ArraySlice<SDPFormat>, _ bytes: RawSpan) -> SpeechTreatment {
    var abilities = SpeechTreatment()
    for format in formats {
      if format.encoding == .comfortNoise, format.payloadType == 13 {
        abilities.insert(.comfortNoise)
      }
      if format.encoding == .opus, format.hasParameter("useinbandfec=1", in: bytes) {
        abilities.insert(.repeated)
      }
    }
    return abilities
  }
}

extension Trunk {
  var treatment: SpeechTreatment { SpeechTreatment(playout, silenceSuppression) }
}

extension User {
  var treatment: SpeechTreatment { SpeechTreatment(playout, silenceSuppression) }
}

extension SpeechTreatment {
  fileprivate init(_ playout: PlayoutPolicy, _ suppression: SilenceSuppressionPolicy) {
    self = playout == .adaptive ? [.even] : []
    if suppression == .allow { insert(.suppressed) }
  }
}
