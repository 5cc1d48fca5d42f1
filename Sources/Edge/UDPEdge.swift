package import Base
package import CallCore
package import MediaControl
package import Policy
internal import SIPWire
package import Resolution
internal import Synchronization
package import class Locking.ThreadProgress
package import struct Locking.Mutex

/// Where a shard's effects go. Called on the shard's thread, in order; they must not block it, and must not
/// call back into the edge other than by `UDPEdge.post`.
package struct EdgeSinks: Sendable {
  package var media: @Sendable ([MediaCommand]) -> Void
  package var facts: @Sendable ([Fact]) -> Void
  package var answer: @Sendable (_ token: UInt64, ShardAnswer) -> Void
  package var names: @Sendable ([NameOrder]) -> Void
  /// URLs of certificates, to be answered by `ShardInput.certificate`.
  package var certificates: @Sendable ([String]) -> Void
  /// Who is banned, and who no more, for whoever else keeps them out.
  package var border: @Sendable ([BorderOrder]) -> Void

  package init(
    media: @escaping @Sendable ([MediaCommand]) -> Void,
    facts: @escaping @Sendable ([Fact]) -> Void,
    answer: @escaping @Sendable (_ token: UInt64, ShardAnswer) -> Void,
    names: @escaping @Sendable ([NameOrder]) -> Void = { _ in },
    certificates: @escaping @Sendable ([String]) -> Void = { _ in },
    border: @escaping @Sendable ([BorderOrder]) -> Void = { _ in }
  ) {
    self.media = media
    self.facts = facts
    self.answer = answer
    self.names = names
    self.certificates = certificates
    self.border = border
  }
}

/// What each listener's sockets are set to.
package struct EdgeSockets: Sendable {
  /// Buffers of datagrams, in bytes; the system may allow less (net.core.rmem_max).
  package var receive = 4 << 20
  package var send = 1 << 20
  /// DSCP << 2 of all signalling: CS3, as most networks have it for SIP.
  package var trafficClass: UInt8 = 0x60
  /// Who keeps those of listeners while no process of ours lives; nil: nobody.
  package var kept: KeptSockets?
  package init() {}
}

/// One shard on its own thread, with the sockets of its listeners: those of UDP on that thread, those of
/// streams on another.
///
/// The shard is made inside the thread and never leaves it; everyone else speaks to it by `post` and hears
/// from it by the sinks.
package final class UDPEdge: Sendable {
  package let counters = EdgeCounters()
  private let progress: ThreadProgress
  private let inbox: Inbox
  private let streams: StreamEdge
  private let table: ListenerTable
  private let sockets: EdgeSockets
  private let thread: Mutex<EdgeThread?>

  /// Binds the sockets, starts the thread, and returns when the shard runs. Nothing is left behind when it
  /// throws. `calls` is what an earlier process left up, `first` what the shard has to know besides, such as the ports
  /// of the media plane: both come before the first message is read, which may lie in a socket that was kept.
  package init(
    settings: ShardSettings, configuration: Configuration, sockets: EdgeSockets = EdgeSockets(),
    streams streamSettings: StreamSettings = StreamSettings(),
    recovering calls: [EstablishedCall] = [], first inputs: [ShardInput] = [], sinks: EdgeSinks
  ) throws(EdgeError) {
    self.sockets = sockets
    progress = ThreadProgress("calls")
    let (bound, opened) = try Self.bind(
      settings.listeners, settings.listeners.indices, sockets)
    sockets.kept?.closeRest()
    let table = ListenerTable(bound: bound, wanted: settings.listeners)
    self.table = table
    var settings = settings
    settings.listeners = bound
    let inbox = try Inbox()
    self.inbox = inbox
    // Not by the thread's closure: what that holds is held until the end.
    inbox.add(opened.datagrams)
    _ = inbox.post(inputs)
    let streams = try StreamEdge(
      StreamListeners(bound, sockets: opened.streams, origins: streamSettings.origins),
      settings: streamSettings, trafficClass: sockets.trafficClass,
      name: "streams-\(settings.shard)")
    self.streams = streams
    let gate = try StartGate()
    let thread = try EdgeThread(name: "shard-\(settings.shard)") {
      [settings, configuration, counters, progress, queues = streams.queues] in
      do throws(EdgeError) {
        let loop = try Self.makeLoop(
          settings, configuration, calls, table, queues, inbox, sinks, counters, progress,
          sockets.kept)
        gate.open(nil)
        loop.run()
      } catch {
        gate.open(error)
      }
    }
    self.thread = Mutex(thread)
    if let problem = gate.wait() {
      stop()
      throw problem
    }
    keep(settings.listeners, opened)
  }

  /// Once they are in use: a socket that is kept and not read would hold its port.
  private func keep(_ listeners: [Listener], _ opened: Opened) {
    guard let kept = sockets.kept else { return }
    for (index, socket) in opened.datagrams { kept.keep(listeners[Int(index)], socket.descriptor) }
    for (index, socket) in opened.streams { kept.keep(listeners[Int(index)], socket.descriptor) }
  }

  /// Sockets that are bound, by the listener's place.
  private typealias Opened = (
    datagrams: [(ListenerIndex, UDPSocket)], streams: [ListenerIndex: StreamListener]
  )

  /// Binds those of the places. None stays bound when one cannot be.
  private static func bind(
    _ listeners: [Listener], _ places: some Sequence<Int>, _ sockets: EdgeSockets
  ) throws(EdgeError) -> ([Listener], Opened) {
    var listeners = listeners
    var opened: Opened = ([], [:])
    for place in places {
      let listener = listeners[place]
      let kept = sockets.kept?.take(listener)
      let index = ListenerIndex(clamping: place)
      if listener.transport.isReliable {
        let socket = try StreamListener(
          listener: listener.name, bound: listener.bound, trafficClass: sockets.trafficClass,
          kept: kept)
        listeners[place].bound = socket.local
        opened.streams[index] = socket
      } else {
        let socket = try UDPSocket(
          listener: listener.name, bound: listener.bound, receiveBuffer: sockets.receive,
          sendBuffer: sockets.send, trafficClass: sockets.trafficClass, kept: kept)
        listeners[place].bound = socket.local
        opened.datagrams.append((index, socket))
      }
    }
    return (listeners, opened)
  }

  private static func makeLoop(
    _ settings: ShardSettings, _ configuration: Configuration, _ calls: [EstablishedCall],
    _ table: ListenerTable, _ streams: StreamQueues, _ inbox: Inbox, _ sinks: EdgeSinks,
    _ counters: EdgeCounters, _ progress: ThreadProgress, _ kept: KeptSockets?
  ) throws(EdgeError) -> ShardLoop {
    guard
      let shard = Shard(
        settings: settings, configuration: configuration, now: MonotonicClock.now)
    else {
      throw .settings("the shard needs a secret of 32 bytes and a libcrypto with AES and SHA-256")
    }
    shard.recover(calls, at: MonotonicClock.now)
    return try ShardLoop(
      shard: shard, table: table, streams: streams, inbox: inbox, sinks: sinks,
      counters: counters, progress: progress, kept: kept)
  }

  /// Gives the shard an input, in order with all others. False when it is stopping, or when too many
  /// questions wait.
  @discardableResult
  package func post(_ input: ShardInput) -> Bool { inbox.post(input) }

  /// The same for several at once, of which none is a question.
  @discardableResult
  package func post(_ inputs: [ShardInput]) -> Bool { inbox.post(inputs) }

  /// Ends the thread after its current turn and waits for that; the sockets are closed then. Calls in
  /// progress stay as their records have them: `.drain` first for a quiet end. Again does nothing.
  package func stop() {
    inbox.stop()
    if EdgeThread.join(thread) { streams.stop() }
  }

  /// How far its threads have come.
  package var threads: [ThreadProgress] { [progress, streams.progress] }

  /// What the streams count.
  package var streamCounters: StreamCounters.Reading { streams.counters.reading }

  // MARK: Changes

  package var addresses: [SocketAddress] { listeners.map(\.bound) }

  /// Every listener that there has been, in its place, with the ports that the system chose where 0 was asked.
  package var listeners: [Listener] { table.listeners }

  /// Takes what the certificates' files hold now into use for new connections; those that are open keep
  /// theirs. Nothing changes when it throws.
  @discardableResult
  package func reloadCertificates(
    _ certificates: [String: TLSListenerSettings]
  ) throws(EdgeError) -> [CertificateState] {
    let contexts = try StreamEdge.contexts(listeners, certificates)
    streams.queues.departures.replace(certificates: contexts)
    return CertificateState.all(of: contexts)
  }

  /// Opens and lets go of listeners while calls run, so that there are those that are wanted. A listener that is
  /// not wanted takes nothing new, and is closed when no call uses it any more. Nothing changes when it throws.
  ///
  /// - Parameter compile: the resources for the listeners as they will be, each in its place.
  package func change(
    listeners wanted: [Listener], streams settings: StreamSettings,
    compile: ([Listener]) throws -> Configuration
  ) throws {
    // A listener that closes meanwhile needs another plan; that can happen as often as one leaves.
    for _ in 0..<ListenerTable.limit {
      guard var plan = table.plan(wanted) else { throw EdgeError.listenersUsedUp }
      let configuration = try compile(plan.listeners)
      let certificates = try StreamEdge.contexts(plan.listeners, settings.certificates)
      let (bound, opened) = try Self.bind(plan.listeners, plan.opening, sockets)
      plan.listeners = bound
      guard table.commit(plan) else { continue }
      streams.queues.departures.replace(
        listeners: StreamListeners(bound, sockets: opened.streams, origins: settings.origins),
        certificates: certificates)
      inbox.add(opened.datagrams)
      keep(bound, opened)
      _ = inbox.post(.listeners(bound, configuration))
      return
    }
  }

  deinit { stop() }
}

/// Lets the starter wait until the thread has what it needs, or why not.
final class StartGate: Sendable {
  private let outcome = Mutex<EdgeError?>(nil)
  private let isOpen = Atomic(false)
  private let wakeup: Wakeup
  private let poller: Poller

  init() throws(EdgeError) {
    wakeup = try Wakeup()
    poller = try Poller()
    try poller.watch(wakeup, token: 0)
  }

  func open(_ problem: EdgeError?) {
    outcome.withLock { $0 = problem }
    isOpen.store(true, ordering: .releasing)
    wakeup.raise()
  }

  func wait() -> EdgeError? {
    var events: [Poller.Event] = []
    while !isOpen.load(ordering: .acquiring) { poller.wait(nil, into: &events) }
    return outcome.withLock { $0 }
  }
}
