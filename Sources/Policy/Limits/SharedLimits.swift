// What a user writes down of limits that are shared: pools of lines, classes of numbers, emergency calls.

/// What becomes of a call when every line of a pool is taken.
package enum PoolOverflow: String, Sendable, CaseIterable {
  /// The caller hears busy.
  case busy
  /// The next carrier or destination is tried, as when a trunk is full.
  case next
}

/// Lines that several trunks share, whoever of the tenant uses them: a call through one of the trunks, in or
/// out, takes one.
package struct Pool: Hashable, Sendable {
  package var name: String
  package var tenant: String
  package var lines: Int
  package var trunks: [String]
  package var whenFull: PoolOverflow

  package init(
    name: String, tenant: String, lines: Int, trunks: [String], whenFull: PoolOverflow = .busy
  ) {
    self.name = name
    self.tenant = tenant
    self.lines = lines
    self.trunks = trunks
    self.whenFull = whenFull
  }
}

/// Outside numbers that have limits of their own: a country, premium rates, satellites.
package struct NumberClass: Hashable, Sendable {
  package var name: String
  package var tenant: String
  /// As numbers are inside: with a plus where a plan of numbers reads them.
  package var prefixes: [String]
  /// 0: no call at all. Nil: unlimited.
  package var maxCalls: Int?
  package var callsPerSecond: Int?
  /// A call to one of them is told at once: ranges that are known for fraud, test numbers among them.
  package var alarm = false

  package init(
    name: String, tenant: String, prefixes: [String], maxCalls: Int? = nil,
    callsPerSecond: Int? = nil
  ) {
    self.name = name
    self.tenant = tenant
    self.prefixes = prefixes
    self.maxCalls = maxCalls
    self.callsPerSecond = callsPerSecond
  }
}
