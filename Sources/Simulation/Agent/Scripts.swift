package import Base

/// When a caller acknowledges a 2xx.
package enum AckHabit: Hashable, Sendable {
  case prompt, never
  /// Only the copy with this number (from 1) and those after it.
  case fromCopy(Int)
}

/// What an agent answers a challenge with.
package enum CredentialHabit: Hashable, Sendable {
  case right, wrong, none
  /// The right response once more with a nonce count that was used before (RFC 7616 §5.5).
  case replayed
}

/// What a caller thinks of RFC 3262.
package enum ReliableHabit: Hashable, Sendable { case none, supports, requires }

/// What an agent does about session timers (RFC 4028).
package struct TimerHabit: Hashable, Sendable {
  package var seconds: Int
  /// Nil: as the other side likes.
  package var refreshes: Bool?
  package init(seconds: Int, refreshes: Bool? = nil) {
    self.seconds = seconds
    self.refreshes = refreshes
  }
}

/// A re-INVITE sent some time after the answer.
package struct Reoffer: Hashable, Sendable {
  package var after: Interval
  package var direction: AgentSDP.Direction
  /// A new media port, as after an address change (RFC 3665 §3.7).
  package var movesMedia = false
  /// No SDP: the other side offers.
  package var withoutOffer = false
  /// In place of the agent's own description.
  package var sdp: String?
  /// By UPDATE (RFC 3311) instead of INVITE.
  package var update = false
  package var change = StreamChange.none

  package init(
    after: Interval, direction: AgentSDP.Direction = .sendrecv, movesMedia: Bool = false,
    withoutOffer: Bool = false, update: Bool = false
  ) {
    self.update = update
    self.after = after
    self.direction = direction
    self.movesMedia = movesMedia
    self.withoutOffer = withoutOffer
  }
}

/// A transfer some time after the answer.
package struct TransferPlan: Hashable, Sendable {
  package var after: Interval
  package var number: String
  /// The transferor speaks with the target first, for so long. Nil: it does not.
  package var consults: Interval?
  package var goodbye = Transferring.Goodbye.afterSuccess
  package var isSilent = false
}

/// What a caller does. Without a word in it, the caller waits for ever and never hangs up.
package struct CallerScript: Hashable, Sendable {
  package var payloads = [0, 8, 101]
  /// INVITE without SDP: the answer travels in the ACK (RFC 3665 §3.6).
  package var delayedOffer = false
  /// What the first offer has beside speech, or in its place.
  package var change = StreamChange.none
  /// From the INVITE; waits for a first provisional response (RFC 3261 §9.1).
  package var cancelAfter: Interval?
  /// From the arrival of the 200.
  package var hangUpAfter: Interval?
  /// From the INVITE: nothing is sent or answered any more.
  package var dieAfter: Interval?
  package var ack = AckHabit.prompt
  package var credentials = CredentialHabit.right
  package var reoffers: [Reoffer] = []
  package var extraHeaders: [String] = []
  /// In place of the agent's own user part in From.
  package var callerNumber: String?
  /// The whole URI of its From.
  package var callerURI: String?
  /// In place of the number at the trunk's domain.
  package var requestURI: String?
  package var reliable = ReliableHabit.none
  /// Whether reliable responses are acknowledged at all.
  package var pracks = true
  /// A further offer in the first PRACK that may have one (RFC 6337 pattern 5).
  package var offersInPrack = false
  /// An UPDATE with an offer in the early dialog, so long after the reliable answer.
  package var updatesEarlyAfter: Interval?
  package var updates = false
  package var timer: TimerHabit?
  /// In place of the agent's own offer.
  package var sdp: String?
  package var transfer: TransferPlan?

  package init() {}

  package func cancelling(after: Interval) -> CallerScript { with { $0.cancelAfter = after } }
  package func hangingUp(after: Interval) -> CallerScript { with { $0.hangUpAfter = after } }

  package func with(_ change: (inout CallerScript) -> Void) -> CallerScript {
    var copy = self
    change(&copy)
    return copy
  }
}

/// One response of a callee.
package struct CalleeStep: Hashable, Sendable {
  /// From the arrival of the INVITE.
  package var after: Interval
  package var status: Int
  /// Which branch of a forking proxy behind this agent answers: each has its own To tag.
  package var fork: Int
  package var sdp: Bool
  /// With RSeq, where the INVITE allows it.
  package var reliable: Bool

  package init(
    after: Interval, status: Int, fork: Int = 0, sdp: Bool = false, reliable: Bool = false
  ) {
    self.reliable = reliable
    self.after = after
    self.status = status
    self.fork = fork
    self.sdp = sdp
  }
}

/// What a callee does with an INVITE.
package struct CalleeScript: Hashable, Sendable {
  package var payloads = [8, 0, 101]
  /// It answers by numbers of its own.
  package var numbers: [Int: Int] = [:]
  /// A 100 at once, as an element that takes more than 200 ms sends it (RFC 3261 §17.2.1).
  package var trying = true
  package var steps: [CalleeStep] = []
  /// From the 200.
  package var hangUpAfter: Interval?
  /// The BYE leaves before the ACK arrived, which RFC 3261 §15 forbids and networks bring about.
  package var hangsUpUnacknowledged = false
  /// From the INVITE; zero: no response at all.
  package var dieAfter: Interval?
  /// CANCEL is answered, and the call is taken all the same: the 200 that crossed it.
  package var answersCancelled = false
  /// After the first 200, another branch answers too (RFC 3261 §13.2.2.4).
  package var secondAnswerAfter: Interval?
  package var reoffers: [Reoffer] = []
  package var retryAfter: Int?
  package var updates = false
  /// The 200 repeats the answer that came reliably before, as many do.
  package var repeatsAnswer = false
  package var updatesEarlyAfter: Interval?
  package var timer: TimerHabit?
  package var extraHeaders: [String] = []
  /// In place of the agent's own answer.
  package var sdp: String?
  /// Contacts of a 3xx in place of the agent's own.
  package var redirectsTo: [String] = []
  package var transfer: TransferPlan?

  package init() {}

  package static func redirecting(
    to contacts: String..., after: Interval = .milliseconds(300)
  ) -> CalleeScript {
    CalleeScript.refusing(302, after: after).with { $0.redirectsTo = contacts }
  }

  package static func answering(
    after: Interval = .seconds(2), ringing: Interval? = .milliseconds(200)
  )
    -> CalleeScript
  {
    CalleeScript().with {
      if let ringing { $0.steps.append(CalleeStep(after: ringing, status: 180)) }
      $0.steps.append(CalleeStep(after: after, status: 200, sdp: true))
    }
  }

  package static func refusing(_ status: Int, after: Interval = .milliseconds(300)) -> CalleeScript
  {
    CalleeScript().with { $0.steps = [CalleeStep(after: after, status: status)] }
  }

  package static func ringingOnly() -> CalleeScript {
    CalleeScript().with { $0.steps = [CalleeStep(after: .milliseconds(200), status: 180)] }
  }

  /// Not even a 100.
  package static let dead = CalleeScript().with {
    $0.trying = false
    $0.dieAfter = .zero
  }

  package func with(_ change: (inout CalleeScript) -> Void) -> CalleeScript {
    var copy = self
    change(&copy)
    return copy
  }
}
