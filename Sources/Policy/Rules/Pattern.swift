package import Base

/// A regular expression over bytes that is matched in time proportional to text times pattern, whatever the two
/// are: the automaton is followed in all its states at once (Thompson, Pike), so there is nothing to go back to.
///
/// It describes the whole text. `.` `[a-z]` `[^a-z]` `\d` `\w` `\s` `|` `( )` `(?: )` `*` `+` `?` `{2,5}`, a `?`
/// behind these for the shortest; `\` before anything else means itself; `(?i)` in front for either case. There
/// are no back references, no look-around and no anchors.
package struct Pattern: Sendable {
  package struct Failure: Error, Hashable, Sendable {
    package var message: String
    /// Byte of the pattern.
    package var offset: Int
  }

  package static let maximumLength = 256
  package static let maximumText = 1_024
  package static let maximumGroups = 9
  static let maximumProgram = 512
  static let maximumDepth = 16

  enum Step: Hashable, Sendable {
    case octet(OctetClass)
    /// The first of the two is preferred.
    case split(Int, Int)
    case jump(Int)
    case save(Int)
    case match
  }

  let program: [Step]
  package let groups: Int

  package init(_ text: String) throws(Failure) {
    var compiler = PatternCompiler(text)
    program = try compiler.compile()
    groups = compiler.groups
  }

  /// Where the whole text and each group lie; nil: it is no match, or longer than `maximumText`. A group that
  /// took no part is empty.
  package func match(_ text: RawSpan) -> [ByteRange]? {
    guard text.byteCount <= Self.maximumText else { return nil }
    var current = PatternThreads(program.count)
    var next = PatternThreads(program.count)
    follow(0, at: 0, [Int](repeating: -1, count: 2 * groups + 2), into: &current)
    for at in 0..<text.byteCount {
      next.removeAll()
      let octet = text.byte(at: at)
      for thread in current.threads {
        guard case .octet(let set) = program[thread.step], set.contains(octet) else { continue }
        follow(thread.step + 1, at: at + 1, thread.saved, into: &next)
      }
      swap(&current, &next)
      if current.threads.isEmpty { return nil }
    }
    guard let found = current.threads.first(where: { program[$0.step] == .match }) else {
      return nil
    }
    var ranges = [ByteRange(0, text.byteCount)]
    for group in 0..<groups {
      let (start, end) = (found.saved[2 * group], found.saved[2 * group + 1])
      ranges.append(start >= 0 && end >= start ? ByteRange(from: start, to: end) : .none)
    }
    return ranges
  }

  /// Adds each state that is reached without reading, the preferred first. The stack is as deep as the program
  /// is long at most, since a state is entered once.
  private func follow(_ step: Int, at: Int, _ saved: [Int], into threads: inout PatternThreads) {
    var stack = [(step: step, saved: saved)]
    while let (step, saved) = stack.popLast() {
      guard threads.enter(step) else { continue }
      switch program[step] {
      case .octet, .match: threads.threads.append(PatternThread(step: step, saved: saved))
      case .jump(let to): stack.append((to, saved))
      case .split(let first, let second):
        stack.append((second, saved))
        stack.append((first, saved))
      case .save(let slot):
        var saved = saved
        if saved.indices.contains(slot) { saved[slot] = at }
        stack.append((step + 1, saved))
      }
    }
  }
}

/// A set of octets, one bit each.
struct OctetClass: Hashable, Sendable {
  private var bits: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  func contains(_ octet: UInt8) -> Bool {
    let bit = UInt64(1) << UInt64(octet & 63)
    switch octet >> 6 {
    case 0: return bits.0 & bit != 0
    case 1: return bits.1 & bit != 0
    case 2: return bits.2 & bit != 0
    default: return bits.3 & bit != 0
    }
  }

  mutating func insert(_ octet: UInt8) {
    let bit = UInt64(1) << UInt64(octet & 63)
    switch octet >> 6 {
    case 0: bits.0 |= bit
    case 1: bits.1 |= bit
    case 2: bits.2 |= bit
    default: bits.3 |= bit
    }
  }

  mutating func insert(_ range: ClosedRange<UInt8>) {
    for octet in range { insert(octet) }
  }

  mutating func formUnion(_ other: OctetClass) {
    bits = (
      bits.0 | other.bits.0, bits.1 | other.bits.1, bits.2 | other.bits.2, bits.3 | other.bits.3
    )
  }

  var inverted: OctetClass {
    var copy = self
    copy.bits = (~bits.0, ~bits.1, ~bits.2, ~bits.3)
    return copy
  }

  var ignoringCase: OctetClass {
    var copy = self
    for octet in UInt8(ascii: "a")...UInt8(ascii: "z")
    where contains(octet) || contains(octet & 0xdf) {
      copy.insert(octet)
      copy.insert(octet & 0xdf)
    }
    return copy
  }

  static func == (a: OctetClass, b: OctetClass) -> Bool { a.bits == b.bits }
  func hash(into hasher: inout Hasher) {
    hasher.combine(bits.0)
    hasher.combine(bits.1)
    hasher.combine(bits.2)
    hasher.combine(bits.3)
  }
}

private struct PatternThread {
  var step: Int
  var saved: [Int]
}

private struct PatternThreads {
  var threads: [PatternThread] = []
  private var entered: [Bool]

  init(_ count: Int) { entered = [Bool](repeating: false, count: count) }

  mutating func removeAll() {
    threads.removeAll(keepingCapacity: true)
    for i in entered.indices { entered[i] = false }
  }

  /// True the first time.
  mutating func enter(_ step: Int) -> Bool {
    guard entered.indices.contains(step), !entered[step] else { return false }
    entered[step] = true
    return true
  }
}
