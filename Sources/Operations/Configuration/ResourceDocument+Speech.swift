import Policy
import SIPWire

// What is done with the speech of calls, and by whom it may be changed: the same keys for a trunk and for a user.

/// A resource at one side of calls.
protocol CallSide {
  var redirects: RedirectPolicy { get set }
  var transfer: TransferPolicy { get set }
  var srtp: SRTPRules { get set }
  var streams: SDPStreams { get set }
  var transcode: Bool { get set }
  var playout: PlayoutPolicy { get set }
  var silenceSuppression: SilenceSuppressionPolicy { get set }
  var dtmf: DTMFPolicy { get set }
  var record: RecordPolicy { get set }
  var recordingNotice: String? { get set }
  var musicOnHold: String? { get set }
}

extension Trunk: CallSide {}
extension User: CallSide {}

extension CallSide {
  /// What is done with speech, to be written.
  var speechFields: [(String, DocumentNode?)] {
    [
      ("transcode", .bare(transcode)),
      ("playout", playout == .off ? nil : .text(playout.rawValue)),
      (
        "silenceSuppression",
        silenceSuppression == .off ? nil : .text(silenceSuppression.rawValue)
      ),
      ("dtmf", .text(dtmf.rawValue)), ("record", record == .off ? nil : .text(record.rawValue)),
      ("recordingNotice", recordingNotice.map { .text($0) }),
      ("musicOnHold", musicOnHold.map { .text($0) }),
    ]
  }
}

extension ResourceReader {
  mutating func callSide(_ fields: DocumentFields, into side: inout some CallSide) {
    side.redirects ?= reader.optional(fields, "redirects", .choice("a policy for redirections"))
    side.transfer ?= reader.optional(fields, "transfer", .choice("a policy for transfers"))
    side.srtp = protection(fields)
    side.streams ?= streams(fields)
    side.transcode ?= reader.optional(fields, "transcode", .flag)
    side.playout ?= reader.optional(fields, "playout", .choice("a way to play speech out"))
    side.silenceSuppression
      ?= reader.optional(fields, "silenceSuppression", .choice("whether silence is left out"))
    side.dtmf ?= reader.optional(fields, "dtmf", .choice("a way for digits"))
    side.record ?= reader.optional(fields, "record", .choice("whether calls are recorded"))
    side.recordingNotice = reader.optional(
      fields, "recordingNotice", .text("an announcement's name", example: "recorded"))
    side.musicOnHold = music(fields)
  }
}
