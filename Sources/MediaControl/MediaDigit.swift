package import Base

/// How the digits of a call go between us and a far end.
package enum DigitKind: UInt8, Sendable, CaseIterable {
  /// In no way that we know, or it is nobody's business: what comes is relayed as it is.
  case unknown
  /// telephone-event (RFC 4733).
  case events
  /// The tones themselves (ITU-T Q.23) in the speech.
  case tones
  /// INFO, by the signalling.
  case info

  package var name: String {
    switch self {
    case .unknown: "none"
    case .events: "telephone-event"
    case .tones: "in-band"
    case .info: "INFO"
    }
  }
}

/// A digit that somebody has said.
package struct MediaDigit: Hashable, Sendable {
  /// 0...9, 10 for `*`, 11 for `#`, 12...15 for A to D, 16 for a flash of the hook (RFC 4733 §3.2). Digits are cards,
  /// codes and passwords: no log, note or ladder shows one.
  package var event: Redacted<UInt8>
  package var milliseconds: UInt16
  /// How it came.
  package var kind: DigitKind

  package static let flash: UInt8 = 16

  package init(event: UInt8, milliseconds: UInt16, kind: DigitKind) {
    self.event = Redacted(event)
    self.milliseconds = milliseconds
    self.kind = kind
  }
}
