import Base
import Policy
import SIPCore

// What a user's calls and contacts are like, as their watchers are told it.

extension Shard {
  // MARK: Calls

  /// Users who have, or had, part in the call.
  func parties(of record: CallRecord) -> [Registrar.UserKey] {
    var names = [record.from, record.to]
    for attempt in record.attempts where !names.contains(attempt.target) {
      names.append(attempt.target)
    }
    return names.compactMap {
      $0.hasPrefix("user:")
        ? Registrar.UserKey(tenant: record.tenant, user: String($0.dropFirst(5))) : nil
    }
  }

  func noteCall(_ record: CallRecord) {
    for user in parties(of: record) {
      let watched = Watched(package: .dialog, user: user)
      guard subscriptions.isWatched(watched) else { continue }
      subscriptions.note(record.id.serial, of: user)
      subscriptions.changed(watched)
    }
  }

  /// A phone rings: of several that do, the stream of facts tells only the first.
  func rings(_ leg: Leg, _ session: Session) {
    guard !leg.isRinging else { return }
    leg.isRinging = true
    if !subscriptions.isEmpty { noteCall(session.record) }
  }

  /// Somebody begins to watch: the calls that there are already.
  func findCalls(of user: Registrar.UserKey) {
    guard subscriptions.to(Watched(package: .dialog, user: user)).count == 1 else { return }
    for session in sessionsBySerial.values where parties(of: session.record).contains(user) {
      subscriptions.note(session.id.serial, of: user)
    }
  }

  /// What happens in a call is not always news for those who see little of it.
  func differs(_ subscription: EventSubscription) -> Bool {
    subscription.watched.package != .dialog || present(subscription) != subscription.told
  }

  func dialogs(toldTo subscription: EventSubscription) -> [DialogInfo.Dialog] {
    let dialogs = present(subscription)
    let over = subscription.told.filter { told in !dialogs.contains { $0.id == told.id } }
    subscription.told = dialogs
    return dialogs
      + over.prefix(SubscriptionLimits.gone).map {
        DialogInfo.Dialog(id: $0.id, state: .terminated, direction: $0.direction)
      }
  }

  private func present(_ subscription: EventSubscription) -> [DialogInfo.Dialog] {
    var dialogs: [DialogInfo.Dialog] = []
    for serial in subscriptions.calls(of: subscription.watched.user) {
      guard let session = sessionsBySerial[serial], session.state != .released else { continue }
      for leg in legs(of: subscription.watched.user, session)
      where dialogs.count < SubscriptionLimits.dialogs {
        dialogs.append(dialog(leg, session, toldTo: subscription))
      }
    }
    return dialogs
  }

  /// The user's legs that are up or may come to be.
  private func legs(of user: Registrar.UserKey, _ session: Session) -> [Leg] {
    let name = "user:" + user.user
    var found: [Leg] = []
    if session.record.from == name, let caller = session.caller { found.append(caller) }
    for leg in session.strand?.ringing ?? [] where leg.branch?.target?.name == name {
      found.append(leg)
    }
    if session.state == .answered, session.record.to == name, let callee = session.callee {
      found.append(callee)
    }
    return found.filter {
      ($0.state == .early || $0.state == .confirmed) && session.handover?.hasLeft($0) != true
    }
  }

  private func dialog(
    _ leg: Leg, _ session: Session, toldTo subscription: EventSubscription
  ) -> DialogInfo.Dialog {
    var dialog = DialogInfo.Dialog(
      id: pickupName(leg, 0), state: state(leg, session),
      direction: leg.side == .a ? .initiator : .recipient)
    guard subscription.seesCalls else { return dialog }
    dialog.identifiers = DialogInfo.Identifiers(
      callID: pickupName(leg, 1), localTag: pickupName(leg, 2), remoteTag: pickupName(leg, 3))
    dialog.remote = remote(leg, session, like: subscription.entity)
    return dialog
  }

  private func state(_ leg: Leg, _ session: Session) -> DialogInfo.State {
    if leg.state == .confirmed { return .confirmed }
    let rings = leg.side == .a ? session.record.state == .ringing : leg.isRinging
    return rings ? .early : .trying
  }

  /// Who is at the other end, as the user's own phone is told it.
  private func remote(_ leg: Leg, _ session: Session, like entity: String) -> String {
    let host = entity.split(separator: "@").last.map(String.init) ?? "localhost"
    let other = session.other(leg)
    let far = other?.session ?? session
    let isCaller = other.map { $0.side == .a } ?? (leg.side == .b)
    let number = isCaller ? far.identity.shown : far.record.calledNumber
    guard !number.isEmpty, number != CallerIdentity.anonymous else {
      return "sip:anonymous@anonymous.invalid"
    }
    return "sip:\(UserPart.escaped(number))@\(host)"
  }

  /// A name of the leg for whoever may take its call: of no use for anything in the dialog itself, whose own names
  /// would let their reader hang it up.
  private func pickupName(_ leg: Leg, _ part: UInt8) -> String {
    mint.text(OwnerToken(kind: .pickup, fork: part, owner: leg.handle))
  }

  // MARK: Contacts

  func noteBinding(_ binding: Binding, isGone: Bool) {
    guard !binding.isTrunk else { return }
    let watched = Watched(
      package: .registration,
      user: Registrar.UserKey(tenant: binding.tenant, user: binding.user))
    guard subscriptions.isWatched(watched) else { return }
    if isGone {
      let contact = contact(binding, binding.expires <= now ? .expired : .unregistered)
      for subscription in subscriptions.to(watched) {
        if subscription.gone.count >= SubscriptionLimits.gone { subscription.gone.removeFirst() }
        subscription.gone.append(contact)
      }
    }
    subscriptions.changed(watched)
  }

  func contacts(toldTo subscription: EventSubscription) -> [RegistrationInfo.Contact] {
    let present = registrar.entries(subscription.watched.user)
      .prefix(SubscriptionLimits.contacts).map { contact($0.binding, .registered) }
    let gone = subscription.gone.filter { gone in !present.contains { $0.id == gone.id } }
    subscription.gone = []
    return present + gone
  }

  private func contact(
    _ binding: Binding, _ event: RegistrationInfo.Event
  ) -> RegistrationInfo.Contact {
    let name = Array((binding.instance + " \(binding.flow) " + binding.contact).utf8)
    return RegistrationInfo.Contact(
      id: String(hash.key(name.rawSpan, seed: 0x700).low, radix: 16), event: event,
      uri: binding.contact, expires: max((binding.expires - now).wholeSeconds, 0))
  }
}
