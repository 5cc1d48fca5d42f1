/// Why a call was refused or ended: our stable name, the SIP code we answer with, and Q.850's number.
///
/// Everything that rejects names one of these; the catalogue is published and each row has a test.
package enum Cause: UInt8, CaseIterable, Sendable {
  case normalClearing, cancelled, busy, noAnswer, rejectedByUser, unreachable, notRegistered
  case numberUnknown, noRoute, allRoutesFailed, addressIncomplete
  case authenticationRequired, authenticationFailed, forbidden, sourceUnknown
  case trunkCallLimit, trunkRateLimit, capacity, portsExhausted, recordsStalled, draining
  case malformed, messageTooLarge, extensionUnsupported, methodUnsupported, loopDetected, tooManyHops
  case mediaUnacceptable, contentUnsupported
  case carrierTimeout, carrierUnavailable, carrierRejected, transportFailed
  case mediaTimeout, hungUpByOperator, acknowledgementMissing, interrupted, internalFault
}
