package import Base
import Policy
import SIPCore
import SIPWire

// When more comes than can be done: new calls are refused by rank and cheaply, so that those that are let in are
// finished (RFC 3261 §21.5.4), and neighbours that know RFC 7339 are told to send less.
//
//   dialogs' requests, calls for help    never refused for load
//   REGISTER of whoever is known here    never: a phone that is refused is lost to its callers
//   OPTIONS                              never: the answer costs what a refusal costs, and brings `oc`
//   new calls, REGISTER of strangers     first
//   new calls of users and trunks        when no stranger is let in any more

extension Shard {
  // MARK: What the edge measures

  /// The oldest of the messages that are about to be handed over, taken from this listener together, has waited
  /// so long.
  package func waited(_ wait: Interval, on listener: ListenerIndex, at now: Instant) {
    self.now = max(self.now, now)
    load.waited(wait, on: listener, at: self.now)
    followLoad()
  }

  /// The kernel had no room for datagrams.
  package func kernelDropped(at now: Instant) {
    self.now = max(self.now, now)
    load.dropped(at: self.now)
    followLoad()
  }

  /// The shard is behind: its windows end whether or not anything comes.
  func loadDue() {
    loadTimer = .none
    load.roll(to: now)
    followLoad()
  }

  private func followLoad() {
    if load.isBehind, loadTimer == .none {
      loadTimer = wheel.schedule(
        at: now + LoadMeter.window, kind: ShardTimer.load.rawValue, owner: 0)
    }
    guard load.isBehind != toldBehind else { return }
    toldBehind = load.isBehind
    if toldBehind { counters.overloads &+= 1 }
    tell(.overload(isBehind: toldBehind, wait: load.standing))
  }

  // MARK: Refusing

  /// True: a request of somebody who has proved nothing was refused, for the time that reading it took. Phones that
  /// are registered and trunks that are to prove themselves get their challenge, and so does whoever calls for help.
  func refusesStranger(
    _ message: borrowing Message, _ fields: RequestFields, network: Int, _ arrival: Arrival
  ) -> Bool {
    guard isDrawn(load.refused(.stranger), message, fields) else {
      load.decided(.stranger, isRefused: false)
      return false
    }
    guard !isFamiliar(fields.via, network: network, arrival),
      !callsForHelp(message, fields, network: network)
    else { return false }
    load.decided(.stranger, isRefused: true)
    refuseForLoad(message, fields, comesBack: true, arrival)
    return true
  }

  /// True: a new call of a user or trunk was refused. Whoever asks has seen that it is none for help.
  func refusesKnown(
    _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind,
    _ arrival: Arrival
  ) -> Bool {
    var refused = load.refused(.known)
    var isNeighbour = false
    if case .trunk = caller { isNeighbour = true }
    // A neighbour that follows `oc` refuses at its own door; what it still sends has passed that. By the square, so
    // that one which only says that it does gains nothing in the end.
    if refused > 0, isNeighbour, answersOverload(message.bytes, fields.via, arrival) {
      refused = refused * refused / 1_000
    }
    guard isDrawn(refused, message, fields) else {
      load.decided(.known, isRefused: false)
      return false
    }
    load.decided(.known, isRefused: true)
    // RFC 7339 §5.10.2: a Retry-After would stop everything that comes by that neighbour, and bring it all back at
    // once.
    refuseForLoad(message, fields, comesBack: !isNeighbour, arrival)
    return true
  }

  /// So many of a thousand, by a hash of what a retransmission repeats: one that was sent before our answer came must
  /// not become a call after it. Where waits are so long that one is sent, the refused part does not fall.
  private func isDrawn(
    _ refused: Int, _ message: borrowing Message, _ fields: RequestFields
  ) -> Bool {
    refused > 0 && mergeKey(message, fields).low % 1_000 < UInt64(refused)
  }

  /// From where a phone is registered, or from a trunk's address.
  private func isFamiliar(_ via: Via, network: Int, _ arrival: Arrival) -> Bool {
    let flow = Flow(listener: arrival.listener, remote: arrival.source)
    return registrar.hasContacts(on: flow) || isTrunk(via, network: network, arrival)
  }

  private func isTrunk(_ via: Via, network: Int, _ arrival: Arrival) -> Bool {
    (knownTrunk(via, network: network, arrival) ?? locatedTrunk(arrival.source, network: network))
      != nil
  }

  private func callsForHelp(
    _ message: borrowing Message, _ fields: RequestFields, network: Int
  ) -> Bool {
    guard message.method == .invite, !configuration.resources.emergencies.isEmpty,
      let tenant = tenant(message, fields, network: network),
      let uri = SIPURI.parse(message.bytes, message.requestURI)
    else { return false }
    return configuration.emergency(Escapes.string(message.bytes, uri.user), tenant: tenant) != nil
  }

  /// Stateless (RFC 3261 §8.2.7). The time to come back is drawn, so that those who are refused together do not
  /// come back together.
  private func refuseForLoad(
    _ message: borrowing Message, _ fields: RequestFields, comesBack: Bool, _ arrival: Arrival
  ) {
    countRefusal(message.method, Cause.overload.sipStatus, .overload, arrival)
    beginStateless(message, fields, Cause.overload.sipStatus, arrival)
    if comesBack {
      outbox.datagrams.append("Retry-After: ")
      outbox.datagrams.append(
        decimal: 2 + random.next(below: 8 + load.refused(.stranger) / 50))
      outbox.datagrams.append("\r\n")
    }
    endStateless(message, fields, arrival)
  }

  // MARK: RFC 7339, as server

  /// Whether the sender offers to follow, and is told: trunks that are known by their address. Others learn nothing
  /// of how we are (§5.2).
  func answersOverload(_ bytes: RawSpan, _ via: Via, _ arrival: Arrival) -> Bool {
    let offer = OverloadParameters(bytes, via.params)
    guard offer.isPresent, offer.hasLossAlgorithm,
      let network = configuration.network(ofListener: arrival.listener)
    else { return false }
    return isTrunk(via, network: network, arrival)
  }

  /// §5.2, §5.7: `oc-validity` of 0 says that nothing is asked. A head that a transaction keeps bears the value of
  /// its time, and the sequence says so.
  func writeOverload(into output: inout OutputBuffer) {
    let loss = load.refused(.known) / 10
    output.append(";oc=")
    output.append(decimal: loss)
    output.append(";oc-algo=\"loss\";oc-validity=")
    output.append(decimal: loss > 0 ? 500 : 0)
    // §4.4: the time, which goes on over restarts.
    let time = settings.incarnation &+ UInt64(max((now - started).milliseconds, 0))
    output.append(";oc-seq=")
    output.append(decimal: Int(time / 1_000 % 1_000_000_000_000))
    output.append(".")
    let fraction = Int(time % 1_000)
    output.append(fraction < 10 ? "00" : fraction < 100 ? "0" : "")
    output.append(decimal: fraction)
  }

  // MARK: RFC 7339, as client

  /// §4.1, §4.2: in the Via of every request to a trunk that has `overloadControl`.
  func writeListens(to target: TrunkTarget?, into output: inout OutputBuffer) {
    if let target, target.followsOverload { output.append(";oc;oc-algo=\"loss\"") }
  }

  /// §5.4: what the neighbour put into our Via.
  func takeOverload(_ transaction: ClientTransaction, _ message: borrowing Message, _ via: Via) {
    guard let target = transaction.probed ?? transaction.leg?.watched, target.followsOverload else {
      return
    }
    target.overload.take(OverloadParameters(message.bytes, via.params), at: now)
  }

  /// §5.10, §7.2: of the calls that would go there, so many go elsewhere or nowhere.
  func isLeftOut(_ target: TrunkTarget) -> Bool {
    let loss = target.overload.loss(at: now)
    guard loss > 0, random.next(below: 100) < loss else { return false }
    target.leftOut &+= 1
    return true
  }

  /// The record of a call that passed a hop over says why.
  func noteLeftOut(_ all: [CallTarget], _ session: Session) {
    guard let name = all.first?.name else { return }
    let loss = all.reduce(0) { max($0, $1.watched?.overload.loss(at: now) ?? 0) }
    if loss > 0 { note("\(name) asks for \(loss) % fewer calls", session) }
  }
}
