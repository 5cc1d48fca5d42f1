/// How much speaks for an address being the far end's, before it has proven so.
enum SourceRank: Int, Comparable {
  case stranger
  /// The host that SDP or the signalling names.
  case host
  /// The very address of SDP, or the one that is latched.
  case address

  static func < (a: SourceRank, b: SourceRank) -> Bool { a.rawValue < b.rawValue }
}
