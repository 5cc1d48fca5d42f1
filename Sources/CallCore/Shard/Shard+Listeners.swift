import Base
import Policy
import SIPCore
import SIPWire

// Listeners that come and go while calls run. One that goes takes nothing new, and is closed when what it carried
// is over; phones that were registered by it come back by another.

private enum LeavingTimes {
  static let look = Interval.seconds(2)
  /// After the last call: transactions end within 64·T1 (RFC 3261 §17).
  static let rest = Interval.seconds(32)
  /// Bindings that are removed between two looks.
  static let bindings = 5_000
}

extension Shard {
  func follow(_ next: [Listener], _ configuration: Configuration) {
    listeners = next
    load.follow(listeners: next.count)
    for (index, listener) in next.enumerated() {
      let index = ListenerIndex(clamping: index)
      if listener.state != .leaving {
        leavingListeners[index] = nil
      } else if leavingListeners[index] == nil {
        leavingListeners[index] = .some(nil)
      }
    }
    follow(configuration)
    watchLeavingListeners()
  }

  func isLeaving(_ listener: ListenerIndex) -> Bool {
    listeners.indices.contains(Int(listener)) && listeners[Int(listener)].state != .open
  }

  /// Whether we listen there, so that what goes there would come back to us.
  func isOurs(_ address: SocketAddress) -> Bool {
    listeners.contains { $0.bound == address && $0.state != .closed }
  }

  private func watchLeavingListeners() {
    wheel.cancel(&leavingTimer)
    guard !leavingListeners.isEmpty else { return }
    leavingTimer = wheel.schedule(
      at: now + LeavingTimes.look, kind: ShardTimer.leavingListeners.rawValue, owner: 0)
  }

  func leavingListenersDue() {
    leavingTimer = .none
    let used = listenersInUse
    for (index, quietSince) in leavingListeners {
      if used.contains(index) {
        leavingListeners[index] = .some(nil)
      } else if let quietSince {
        if now - quietSince >= LeavingTimes.rest { close(index) }
      } else {
        leavingListeners[index] = .some(now)
      }
    }
    watchLeavingListeners()
  }

  /// Of the legs of all calls: looked through only while a listener leaves.
  private var listenersInUse: Set<ListenerIndex> {
    var used: Set<ListenerIndex> = []
    for handle in legs.handles {
      guard let leg = leg(handle) else { continue }
      used.insert(leg.listener)
      if let listener = leg.largeFrom { used.insert(listener) }
    }
    return used
  }

  private func close(_ index: ListenerIndex) {
    let bindings = registrar.serials(onListener: index)
    for serial in bindings.prefix(LeavingTimes.bindings) { removeBinding(serial) }
    guard bindings.count <= LeavingTimes.bindings else { return }
    leavingListeners[index] = nil
    listeners[Int(index)].state = .closed
    outbox.closedListeners.append(index)
    tell(.listenerClosed(name: listeners[Int(index)].name))
  }
}
