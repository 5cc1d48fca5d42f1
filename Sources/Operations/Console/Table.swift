/// One cell: what it says and what that means.
package struct TableCell: Hashable, Sendable, ExpressibleByStringLiteral {
  package var text: String
  package var tone: Tone

  package init(_ text: String, _ tone: Tone = .plain) {
    self.text = text
    self.tone = tone
  }
  package init(stringLiteral value: String) { self.init(value) }
}

package struct TableColumn: Hashable, Sendable {
  package enum Alignment: Sendable { case left, right }

  package var title: String
  package var alignment: Alignment
  /// Narrower than this it is not made; a column without it is never cut.
  package var shrinksTo: Int?

  package init(_ title: String, _ alignment: Alignment = .left, shrinksTo: Int? = nil) {
    self.title = title
    self.alignment = alignment
    self.shrinksTo = shrinksTo
  }
}

/// Rows under titles, as wide as they need to be and, where columns may shrink, as the terminal is.
/// Values come from peers as well: what would move the cursor is drawn as `?`.
package struct Table: Hashable, Sendable {
  package var columns: [TableColumn]
  package var rows: [[TableCell]]
  private static let gutter = 2

  package init(_ columns: [TableColumn], rows: [[TableCell]] = []) {
    self.columns = columns
    self.rows = rows
  }

  /// Every line ends in a newline; no line ends in a space.
  package func render(on terminal: Terminal) -> String {
    let titles = columns.map { TableCell($0.title, .heading) }
    let cells = ([titles] + rows).map { row in
      columns.indices.map { index in
        index < row.count ? TableCell(Table.clean(row[index].text), row[index].tone) : TableCell("")
      }
    }
    let widths = fitted(cells, into: terminal.width)
    return cells.map { line($0, widths: widths, terminal: terminal) }.joined()
  }

  private func fitted(_ cells: [[TableCell]], into width: Int?) -> [Int] {
    var widths = columns.indices.map { index in cells.map { $0[index].text.count }.max() ?? 0 }
    guard let width else { return widths }
    var excess = widths.reduce(0, +) + Table.gutter * max(0, widths.count - 1) - width
    // The widest column that may shrink gives first, a character at a time.
    while excess > 0 {
      let candidates = columns.indices.filter { index in
        columns[index].shrinksTo.map { widths[index] > max(1, $0) } ?? false
      }
      guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { break }
      widths[widest] -= 1
      excess -= 1
    }
    return widths
  }

  private func line(_ cells: [TableCell], widths: [Int], terminal: Terminal) -> String {
    var line = ""
    var pending = 0
    for (index, cell) in cells.enumerated() {
      let text = Table.cut(cell.text, to: widths[index], unicode: terminal.unicode)
      let padding = widths[index] - text.count
      if columns[index].alignment == .right { pending += padding }
      if !text.isEmpty {
        line += String(repeating: " ", count: pending) + terminal.toned(text, cell.tone)
        pending = 0
      }
      if columns[index].alignment == .left { pending += padding }
      pending += Table.gutter
    }
    return line + "\n"
  }

  private static func cut(_ text: String, to width: Int, unicode: Bool) -> String {
    guard text.count > width else { return text }
    return text.prefix(max(0, width - 1)) + (unicode ? "…" : "~")
  }

  package static func clean(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      result.unicodeScalars.append(LogEscaping.isDrawn(scalar) ? scalar : "?")
    }
    return result
  }
}

/// `name: value` lines, the values in one column.
package struct Sheet: Sendable {
  private var lines: [(String, TableCell)] = []

  package init() {}

  /// An empty value is left out.
  package mutating func add(_ name: String, _ value: TableCell) {
    if !value.text.isEmpty { lines.append((name, value)) }
  }
  package mutating func add(_ name: String, _ value: String?) {
    add(name, TableCell(value ?? ""))
  }

  package func render(on terminal: Terminal) -> String {
    let width = lines.map(\.0.count).max() ?? 0
    return lines.map { name, value in
      let padding = String(repeating: " ", count: width - name.count + 2)
      return terminal.toned(name, .faint) + padding
        + terminal.toned(Table.clean(value.text), value.tone) + "\n"
    }.joined()
  }
}
