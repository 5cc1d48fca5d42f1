extension Int {
  /// A status that speaks of what we wrote to its sender, or needs a header that only the two of us can use
  /// (RFC 3261 §21.4.15 to §21.4.17, §22; RFC 4028 §6; RFC 3329): to anybody else it means nothing.
  var saysNothingToOthers: Bool { [401, 407, 420, 421, 422, 423, 494].contains(self) }
}
