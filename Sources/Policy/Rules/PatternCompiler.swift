/// Reads a pattern and writes its program, piece by piece: the steps of a piece know only distances, so they can
/// be copied and put anywhere.
struct PatternCompiler {
  private let text: [UInt8]
  private var at = 0
  private var depth = 0
  private var ignoresCase = false
  private(set) var groups = 0

  init(_ pattern: String) { text = Array(pattern.utf8) }

  mutating func compile() throws(Pattern.Failure) -> [Pattern.Step] {
    guard text.count <= Pattern.maximumLength else {
      throw failure("a pattern has at most \(Pattern.maximumLength) bytes")
    }
    if text.starts(with: "(?i)".utf8) {
      ignoresCase = true
      at = 4
    }
    let piece = try alternatives()
    guard at == text.count else { throw failure("a `)` without its `(`") }
    guard piece.count < Pattern.maximumProgram else { throw failure("the pattern is too large") }
    return Self.absolute(piece) + [.match]
  }

  /// Distances become places.
  private static func absolute(_ piece: [Pattern.Step]) -> [Pattern.Step] {
    piece.enumerated().map { index, step in
      switch step {
      case .split(let first, let second): .split(index + first, index + second)
      case .jump(let to): .jump(index + to)
      case .octet, .save, .match: step
      }
    }
  }

  private func failure(_ message: String) -> Pattern.Failure {
    Pattern.Failure(message: message, offset: at)
  }

  private var next: UInt8? { at < text.count ? text[at] : nil }

  private mutating func take(_ octet: UInt8) -> Bool {
    guard next == octet else { return false }
    at += 1
    return true
  }

  private mutating func alternatives() throws(Pattern.Failure) -> [Pattern.Step] {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Pattern.maximumDepth else { throw failure("brackets are nested too deeply") }
    var piece = try sequence()
    while take(UInt8(ascii: "|")) {
      let other = try sequence()
      piece =
        [.split(1, piece.count + 2)] + piece + [.jump(other.count + 1)] + other
      try check(piece)
    }
    return piece
  }

  private mutating func sequence() throws(Pattern.Failure) -> [Pattern.Step] {
    var piece: [Pattern.Step] = []
    while let octet = next, octet != UInt8(ascii: "|"), octet != UInt8(ascii: ")") {
      piece += try repeated(try atom())
      try check(piece)
    }
    return piece
  }

  private func check(_ piece: [Pattern.Step]) throws(Pattern.Failure) {
    guard piece.count < Pattern.maximumProgram else { throw failure("the pattern is too large") }
  }

  // MARK: Repetition

  private mutating func repeated(_ atom: [Pattern.Step]) throws(Pattern.Failure) -> [Pattern.Step] {
    guard let octet = next else { return atom }
    let bounds: (least: Int, most: Int?)
    switch octet {
    case UInt8(ascii: "*"): bounds = (0, nil)
    case UInt8(ascii: "+"): bounds = (1, nil)
    case UInt8(ascii: "?"): bounds = (0, 1)
    case UInt8(ascii: "{"): bounds = try counted()
    default: return atom
    }
    if octet != UInt8(ascii: "{") { at += 1 }
    let isShort = take(UInt8(ascii: "?"))
    if let octet = next, octet == UInt8(ascii: "*") || octet == UInt8(ascii: "+") {
      throw failure("a repetition of a repetition: put the first one in brackets")
    }
    return try repeated(atom, bounds.least, bounds.most, isShort: isShort)
  }

  private func repeated(_ atom: [Pattern.Step], _ least: Int, _ most: Int?, isShort: Bool)
    throws(Pattern.Failure) -> [Pattern.Step]
  {
    var piece: [Pattern.Step] = []
    func split(_ inside: Int, _ outside: Int) -> Pattern.Step {
      isShort ? .split(outside, inside) : .split(inside, outside)
    }
    for _ in 0..<least {
      piece += atom
      try check(piece)
    }
    if let most {
      for _ in least..<max(most, least) {
        piece += [split(1, atom.count + 1)] + atom
        try check(piece)
      }
    } else {
      piece += [split(1, atom.count + 2)] + atom + [.jump(-atom.count - 1)]
    }
    try check(piece)
    return piece
  }

  /// `{2}`, `{2,}`, `{2,5}`
  private mutating func counted() throws(Pattern.Failure) -> (least: Int, most: Int?) {
    at += 1
    let least = try number()
    var most: Int? = least
    if take(UInt8(ascii: ",")) {
      most = next == UInt8(ascii: "}") ? nil : try number()
    }
    guard take(UInt8(ascii: "}")), least <= most ?? least else {
      throw failure("a count is written {2}, {2,} or {2,5}")
    }
    return (least, most)
  }

  private mutating func number() throws(Pattern.Failure) -> Int {
    var value = 0
    let start = at
    while let octet = next, (0x30...0x39).contains(octet), at - start < 3 {
      value = value * 10 + Int(octet - 0x30)
      at += 1
    }
    guard at > start else { throw failure("a count is written {2}, {2,} or {2,5}") }
    return value
  }

  // MARK: Atoms

  private mutating func atom() throws(Pattern.Failure) -> [Pattern.Step] {
    let octet = text[at]
    at += 1
    switch octet {
    case UInt8(ascii: "("): return try group()
    case UInt8(ascii: "["): return [.octet(cased(try bracket()))]
    case UInt8(ascii: "."): return [.octet(OctetClass().inverted)]
    case UInt8(ascii: "\\"): return [.octet(cased(try escaped()))]
    case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"), UInt8(ascii: "{"):
      throw failure("nothing stands before a repetition; write \\ before the sign itself")
    case UInt8(ascii: "^"), UInt8(ascii: "$"):
      throw failure("a pattern is for the whole text already; write \\ before the sign itself")
    default:
      var set = OctetClass()
      set.insert(octet)
      return [.octet(cased(set))]
    }
  }

  private func cased(_ set: OctetClass) -> OctetClass { ignoresCase ? set.ignoringCase : set }

  private mutating func group() throws(Pattern.Failure) -> [Pattern.Step] {
    var slot: Int?
    if take(UInt8(ascii: "?")) {
      guard take(UInt8(ascii: ":")) else { throw failure("only (?: ) is understood") }
    } else {
      guard groups < Pattern.maximumGroups else {
        throw failure("a pattern has at most \(Pattern.maximumGroups) groups")
      }
      slot = groups
      groups += 1
    }
    let piece = try alternatives()
    guard take(UInt8(ascii: ")")) else { throw failure("a `(` without its `)`") }
    guard let slot else { return piece }
    return [.save(2 * slot)] + piece + [.save(2 * slot + 1)]
  }

  private mutating func escaped() throws(Pattern.Failure) -> OctetClass {
    guard let octet = next else { throw failure("nothing stands behind the last \\") }
    at += 1
    var set = OctetClass()
    switch octet {
    case UInt8(ascii: "d"): set.insert(0x30...0x39)
    case UInt8(ascii: "w"):
      set.insert(0x30...0x39)
      set.insert(0x41...0x5a)
      set.insert(0x61...0x7a)
      set.insert(UInt8(ascii: "_"))
    case UInt8(ascii: "s"):
      set.insert(0x20)
      set.insert(0x09)
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a:
      throw failure("`\\\(String(UnicodeScalar(octet)))` means nothing here")
    default: set.insert(octet)
    }
    return set
  }

  private mutating func bracket() throws(Pattern.Failure) -> OctetClass {
    let isInverted = take(UInt8(ascii: "^"))
    var set = OctetClass()
    var isFirst = true
    while let octet = next, octet != UInt8(ascii: "]") || isFirst {
      isFirst = false
      at += 1
      if octet == UInt8(ascii: "\\") {
        set.formUnion(try escaped())
        continue
      }
      guard next == UInt8(ascii: "-"), at + 1 < text.count, text[at + 1] != UInt8(ascii: "]") else {
        set.insert(octet)
        continue
      }
      let last = text[at + 1]
      guard octet <= last, last != UInt8(ascii: "\\") else {
        throw failure("a range ends before it begins")
      }
      set.insert(octet...last)
      at += 2
    }
    guard take(UInt8(ascii: "]")) else { throw failure("a `[` without its `]`") }
    return isInverted ? set.inverted : set
  }
}
