import Base
import Policy
import SIPCore
import SIPWire

// SUBSCRIBE (RFC 6665 §4.2.1): who may hear of what, for how long, and how many may at once.

extension Shard {
  /// A SUBSCRIBE that begins something.
  func receiveSubscribe(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    guard let package = eventPackage(message) else {
      return refuseSubscription(message, fields, arrival)
    }
    guard let network = configuration.network(ofListener: arrival.listener) else {
      return refuse(message, fields, 403, .forbidden, arrival)
    }
    let watcher: Int
    switch authenticate(message, fields, network: network, arrival) {
    case .user(let user): watcher = user
    case .trunk: return refuse(message, fields, key, 403, .subscriptionRefused, arrival)
    case .challenge(let isStale):
      if !isStale, refusesStranger(message, fields, network: network, arrival) { return }
      return refuseAuthentication(
        .challenge(isStale: isStale), message, fields, network: network, arrival)
    case .unknown:
      return refuseAuthentication(.unknown, message, fields, network: network, arrival)
    }
    if isDraining { return refuse(message, fields, key, 503, .draining, arrival) }
    guard message.bytes.byteCount <= SubscriptionLimits.messageBytes else {
      return refuse(message, fields, key, 513, .messageTooLarge, arrival)
    }
    guard let contact = message.contact, let id = eventID(message) else {
      return refuse(message, fields, key, 400, .malformed, arrival)
    }
    guard let user = subject(message, package, of: watcher) else {
      return refuse(message, fields, key, 404, .subscriptionRefused, arrival)
    }
    guard let view = view(of: user, package, by: watcher), view != .nothing else {
      return refuse(message, fields, key, 403, .subscriptionRefused, arrival)
    }
    guard let duration = duration(message) else {
      return refuseBrief(message, fields, key, arrival)
    }
    var effects: [NotifierSubscription.Effect] = []
    let machine = NotifierSubscription(
      for: .seconds(duration), pace: package.pace, at: now, into: &effects)
    guard let dialog = callerDialog(message, fields, fallback: arrival.source) else {
      return refuse(message, fields, key, 503, .capacity, arrival)
    }
    let subscription = EventSubscription(
      Watched(package: package, user: userKey(user)), by: userKey(watcher),
      id: id, entity: entity(message, user),
      contact: message.bytes.string(contact.uri.first(SubscriptionLimits.textBytes)),
      machine: machine, seesCalls: view == .calls, dialog: dialog,
      remoteCSeq: fields.cseq.number, arrival, at: now)
    admit(subscription, duration, effects, message, fields, key, arrival)
  }

  private func admit(
    _ subscription: EventSubscription, _ duration: Int, _ effects: [NotifierSubscription.Effect],
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    for former in subscriptions.to(subscription.watched)
    where former.isReplaced(by: subscription) { remove(former, "replaced") }
    let isBeyond = subscriptions.count(of: subscription.watcher) >= SubscriptionLimits.ofUser
    guard !isBeyond, subscriptions.insert(subscription),
      let transaction = makeServer(message, fields, key, arrival)
    else {
      if !subscription.handle.isNone { _ = subscriptions.remove(subscription) }
      blocks.free(&subscription.dialog.text)
      return isBeyond
        ? refuse(
          message, fields, key, Cause.subscriptionLimit.sipStatus, .subscriptionLimit, arrival)
        : refuse(message, fields, key, 503, .capacity, arrival)
    }
    accept(subscription, transaction, duration)
    if subscription.watched.package == .dialog { findCalls(of: subscription.watched.user) }
    if duration > 0 { tell(.subscriptionState(subscription.status)) }
    carryOut(effects, subscription)
  }

  // MARK: What is asked for

  private func eventPackage(_ message: borrowing Message) -> EventPackage? {
    message.event.flatMap { EventPackage(message.bytes.extracting($0.package)) }
  }

  /// Empty: it has none. Nil: it is no token, and cannot be repeated as it came.
  private func eventID(_ message: borrowing Message) -> String? {
    guard let event = message.event,
      let id = Parameters.find("id", message.bytes, event.params)
    else { return "" }
    let text = message.bytes.string(id)
    guard text.utf8.count <= SubscriptionLimits.idBytes,
      text.utf8.allSatisfy({ $0.isASCIIDigit || $0.isASCIILetter || $0 == 0x2d || $0 == 0x5f })
    else { return nil }
    return text
  }

  /// What was asked for, bounded by what there is at most. Nil: too short (§4.2.1.1).
  private func duration(_ message: borrowing Message) -> Int? {
    let asked = Int(message.expires ?? UInt32(SubscriptionLimits.most))
    guard asked == 0 || asked >= SubscriptionLimits.least else { return nil }
    return min(asked, SubscriptionLimits.most)
  }

  private func refuseBrief(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    answer(message, fields, key, 423, arrival, extra: "Min-Expires: 60\r\n")
  }

  /// Whose state is meant: the user of the request URI, by name or extension. A URI without one means whoever asks.
  private func subject(
    _ message: borrowing Message, _ package: EventPackage, of watcher: Int
  ) -> Int? {
    guard let tenant = configuration.tenant(ofUser: watcher),
      let uri = SIPURI.parse(message.bytes, message.requestURI)
    else { return nil }
    let name = Escapes.string(message.bytes, uri.user)
    if name.isEmpty { return watcher }
    return configuration.user(extension: name, tenant: tenant)
      ?? configuration.user(named: name, tenant: tenant)
  }

  /// A user's own state is theirs. Of others only calls can be watched, as far as these allow it.
  private func view(
    of user: Int, _ package: EventPackage, by watcher: Int
  ) -> BusyLampView? {
    if user == watcher { return .calls }
    guard package == .dialog else { return nil }
    return configuration.view(ofUser: user, by: watcher)
  }

  /// As it was asked for, so that phones recognise it; whoever asked without a name gets the extension.
  private func entity(_ message: borrowing Message, _ subject: Int) -> String {
    let bytes = message.bytes
    guard let uri = SIPURI.parse(bytes, message.requestURI) else { return "" }
    let asked = Escapes.string(bytes, uri.user.first(64))
    let user = UserPart.escaped(asked.isEmpty ? configuration.users[subject].extension : asked)
    let host = bytes.string(uri.host.first(SubscriptionLimits.textBytes))
    let shown = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
    return "sip:\(user)@\(shown)"
  }

  func userKey(_ user: Int) -> Registrar.UserKey {
    let account = configuration.users[user]
    return Registrar.UserKey(tenant: account.tenant, user: account.name)
  }

  // MARK: In its dialog

  /// The subscription whose dialog the request names; nil: it is of no subscription.
  func subscription(
    _ message: borrowing Message, _ fields: RequestFields
  ) -> EventSubscription? {
    let bytes = message.bytes
    guard let token = mint.read(bytes.extracting(fields.to.tag)), token.kind == .subscription,
      let found = subscriptions[token.owner]
    else { return nil }
    let text = blocks.bytes(found.dialog.text)
    guard text.extracting(found.dialog.callID).equals(bytes.extracting(fields.callID)),
      text.extracting(found.dialog.remoteTag).equals(bytes.extracting(fields.from.tag))
    else { return nil }
    return found
  }

  func receive(
    in subscription: EventSubscription, _ message: borrowing Message, _ fields: RequestFields,
    _ key: HashKey, _ arrival: Arrival
  ) {
    if refuseExtensions(message, fields, arrival) { return }
    guard fields.cseq.number > subscription.remoteCSeq else {
      return replyStateless(message, fields, 500, arrival)
    }
    subscription.remoteCSeq = fields.cseq.number
    switch message.method {
    case .subscribe: refresh(subscription, message, fields, key, arrival)
    case .options: replyStateless(message, fields, 200, arrival, withCapabilities: true)
    // There is no call in this dialog.
    case .bye, .prack, .update, .info, .notify: replyStateless(message, fields, 481, arrival)
    case .invite, .refer, .register, .message, .publish:
      replyStateless(message, fields, 405, arrival)
    case .other: replyStateless(message, fields, 501, arrival)
    case .ack, .cancel: break  // handled before
    }
  }

  /// Longer, or no more (§4.1.2.2, §4.1.2.3).
  private func refresh(
    _ subscription: EventSubscription, _ message: borrowing Message, _ fields: RequestFields,
    _ key: HashKey, _ arrival: Arrival
  ) {
    guard eventPackage(message) == subscription.watched.package,
      eventID(message) == subscription.id
    else { return refuseSubscription(message, fields, arrival) }
    guard subscription.machine.state == .active else {
      return replyStateless(message, fields, 481, arrival)
    }
    guard let duration = duration(message) else {
      return refuseBrief(message, fields, key, arrival)
    }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return refuse(message, fields, key, 503, .capacity, arrival)
    }
    // Behind a NAT it may have come to have another port.
    if transport(subscription.listener) == transport(arrival.listener) {
      subscription.source = arrival.source
      subscription.listener = arrival.listener
    }
    accept(subscription, transaction, duration)
    handle(subscription, .refreshed(.seconds(duration)))
  }

  private func accept(
    _ subscription: EventSubscription, _ transaction: ServerTransaction, _ duration: Int
  ) {
    outbox.datagrams.begin()
    writeStatusLine(200, into: &outbox.datagrams)
    outbox.datagrams.append(blocks.bytes(transaction.head))
    if !transaction.toTagged { writeTag(of: subscription) }
    outbox.datagrams.append("\r\n")
    writeContact(subscription.listener, into: &outbox.datagrams)
    outbox.datagrams.append("Expires: ")
    outbox.datagrams.append(decimal: duration)
    outbox.datagrams.append("\r\n")
    writeServer(into: &outbox.datagrams)
    outbox.datagrams.append("Content-Length: 0\r\n\r\n")
    commit(response: 200, of: transaction)
  }

  func writeTag(of subscription: EventSubscription) {
    outbox.datagrams.append(";tag=")
    mint.write(
      OwnerToken(kind: .subscription, fork: 0, owner: subscription.handle),
      into: &outbox.datagrams)
  }

  // MARK: What becomes of them

  /// Another configuration: who is gone hears and tells nothing more, and views may have changed.
  func followSubscriptions() {
    for handle in subscriptions.handles {
      guard let subscription = subscriptions[handle] else { continue }
      guard let watcher = user(subscription.watcher), let user = user(subscription.watched.user)
      else {
        self.handle(subscription, .ended(.noresource))
        continue
      }
      switch view(of: user, subscription.watched.package, by: watcher) {
      case nil, .nothing?: self.handle(subscription, .ended(.rejected))
      case .state?, .calls?:
        let sees = view(of: user, subscription.watched.package, by: watcher) == .calls
        guard sees != subscription.seesCalls else { continue }
        subscription.seesCalls = sees
        self.handle(subscription, .changed)
      }
    }
  }

  func user(_ key: Registrar.UserKey) -> Int? {
    configuration.tenant(named: key.tenant).flatMap {
      configuration.user(named: key.user, tenant: $0)
    }
  }

  /// The process is about to end: phones are to come back when there is another (§4.1.3).
  func endSubscriptions() {
    for handle in subscriptions.handles {
      if let subscription = subscriptions[handle] { self.handle(subscription, .ended(.probation)) }
    }
  }

  var subscriptionStatuses: [SubscriptionStatus] {
    subscriptions.handles.compactMap { subscriptions[$0]?.status }.sorted {
      ($0.tenant, $0.watcher, $0.event.rawValue, $0.user)
        < ($1.tenant, $1.watcher, $1.event.rawValue, $1.user)
    }
  }
}
