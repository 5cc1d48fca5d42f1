package import SIPWire

extension Cause {
  /// What a Reason header says that a status does not (RFC 3326, Q.850 table 1); nil where it says nothing more
  /// than that the call is over.
  package static func told(_ reason: ReleaseReason) -> Cause? {
    switch reason.q850 {
    case 1, 22: .numberUnknown
    case 17: .busy
    case 18, 19: .noAnswer
    case 21: .rejectedByUser
    case 28: .addressIncomplete
    case 34, 38, 41, 42, 47: .carrierUnavailable
    case 65, 79, 88: .mediaUnacceptable
    case 102: .carrierTimeout
    default: nil
    }
  }
}
