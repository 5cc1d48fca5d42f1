package import Base
import CallCore
package import SIPWire

/// The network of the world: who stands at which address, what is on its way between an agent and the engine, and what
/// becomes of it.
package final class SimulatedNetwork {
  unowned let world: World
  private var paths: NetworkPaths
  private var agents: [SocketAddress: Agent] = [:]
  private let listeners: [SocketAddress: ListenerIndex]
  /// Hosts that answer with ICMP instead of SIP.
  private var unreachable: Set<SocketAddress> = []
  /// Agents whose path lost something at some time.
  private var unreliable: Set<SocketAddress> = []
  /// What was sent by connections whose path is cut: TCP repeats it until that is mended.
  private var held: [SocketAddress: [(datagram: Datagram, toAgent: Bool)]] = [:]
  private var nextMediaPort: [IPAddress: UInt16] = [:]
  /// Nobody takes connections from the engine.
  package var refusesStreams = false
  /// Chosen datagrams get lost on top of what the links lose; asked once for each, in order.
  package var loses: ((AgentMessage) -> Bool)?
  package private(set) var datagramsSent = 0

  init(world: World, random: SeededRandom) {
    self.world = world
    paths = NetworkPaths(random: random, defaultQuality: world.settings.link)
    var listeners: [SocketAddress: ListenerIndex] = [:]
    for (index, listener) in world.settings.listeners.enumerated() {
      let index = ListenerIndex(index)
      listeners[Self.outer(listener.bound, index, world.settings)] = index
    }
    self.listeners = listeners
  }

  private static func outer(
    _ bound: SocketAddress, _ listener: ListenerIndex, _ settings: WorldSettings
  ) -> SocketAddress {
    settings.natted[listener].map { SocketAddress($0, bound.port) } ?? bound
  }

  // MARK: Who stands where

  func attach(_ agent: Agent) {
    agents[agent.address] = agent
    paths.attach(agent.address)
  }

  func listener(at address: SocketAddress) -> ListenerIndex? { listeners[address] }

  package func isListener(_ address: SocketAddress) -> Bool { listeners[address] != nil }

  package func newMediaAddress(of agent: Agent) -> SocketAddress {
    let port = nextMediaPort[agent.address.ip, default: 20_000]
    nextMediaPort[agent.address.ip] = port >= 65_000 ? 20_000 : port + 2
    let address = SocketAddress(agent.address.ip, port)
    world.media.know(address, isSecret: agent.mustBeEncrypted)
    return address
  }

  func canary(of address: SocketAddress) -> [UInt8]? {
    agents[address]?.canaryBytes
  }

  /// What an agent speaks with a listener.
  package func transport(of listener: SocketAddress) -> Transport {
    self.listener(at: listener).map { world.settings.listeners[Int($0)].transport } ?? .udp
  }

  // MARK: What paths do

  package func setLink(_ quality: LinkQuality, of agent: Agent) {
    if !quality.isReliable { unreliable.insert(agent.address) }
    paths.set(quality, for: agent.address)
    guard !quality.partitioned, let waiting = held.removeValue(forKey: agent.address) else {
      return
    }
    for (datagram, toAgent) in waiting { carry(datagram, agent: agent.address, toAgent: toAgent) }
  }

  package func setLinks(_ quality: LinkQuality) {
    for agent in world.agents { setLink(quality, of: agent) }
  }

  /// Pulls the plug of an agent's host, or puts it back: it has forgotten everything, and while it is
  /// down its network says so by ICMP.
  package func setDown(_ isDown: Bool, _ agent: Agent) {
    unreliable.insert(agent.address)
    agent.alive = !isDown
    if isDown {
      agent.reboot()
      breakFlow(of: agent)
      unreachable.insert(agent.address)
    } else {
      unreachable.remove(agent.address)
    }
  }

  /// Nothing was ever lost on the way to this agent.
  package func isReliable(_ agent: Agent) -> Bool { !unreliable.contains(agent.address) }

  package func link(of agent: Agent) -> LinkQuality {
    paths.quality(of: agent.address) ?? .perfect
  }

  /// The connection of an agent ends: what was on its way by it is lost, and the engine hears of it after the
  /// path's delay. The next message of either side makes another, where that side may.
  package func breakFlow(of agent: Agent) {
    guard paths.isUp(agent.address), let listener = self.listener(at: agent.trunk) else {
      return
    }
    paths.disconnect(agent.address)
    unreliable.insert(agent.address)
    held[agent.address] = nil
    for call in agent.calls where call.state != .ended { call.isCutOff = true }
    world.auditor.flowLost(agent.address)
    let (address, delay) = (agent.address, link(of: agent).delay)
    world.after(delay) { [self] in
      if !paths.isUp(address) { world.input(.flowLost(listener, address)) }
    }
  }

  // MARK: On the way

  /// From an agent.
  func send(_ bytes: [UInt8], from: SocketAddress, to: SocketAddress) {
    let message = try? AgentMessage(bytes)
    var datagram = Datagram(from: from, to: to, bytes: bytes, message: message)
    // Without an engine the agents speak to one another, which is how they are tested themselves.
    guard isListener(to) || (world.shard == nil && agents[to] != nil) else {
      world.violate(
        .destination, "an agent was told to send to \(AgentText.hostPort(to))",
        message?.callID ?? "")
      return
    }
    if transport(of: to).isReliable {
      datagram.flow = paths.connect(from)
      return stream(datagram, agent: from, toAgent: false)
    }
    carry(datagram, path: from)
  }

  /// From the engine. `connects`: where there is no connection, one may be made.
  func emit(
    _ original: [UInt8], to destination: SocketAddress, by index: ListenerIndex, connects: Bool
  ) {
    guard Int(index) < world.settings.listeners.count else {
      return world.violate(.destination, "no listener \(index)", "")
    }
    let listener = world.settings.listeners[Int(index)]
    let from = Self.outer(listener.bound, index, world.settings)
    let sent = world.mutation?.altered(original, to: destination) ?? [(original, destination)]
    for (bytes, to) in sent {
      datagramsSent += 1
      let datagram = Datagram(from: from, to: to, bytes: bytes, message: read(bytes))
      let callID = datagram.message?.callID ?? ""
      world.auditor.sent(datagram)
      if listener.state == .closed {
        world.violate(.destination, "sent by a listener that is closed", callID)
      }
      guard agents[to] != nil else {
        world.violate(
          .destination, "sent to \(AgentText.hostPort(to)), where nobody is", callID)
        continue
      }
      if listener.transport.isReliable {
        stream(datagram, to: to, by: index, connects: connects)
      } else if unreachable.contains(to) {
        lose(datagram) { [self] in
          world.auditor.unreachable(to)
          world.input(.unreachable(to))
        }
      } else {
        carry(datagram, path: to)
      }
    }
  }

  private func read(_ bytes: [UInt8]) -> AgentMessage? {
    // A keep-alive is no message (RFC 5626 §3.5.1).
    if bytes == Array("\r\n\r\n".utf8) { return nil }
    do {
      return try AgentMessage(bytes)
    } catch {
      let text = String(decoding: bytes, as: UTF8.self)
      world.violate(.wellFormed, "\(error.reason): \(text)", "")
      return nil
    }
  }

  private func stream(
    _ datagram: Datagram, to agent: SocketAddress, by listener: ListenerIndex, connects: Bool
  ) {
    guard paths.isUp(agent) || connects && !unreachable.contains(agent) && !refusesStreams else {
      return lose(datagram) { [self] in world.input(.flowLost(listener, agent)) }
    }
    var datagram = datagram
    datagram.flow = paths.connect(agent)
    stream(datagram, agent: agent, toAgent: true)
  }

  /// By a connection, which exists.
  private func stream(_ datagram: Datagram, agent: SocketAddress, toAgent: Bool) {
    world.trace.note(datagram, at: world.now, lost: false)
    carry(datagram, agent: agent, toAgent: toAgent)
  }

  private func carry(_ datagram: Datagram, agent: SocketAddress, toAgent: Bool) {
    if let at = paths.arrival(of: agent, toAgent: toAgent, at: world.now) {
      world.arrive(datagram, at: at)
    } else {
      held[agent, default: []].append((datagram, toAgent))
    }
  }

  private func carry(_ datagram: Datagram, path: SocketAddress) {
    var delays = paths.fates(of: path)
    if let message = datagram.message, loses?(message) == true { delays = [] }
    world.trace.note(datagram, at: world.now, lost: delays.isEmpty)
    if delays.isEmpty, let message = datagram.message, message.isRequest, message.method == .bye {
      agents[datagram.to]?.calls(message.callID)?.byesLost += 1
    }
    for delay in delays { world.arrive(datagram, at: world.now + delay) }
  }

  /// The engine is told a moment later.
  private func lose(_ datagram: Datagram, _ told: @escaping () -> Void) {
    world.trace.note(datagram, at: world.now, lost: true)
    world.after(.milliseconds(8), told)
  }

  func arrive(_ datagram: Datagram) {
    if let flow = datagram.flow {
      let agent = agents[datagram.to] == nil ? datagram.from : datagram.to
      guard paths.lives(flow, of: agent) else { return }
    }
    if let agent = agents[datagram.to] {
      guard let message = datagram.message else { return }
      agent.receive(message, from: datagram.from)
      // Whoever hears of a call after the engine's end has nobody to end it with.
      if world.shard == nil { agent.calls(message.callID)?.isCutOff = true }
    } else if let listener = self.listener(at: datagram.to) {
      world.take(datagram, on: listener)
    }
  }
}
