package import MediaControl
package import Policy

extension RingingTone {
  /// As the media plane plays it; nil: it cannot be played.
  package var cadenced: CadencedTone? {
    CadencedTone(first, second, modulation: modulation, cadence: cadence)
  }
}
