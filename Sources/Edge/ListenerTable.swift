internal import Base
internal import CallCore
internal import SIPWire
internal import Locking

/// The listeners of a shard, as the server that changes them and the shard's thread that closes them both see
/// them. A place in the list is never given to another listener.
final class ListenerTable: Sendable {
  /// So many may there have been in the life of a process.
  static let limit = 1_024

  /// What a list of wanted listeners means for those that there are.
  struct Plan {
    var listeners: [Listener]
    /// Places of those that need a socket: they are new, or streams that had stopped listening.
    var opening: [Int]
    fileprivate var wanted: [Listener?]
    fileprivate var changes: Int
  }

  private struct State {
    var listeners: [Listener] = []
    /// As they were asked for: with port 0 where the system chose one.
    var wanted: [Listener?] = []
    var changes = 0
  }

  private let state: Mutex<State>

  init(bound: [Listener], wanted: [Listener]) {
    state = Mutex(State(listeners: bound, wanted: wanted))
  }

  var listeners: [Listener] { state.withLock { $0.listeners } }

  /// A wanted listener of the same transport and address is the one that there is, whatever it is called now;
  /// one that is not wanted any more is leaving. Nil: there would be more than the limit.
  func plan(_ wanted: [Listener]) -> Plan? {
    let state = state.withLock { $0 }
    var plan = Plan(
      listeners: state.listeners, opening: [], wanted: state.wanted, changes: state.changes)
    var taken: Set<Int> = []
    func place(_ listener: Listener, named: Bool) -> Int? {
      plan.wanted.indices.first { place in
        guard let known = plan.wanted[place], !taken.contains(place),
          plan.listeners[place].state != .closed
        else { return false }
        return known.transport == listener.transport && known.bound == listener.bound
          && (known.name == listener.name || !named && listener.bound.port != 0)
      }
    }
    var rest: [Listener] = []
    func keep(_ place: Int, as listener: Listener) {
      taken.insert(place)
      if plan.listeners[place].state == .leaving, listener.transport.isReliable {
        plan.opening.append(place)
      }
      plan.listeners[place].state = .open
      plan.listeners[place].name = listener.name
      plan.wanted[place] = listener
    }
    for listener in wanted {
      if let place = place(listener, named: true) {
        keep(place, as: listener)
      } else {
        rest.append(listener)
      }
    }
    for listener in rest {
      if let place = place(listener, named: false) {
        keep(place, as: listener)
      } else {
        taken.insert(plan.listeners.count)
        plan.opening.append(plan.listeners.count)
        plan.listeners.append(listener)
        plan.wanted.append(listener)
      }
    }
    guard plan.listeners.count <= Self.limit else { return nil }
    for place in plan.listeners.indices
    where !taken.contains(place) && plan.listeners[place].state == .open {
      plan.listeners[place].state = .leaving
    }
    return plan
  }

  /// False: a listener was closed since the plan was made, so another one is needed.
  func commit(_ plan: Plan) -> Bool {
    state.withLock { state in
      guard state.changes == plan.changes else { return false }
      state.listeners = plan.listeners
      state.wanted = plan.wanted
      state.changes += 1
      return true
    }
  }

  /// False: it was taken into use again meanwhile.
  func close(_ listener: ListenerIndex) -> Bool {
    state.withLock { state in
      guard state.listeners.indices.contains(Int(listener)),
        state.listeners[Int(listener)].state == .leaving
      else { return false }
      state.listeners[Int(listener)].state = .closed
      state.changes += 1
      return true
    }
  }
}
