import Base
import CallCore

/// What a batch of facts comes to: one change a call and one a contact, however many facts spoke of them.
///
/// A call that was attempted, answered and ended within a batch is one insert. Values are indices into
/// the batch, so nothing is copied.
struct BatchPlan {
  struct CallChange {
    var id: CallID
    var attempted: Int?
    var answered: Int?
    /// The latest fact of a recording, which has the call's record too.
    var recorded: Int?
    /// The latest fact that carries the session's record.
    var session: Int?
    var ended: Int?
    var last: Int
  }

  private(set) var calls: [CallChange] = []
  /// The last fact of each contact, in order of first mention.
  private(set) var bindings: [Int] = []
  private(set) var mailboxes: [Int] = []
  /// The last fact of each ban, and of each account of costly calls.
  private(set) var bans: [Int] = []
  private(set) var toll: [Int] = []

  private struct ContactKey: Hashable {
    var tenant: String
    var user: String
    var isTrunk: Bool
    var contact: String
    var flow: UInt32
  }

  private struct TollKey: Hashable {
    var tenant: String
    var account: String
  }

  init(_ facts: [Fact]) {
    var callIndex: [CallID: Int] = [:]
    var contactIndex: [ContactKey: Int] = [:]
    var banIndex: [IPNetwork: Int] = [:]
    var tollIndex: [TollKey: Int] = [:]
    for (position, fact) in facts.enumerated() {
      switch fact.event {
      case .callAttempted(let record):
        change(record.id, position, &callIndex) { $0.attempted = position }
      case .callAnswered(let record, _):
        change(record.id, position, &callIndex) {
          $0.answered = position
          $0.session = position
        }
      case .recordingChanged(_, let record):
        change(record.id, position, &callIndex) { $0.recorded = position }
      case .callRecovered, .sessionChanged:
        guard let id = fact.call else { continue }
        change(id, position, &callIndex) { $0.session = position }
      case .callEnded(let record):
        change(record.id, position, &callIndex) { $0.ended = position }
      case .bindingAdded(let binding), .bindingRemoved(let binding):
        let key = ContactKey(
          tenant: binding.tenant, user: binding.user, isTrunk: binding.isTrunk,
          contact: binding.contact, flow: binding.flow)
        if let known = contactIndex[key] {
          bindings[known] = position
        } else {
          contactIndex[key] = bindings.count
          bindings.append(position)
        }
      case .mailboxSet: mailboxes.append(position)
      case .banned(let ban), .banEnded(let ban, _): banIndex[ban.network] = position
      case .tollKept(let memory):
        tollIndex[TollKey(tenant: memory.tenant, account: memory.account)] = position
      case .callsRecovered, .hopTried, .hopEnded, .callRinging, .callNoted, .digitPassed,
        .mediaLatched, .mediaSilent, .audioVerdict, .authenticationFailed, .previousPasswordUsed,
        .requestRefused,
        .messageDropped,
        .targetState,
        .registrationState, .subscriptionState, .nameState, .internalFault,
        .tollAlarm, .overload, .configurationApplied, .listenerClosed, .drained:
        continue
      }
    }
    if !banIndex.isEmpty { bans = banIndex.values.sorted() }
    if !tollIndex.isEmpty { toll = tollIndex.values.sorted() }
  }

  var isEmpty: Bool {
    calls.isEmpty && bindings.isEmpty && mailboxes.isEmpty && bans.isEmpty && toll.isEmpty
  }

  private mutating func change(
    _ id: CallID, _ position: Int, _ index: inout [CallID: Int],
    _ body: (inout CallChange) -> Void
  ) {
    let slot: Int
    if let known = index[id] {
      slot = known
    } else {
      slot = calls.count
      index[id] = slot
      calls.append(CallChange(id: id, last: position))
    }
    body(&calls[slot])
    calls[slot].last = position
  }
}

/// What is lost with a fact that does not get into the store.
enum Durability {
  /// A record, or somebody's minutes.
  case indispensable
  /// A refreshed contact, a session's latest form, a ban: may be left out when the writer is far behind.
  case wanted
  /// Nothing: the store has nothing to write for it.
  case none
}

extension FactEvent {
  var durability: Durability {
    switch self {
    case .callAttempted, .callAnswered, .callEnded, .tollKept: .indispensable
    case .callRecovered, .sessionChanged, .recordingChanged, .bindingAdded, .bindingRemoved,
      .mailboxSet, .banned, .banEnded:
      .wanted
    case .callsRecovered, .hopTried, .hopEnded, .callRinging, .callNoted, .digitPassed,
      .mediaLatched, .mediaSilent,
      .audioVerdict, .authenticationFailed, .previousPasswordUsed, .requestRefused, .messageDropped,
      .targetState,
      .registrationState, .subscriptionState, .nameState, .internalFault,
      .tollAlarm, .overload, .configurationApplied, .listenerClosed, .drained:
      .none
    }
  }
}
