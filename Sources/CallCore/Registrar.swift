import Base

/// The location table: the contacts of each user and of each trunk that registers (RFC 3261 §10.3), newest
/// first.
///
/// Pure bookkeeping: who may register what, and what is answered, is decided by the shard.
struct Registrar {
  struct UserKey: Hashable {
    var tenant: String
    var user: String
    var isTrunk = false
  }
  struct Entry {
    var binding: Binding
    var serial: UInt64
    var timer: TimerID
  }
  /// What temporary GRUUs stand for (RFC 5627 §5.4): they live as long as one of its contacts.
  struct Instance: Hashable {
    var key: UserKey
    var instance: String
  }

  /// Contacts of one place: nearly always one.
  private enum Serials {
    case one(UInt64)
    case many(Set<UInt64>)

    var all: [UInt64] {
      switch self {
      case .one(let serial): [serial]
      case .many(let serials): serials.sorted()
      }
    }

    mutating func insert(_ serial: UInt64) {
      switch self {
      case .one(let other): self = .many([other, serial])
      case .many(var serials):
        // Out of the case for the while: a set that is held twice is copied whole.
        self = .one(0)
        serials.insert(serial)
        self = .many(serials)
      }
    }

    /// True: none is left.
    mutating func remove(_ serial: UInt64) -> Bool {
      switch self {
      case .one(let only): return only == serial
      case .many(var serials):
        self = .one(0)
        serials.remove(serial)
        self = .many(serials)
        return serials.isEmpty
      }
    }
  }

  private var users: [UserKey: [Entry]] = [:]
  private var owners: [UInt64: UserKey] = [:]
  /// What was registered from one place, for when that is gone. A proxy in front may stand for all phones there are.
  private var connections: [Flow: Serials] = [:]
  /// Contacts that PBXs keep, by the names that they know them by.
  private var tokens: [String: UInt64] = [:]
  private var lastSerial: UInt64 = 0
  private let limit: Int

  /// Numbers of instances that were given a temporary GRUU, both ways.
  private var numbers: [Instance: UInt32] = [:]
  private var instances: [UInt32: Instance] = [:]
  private var lastInstance: UInt32 = 0

  init(limit: Int) { self.limit = limit }

  var count: Int { owners.count }
  var isFull: Bool { owners.count >= limit }

  var all: [Binding] { users.values.flatMap { $0.map(\.binding) } }

  func entries(_ key: UserKey) -> [Entry] { users[key] ?? [] }

  /// Those to call, the preferred ones first, of one preference the newest first.
  func targets(_ key: UserKey, instance: String = "") -> [Binding] {
    guard let entries = users[key] else { return [] }
    var bindings = entries.map(\.binding)
    if !instance.isEmpty { bindings.removeAll { $0.instance != instance } }
    // Two flows of one instance are one phone (RFC 5626 §5.3): the newest that is left serves.
    var seen: Set<String> = []
    bindings.removeAll { $0.flow != 0 && !seen.insert($0.instance).inserted }
    guard bindings.contains(where: { $0.preference != 1_000 }) else { return bindings }
    return bindings.enumerated().sorted {
      ($1.element.preference, $0.offset) < ($0.element.preference, $1.offset)
    }.map(\.element)
  }

  /// Adds a contact or refreshes the same one; the caller has removed what it replaces if at a limit.
  /// Returns the entry's serial, under which its timer is to be scheduled.
  mutating func put(_ binding: Binding, for key: UserKey, timer: TimerID = .none) -> UInt64 {
    lastSerial &+= 1
    users[key, default: []].insert(
      Entry(binding: binding, serial: lastSerial, timer: timer), at: 0)
    owners[lastSerial] = key
    if connections[binding.connection]?.insert(lastSerial) == nil {
      connections[binding.connection] = .one(lastSerial)
    }
    if let passed = binding.passed { tokens[passed.token] = lastSerial }
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
    guard let binding = entry?.binding else { return nil }
    if connections[binding.connection]?.remove(serial) == true {
      connections[binding.connection] = nil
    }
    if let token = binding.passed?.token, tokens[token] == serial { tokens[token] = nil }
    return entry
  }

  // MARK: GRUUs

  /// The number that temporary GRUUs of the instance carry.
  mutating func number(of instance: Instance) -> UInt32 {
    if let known = numbers[instance] { return known }
    lastInstance &+= 1
    numbers[instance] = lastInstance
    instances[lastInstance] = instance
    return lastInstance
  }

  func instance(number: UInt32) -> Instance? { instances[number] }

  /// RFC 5627 §5.1, §5.3: with the last contact of an instance, or with another Call-ID, its temporary GRUUs
  /// end.
  mutating func endTemporaryGRUUs(_ instance: Instance) {
    guard let number = numbers.removeValue(forKey: instance) else { return }
    instances[number] = nil
  }

  func hasContact(_ instance: Instance) -> Bool {
    users[instance.key]?.contains { $0.binding.instance == instance.instance } ?? false
  }

  func serials(on connection: Flow) -> [UInt64] { connections[connection]?.all ?? [] }

  /// Looks through all of them.
  func serials(onListener listener: ListenerIndex) -> [UInt64] {
    connections.filter { $0.key.listener == listener }.flatMap(\.value.all)
  }

  func hasContacts(on connection: Flow) -> Bool { connections[connection] != nil }

  // MARK: Contacts that PBXs keep

  var hasTokens: Bool { !tokens.isEmpty }
  var tokenCount: Int { tokens.count }

  func binding(token: String) -> Binding? {
    guard let serial = tokens[token], let key = owners[serial] else { return nil }
    return users[key]?.first { $0.serial == serial }?.binding
  }
}

extension Binding {
  var connection: Flow { Flow(listener: listener, remote: source) }
}
