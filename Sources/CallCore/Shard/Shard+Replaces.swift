import Base
import Policy
import SIPCore
import SIPWire

// An INVITE that takes the place of a dialog (RFC 3891).

extension Shard {
  /// The new party is told what the transferee has answered to its offer.
  func answerReplacement(_ transfer: Transfer) -> Bool { false }
}
