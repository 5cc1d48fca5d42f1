import Foundation
import Glibc

/// What the command writes to: whether it is a terminal, how wide, and whether it may be coloured.
package struct Terminal: Hashable, Sendable {
  /// Columns; nil where nobody looks at lines, a file or a pipe.
  package var width: Int?
  package var colours: Bool
  /// Whether the locale has characters beyond ASCII.
  package var unicode: Bool

  package init(width: Int? = nil, colours: Bool = false, unicode: Bool = true) {
    self.width = width
    self.colours = colours
    self.unicode = unicode
  }

  /// Standard output, as it is. `NO_COLOR` (no-color.org) and `TERM=dumb` are honoured.
  package static func standardOutput(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> Terminal {
    of(STDOUT_FILENO, environment)
  }

  package static func standardError(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> Terminal {
    of(STDERR_FILENO, environment)
  }

  private static func of(_ descriptor: Int32, _ environment: [String: String]) -> Terminal {
    let isTerminal = isatty(descriptor) == 1
    let locale = environment["LC_ALL"] ?? environment["LC_CTYPE"] ?? environment["LANG"] ?? ""
    let wantsColour = environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
    return Terminal(
      width: isTerminal ? columns(descriptor, environment) : nil,
      colours: isTerminal && wantsColour,
      unicode: !isTerminal || locale.isEmpty || locale.uppercased().contains("UTF"))
  }

  private static func columns(_ descriptor: Int32, _ environment: [String: String]) -> Int {
    var size = winsize()
    if unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 {
      return Int(size.ws_col)
    }
    return environment["COLUMNS"].flatMap { Int($0) } ?? 80
  }
}

/// What a word means, where colour can say it.
package enum Tone: String, Sendable {
  case plain, heading, good, warning, bad, faint

  fileprivate var code: String {
    switch self {
    case .plain: ""
    case .heading: "1"
    case .good: "32"
    case .warning: "33"
    case .bad: "31"
    case .faint: "2"
    }
  }
}

extension Terminal {
  package func toned(_ text: String, _ tone: Tone) -> String {
    colours && tone != .plain ? "\u{1b}[\(tone.code)m\(text)\u{1b}[0m" : text
  }
}
