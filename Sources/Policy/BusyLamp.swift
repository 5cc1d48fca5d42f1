/// How much of a user's calls somebody may see.
package enum BusyLampView: String, Sendable, CaseIterable {
  case nothing
  /// Whether there are any, and whether they ring or are answered.
  case state
  /// With whom too; and whoever sees that may take a call that rings.
  case calls
}

extension Configuration {
  /// Nil: users of different tenants know nothing of each other.
  package func view(ofUser user: Int, by watcher: Int) -> BusyLampView? {
    guard users.indices.contains(user), users.indices.contains(watcher),
      users[user].tenant == users[watcher].tenant
    else { return nil }
    if user == watcher || users[user].pickup.contains(users[watcher].name) { return .calls }
    return users[user].busyLamp
  }
}
