/// Whether plain RTP is relayed in the kernel.
package enum FastPathMode: String, Sendable, CaseIterable {
  /// Where the kernel lets us; else in user space, which is said once.
  case auto
  /// The same, attached as kernels before 6.6 have it, whatever this one can.
  case filter
  case off
}

/// What became of it at the start.
package enum FastPathState: Hashable, Sendable {
  case off
  /// Programs at this many interfaces, by links or by filters of the older kind.
  case on(interfaces: Int, links: Bool)
  case unavailable(FastPathObstacle)

  /// One word, as metrics say it.
  package var word: String {
    switch self {
    case .off: "off"
    case .on: "on"
    case .unavailable(let obstacle): obstacle.word
    }
  }
}

/// Why the kernel does not relay, and what to do about it. Everything works without it, at more CPU a packet.
package enum FastPathObstacle: Error, Hashable, Sendable, CustomStringConvertible {
  case byteOrder
  /// The kernel's major and minor version.
  case kernelTooOld(Int, Int)
  case notPermitted(missing: [String])
  /// The verifier's last words.
  case refused(String)
  case noInterface
  case system(step: String, reason: String)

  /// The first kernel with everything that the program uses (atomic operations that fetch).
  package static let firstKernel = (major: 5, minor: 12)

  package var word: String {
    switch self {
    case .byteOrder: "byte-order"
    case .kernelTooOld: "kernel-too-old"
    case .notPermitted: "not-permitted"
    case .refused: "refused-by-verifier"
    case .noInterface: "no-interface"
    case .system: "system"
    }
  }

  @usableFromInline package var description: String {
    switch self {
    case .byteOrder: "its program is for little-endian machines"
    case .kernelTooOld(let major, let minor):
      "Linux \(major).\(minor) is too old; "
        + "\(Self.firstKernel.major).\(Self.firstKernel.minor) is the first that can"
    case .notPermitted(let missing):
      "the process lacks \(missing.joined(separator: " and ")); give it these capabilities "
        + "(systemd: AmbientCapabilities=CAP_BPF CAP_NET_ADMIN)"
    case .refused(let words): "the kernel refuses the program: \(words)"
    case .noInterface: "no Ethernet interface and no loopback carries a media address"
    case .system(let step, let reason): "\(step): \(reason)"
    }
  }
}
