package import Base

/// Which trunk a source address belongs to, within one network.
///
/// One dictionary for each shape of match (family, prefix length, with or without port), the most
/// specific shape first; there are seldom more than four, so a lookup is a few hashed probes.
struct SourceTable: Sendable {
  private struct Shape: Sendable {
    var family: IPAddress.Family
    var prefixLength: Int
    var hasPort: Bool
    var trunks: [SocketAddress: Int] = [:]

    /// A whole address with its port, a whole address, then by length, with port first.
    var rank: Int { prefixLength * 2 + (hasPort ? 1 : 0) }

    func key(_ source: SocketAddress) -> SocketAddress {
      SocketAddress(
        IPNetwork(source.ip, prefixLength: prefixLength).address, hasPort ? source.port : 0)
    }
  }

  private var shapes: [Shape] = []

  /// The trunk that already has this very match, if any; then nothing is changed.
  mutating func insert(_ match: SourceMatch, trunk: Int) -> Int? {
    let width = match.network.family == .v4 ? 32 : 128
    let prefixLength = min(Int(match.prefixLength), width)
    let hasPort = match.port != nil
    let index = indexOfShape(match.network.family, prefixLength, hasPort)
    let key = shapes[index].key(SocketAddress(match.network, match.port ?? 0))
    if let holder = shapes[index].trunks[key] { return holder }
    shapes[index].trunks[key] = trunk
    return nil
  }

  func match(_ source: SocketAddress) -> Int? {
    for shape in shapes where shape.family == source.ip.family {
      if let trunk = shape.trunks[shape.key(source)] { return trunk }
    }
    return nil
  }

  private mutating func indexOfShape(
    _ family: IPAddress.Family, _ prefixLength: Int, _ hasPort: Bool
  ) -> Int {
    let new = Shape(family: family, prefixLength: prefixLength, hasPort: hasPort)
    let position = shapes.firstIndex { $0.family == family && $0.rank <= new.rank }
    if let position, shapes[position].rank == new.rank { return position }
    let end = position ?? shapes.count
    shapes.insert(new, at: end)
    return end
  }
}

/// The sources of one trunk.
package struct SourceSet: Sendable {
  private var table = SourceTable()

  init(_ sources: [SourceMatch]) {
    for source in sources { _ = table.insert(source, trunk: 0) }
  }

  package func matches(_ source: SocketAddress) -> Bool { table.match(source) != nil }
}
