// Between SIP's statuses and the causes of the telephone network (ITU-T Q.850), as RFC 3398 recommends.

package enum CauseMapping {
  /// §7.2.4.1: the status that stands for a cause with which the telephone network ended a call; nil where that is
  /// a matter of circuits and no status fits (44), or of a call that was answered (16).
  package static func sipStatus(ofQ850 cause: Int) -> Int? {
    switch cause {
    case 16, 44: nil
    case 1, 2, 3, 26: 404
    case 17: 486
    case 18: 408
    case 19, 20, 31: 480
    case 21, 55, 57, 87: 403
    case 22, 23: 410
    case 27: 502
    case 28: 484
    case 29, 79: 501
    case 34, 38, 41, 42, 47, 58, 88: 503
    case 65, 70: 488
    case 102: 504
    case 111, 127: 500
    default: 500
    }
  }

  /// §8.2.6.1: the cause that stands for a status with which a SIP peer refused. Nil for 487: whoever cancelled
  /// knows.
  package static func q850(ofSIPStatus status: Int) -> Int? {
    switch status {
    case 487: nil
    case 401, 402, 403, 407, 603: 21
    case 404, 485, 604: 1
    case 405: 63
    case 406, 415, 501: 79
    case 408, 504: 102
    case 410: 22
    case 413, 414, 416, 420, 421, 423, 505, 513: 127
    case 480: 18
    case 482, 483: 25
    case 484: 28
    case 486, 600: 17
    case 502: 38
    case 400, 481, 500, 503: 41
    // 488 and 606 by their Warning, which says nothing that we could act on: 31, like all that is not listed.
    default: 31
    }
  }
}

extension Cause {
  /// What the telephone network's cause means, in a Reason header (RFC 3326) or from a gateway.
  package static func of(q850 cause: Int) -> Cause {
    switch cause {
    case 1, 22, 26: .numberUnknown
    case 2, 3: .noRoute
    case 16, 31: .normalClearing
    case 17: .busy
    case 18, 20: .unreachable
    case 19: .noAnswer
    case 21: .rejectedByUser
    case 25: .loopDetected
    case 28: .addressIncomplete
    case 34, 38, 41, 42, 47: .carrierUnavailable
    case 65, 70: .mediaUnacceptable
    case 102: .carrierTimeout
    default: .carrierRejected
    }
  }
}
