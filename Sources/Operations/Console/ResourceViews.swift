import Foundation
import Policy

/// Resources as tables, made from what the API answers, so that a command shows what a newer server has.
package enum ResourceViews {
  /// `2 trunks, 1 user`, without the kinds of which there are none.
  package static func summary(_ counts: [String: Int]) -> String {
    let parts = ResourceSection.allCases.compactMap { section -> String? in
      guard let count = counts[section.rawValue], count > 0 else { return nil }
      return "\(count) \(count == 1 ? section.singular : section.rawValue)"
    }
    return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
  }

  /// Columns by kind, with the key of each.
  private static let columns: [ResourceSection: [(title: String, key: String)]] = [
    .tenants: [("TENANT", "name"), ("DOMAINS", "domains"), ("DIGEST", "digestAlgorithms")],
    .networks: [
      ("NETWORK", "name"), ("LISTENERS", "listeners"), ("MEDIA", "media"),
      ("ADVERTISED", "advertisedSignalling"), ("ADVERTISED MEDIA", "advertisedMedia"),
      ("TRUSTED", "trusted"),
    ],
    .trunks: [
      ("TRUNK", "name"), ("TENANT", "tenant"), ("KIND", "kind"), ("NETWORK", "network"),
      ("TARGETS", "targets"), ("SOURCES", "sources"), ("LIMIT", "maxCalls"),
      ("CPS", "callsPerSecond"), ("CODECS", "codecs"),
    ],
    .users: [
      ("USER", "name"), ("TENANT", "tenant"), ("EXTENSION", "extension"),
      ("CALLER ID", "callerID"), ("NETWORK", "network"), ("CONTACTS", "maxContacts"),
    ],
    .applications: [
      ("APPLICATION", "name"), ("TENANT", "tenant"), ("KIND", "kind"),
      ("EXTENSION", "extension"), ("FILE", "file"),
    ],
    .numbers: [
      ("NUMBER", "number"), ("TENANT", "tenant"), ("STATE", "state"),
      ("DESTINATIONS", "destinations"),
    ],
    .routes: [
      ("ROUTE", "name"), ("TENANT", "tenant"), ("PREFIX", "prefix"), ("STRIP", "strip"),
      ("PREPEND", "prepend"), ("CARRIERS", "carriers"), ("TIMEOUT", "timeout"),
    ],
    .pools: [
      ("POOL", "name"), ("TENANT", "tenant"), ("LINES", "lines"), ("TRUNKS", "trunks"),
      ("WHEN FULL", "whenFull"),
    ],
    .classes: [
      ("CLASS", "name"), ("TENANT", "tenant"), ("PREFIXES", "prefixes"), ("LIMIT", "maxCalls"),
      ("CPS", "callsPerSecond"),
    ],
    .emergencies: [
      ("TENANT", "tenant"), ("COUNTRY", "country"), ("NUMBERS", "numbers"),
      ("CARRIERS", "carriers"), ("RESERVED", "reserved"), ("CALLER ID", "callerID"),
    ],
  ]

  /// A table for each kind that the document has.
  package static func tables(_ document: [UInt8], on terminal: Terminal) throws -> String {
    let sections = try JSONDecoder().decode([String: JSONValue].self, from: Data(document))
    let tables = ResourceSection.allCases.compactMap { section -> String? in
      guard case .list(let items)? = sections[section.rawValue] else { return nil }
      if items.isEmpty { return "No \(section.rawValue).\n" }
      return table(section, items).render(on: terminal)
    }
    return tables.joined(separator: "\n")
  }

  private static func table(_ section: ResourceSection, _ items: [JSONValue]) -> Table {
    let columns = columns[section] ?? []
    return Table(
      columns.map { TableColumn($0.title, shrinksTo: 8) },
      rows: items.map { item in
        columns.map { TableCell(item[$0.key]?.summary ?? "") }
      })
  }
}

/// JSON without a schema.
enum JSONValue: Decodable {
  case nothing
  case flag(Bool)
  case number(Double)
  case text(String)
  case list([JSONValue])
  case group([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .nothing
    } else if let value = try? container.decode(Bool.self) {
      self = .flag(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .text(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .list(value)
    } else {
      self = .group(try container.decode([String: JSONValue].self))
    }
  }

  subscript(key: String) -> JSONValue? {
    if case .group(let values) = self { values[key] } else { nil }
  }

  /// In a cell: lists by commas; of a group what names it, a destination as `user:alice`, a carrier as
  /// its trunk.
  var summary: String {
    switch self {
    case .nothing: ""
    case .flag(let value): value ? "yes" : "no"
    case .number(let value): Decimals.text(value)
    case .text(let value): value
    case .list(let values): values.map(\.summary).joined(separator: ", ")
    case .group(let values):
      if values["continueOn"] != nil || values["timeout"] != nil {
        destination(values)
      } else {
        values["trunk"]?.summary ?? values["name"]?.summary ?? ""
      }
    }
  }

  private func destination(_ values: [String: JSONValue]) -> String {
    for kind in ["user", "trunk", "application", "number"] {
      if let name = values[kind]?.summary { return "\(kind):\(name)" }
    }
    return ""
  }
}

/// What a command itself says in JSON, in the form of the API.
package enum ConsoleJSON {
  package static func bytes(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(value)) + [10]
  }
}
