import Base
import SIPCore

/// Every subscription, found by its handle, by what it is to, and counted by who has it.
///
/// Pure bookkeeping: who may subscribe to what, and what is told, is decided by the shard.
struct Subscriptions: ~Copyable {
  private var all: Slab<EventSubscription?>
  private var byWatched: [Watched: [SlabHandle]] = [:]
  private var ofWatcher: [Registrar.UserKey: Int] = [:]
  /// Serials of the calls that users with a watched `dialog` have part in.
  private var calls: [Registrar.UserKey: Set<UInt64>] = [:]
  /// Whose state has changed since watchers were last told.
  private var stale: [Watched] = []

  init(limit: Int) { all = Slab(limit: limit, placeholder: nil) }

  var count: Int { all.count }
  var isEmpty: Bool { all.count == 0 }
  var hasStale: Bool { !stale.isEmpty }
  var handles: [SlabHandle] { all.handles }

  subscript(_ handle: SlabHandle) -> EventSubscription? {
    all.isLive(handle) ? all[handle] : nil
  }

  func count(of watcher: Registrar.UserKey) -> Int { ofWatcher[watcher] ?? 0 }

  func to(_ watched: Watched) -> [EventSubscription] {
    (byWatched[watched] ?? []).compactMap { self[$0] }
  }

  func isWatched(_ watched: Watched) -> Bool { byWatched[watched] != nil }

  /// False: there is no room.
  mutating func insert(_ subscription: EventSubscription) -> Bool {
    guard let handle = all.insert(subscription) else { return false }
    subscription.handle = handle
    byWatched[subscription.watched, default: []].append(handle)
    ofWatcher[subscription.watcher, default: 0] += 1
    return true
  }

  mutating func remove(_ subscription: EventSubscription) -> Bool {
    guard all.remove(subscription.handle) != nil else { return false }
    let watched = subscription.watched
    byWatched[watched]?.removeAll { $0 == subscription.handle }
    if byWatched[watched]?.isEmpty == true {
      byWatched[watched] = nil
      if watched.package == .dialog { calls[watched.user] = nil }
    }
    let left = (ofWatcher[subscription.watcher] ?? 1) - 1
    ofWatcher[subscription.watcher] = left > 0 ? left : nil
    return true
  }

  // MARK: What is watched

  mutating func note(_ call: UInt64, of user: Registrar.UserKey) {
    calls[user, default: []].insert(call)
  }

  mutating func forget(_ call: UInt64, of user: Registrar.UserKey) {
    calls[user]?.remove(call)
  }

  func calls(of user: Registrar.UserKey) -> [UInt64] { (calls[user] ?? []).sorted() }

  mutating func changed(_ watched: Watched) {
    if byWatched[watched] != nil, !stale.contains(watched) { stale.append(watched) }
  }

  mutating func takeStale() -> [Watched] {
    defer { stale.removeAll(keepingCapacity: true) }
    return stale
  }
}
