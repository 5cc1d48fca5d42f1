/// A digit that was heard to its end.
package struct HeardDigit: Hashable, Sendable {
  /// As in RFC 4733 §3.2.
  package var event: UInt8
  /// In units of 1/8000 s.
  package var duration: Int

  package init(event: UInt8, duration: Int) {
    self.event = event
    self.duration = duration
  }

  package var milliseconds: UInt16 { UInt16(clamping: duration / 8) }
}

/// What a packet has brought, in this order.
package struct DigitSteps: Hashable, Sendable {
  /// The digit before is over.
  package var ended: HeardDigit?
  /// Another one begins.
  package var began: UInt8?
  /// And is over as well.
  package var endedAtOnce: HeardDigit?

  package static let nothing = DigitSteps()

  mutating func note(_ change: DTMFDetector.Change?) {
    switch change {
    case .began(let event): began = event
    case .ended(let event, let samples):
      let heard = HeardDigit(event: event, duration: samples)
      if began == nil { ended = heard } else { endedAtOnce = heard }
    case nil: break
    }
  }
}
