import Policy

// Pools of lines, classes of numbers and emergencies, read and written.

extension ResourceReader {
  mutating func pool(_ item: Item) -> Pool? {
    let keys = ["name", "tenant", "lines", "trunks", "whenFull"]
    guard let fields = reader.fields(item.node, item.path, keys: keys) else { return nil }
    return Pool(
      name: name(fields), tenant: tenant(of: fields),
      lines: reader.required(fields, "lines", .number(example: 30)) ?? 0,
      trunks: reader.list(fields, "trunks", .text("a trunk's name", example: "office")),
      whenFull: reader.optional(fields, "whenFull", .choice("what becomes of a call")) ?? .busy)
  }

  mutating func numberClass(_ item: Item) -> NumberClass? {
    let keys = ["name", "tenant", "prefixes", "maxCalls", "callsPerSecond", "alarm"]
    guard let fields = reader.fields(item.node, item.path, keys: keys) else { return nil }
    var numbers = NumberClass(
      name: name(fields), tenant: tenant(of: fields),
      prefixes: reader.list(fields, "prefixes", .text("a prefix", example: "\"+88\"")),
      maxCalls: reader.optional(fields, "maxCalls", .number(example: 2)),
      callsPerSecond: reader.optional(fields, "callsPerSecond", .number(example: 1)))
    numbers.alarm ?= reader.optional(fields, "alarm", .flag)
    return numbers
  }

  mutating func emergency(_ item: Item) -> Emergency? {
    let keys = ["tenant", "country", "numbers", "carriers", "reserved", "callerID"]
    guard let fields = reader.fields(item.node, item.path, keys: keys) else { return nil }
    return Emergency(
      tenant: tenant(of: fields),
      country: reader.optional(fields, "country", .text("a country code", example: "\"49\"")),
      numbers: reader.list(fields, "numbers", .text("a number", example: "\"112\"")),
      carriers: reader.items(fields, "carriers").compactMap { carrier($0) },
      reserved: reader.optional(fields, "reserved", .number(example: 4))
        ?? ResourceDefaults.emergencyReserved,
      callerID: reader.optional(
        fields, "callerID", .text("a number", example: "\"+441632960100\"")))
  }
}

extension Pool {
  var document: DocumentNode {
    .group([
      ("name", .text(name)), ("tenant", .text(tenant)), ("lines", .bare(lines)),
      ("trunks", .texts(trunks)), ("whenFull", .text(whenFull.rawValue)),
    ])
  }
}

extension NumberClass {
  var document: DocumentNode {
    .group([
      ("name", .text(name)), ("tenant", .text(tenant)), ("prefixes", .texts(prefixes)),
      ("maxCalls", maxCalls.map { .bare($0) }),
      ("callsPerSecond", callsPerSecond.map { .bare($0) }),
      ("alarm", alarm ? .bare(alarm) : nil),
    ])
  }
}
