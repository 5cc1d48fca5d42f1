internal import COpenSSL

/// Random bytes from the system, for secrets. Only the edge may call this: below it, randomness is an
/// argument.
package enum SystemRandom {
  package static func bytes(_ count: Int) -> [UInt8] {
    let n = min(max(count, 0), Int(Int32.max))
    var bytes = [UInt8](repeating: 0, count: n)
    guard n > 0, unsafe RAND_bytes(&bytes, Int32(n)) != 1 else { return bytes }
    // libcrypto's generator is out of order; the kernel's own is behind this one.
    var generator = SystemRandomNumberGenerator()
    for i in 0..<n { bytes[i] = UInt8.random(in: 0...255, using: &generator) }
    return bytes
  }

  package static func word() -> UInt64 {
    bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
}
