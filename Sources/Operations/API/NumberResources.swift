package import Policy

/// A number of the inventory, and where it stands.
package struct NumberResource: Codable, Hashable, Sendable {
  package var number: String
  package var tenant: String
  /// `assigned`, `available` or `suspended`.
  package var state: String
  /// Its destinations in order, as `trunk pbx`; those that ring together in one text.
  package var leadsTo: [String]

  package init(_ number: Number) {
    self.number = number.number
    tenant = number.tenant
    state = number.state.rawValue
    leadsTo = number.destinations.map(\.to.summary)
  }
}

/// A change in the life of a number, and the revision of the resources that made it.
package struct NumberEventResource: Codable, Hashable, Sendable {
  package var revision: UInt64
  package var at: String
  /// Nil: the number was taken out of the inventory.
  package var became: NumberResource?

  package init(revision: UInt64, at: String, became: NumberResource?) {
    self.revision = revision
    self.at = at
    self.became = became
  }
}

/// What is to become of a number; what is nil stays as it is.
package struct NumberChange: Codable, Hashable, Sendable {
  /// Kind and name: `{"trunk": "pbx"}`.
  package var to: [String: String]?
  package var tenant: String?
  package var state: String?
  /// Which one, where several tenants have the number.
  package var of: String?

  package init(
    to: [String: String]? = nil, tenant: String? = nil, state: String? = nil, of: String? = nil
  ) {
    self.to = to
    self.tenant = tenant
    self.state = state
    self.of = of
  }
}

extension Destination {
  /// `trunk pbx`
  package var summary: String {
    switch self {
    case .user(let name): "user \(name)"
    case .trunk(let name): "trunk \(name)"
    case .application(let name): "application \(name)"
    case .number(let number): "number \(number)"
    case .ring(let members): members.map(\.summary).joined(separator: " + ")
    }
  }

  /// Of exactly one kind and name.
  init(_ target: [String: String]) throws(APIFailure) {
    guard target.count == 1, let (kind, name) = target.first else {
      throw APIFailure(
        .badRequest, "`to` names \(target.count) destinations", remedy: "Name one.")
    }
    switch kind {
    case "user": self = .user(name)
    case "trunk": self = .trunk(name)
    case "application": self = .application(name)
    case "number": self = .number(name)
    default:
      throw APIFailure(
        .badRequest, "a number cannot lead to a `\(kind)`",
        remedy: "Known: user, trunk, application, number.")
    }
  }
}

extension Number {
  /// With the change; whether it fits the rest is for the whole of the resources to say.
  func changed(by change: NumberChange) throws(APIFailure) -> Number {
    var number = self
    if let tenant = change.tenant { number.tenant = tenant }
    if let to = change.to {
      number.destinations = [DestinationHop(to: try Destination(to))]
      number.state = .assigned
    }
    if let state = change.state {
      guard let state = NumberState(rawValue: state) else {
        throw APIFailure(
          .badRequest, "`\(state)` is no state of a number",
          remedy: "Known: \(NumberState.allCases.map(\.rawValue).joined(separator: ", ")).")
      }
      number.state = state
      if state == .available { number.destinations = [] }
    }
    return number
  }
}
