import Base

/// The location table: the contacts of each user (RFC 3261 §10.3), newest first.
///
/// Pure bookkeeping: who may register what, and what is answered, is decided by the shard.
struct Registrar {
  struct UserKey: Hashable {
    var tenant: String
    var user: String
  }
  struct Entry {
    var binding: Binding
    var serial: UInt64
    var timer: TimerID
  }

  private var users: [UserKey: [Entry]] = [:]
  private var owners: [UInt64: UserKey] = [:]
  private var lastSerial: UInt64 = 0
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  var count: Int { owners.count }
  var isFull: Bool { owners.count >= limit }

  var all: [Binding] { users.values.flatMap { $0.map(\.binding) } }

  func entries(_ key: UserKey) -> [Entry] { users[key] ?? [] }

  /// Adds a contact or refreshes the same one; the caller has removed what it replaces if at a limit.
  /// Returns the entry's serial, under which its timer is to be scheduled.
  mutating func put(_ binding: Binding, for key: UserKey, timer: TimerID = .none) -> UInt64 {
    lastSerial &+= 1
    users[key, default: []].insert(
      Entry(binding: binding, serial: lastSerial, timer: timer), at: 0)
    owners[lastSerial] = key
    return lastSerial
  }

  mutating func setTimer(_ timer: TimerID, serial: UInt64) {
    guard let key = owners[serial],
      let at = users[key]?.firstIndex(where: { $0.serial == serial })
    else { return }
    users[key]?[at].timer = timer
  }

  @discardableResult
  mutating func remove(serial: UInt64) -> Entry? {
    guard let key = owners.removeValue(forKey: serial),
      let at = users[key]?.firstIndex(where: { $0.serial == serial })
    else { return nil }
    let entry = users[key]?.remove(at: at)
    if users[key]?.isEmpty == true { users[key] = nil }
    return entry
  }
}
