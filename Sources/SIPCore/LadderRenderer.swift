package import Base

/// One arrow of a ladder.
package struct LadderMessage: Hashable, Sendable {
  package var at: Instant
  /// Indexes into `Ladder.participants`; equal for something that happened to one of them.
  package var from: Int
  package var to: Int
  /// What stands on the arrow: "INVITE (SDP)", "180 Ringing".
  package var label: String
  /// Sent and never arrived: the arrow ends before the far lifeline.
  package var lost: Bool
  /// The same bytes as an earlier message on this arrow.
  package var again: Bool
  /// Stands to the right of the time.
  package var note: String?

  package init(
    at: Instant, from: Int, to: Int, label: String, lost: Bool = false, again: Bool = false,
    note: String? = nil
  ) {
    self.at = at
    self.from = from
    self.to = to
    self.label = label
    self.lost = lost
    self.again = again
    self.note = note
  }
}

/// How a ladder is drawn.
package struct LadderStyle: Hashable, Sendable {
  /// Only characters of ASCII, for terminals and files that know no others.
  package var ascii: Bool
  /// Seconds since the first message, at the right.
  package var times: Bool
  /// Characters between two lifelines: as many as the labels need, within these bounds.
  package var gap: ClosedRange<Int>

  package init(ascii: Bool = false, times: Bool = true, gap: ClosedRange<Int> = 21...48) {
    self.ascii = ascii
    self.times = times
    self.gap = gap
  }

  package static let box = LadderStyle()
  package static let plain = LadderStyle(ascii: true)
}

/// A message flow as text: participants in columns, time downwards.
///
///            caller                demarc               carrier-a
///               │ ── INVITE (SDP) ──▶ │                     │        0.000
///               │ ◀── 100 Trying ──── │                     │       +0.001
///               │                     │ ── INVITE (SDP) ──▶ │       +0.004
///
/// Tests, the command line, the demo and the documentation draw with this one renderer. The same
/// input gives the same text; no line ends in a space. Text from peers cannot break a line or reach
/// the terminal: control and formatting characters are drawn as `?`.
package struct Ladder: Hashable, Sendable {
  package var participants: [String]
  package var messages: [LadderMessage]

  package init(participants: [String], messages: [LadderMessage]) {
    self.participants = participants
    self.messages = messages
  }

  /// Lines joined by a newline, the last one without.
  package func render(style: LadderStyle = .box) -> String {
    LadderCanvas(self, style: style).text()
  }
}

/// Where the lifelines stand, and the drawing of each row.
private struct LadderCanvas {
  let ladder: Ladder
  let style: LadderStyle
  let glyphs: LadderGlyphs
  let names: [[Character]]
  /// Column of each lifeline.
  let lifelines: [Int]
  let start: Instant

  init(_ ladder: Ladder, style: LadderStyle) {
    self.ladder = ladder
    self.style = style
    let glyphs = style.ascii ? LadderGlyphs.ascii : .box
    self.glyphs = glyphs
    names = ladder.participants.map { LadderCanvas.clean($0, limit: style.gap.upperBound, glyphs) }
    start = ladder.messages.first?.at ?? .zero
    lifelines = LadderCanvas.place(ladder, names: names, gap: style.gap, glyphs: glyphs)
  }

  func text() -> String {
    var lines = [trimmed(header())]
    for message in ladder.messages { lines.append(trimmed(row(message))) }
    return lines.joined(separator: "\n")
  }

  /// Each gap is as wide as the widest label that stands in it alone, and as two names need.
  static func place(
    _ ladder: Ladder, names: [[Character]], gap: ClosedRange<Int>, glyphs: LadderGlyphs
  ) -> [Int] {
    guard let first = names.first else { return [] }
    var widths = [Int](repeating: gap.lowerBound, count: max(0, names.count - 1))
    for index in widths.indices {
      widths[index] = max(widths[index], (names[index].count + names[index + 1].count) / 2 + 2)
    }
    for message in ladder.messages where abs(message.from - message.to) == 1 {
      let index = min(message.from, message.to)
      guard widths.indices.contains(index) else { continue }
      // A label needs a dash, a space and a margin at either side, and the arrow's head.
      let needed =
        decorated(message, limit: gap.upperBound, glyphs).count + (message.lost ? 11 : 9)
      widths[index] = max(widths[index], needed)
    }
    var columns = [max(4, (first.count + 1) / 2)]
    for width in widths {
      columns.append(columns[columns.count - 1] + 1 + min(width, gap.upperBound))
    }
    return columns
  }

  func header() -> [Character] {
    var line: [Character] = []
    for (index, name) in names.enumerated() {
      put(name, at: lifelines[index] - name.count / 2, in: &line)
    }
    return line
  }

  func row(_ message: LadderMessage) -> [Character] {
    var line: [Character] = []
    for column in lifelines { put([glyphs.lifeline], at: column, in: &line) }
    if lifelines.indices.contains(message.from), lifelines.indices.contains(message.to) {
      if message.from == message.to {
        mark(message, in: &line)
      } else {
        arrow(message, in: &line)
      }
    }
    let width = (lifelines.last ?? 0) + 1
    if style.times {
      let time = Array(stamp(message.at))
      put(time, at: max(width + 12 - time.count, line.count + 2), in: &line)
    }
    if let note = message.note {
      put(LadderCanvas.clean(note, limit: 80, glyphs), at: max(width, line.count) + 2, in: &line)
    }
    return line
  }

  /// `── label ──▶`, or `◀── label ──`, with one free column at each lifeline; a lost message keeps
  /// three free columns at the far one.
  func arrow(_ message: LadderMessage, in line: inout [Character]) {
    let rightwards = message.from < message.to
    let left = lifelines[min(message.from, message.to)] + 2
    let right = lifelines[max(message.from, message.to)] - 2
    let room = right - left + 1 - (message.lost ? 2 : 0)
    let label = LadderCanvas.decorated(message, limit: max(1, room - 7), glyphs)
    let head = message.lost ? glyphs.lost : rightwards ? glyphs.right : glyphs.left
    let filled = max(0, room - 1 - label.count - 4)
    var shaft: [Character] = [glyphs.dash, glyphs.dash, " "]
    shaft += label
    shaft.append(" ")
    shaft += [Character](repeating: glyphs.dash, count: filled)
    if rightwards {
      put(shaft + [head], at: left, in: &line)
    } else {
      put([head] + shaft, at: message.lost ? left + 2 : left, in: &line)
    }
  }

  /// Something that happened to one participant: `● label` beside its lifeline.
  func mark(_ message: LadderMessage, in line: inout [Character]) {
    let label = LadderCanvas.decorated(message, limit: style.gap.upperBound, glyphs)
    put([glyphs.mark, " "] + label, at: lifelines[message.from] + 2, in: &line)
  }

  static func decorated(
    _ message: LadderMessage, limit: Int, _ glyphs: LadderGlyphs
  ) -> [Character] {
    let suffix: [Character] = message.again ? [" "] + glyphs.again : []
    return clean(message.label, limit: max(1, limit - suffix.count), glyphs) + suffix
  }

  /// At most `limit` characters, none of which moves the cursor or changes its direction.
  static func clean(_ text: String, limit: Int, _ glyphs: LadderGlyphs) -> [Character] {
    var result: [Character] = []
    for scalar in text.unicodeScalars {
      if result.count == limit {
        result[limit - 1] = glyphs.ellipsis
        break
      }
      result.append(glyphs.accepts(scalar) ? Character(scalar) : "?")
    }
    return result
  }

  func stamp(_ at: Instant) -> String {
    let elapsed = at - start
    let milliseconds = elapsed.milliseconds.magnitude
    let fraction = String(milliseconds % 1_000)
    let padding = String(repeating: "0", count: 3 - fraction.count)
    let sign = elapsed.nanoseconds == 0 ? "" : elapsed.nanoseconds < 0 ? "-" : "+"
    return "\(sign)\(milliseconds / 1_000).\(padding)\(fraction)"
  }

  func put(_ text: [Character], at column: Int, in line: inout [Character]) {
    let column = max(0, column)
    while line.count < column + text.count { line.append(" ") }
    for (offset, character) in text.enumerated() { line[column + offset] = character }
  }

  func trimmed(_ line: [Character]) -> String {
    var line = line
    while line.last == " " { line.removeLast() }
    return String(line)
  }
}

private struct LadderGlyphs {
  var lifeline: Character
  var dash: Character
  var right: Character
  var left: Character
  var lost: Character
  var mark: Character
  var ellipsis: Character
  var again: [Character]
  var isASCII: Bool

  static let box = LadderGlyphs(
    lifeline: "│", dash: "─", right: "▶", left: "◀", lost: "✗", mark: "●", ellipsis: "…",
    again: ["↻"], isASCII: false)
  static let ascii = LadderGlyphs(
    lifeline: "|", dash: "-", right: ">", left: "<", lost: "x", mark: "*", ellipsis: "~",
    again: Array("(again)"), isASCII: true)

  func accepts(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value >= 0x20 && scalar.value < 0x7f { return true }
    guard !isASCII else { return false }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
      .unassigned, .nonspacingMark, .enclosingMark, .spacingMark:
      return false
    default:
      return true
    }
  }
}
