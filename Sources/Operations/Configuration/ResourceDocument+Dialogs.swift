import Base
import Policy
import SIPWire

// The keys of a trunk that say how its dialogs are conducted.

extension ResourceReader {
  static let dialogKeys = [
    "sessionTimers", "sessionExpires", "minSessionExpires", "sessionRefresher", "earlyMedia",
    "earlyOffer", "reliableProvisionals", "dtmfInfo",
  ]

  mutating func dialogs(_ fields: DocumentFields, into trunk: inout Trunk) {
    trunk.sessionTimers ?= reader.optional(fields, "sessionTimers", .onOff)
    trunk.sessionExpires ?= reader.optional(fields, "sessionExpires", .duration(example: "30m"))
    trunk.minSessionExpires
      ?= reader.optional(fields, "minSessionExpires", .duration(example: "90s"))
    trunk.sessionRefresher ?= reader.optional(fields, "sessionRefresher", .choice("a refresher"))
    trunk.earlyMedia ?= reader.optional(fields, "earlyMedia", .choice("an early media policy"))
    trunk.earlyOffer ?= reader.optional(fields, "earlyOffer", .flag)
    trunk.reliableProvisionals
      ?= reader.optional(fields, "reliableProvisionals", .choice("a use of 100rel"))
    trunk.dtmfInfo ?= reader.optional(fields, "dtmfInfo", .flag)
  }
}

// What the media of a trunk or of a user's phones may be.
extension ResourceReader {
  mutating func protection(_ fields: DocumentFields) -> SRTPRules {
    var rules = SRTPRules()
    rules.policy ?= reader.optional(fields, "srtp", .choice("a policy for SRTP"))
    rules.keys ?= reader.optional(fields, "srtpKeys", .choice("where the keys of SRTP come from"))
    rules.withoutTLS ?= reader.optional(fields, "srtpWithoutTLS", .flag)
    return rules
  }

  /// What of a trunk or a user may pass beside speech; nil: it says nothing.
  mutating func streams(_ fields: DocumentFields) -> SDPStreams? {
    guard fields.has("streams") else { return nil }
    return SDPStreams(reader.list(fields, "streams", .choice("a stream beside speech")))
  }
}

extension SDPStreams {
  /// The same, to be written.
  var document: DocumentNode { .list(named.map { .text($0.rawValue) }) }
}

extension SRTPRules {
  /// The same, to be written.
  var fields: [(String, DocumentNode?)] {
    [
      ("srtp", .text(policy.rawValue)), ("srtpKeys", .text(keys.rawValue)),
      ("srtpWithoutTLS", .bare(withoutTLS)),
    ]
  }
}

extension Trunk {
  /// The same, to be written.
  var dialogFields: [(String, DocumentNode?)] {
    [
      ("sessionTimers", .text(sessionTimers ? "on" : "off")),
      ("sessionExpires", .text(sessionExpires.documentText)),
      ("minSessionExpires", .text(minSessionExpires.documentText)),
      ("sessionRefresher", .text(sessionRefresher.rawValue)),
      ("earlyMedia", .text(earlyMedia.rawValue)), ("earlyOffer", .bare(earlyOffer)),
      ("reliableProvisionals", .text(reliableProvisionals.rawValue)),
      ("dtmfInfo", .bare(dtmfInfo)),
    ]
  }
}

extension ValueRule where Value == Bool {
  fileprivate static var onOff: ValueRule {
    ValueRule(expected: "on or off", example: "on", choices: ["on", "off"]) {
      $0 == "on" || $0 == "true" ? true : $0 == "off" || $0 == "false" ? false : nil
    }
  }
}
