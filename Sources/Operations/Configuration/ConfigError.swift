/// One thing that is wrong with a file, an environment variable or a flag: where, what, what was probably
/// meant, and what to do.
package struct ConfigError: Hashable, Sendable {
  /// The file as it was named, or "environment", or "command line".
  package var source: String
  /// From 1; 0: not in a line of a file.
  package var line: Int
  package var column: Int
  /// `numbers[3].destinations[0].user`; empty where the text could not be read at all.
  package var path: String
  package var message: String
  package var suggestion: String?
  package var remedy: String

  package init(
    source: String, line: Int = 0, column: Int = 0, path: String = "", message: String,
    suggestion: String? = nil, remedy: String
  ) {
    self.source = source
    self.line = line
    self.column = column
    self.path = path
    self.message = message
    self.suggestion = suggestion
    self.remedy = remedy
  }
}

extension ConfigError: CustomStringConvertible {
  /// `acme.yaml:12:7: unknown key `adress`; did you mean `address`? Known keys: name, address.`
  package var description: String {
    let place = line > 0 ? "\(source):\(line):\(column)" : source
    let meant = suggestion.map { "; did you mean `\($0)`?" } ?? "."
    return "\(place): \(message)\(meant) \(remedy)"
  }
}

/// Everything that is wrong; never empty. What it is about was not used at all.
package struct ConfigErrors: Error, Hashable, Sendable, CustomStringConvertible {
  package var errors: [ConfigError]
  package init(_ errors: [ConfigError]) { self.errors = errors }

  package var description: String { errors.map(\.description).joined(separator: "\n") }
}
