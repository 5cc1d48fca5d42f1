import MediaControl
import Policy
import SIPWire

/// What offer and answer have come to on one line where SRTP is spoken, by the keys of a=crypto (RFC 4568) or by those of
/// a DTLS handshake (RFC 5763). Each line of each leg has keys of its own: none passes from one side of a call to the
/// other, or is that of two flows.
///
/// Of a line of ours the keys stay what they are until a suite changes: a new offer or answer with the same key
/// means the same context (RFC 3711 §3.3.1), and our address, which would ask for a new one (RFC 4568 §7.1.4), does not
/// change while the line lives.
///
/// A copy shares what it refers to.
struct LineProtection {
  struct Key {
    var tag: UInt32
    var key: SRTPKey
  }

  enum Answer {
    case key(Key, SDPMedia.Transport)
    /// Our role, which stays what it is while the association does.
    case handshake(MediaHandshake.Role, SDPMedia.Transport)

    var transport: SDPMedia.Transport {
      switch self {
      case .key(_, let transport), .handshake(_, let transport): transport
      }
    }
    var key: Key? {
      if case .key(let key, _) = self { return key }
      return nil
    }
  }

  /// Apart from the leg, because few have it.
  private final class State {
    var offered: [Key] = []
    var offersHandshake = false
    var answer: Answer?
    var renewal: KeyRenewal?
  }

  private var state: State?

  init() {}

  /// There has been nothing but plain RTP.
  var isNone: Bool { state == nil }
  /// Our last offer's keys; empty: plain RTP, or DTLS.
  var offered: [Key] { state?.offered ?? [] }
  /// Our last offer was of a handshake.
  var offersHandshake: Bool { state?.offersHandshake == true }
  /// Our answer to the peer's last offer, and the protocol that it had; nil: plain RTP.
  var answer: Answer? { state?.answer }
  /// Who offered plain RTP with a key beside it is asked in the same way.
  var isOptional: Bool { answer?.transport.isPlainRTP == true }
  fileprivate(set) var renewal: KeyRenewal? {
    get { state?.renewal }
    set {
      if state == nil, newValue != nil { state = State() }
      state?.renewal = newValue
    }
  }

  mutating func offer(_ new: [Key]) {
    if state == nil, !new.isEmpty { state = State() }
    state?.offered = new
    state?.offersHandshake = false
  }

  mutating func offerHandshake() {
    if state == nil { state = State() }
    state?.offered = []
    state?.offersHandshake = true
  }

  mutating func answer(_ answer: Answer) {
    if state == nil { state = State() }
    state?.answer = answer
  }

  mutating func answerPlain() { state?.answer = nil }
}

/// The rules of a leg, and its first line, that of `Leg.media`; those of its other lines are in `FurtherStreams`.
struct LegProtection {
  var rules = SRTPRules()
  /// What was wrong with the last description.
  var refusal: Cause?
  var speech = LineProtection()

  init() {}

  /// Its keys went with an earlier process: until the peer has agreed to new ones, nothing passes.
  var renewal: KeyRenewal? {
    get { speech.renewal }
    set { speech.renewal = newValue }
  }
}

extension SDPCryptoSuite {
  var media: SRTPSuite {
    switch self {
    case .aeadAES256GCM: .aeadAES256GCM
    case .aeadAES128GCM: .aeadAES128GCM
    case .aesCM256HMAC80: .aesCM256HMAC80
    case .aesCM128HMAC80: .aesCM128HMAC80
    case .aesCM256HMAC32: .aesCM256HMAC32
    case .aesCM128HMAC32: .aesCM128HMAC32
    }
  }

  /// What we offer, the strongest first. The suites with short tags are taken where they are offered.
  static let offers: [SDPCryptoSuite] = [
    .aeadAES256GCM, .aeadAES128GCM, .aesCM256HMAC80, .aesCM128HMAC80,
  ]
}

extension SRTPSuite {
  var sdp: SDPCryptoSuite {
    switch self {
    case .aeadAES256GCM: .aeadAES256GCM
    case .aeadAES128GCM: .aeadAES128GCM
    case .aesCM256HMAC80: .aesCM256HMAC80
    case .aesCM128HMAC80: .aesCM128HMAC80
    case .aesCM256HMAC32: .aesCM256HMAC32
    case .aesCM128HMAC32: .aesCM128HMAC32
    }
  }
}

extension SDPOwnCrypto {
  init(_ line: LineProtection.Key) {
    self.init(tag: line.tag, suite: line.key.suite.sdp, secret: line.key.secret)
  }
}
