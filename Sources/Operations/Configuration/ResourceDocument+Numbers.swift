import Policy

// Forms of numbers and callers, read and written.

extension ResourceReader {
  private static let planKeys = [
    "countryCode", "nationalPrefix", "internationalPrefixes", "bare", "localDigits",
  ]

  /// `numbers` of a tenant.
  mutating func numberPlan(_ parent: DocumentFields) -> NumberPlan? {
    guard let fields = group(parent, "numbers", keys: Self.planKeys) else { return nil }
    return plan(fields)
  }

  private mutating func plan(_ fields: DocumentFields) -> NumberPlan? {
    guard Self.planKeys.contains(where: { fields.has($0) }) else { return nil }
    var plan = NumberPlan(
      countryCode: reader.required(
        fields, "countryCode", .text("a country code", example: "\"44\"")) ?? "")
    plan.nationalPrefix = reader.optional(
      fields, "nationalPrefix", .text("digits", example: "\"0\""))
    if fields.has("internationalPrefixes") {
      plan.internationalPrefixes = reader.list(
        fields, "internationalPrefixes", .text("digits", example: "\"00\""))
    }
    plan.bare = reader.optional(fields, "bare", .choice("what digits without a prefix are"))
    plan.localDigits =
      reader.optional(fields, "localDigits", .number(example: 7)) ?? ResourceDefaults.localDigits
    return plan
  }

  /// `numbers` of a trunk.
  mutating func trunkNumbers(_ parent: DocumentFields) -> TrunkNumbers? {
    let keys =
      Self.planKeys + [
        "calledFrom", "callerFrom", "form", "prefix", "scheme", "userPhone", "callerIn",
      ]
    guard let fields = group(parent, "numbers", keys: keys) else { return nil }
    var numbers = TrunkNumbers(plan: plan(fields))
    let places: [CalledPlace] = reader.list(
      fields, "calledFrom", .choice("a place of the called number"))
    if !places.isEmpty { numbers.calledFrom = places }
    numbers.callerFrom = reader.list(
      fields, "callerFrom", .choice("a place of the caller's number"))
    numbers.form = reader.optional(fields, "form", .choice("a form of numbers")) ?? .asIs
    numbers.prefix =
      reader.optional(fields, "prefix", .text("digits", example: "\"9\"")) ?? ""
    numbers.scheme = reader.optional(fields, "scheme", .choice("a scheme")) ?? .sip
    numbers.userPhone = reader.optional(fields, "userPhone", .flag) ?? false
    if fields.has("callerIn") {
      numbers.callerIn = reader.list(fields, "callerIn", .choice("a place of the caller's number"))
    }
    return numbers
  }

  /// `callerID` of a trunk.
  mutating func callerPolicy(_ parent: DocumentFields) -> CallerPolicy? {
    let keys = ["allow", "numbers", "default", "otherwise"]
    guard let fields = group(parent, "callerID", keys: keys) else { return nil }
    return CallerPolicy(
      allow: reader.optional(fields, "allow", .choice("which numbers are allowed")) ?? .any,
      numbers: reader.list(fields, "numbers", .text("a number", example: "\"+441632960100\"")),
      standard: reader.optional(
        fields, "default", .text("a number", example: "\"+441632960100\"")),
      otherwise: reader.optional(fields, "otherwise", .choice("what is shown instead")))
  }

  mutating func group(_ parent: DocumentFields, _ key: String, keys: [String]) -> DocumentFields? {
    reader.group(parent, key, keys: keys)
  }
}

extension NumberPlan {
  var documentPairs: [(String, DocumentNode?)] {
    [
      ("countryCode", .text(countryCode)), ("nationalPrefix", nationalPrefix.map { .text($0) }),
      (
        "internationalPrefixes",
        internationalPrefixes.map { prefixes in .list(prefixes.map { .text($0) }) }
      ),
      ("bare", bare.map { .text($0.rawValue) }), ("localDigits", .bare(localDigits)),
    ]
  }
}

extension TrunkNumbers {
  var document: DocumentNode {
    .group(
      (plan?.documentPairs ?? []) + [
        ("calledFrom", .texts(calledFrom.map(\.rawValue))),
        ("callerFrom", .texts(callerFrom.map(\.rawValue))), ("form", .text(form.rawValue)),
        ("prefix", .text(prefix)), ("scheme", .text(scheme.rawValue)),
        ("userPhone", .bare(userPhone)),
        ("callerIn", callerIn.map { places in .list(places.map { .text($0.rawValue) }) }),
      ])
  }
}

extension CallerPolicy {
  var document: DocumentNode {
    .group([
      ("allow", .text(allow.rawValue)), ("numbers", .texts(numbers)),
      ("default", standard.map { .text($0) }), ("otherwise", otherwise.map { .text($0.rawValue) }),
    ])
  }
}
