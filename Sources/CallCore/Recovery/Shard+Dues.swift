import Base
import Policy

/// What peers have still to be told of calls that an earlier process left up.
struct RecoveryDues {
  enum Due {
    /// It cannot go on: both sides get a BYE.
    case release(Session)
    /// The peer is asked for new keys.
    case renew(Leg)

    /// How many messages that is.
    var messages: Int { if case .release = self { 2 } else { 1 } }
  }

  static let pause = Interval.milliseconds(10)
  /// In each pause: 20 000 a second, which a socket's buffer takes, and a queue of output many times over.
  static let most = 200

  private var list: [Due] = []
  private var next = 0

  var isEmpty: Bool { next == list.count }

  mutating func add(_ due: Due) { list.append(due) }

  mutating func take() -> Due? {
    guard next < list.count else {
      list = []
      next = 0
      return nil
    }
    defer { next += 1 }
    return list[next]
  }
}

// Ten thousand calls may have to be ended, or given new keys, at one start. What does not fit into the output would be
// lost and not be sent again, so it is said bit by bit. Until its turn each call is as it was: whoever hangs up first is
// answered.

extension Shard {
  func recoveryDue() {
    var room = max(1, min(RecoveryDues.most, settings.limits.outputDatagrams / 4))
    while room > 0, let due = dues.take() {
      room -= due.messages
      switch due {
      case .release(let session): release(session, by: .system, .interrupted)
      case .renew(let leg): renewKeys(leg)
      }
    }
    guard !dues.isEmpty else { return }
    _ = wheel.schedule(
      at: now + RecoveryDues.pause, kind: ShardTimer.recovery.rawValue, owner: 0)
  }
}
