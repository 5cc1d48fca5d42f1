package import Base
package import SIPCore
import SIPWire

/// What can be subscribed to (RFC 6665 §7.2), besides what a REFER subscribes to by itself.
package enum EventPackage: UInt8, Sendable, CaseIterable {
  /// A user's calls (RFC 4235), mailbox (RFC 3842), contacts (RFC 3680).
  case dialog, messageSummary, registration

  package var name: String {
    switch self {
    case .dialog: "dialog"
    case .messageSummary: "message-summary"
    case .registration: "reg"
    }
  }

  init?(_ text: RawSpan) {
    if text.equals("dialog") {
      self = .dialog
    } else if text.equals("message-summary") {
      self = .messageSummary
    } else if text.equals("reg") {
      self = .registration
    } else {
      return nil
    }
  }

  /// The least time between two NOTIFYs: RFC 4235 §3.10, RFC 3680 §4.10, RFC 3842 §3.11.
  var pace: Interval {
    switch self {
    case .dialog, .messageSummary: .seconds(1)
    case .registration: .seconds(5)
    }
  }

  var contentType: StaticString {
    switch self {
    case .dialog: DialogInfo.contentType
    case .messageSummary: MessageSummary.contentType
    case .registration: RegistrationInfo.contentType
    }
  }
}

/// Whose state of which package.
struct Watched: Hashable {
  var package: EventPackage
  var user: Registrar.UserKey
}

/// How long a subscription lasts, and how many there may be of one user: a sidecar of a hundred keys, on two
/// phones. A restart forgets all of them, and phones notice that when they refresh.
enum SubscriptionLimits {
  /// Seconds; what a 423 says.
  static let least = 60
  static let most = 600
  static let ofUser = 256
  /// Calls that a document lists, and of those that are over how many it still tells of.
  static let dialogs = 16
  static let gone = 16
  static let contacts = 32
  static let textBytes = 256
  static let idBytes = 64
  /// Of a SUBSCRIBE: what its dialog repeats is kept.
  static let messageBytes = 4_096
}

/// Somebody's subscription to the state of a user: a dialog without a call (RFC 6665 §4.2).
///
/// An object: it lives long, and few things are changed in it.
final class EventSubscription {
  let watched: Watched
  let watcher: Registrar.UserKey
  /// `id` of the Event header; empty: none.
  let id: String
  /// The URI that was subscribed to, as documents name it.
  let entity: String
  let contact: String
  let since: Instant
  var handle = SlabHandle.none
  var machine: NotifierSubscription
  /// Who it is with is told too, and by which names the call can be taken.
  var seesCalls: Bool

  var dialog: DialogText
  var localCSeq: UInt32 = 0
  var remoteCSeq: UInt32
  var source: SocketAddress
  var listener: ListenerIndex
  var expiry = TimerID.none
  var pause = TimerID.none
  /// The NOTIFY under way.
  var transaction: ClientTransaction?
  /// Of the next document.
  var version: UInt32 = 0
  var notifies: UInt64 = 0
  /// Calls that the last document had, to say of them once that they are over.
  var told: [DialogInfo.Dialog] = []
  /// Contacts that went since the last document.
  var gone: [RegistrationInfo.Contact] = []

  init(
    _ watched: Watched, by watcher: Registrar.UserKey, id: String, entity: String,
    contact: String, machine: NotifierSubscription, seesCalls: Bool, dialog: DialogText,
    remoteCSeq: UInt32, _ arrival: Arrival, at now: Instant
  ) {
    self.watched = watched
    self.watcher = watcher
    self.id = id
    self.entity = entity
    self.contact = contact
    self.machine = machine
    self.seesCalls = seesCalls
    self.dialog = dialog
    self.remoteCSeq = remoteCSeq
    source = arrival.source
    listener = arrival.listener
    since = now
  }

  /// The same phone asks for the same: it has forgotten that it did before.
  func isReplaced(by other: EventSubscription) -> Bool {
    watched == other.watched && watcher == other.watcher && contact == other.contact
      && id == other.id && source.ip == other.source.ip
  }
}

/// A subscription as the operator sees it.
package struct SubscriptionStatus: Hashable, Sendable {
  package var tenant: String
  package var watcher: String
  /// Whose state it is.
  package var user: String
  package var event: EventPackage
  package var seesCalls: Bool
  package var source: SocketAddress
  package var listener: UInt16
  package var since: Instant
  package var expires: Instant
  package var notifies: UInt64
  /// Why it ended; empty: it lives.
  package var end = ""
}

extension EventSubscription {
  var status: SubscriptionStatus {
    SubscriptionStatus(
      tenant: watcher.tenant, watcher: watcher.user, user: watched.user.user,
      event: watched.package, seesCalls: watched.package == .dialog && seesCalls, source: source,
      listener: listener, since: since, expires: machine.expires, notifies: notifies)
  }
}

/// What waits in a user's mailbox, as far as anybody has said.
package struct MailboxStatus: Hashable, Sendable {
  package var tenant: String
  package var user: String
  package var summary: MessageSummary

  package init(tenant: String, user: String, summary: MessageSummary) {
    self.tenant = tenant
    self.user = user
    self.summary = summary
  }
}
