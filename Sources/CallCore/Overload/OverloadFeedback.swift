package import Base

/// What a neighbour asks of us in our own Via, and until when (RFC 7339 §5.4, §5.7).
///
/// §7.2 wants the part of all requests turned into a part of those that may be left out. Here these are new
/// calls, and with a call everything that it would have brought is left out: the parts are the same.
package struct OverloadFeedback: Equatable, Sendable {
  /// One response binds us no longer than a Retry-After does.
  package static let longest = Interval.seconds(300)
  /// §4.3: where the neighbour does not say how long.
  package static let usual = Interval.milliseconds(500)

  private var asked = 0
  private var until = Instant.zero
  private var sequence: OverloadParameters.Sequence?

  package init() {}

  /// Of a hundred new calls, how many are to go elsewhere or nowhere.
  package func loss(at now: Instant) -> Int { now < until ? asked : 0 }

  package mutating func take(_ parameters: OverloadParameters, at now: Instant) {
    guard let loss = parameters.loss, parameters.hasLossAlgorithm, isNews(parameters.sequence, now)
    else { return }
    sequence = parameters.sequence
    let validity = parameters.validity.map { Interval.milliseconds($0) } ?? Self.usual
    asked = loss
    until = now + min(validity, Self.longest)
  }

  /// A smaller number than the last comes from a packet that was late, unless it is far smaller: then the
  /// neighbour counts anew (§4.4). What has run out is forgotten, its number too.
  private func isNews(_ next: OverloadParameters.Sequence?, _ now: Instant) -> Bool {
    guard let next, let sequence, now < until else { return true }
    return next > sequence || next.whole < sequence.whole / 2
  }
}
