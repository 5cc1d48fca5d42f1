/// SRTP by DTLS (RFC 5763) as an agent has it: what stands in its descriptions. No handshake is simulated: media says
/// that it is over where both sides have named what it needs.
package struct AgentDTLS: Hashable, Sendable {
  /// Of its own offers.
  package var profile = "UDP/TLS/RTP/SAVP"
  /// The values of its a=fingerprint lines.
  package var fingerprints = ["sha-256 " + AgentDTLS.text(0xa0)]
  package var setup: String? = "actpass"
  /// What it answers to actpass.
  package var answers = "active"
  /// Its pictures have a handshake as well.
  package var protectsVideo = true
  /// It answers with plain RTP whatever is offered.
  package var answersPlain = false

  package init() {}

  /// What it says to an offer.
  func setup(answering offer: AgentSDP.Handshake) -> String {
    switch offer.setup {
    case "active": "passive"
    case "passive": "active"
    default: answers
    }
  }

  /// 32 octets that tell in a test whose they are.
  package static func digest(_ first: UInt8) -> [UInt8] { (0..<32).map { first &+ $0 } }

  package static func text(_ first: UInt8) -> String {
    digest(first).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return digits.count == 1 ? "0" + digits : digits
    }.joined(separator: ":")
  }

  /// The trunk's certificate in every simulated run.
  package static let ours = digest(0x10)
  package static let oursText = "sha-256 " + text(0x10)
}

extension AgentSDP {
  /// What the descriptions say of a handshake.
  package struct Handshake: Hashable, Sendable {
    package var fingerprints: [String] = []
    package var setup: String?

    package init() {}

    init(_ agent: AgentDTLS, setup: String?) {
      fingerprints = agent.fingerprints
      self.setup = setup
    }

    var lines: [String] {
      fingerprints.map { "a=fingerprint:" + $0 } + (setup.map { ["a=setup:" + $0] } ?? [])
    }
  }
}
