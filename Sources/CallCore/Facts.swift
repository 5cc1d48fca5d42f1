package import Base
package import MediaControl
package import Policy
package import Resolution

/// A call's name: the incarnation of the process that made it and a counter, so that it is unique over
/// restarts and short enough to type (`CallID.description`).
@frozen
package struct CallID: Hashable, Sendable {
  /// Milliseconds since 1970 at the start of the process: the only wall-clock value the engine is given.
  package var incarnation: UInt64
  package var serial: UInt64
  package init(incarnation: UInt64, serial: UInt64) {
    self.incarnation = incarnation
    self.serial = serial
  }
}

package enum LegSide: UInt8, Sendable { case a, b }

/// Who let go of a call.
package enum ReleasedBy: String, Sendable, CaseIterable {
  case caller, callee, system, `operator`
}

package enum CallState: String, Sendable, CaseIterable {
  case attempted, ringing, answered, ended, interrupted
}

/// One try at one target.
package struct CallAttempt: Hashable, Sendable {
  /// Trunk, user or application by name, and the address tried (nil for an application).
  package var target: String
  package var address: SocketAddress?
  package var started: Instant
  package var ended: Instant?
  package var status: Int
  package var cause: Cause?
  /// "user:NAME" or "trunk:NAME" whose forward or deflection led here; whoever that is pays for the leg.
  package var forwardedBy: String

  package init(
    target: String, address: SocketAddress? = nil, started: Instant, ended: Instant? = nil,
    status: Int = 0, cause: Cause? = nil, forwardedBy: String = ""
  ) {
    self.target = target
    self.address = address
    self.started = started
    self.ended = ended
    self.status = status
    self.cause = cause
    self.forwardedBy = forwardedBy
  }
}

/// The one record of a call, kept up to date by the engine and stored at each of its stages.
package struct CallRecord: Hashable, Sendable {
  package var id: CallID
  package var tenant: String
  package var state: CallState
  /// "trunk:NAME", "user:NAME", "application:NAME", or empty while unknown.
  package var from: String
  package var to: String
  /// As dialled and as normalised; the caller as it came and as it was shown.
  package var calledNumber: String
  package var callerNumber: String
  package var source: SocketAddress?
  /// Call-ID of the A leg as the peer wrote it, and of the B leg as we wrote it.
  package var sipCallID: String
  package var attempts: [CallAttempt]
  package var setup: Instant
  package var ringing: Instant?
  package var answer: Instant?
  package var end: Instant?
  package var releasedBy: ReleasedBy?
  /// The final status the A leg got, and the cause from our catalogue.
  package var status: Int
  package var cause: Cause?
  /// rtpmap name in use ("PCMU/8000"), empty where no media was agreed.
  package var codec: String
  /// What we received from each side.
  package var fromCaller: StreamQuality
  package var fromCallee: StreamQuality
  /// What was decided on the way and why, a line each: numbers as they were read, the caller as it was chosen,
  /// rules that were applied.
  package private(set) var notes: [String] = []
  /// In the order in which they were begun.
  package var recordings: [CallRecording] = []

  package init(
    id: CallID, tenant: String, state: CallState = .attempted, from: String = "",
    to: String = "", calledNumber: String = "", callerNumber: String = "",
    source: SocketAddress? = nil, sipCallID: String = "", attempts: [CallAttempt] = [],
    setup: Instant, ringing: Instant? = nil, answer: Instant? = nil, end: Instant? = nil,
    releasedBy: ReleasedBy? = nil, status: Int = 0, cause: Cause? = nil, codec: String = "",
    fromCaller: StreamQuality = StreamQuality(), fromCallee: StreamQuality = StreamQuality()
  ) {
    self.id = id
    self.tenant = tenant
    self.state = state
    self.from = from
    self.to = to
    self.calledNumber = calledNumber
    self.callerNumber = callerNumber
    self.source = source
    self.sipCallID = sipCallID
    self.attempts = attempts
    self.setup = setup
    self.ringing = ringing
    self.answer = answer
    self.end = end
    self.releasedBy = releasedBy
    self.status = status
    self.cause = cause
    self.codec = codec
    self.fromCaller = fromCaller
    self.fromCallee = fromCallee
  }
}

extension CallRecord {
  package static let noteLimit = 32
  static let emergencyNote = "emergency call, before every limit"

  /// A call for help that had one of the reserved places: not even the record was waited for.
  package var isEmergency: Bool { notes.contains(Self.emergencyNote) }

  /// False when there are too many already.
  @discardableResult
  package mutating func note(_ text: String) -> Bool {
    guard notes.count < Self.noteLimit else { return false }
    notes.append(text)
    return true
  }
}

/// Everything that happens, in the order it happened. Nothing else writes history.
package struct Fact: Sendable {
  package var sequence: UInt64
  package var at: Instant
  package var call: CallID?
  package var event: FactEvent

  package init(
    sequence: UInt64, at: Instant, call: CallID? = nil, event: FactEvent
  ) {
    self.sequence = sequence
    self.at = at
    self.call = call
    self.event = event
  }
}

/// A record lies in a box of its own, so that a fact is small and its way through queues and readers copies
/// references.
package enum FactEvent: Sendable {
  /// Must be durable before the first INVITE of the second leg leaves (`ShardInput.durable`).
  indirect case callAttempted(CallRecord)
  indirect case hopTried(CallAttempt)
  indirect case hopEnded(CallAttempt)
  case callRinging
  /// With the established session as a versioned record (`SessionRecord.encode`).
  indirect case callAnswered(CallRecord, session: [UInt8])
  /// A call of an earlier process goes on, or is ended by us: the first fact of it in this one.
  indirect case callRecovered(CallRecord, session: [UInt8])
  /// Each call of an earlier process has been seen to.
  case callsRecovered(RecoveryOutcome)
  /// A re-offer changed the session, or its peer is somewhere else: its record again.
  case sessionChanged(session: [UInt8])
  case mediaLatched(LegSide, SocketAddress)
  case mediaSilent(LegSide)
  /// Why a side is not heard, or hears nothing.
  indirect case audioVerdict(AudioVerdict)
  /// A digit has come from this side, and gone on to the other; nil: to an application. Which one it was is said to
  /// nobody.
  case digitPassed(LegSide, from: DigitKind, to: DigitKind?)
  /// Something was decided on the call's way: a line of the record's notes.
  case callNoted(String)
  /// A recording of the call was begun, paused or ended, or its announcement was heard.
  indirect case recordingChanged(CallRecording, CallRecord)
  /// The last fact of a call.
  indirect case callEnded(CallRecord)

  indirect case bindingAdded(Binding)
  indirect case bindingRemoved(Binding)
  indirect case authenticationFailed(username: String, source: SocketAddress, reason: String)
  /// Somebody ("user:NAME", "trunk:NAME") has proved himself by the password before the present one.
  indirect case previousPasswordUsed(tenant: String, account: String, source: SocketAddress)
  /// A request that never became a call, or a message that could not be used.
  case requestRefused(method: String, status: Int, cause: Cause, source: SocketAddress)
  case messageDropped(reason: DropReason, source: SocketAddress)
  /// A trunk's target stopped or began to answer.
  case targetState(trunk: String, SocketAddress, usable: Bool, TargetReason)
  /// DNS says something else of a target's name than before, or nothing any more.
  case nameState(name: String, Location.State, addresses: Int)
  /// A registration of ours with a provider came about, failed or ended.
  case registrationState(UpstreamStatus)
  /// Somebody is told of a user's state from now on, or no more.
  indirect case subscriptionState(SubscriptionStatus)
  /// What waits in a mailbox was said anew, or its user is gone (nothing waits).
  indirect case mailboxSet(MailboxStatus)
  /// An impossible state ended one call; the text says where.
  case internalFault(String)
  /// Outside calls of an account cost too much, or somebody is looking for a way to make them.
  indirect case tollAlarm(TollAlarm)
  /// What is to be remembered of an account's outside calls has changed.
  indirect case tollKept(TollMemory)
  /// Nothing is taken from there for a while; and is again.
  indirect case banned(Ban)
  indirect case banEnded(Ban, BanEnd)
  /// New calls begin to be refused for load, or none is any more.
  case overload(isBehind: Bool, wait: Interval)
  case configurationApplied(revision: UInt64)
  /// Nothing used it any more after a reload took it away.
  case listenerClosed(name: String)
  case drained
}

package enum DropReason: String, Sendable, CaseIterable {
  case unparsable, strayResponse, strayAck, outputFull, tooLarge, notSIP, replyImpossible
}
