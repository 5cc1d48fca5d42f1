extension Configuration {
  /// The applications that play a file. The media plane has the files in this order.
  package var announcements: [Application] {
    applications.filter(\.kind.playsFile)
  }

  /// Where in that order an application stands; nil: it plays no file.
  package func announcement(ofApplication index: Int) -> UInt32? {
    guard applications.indices.contains(index), applications[index].kind.playsFile else {
      return nil
    }
    return UInt32(clamping: applications[..<index].count { $0.kind.playsFile })
  }
}
