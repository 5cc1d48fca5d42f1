extension Array where Element == UInt8 {
  /// Copies the span over the bytes from `offset` on; what does not fit is left out.
  package mutating func overwrite(at offset: Int, with bytes: RawSpan) {
    guard offset >= 0, offset < count else { return }
    let room = Swift.min(bytes.byteCount, count - offset)
    unsafe withUnsafeMutableBytes { target in
      unsafe bytes.withUnsafeBytes { source in
        unsafe target[offset..<(offset + room)].copyBytes(from: source[..<room])
      }
    }
  }
}

extension Array where Element == UInt8 {
  /// Appends the span's bytes in one copy.
  package mutating func append(copying bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { unsafe append(contentsOf: $0) }
  }
}
