/// Why a call was refused or ended: our stable name, the SIP code we answer with, and Q.850's number.
///
/// Everything that rejects names one of these; the catalogue is published and each row has a test.
package enum Cause: UInt8, CaseIterable, Sendable {
  case normalClearing, cancelled, busy, noAnswer, rejectedByUser, unreachable, notRegistered
  case numberUnknown, noRoute, allRoutesFailed, addressIncomplete
  case authenticationRequired, authenticationFailed, forbidden, sourceUnknown
  case trunkCallLimit, trunkRateLimit, capacity, portsExhausted, recordsStalled, draining
  case malformed, messageTooLarge, extensionUnsupported, methodUnsupported, loopDetected,
    tooManyHops
  case mediaUnacceptable, contentUnsupported
  case carrierTimeout, carrierUnavailable, carrierRejected, transportFailed
  case completedElsewhere
  case trunkNotRegistered
  case forwarded
  case mediaTimeout, hungUpByOperator, acknowledgementMissing, interrupted, internalFault
  case numberInvalid, callerRefused
  case sessionExpired, sessionIntervalTooSmall, provisionalUnacknowledged
  case tenantCallLimit, tenantRateLimit, userCallLimit, userRateLimit, classCallLimit,
    classRateLimit, linesBusy, poolFull
  case nameUnresolved
  case overload
  case transferRefused, transferFailed, transferred
  case numberUnassigned, numberSuspended
  case eventUnsupported, subscriptionRefused, subscriptionLimit
  case insecureTransport, registrarUnavailable
  case srtpRequired, srtpRefused, srtpUnsupported, srtpWithoutTLS
  case destinationDenied, costlyLimit, accountBlocked, durationLimit
  case identityMissing, identityStale, identityUnavailable, identityUntrusted, identityInvalid
}

extension Cause: Error {}

extension Cause: CustomStringConvertible {
  package var description: String { name }
}

/// A set of causes as one word: each hop of each plan has one.
///
/// The 64 first of the catalogue can be in it. What comes behind them is said before any hop is tried, or, of SRTP and of
/// what an outside call may cost, ends the call; so a set that was to have it is no different without.
@frozen
package struct CauseSet: Hashable, Sendable {
  package var bits: UInt64 = 0
  package init() {}
  package init(_ causes: [Cause]) {
    for cause in causes { insert(cause) }
  }
  // A shift by 64 or more leaves no bit.
  package func contains(_ cause: Cause) -> Bool { bits & (1 << UInt64(cause.rawValue)) != 0 }
  package mutating func insert(_ cause: Cause) { bits |= 1 << UInt64(cause.rawValue) }
  package mutating func formUnion(_ other: CauseSet) { bits |= other.bits }
  package var isEmpty: Bool { bits == 0 }

  /// The causes of the set, in the catalogue's order.
  package var causes: [Cause] { Cause.allCases.filter(contains) }
}

extension Cause {
  /// What the final status of a peer means (RFC 3261 §21, RFC 3398 §8.2.6.1 for the telephone side).
  ///
  /// A 3xx that is not followed is a refusal like any other.
  package static func of(sipStatus: Int) -> Cause {
    switch sipStatus {
    case 200..<300: .normalClearing
    case 404, 410, 485, 604: .numberUnknown
    case 408, 480: .noAnswer
    case 415: .contentUnsupported
    case 482: .loopDetected
    case 483: .tooManyHops
    case 484: .addressIncomplete
    case 486, 600: .busy
    case 487: .cancelled
    case 488, 606: .mediaUnacceptable
    case 500, 502, 503, 504: .carrierUnavailable
    case 600..<700: .rejectedByUser
    default: .carrierRejected
    }
  }

  private static let byName: [String: Cause] = {
    var table: [String: Cause] = [:]
    for cause in allCases { table[cause.name] = cause }
    return table
  }()

  /// The cause with this catalogue name ("no-answer").
  package init?(name: String) {
    guard let cause = Self.byName[name] else { return nil }
    self = cause
  }

  /// The stable text of records, metrics, files and the API; never changed once published.
  package var name: String { row.name }
  /// What we answer with where nothing else says (RFC 3261 §21).
  package var sipStatus: Int { row.sipStatus }
  /// The number of a Reason header (RFC 3326) and of the telephone network (ITU-T Q.850).
  package var q850: Int { row.q850 }
  /// One sentence.
  package var meaning: String { row.meaning }
  /// What the reader can do about it.
  package var remedy: String { row.remedy }
}
