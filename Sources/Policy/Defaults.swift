package import Base

/// The values of optional fields, in one place: the document's parser, its page in docs/ and the tests
/// all read them here.
package enum ResourceDefaults {
  /// How long a destination of a chain may ring.
  package static let hopTimeout = Interval.seconds(30)
  /// How long a directly dialled extension or outside number may ring: timer C's least value
  /// (RFC 3261 §16.6 step 11), after which nobody waits any more.
  package static let ringTimeout = Interval.seconds(180)
  /// How long a carrier may say nothing but 100: three retransmissions of an INVITE and some.
  package static let carrierTimeout = Interval.seconds(5)
  /// How long a user's phone may say nothing but 100.
  package static let phoneTimeout = Interval.seconds(10)
  /// How long the phones of a user ring before the call is forwarded.
  package static let noAnswerTime = Interval.seconds(20)
  /// How long a carrier's or PBX's address may give no response at all, not even a 100, while another is
  /// left to try: an INVITE and two retransmissions of it.
  package static let silenceTimeout = Interval.seconds(2)
  package static let probeInterval = Interval.seconds(30)
  package static let probeFailures = 3
  package static let probeSuccesses = 2
  package static let slowStart = Interval.seconds(30)
  package static let mediaTimeout = Interval.seconds(60)
  /// RFC 4028 §4 recommends half an hour, and forbids less than 90 seconds.
  package static let sessionExpires = Interval.seconds(1_800)
  package static let minSessionExpires = Interval.seconds(90)
  package static let maxContacts = 5
  /// The longest extension or service code in a plan of numbers.
  package static let localDigits = 7
  /// What we ask a registrar for (RFC 3261 §10.2.1.1 leaves it to the client).
  package static let registrationExpires = Interval.seconds(3_600)
  /// NATs keep a mapping of UDP for 30 s and more; most for two minutes (RFC 4787 §4.3).
  package static let natExpires = Interval.seconds(60)
  package static let emergencyReserved = 4
  package static let carrierPriority = 1
  package static let carrierWeight = 100

  /// A destination that could not take the call; not one whose user declined it.
  package static let continueOn: [Cause] = [
    .busy, .noAnswer, .unreachable, .notRegistered, .noRoute, .allRoutesFailed, .trunkCallLimit,
    .trunkRateLimit, .poolFull, .carrierTimeout, .carrierUnavailable, .carrierRejected,
    .transportFailed, .trunkNotRegistered, .nameUnresolved,
  ]
  /// A carrier that could not take the call; not what the number itself answered.
  package static let failoverOn: [Cause] = [
    .trunkCallLimit, .trunkRateLimit, .poolFull, .carrierTimeout, .carrierUnavailable,
    .carrierRejected, .transportFailed, .trunkNotRegistered, .nameUnresolved,
  ]
}

/// What a document may ask for at most.
package enum ResourceLimits {
  package static let nameLength = 64
  /// Of each of a network's two lists.
  package static let accessBlocks = 10_000
  package static let dialStringLength = 64
  package static let extensionLength = 32
  package static let timeout = Interval.seconds(3_600)
  package static let sessionExpires = Interval.seconds(86_400)
  package static let maxContacts = 100
  /// A target that is asked more often is not watched but worked.
  package static let probeIntervals = Interval.seconds(1)...Interval.seconds(3_600)
  package static let probeCounts = 1...20
  package static let slowStart = Interval.seconds(3_600)
  /// Priorities and weights are those of RFC 2782.
  package static let priority = 65_535
  package static let weight = 65_535
  /// How many times a number may lead to another number.
  package static let chainDepth = 8
  /// Emergency calls that one resource may reserve places for.
  package static let emergencyReserved = 64
  /// Hops of one plan, those of its branches included.
  package static let hops = 64
  /// Destinations that ring together.
  package static let ringMembers = 16
}
