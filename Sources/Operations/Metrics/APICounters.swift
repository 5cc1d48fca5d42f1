import Locking

package struct APIRequestCount: Hashable, Sendable {
  package var method: String
  /// The pattern that matched, not what was asked for: as many values as the API has routes.
  package var route: String
  package var status: Int
  package var count: UInt64

  package init(method: String, route: String, status: Int, count: UInt64) {
    self.method = method
    self.route = route
    self.status = status
    self.count = count
  }
}

package final class APICounters: Sendable {
  private struct Key: Hashable {
    var method: String
    var route: String
    var status: Int
  }

  private let counts = Mutex<[Key: UInt64]>([:])

  package init() {}

  package func count(method: String, route: String, status: Int) {
    counts.withLock { $0[Key(method: method, route: route, status: status), default: 0] &+= 1 }
  }

  package var current: [APIRequestCount] {
    counts.withLock { counts in
      counts.map { key, count in
        APIRequestCount(method: key.method, route: key.route, status: key.status, count: count)
      }
    }.sorted { ($0.route, $0.method, $0.status) < ($1.route, $1.method, $1.status) }
  }
}
