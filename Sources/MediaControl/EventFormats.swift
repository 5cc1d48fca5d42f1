/// Clocks of telephone-event: that of a telephone line, and those of the wide-band codecs that it stands beside.
package enum EventClock: UInt8, Sendable, CaseIterable {
  case narrow, wide, superwide, full

  package var rate: UInt32 {
    switch self {
    case .narrow: 8_000
    case .wide: 16_000
    case .superwide: 32_000
    case .full: 48_000
    }
  }

  /// Nil: none that we understand.
  package init?(rate: UInt32) {
    guard let clock = Self.allCases.first(where: { $0.rate == rate }) else { return nil }
    self = clock
  }
}

/// telephone-event (RFC 4733) as a far end has named it: that of 8 kHz, which everybody has, and that of one other clock,
/// which those name who speak a codec with this clock (§2.1: events have the clock of the speech that they replace; so
/// browsers offer telephone-event/48000 beside Opus).
package struct EventFormats: Hashable, Sendable {
  package struct Format: Hashable, Sendable {
    package var payloadType: UInt8
    package var clock: EventClock

    package init(_ payloadType: UInt8, _ clock: EventClock = .narrow) {
      self.payloadType = payloadType
      self.clock = clock
    }
  }

  /// Payload types; 255: none.
  package private(set) var narrow: UInt8 = 255
  package private(set) var other: UInt8 = 255
  /// Of `other`.
  package private(set) var otherClock = EventClock.narrow

  package init() {}

  package init(_ formats: Format...) {
    for format in formats { append(format) }
  }

  package static func == (a: EventFormats, b: EventFormats) -> Bool {
    a.narrow == b.narrow && a.other == b.other && a.otherClock == b.otherClock
  }

  package var isEmpty: Bool { narrow == 255 && other == 255 }

  /// The first of each kind counts.
  package mutating func append(_ format: Format) {
    guard format.payloadType < 128 else { return }
    if format.clock == .narrow {
      if narrow == 255 { narrow = format.payloadType }
    } else if other == 255 {
      other = format.payloadType
      otherClock = format.clock
    }
  }

  /// What goes beside speech of this clock: that of the same clock, else of 8 kHz, else whatever there is.
  package func beside(clockRate: UInt32) -> Format? {
    if other != 255, narrow == 255 || otherClock.rate == clockRate {
      return Format(other, otherClock)
    }
    return narrow == 255 ? nil : Format(narrow)
  }

  /// The clock of a packet; nil: it is no event.
  @inline(__always)
  package func clock(of payloadType: UInt8) -> EventClock? {
    guard payloadType != 255 else { return nil }
    if payloadType == narrow { return .narrow }
    return payloadType == other ? otherClock : nil
  }
}
