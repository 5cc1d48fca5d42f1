import Base
import Policy

// What outside calls of a tenant, a trunk or a user may cost, read and written.

extension ResourceReader {
  static let tollKeys = ["mayCall", "costlyCalls", "callsPerMinute", "maxCallDuration"]

  /// - Parameter usual: of the costly calls what the group leaves out.
  mutating func toll(_ fields: DocumentFields, usual: CostlyCalls) -> TollRules {
    var rules = TollRules()
    if fields.has("mayCall") {
      rules.mayCall = DestinationClasses(
        reader.list(fields, "mayCall", .choice("a class of destinations")))
    }
    rules.callsPerMinute = reader.optional(fields, "callsPerMinute", .number(example: 10))
    rules.maxCallDuration = reader.optional(fields, "maxCallDuration", .duration(example: "4h"))
    let keys = ["maxCalls", "callsPerMinute", "minutesPerDay", "block"]
    guard let group = reader.group(fields, "costlyCalls", keys: keys) else { return rules }
    var costly = usual
    costly.maxCalls ?= reader.optional(group, "maxCalls", .number(example: 3))
    costly.callsPerMinute ?= reader.optional(group, "callsPerMinute", .number(example: 10))
    costly.minutesPerDay ?= reader.optional(group, "minutesPerDay", .number(example: 120))
    costly.block ?= reader.optional(group, "block", .flag)
    rules.costlyCalls = costly
    return rules
  }
}

extension TollRules {
  /// The same, to be written.
  var fields: [(String, DocumentNode?)] {
    [
      ("mayCall", mayCall.map { .list($0.classes.map { .text($0.rawValue) }) }),
      ("costlyCalls", costlyCalls.map(\.document)),
      ("callsPerMinute", callsPerMinute.map { .bare($0) }),
      ("maxCallDuration", maxCallDuration.map { .text($0.documentText) }),
    ]
  }
}

extension CostlyCalls {
  fileprivate var document: DocumentNode {
    .group([
      ("maxCalls", .bare(maxCalls)), ("callsPerMinute", .bare(callsPerMinute)),
      ("minutesPerDay", .bare(minutesPerDay)), ("block", .bare(block)),
    ])
  }
}
