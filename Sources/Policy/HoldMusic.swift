// Music on hold: whose, and what is played.

extension Configuration {
  /// Somebody has music: only then is it looked who.
  package var playsMusic: Bool { tables.playsMusic }

  /// The name of the music of a side that puts the other on hold; nil: it has none.
  ///
  /// - Parameter party: "trunk:NAME" or "user:NAME", as records name them; others have what their tenant has.
  package func musicOnHold(of party: String, tenant: Int) -> String? {
    guard tables.playsMusic, tenants.indices.contains(tenant) else { return nil }
    let parts = party.split(separator: ":", maxSplits: 1)
    var own: String?
    if parts.count == 2 {
      let name = String(parts[1])
      switch parts[0] {
      case "trunk": own = trunk(named: name, tenant: tenant).flatMap { trunks[$0].musicOnHold }
      case "user": own = user(named: name, tenant: tenant).flatMap { users[$0].musicOnHold }
      default: break
      }
    }
    return own ?? tenants[tenant].musicOnHold
  }

  /// Where the music stands among what the media plane can play; nil: there is none of that name.
  package func music(named name: String, tenant: Int) -> UInt32? {
    guard let index = application(named: name, tenant: tenant), applications[index].kind == .music
    else { return nil }
    return announcement(ofApplication: index)
  }
}

extension ConfigurationCompiler {
  /// Once all applications are known.
  mutating func checkMusic() {
    for (index, tenant) in resources.tenants.enumerated() {
      check(tenant.musicOnHold, tenant: index, at: ["tenants", .index(index)])
    }
    for (index, trunk) in resources.trunks.enumerated() {
      check(
        trunk.musicOnHold, tenant: tables.tenantOfTrunk[index], at: ["trunks", .index(index)])
    }
    for (index, user) in resources.users.enumerated() {
      check(user.musicOnHold, tenant: tables.tenantOfUser[index], at: ["users", .index(index)])
    }
  }

  private mutating func check(_ music: String?, tenant: Int, at path: [PathElement]) {
    guard let music else { return }
    tables.playsMusic = true
    let path = path + ["musicOnHold"]
    guard let application = tables.applications[TenantKey(tenant, music)] else {
      return report(
        path, "there is no application `\(music)` in the tenant",
        remedy: "Name an application of kind music of the same tenant.")
    }
    if resources.applications[application].kind != .music {
      report(
        path, "the application `\(music)` is no music",
        remedy: "Name an application of kind music: it has no end.")
    }
  }
}
