import MediaControl
import Policy
import SIPWire

/// What offer and answer have come to on a leg where SRTP is spoken, by the keys of a=crypto (RFC 4568) or by those of a
/// DTLS handshake (RFC 5763). Each leg has keys of its own: none passes from one side of a call to the other.
///
/// Of a leg's own lines the keys stay what they are until a suite changes: a new offer or answer with the same key
/// means the same context (RFC 3711 §3.3.1), and our address, which would ask for a new one (RFC 4568 §7.1.4), does not
/// change while the leg lives.
struct LegProtection {
  struct Line {
    var tag: UInt32
    var key: SRTPKey
  }

  enum Answer {
    case key(Line, SDPMedia.Transport)
    /// Our role, which stays what it is while the association does.
    case handshake(MediaHandshake.Role, SDPMedia.Transport)

    var transport: SDPMedia.Transport {
      switch self {
      case .key(_, let transport), .handshake(_, let transport): transport
      }
    }
    var line: Line? {
      if case .key(let line, _) = self { return line }
      return nil
    }
  }

  /// Apart from the leg, because few have it.
  private final class Lines {
    var offered: [Line] = []
    var offersHandshake = false
    var answer: Answer?
    var renewal: KeyRenewal?
  }

  var rules = SRTPRules()
  /// What was wrong with the last description.
  var refusal: Cause?
  private var lines: Lines?

  init() {}

  /// Our last offer's keys; empty: plain RTP, or DTLS.
  var offered: [Line] { lines?.offered ?? [] }
  /// Our last offer was of a handshake.
  var offersHandshake: Bool { lines?.offersHandshake == true }
  /// Our answer to the peer's last offer, and the protocol that it had; nil: plain RTP.
  var answer: Answer? { lines?.answer }
  /// Its keys went with an earlier process: until the peer has agreed to new ones, nothing passes.
  var renewal: KeyRenewal? {
    get { lines?.renewal }
    set {
      if lines == nil, newValue != nil { lines = Lines() }
      lines?.renewal = newValue
    }
  }

  mutating func offer(_ new: [Line]) {
    if lines == nil, !new.isEmpty { lines = Lines() }
    lines?.offered = new
    lines?.offersHandshake = false
  }

  mutating func offerHandshake() {
    if lines == nil { lines = Lines() }
    lines?.offered = []
    lines?.offersHandshake = true
  }

  mutating func answer(_ answer: Answer) {
    if lines == nil { lines = Lines() }
    lines?.answer = answer
  }

  mutating func answerPlain() { lines?.answer = nil }
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
  init(_ line: LegProtection.Line) {
    self.init(tag: line.tag, suite: line.key.suite.sdp, secret: line.key.secret)
  }
}
