/// What a collector of quality hears in the midst of a call.
package struct QualityWatchRule: Hashable, Sendable {
  /// How often a call is looked at for an alert, in seconds.
  private static let look = 10
  /// Of an interval between two reports, in seconds, and of a MOS x 100.
  package static let intervals = 5...3_600
  package static let ratings = 100...450

  /// Seconds; 0: no reports.
  package var interval: Int
  /// Nil: no alert.
  package var alert: Int?

  package init(interval: Int, alert: Int?) {
    self.interval = interval
    self.alert = alert
  }

  /// Looks for each report; 0: none is made.
  package var looksPerReport: Int {
    guard interval > 0 else { return 0 }
    return alert == nil ? 1 : (interval + Self.look - 1) / Self.look
  }

  /// Milliseconds between two looks.
  package var period: Int {
    interval > 0 ? interval * 1_000 / max(looksPerReport, 1) : Self.look * 1_000
  }
}
