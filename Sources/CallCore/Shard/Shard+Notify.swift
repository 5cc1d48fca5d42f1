import Base
import Policy
import SIPCore
import SIPWire

// NOTIFY (RFC 6665 §4.2.2): what watchers are told, and what comes of a subscription.

extension Shard {
  // MARK: The machine

  func handle(_ subscription: EventSubscription, _ event: NotifierSubscription.Event) {
    var effects: [NotifierSubscription.Effect] = []
    subscription.machine.handle(event, at: now, into: &effects)
    carryOut(effects, subscription)
  }

  func carryOut(
    _ effects: [NotifierSubscription.Effect], _ subscription: EventSubscription
  ) {
    for effect in effects {
      switch effect {
      case .notify: sendNotify(subscription)
      case .start(let after):
        restart(&subscription.expiry, .watch, after, subscription.handle)
      case .stop: wheel.cancel(&subscription.expiry)
      case .pause(let after):
        restart(&subscription.pause, .watchPause, after, subscription.handle)
      case .gone: remove(subscription, subscription.machine.end?.rawValue ?? "notify-refused")
      }
    }
  }

  func watchDue(_ handle: SlabHandle) {
    guard let subscription = subscriptions[handle] else { return }
    subscription.expiry = .none
    self.handle(subscription, .expired)
  }

  func watchPauseDue(_ handle: SlabHandle) {
    guard let subscription = subscriptions[handle] else { return }
    subscription.pause = .none
    self.handle(subscription, .paced)
  }

  /// The final answer to a NOTIFY, or that there is none.
  func notifyAnswered(_ subscription: EventSubscription, _ status: Int) {
    subscription.transaction?.sender = .none
    subscription.transaction = nil
    let isTaken = (200..<300).contains(status)
    if !isTaken { counters.notifiesFailed &+= 1 }
    handle(subscription, .answered(isTaken))
  }

  func remove(_ subscription: EventSubscription, _ reason: String) {
    guard subscriptions.remove(subscription) else { return }
    wheel.cancel(&subscription.expiry)
    wheel.cancel(&subscription.pause)
    subscription.transaction?.sender = .none
    subscription.transaction = nil
    blocks.free(&subscription.dialog.text)
    // What was only asked for once has not been told of either.
    guard subscription.notifies > 1 || reason != SubscriptionEnd.timeout.rawValue else { return }
    var status = subscription.status
    status.end = reason
    tell(.subscriptionState(status))
  }

  // MARK: NOTIFY

  private func sendNotify(_ subscription: EventSubscription) {
    subscription.localCSeq &+= 1
    guard let transaction = openNotify(subscription) else {
      return handle(subscription, .answered(false))
    }
    let text = blocks.bytes(subscription.dialog.text)
    let dialog = subscription.dialog
    outbox.datagrams.begin()
    outbox.datagrams.append("NOTIFY ")
    outbox.datagrams.append(text, dialog.target)
    outbox.datagrams.append(" SIP/2.0\r\n")
    writeVia(transaction, into: &outbox.datagrams)
    outbox.datagrams.append("Max-Forwards: 70\r\nFrom: ")
    outbox.datagrams.append(text, dialog.local)
    writeTag(of: subscription)
    outbox.datagrams.append("\r\nTo: ")
    outbox.datagrams.append(text, dialog.remote)
    outbox.datagrams.append("\r\nCall-ID: ")
    outbox.datagrams.append(text, dialog.callID)
    outbox.datagrams.append("\r\nCSeq: ")
    outbox.datagrams.append(decimal: Int(subscription.localCSeq))
    outbox.datagrams.append(" NOTIFY\r\n")
    if !dialog.routes.isEmpty {
      outbox.datagrams.append("Route: ")
      outbox.datagrams.append(text, dialog.routes)
      outbox.datagrams.append("\r\n")
    }
    writeContact(subscription.listener, into: &outbox.datagrams)
    writeEvent(subscription)
    writeUserAgent()
    body.begin()
    writeState(subscription)
    outbox.datagrams.append("Content-Type: ")
    outbox.datagrams.append(subscription.watched.package.contentType)
    outbox.datagrams.append("\r\nContent-Length: ")
    outbox.datagrams.append(decimal: body.position)
    outbox.datagrams.append("\r\n\r\n")
    body.withOpenBytes { outbox.datagrams.append($0) }
    body.abandon()
    subscription.notifies &+= 1
    counters.notifies &+= 1
    launch(transaction)
  }

  private func openNotify(_ subscription: EventSubscription) -> ClientTransaction? {
    var none: [TransactionEffect] = []
    let transaction = ClientTransaction(
      machine: .nonInvite(NonInviteClientTransaction(timers: timers, into: &none)),
      method: .notify, purpose: .notify, cseq: subscription.localCSeq,
      destination: subscription.source, listener: subscription.listener, connectPort: 0,
      request: .none)
    guard let handle = clients.insert(transaction) else { return nil }
    transaction.handle = handle
    transaction.sender = .subscription(subscription)
    subscription.transaction = transaction
    return transaction
  }

  private func writeEvent(_ subscription: EventSubscription) {
    outbox.datagrams.append("Event: ")
    outbox.datagrams.append(subscription.watched.package.name)
    if !subscription.id.isEmpty {
      outbox.datagrams.append(";id=")
      outbox.datagrams.append(subscription.id)
    }
    outbox.datagrams.append("\r\nSubscription-State: ")
    subscription.machine.write(at: now, into: &outbox.datagrams)
    outbox.datagrams.append("\r\n")
  }

  /// The whole state as it is now, in `body`.
  private func writeState(_ subscription: EventSubscription) {
    let version = subscription.version
    subscription.version &+= 1
    switch subscription.watched.package {
    case .dialog:
      DialogInfo(
        entity: subscription.entity, version: version, dialogs: dialogs(toldTo: subscription)
      ).write(into: &body)
    case .messageSummary:
      (mailboxes[subscription.watched.user] ?? MessageSummary()).write(
        account: subscription.entity, into: &body)
    case .registration:
      RegistrationInfo(
        addressOfRecord: subscription.entity, id: subscription.watched.user.user,
        version: version, contacts: contacts(toldTo: subscription)
      ).write(into: &body)
    }
  }

  // MARK: What has changed

  /// Everything that an input changed is told together, once it has been dealt with.
  func tellWatchers() {
    for watched in subscriptions.takeStale() {
      for subscription in subscriptions.to(watched) where differs(subscription) {
        handle(subscription, .changed)
      }
    }
  }

  /// The stream of facts says whose state has changed.
  func noteForWatchers(_ event: FactEvent, _ call: CallID?) {
    switch event {
    case .callAttempted(let record): noteCall(record)
    case .callEnded(let record):
      noteCall(record)
      for user in parties(of: record) { subscriptions.forget(record.id.serial, of: user) }
    case .hopTried, .hopEnded, .callRinging, .callAnswered, .callRecovered, .sessionChanged:
      if let call, let session = sessionsBySerial[call.serial] { noteCall(session.record) }
    case .bindingAdded(let binding): noteBinding(binding, isGone: false)
    case .bindingRemoved(let binding): noteBinding(binding, isGone: true)
    case .callsRecovered, .mediaLatched, .mediaSilent, .audioVerdict, .callNoted, .digitPassed,
      .recordingChanged,
      .authenticationFailed, .previousPasswordUsed, .requestRefused,
      .messageDropped, .targetState, .nameState, .registrationState, .subscriptionState,
      .mailboxSet, .banned, .banEnded, .internalFault, .tollAlarm, .tollKept, .overload,
      .configurationApplied, .listenerClosed, .drained:
      break
    }
  }

  // MARK: Mailboxes

  /// What waits for a user; nobody but whoever keeps the messages knows.
  func setMailbox(_ user: Registrar.UserKey, _ summary: MessageSummary) {
    guard self.user(user) != nil else { return }
    mailboxes[user] = summary == MessageSummary() ? nil : summary
    tell(.mailboxSet(MailboxStatus(tenant: user.tenant, user: user.user, summary: summary)))
    subscriptions.changed(Watched(package: .messageSummary, user: user))
  }

  var mailboxStatuses: [MailboxStatus] {
    mailboxes.map { MailboxStatus(tenant: $0.key.tenant, user: $0.key.user, summary: $0.value) }
      .sorted { ($0.tenant, $0.user) < ($1.tenant, $1.user) }
  }

  /// As it was when the process before ended.
  func restore(_ statuses: [MailboxStatus]) {
    for status in statuses {
      mailboxes[Registrar.UserKey(tenant: status.tenant, user: status.user)] = status.summary
    }
    followMailboxes()
  }

  /// Those of users who are gone are forgotten.
  func followMailboxes() {
    for user in mailboxes.keys where self.user(user) == nil {
      mailboxes[user] = nil
      tell(
        .mailboxSet(
          MailboxStatus(tenant: user.tenant, user: user.user, summary: MessageSummary())))
    }
  }
}
