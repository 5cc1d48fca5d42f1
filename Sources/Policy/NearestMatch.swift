/// The candidate that `text` was most likely meant to be: least edits (insert, delete, replace, swap of
/// neighbours), at most a third of the length. Letter case counts for nothing.
///
/// Bounded: names over 64 bytes are not compared and at most 10 000 candidates are looked at.
package func nearestMatch(to text: String, in candidates: some Sequence<String>) -> String? {
  let wanted = lowercasedASCII(text)
  guard (1...64).contains(wanted.count) else { return nil }
  var best: String?
  var bestDistance = max(1, wanted.count / 3) + 1
  var looked = 0
  for candidate in candidates {
    looked += 1
    if looked > 10_000 { break }
    let bytes = lowercasedASCII(candidate)
    guard bytes.count <= 64, abs(bytes.count - wanted.count) < bestDistance else { continue }
    let distance = editDistance(wanted, bytes)
    if distance < bestDistance {
      bestDistance = distance
      best = candidate
    }
  }
  return best
}

private func lowercasedASCII(_ text: String) -> [UInt8] {
  text.utf8.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
}

/// Optimal string alignment distance.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var beforePrevious = [Int](repeating: 0, count: b.count + 1)
  var previous = Array(0...b.count)
  var current = previous
  for i in a.indices {
    current[0] = i + 1
    for j in b.indices {
      var cost = min(current[j], previous[j + 1]) + 1
      cost = min(cost, previous[j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
        cost = min(cost, beforePrevious[j - 1] + 1)
      }
      current[j + 1] = cost
    }
    (beforePrevious, previous, current) = (previous, current, beforePrevious)
  }
  return previous[b.count]
}
