import Base
import CallCore
import MediaControl
import Policy
import SIPWire

/// The trunk that swarms run through: many phones, three carriers of which one asks for a password, a
/// PBX, and numbers with chains.
struct SwarmOffice {
  let phones: Int
  /// A third of the phones, the PBX and one carrier speak TCP.
  var hasStreams = false
  var hasGroups = false
  /// Half of the phones and one carrier have SRTP and must, some of the phones by DTLS.
  var hasKeys = false
  /// Indexes of agents: phones first, then these.
  var pbx: Int { phones }
  var carriers: [Int] { [phones + 1, phones + 2, phones + 3] }

  static let pbxNumber = "+4930999"
  static let echo = "*43"
  static let announcement = "*44"
  static let eastCredentials = Credentials(username: "demarc", password: "east-secret")

  /// Numbers that ring four phones together.
  static let groups = 4
  static func groupNumber(_ index: Int) -> String { "+49308" + String(index) }

  func phoneExtension(_ index: Int) -> String { String(1_000 + index) }
  func number(_ index: Int) -> String { "+4930" + phoneExtension(index) }
  func name(_ index: Int) -> String { "phone\(index)" }
  func password(_ index: Int) -> String { "secret\(index)" }

  func address(_ agent: Int) -> SocketAddress {
    if agent < pbx {
      return Scene.address(10, 0, 1, UInt32(1 + agent % 250), port: UInt16(5_060 + agent / 250))
    }
    if agent == pbx { return Scene.address(10, 0, 0, 20) }
    return Scene.address(198, 51, 100, UInt32(10 * (agent - pbx)))
  }

  /// Where the keys of its media come from, if it must have any.
  func keys(of agent: Int) -> SRTPKeying? {
    guard hasKeys else { return nil }
    if agent == carriers[0] { return .sdes }
    return agent < phones && agent % 4 < 2 ? [.sdes, .dtls][agent % 4] : nil
  }

  private func rules(of agent: Int) -> SRTPRules {
    var rules = SRTPRules()
    if let keys = keys(of: agent) {
      rules.policy = .require
      rules.keys = keys
      rules.withoutTLS = true
    }
    return rules
  }

  private static let insideStreams = Scene.address(10, 0, 0, 1, port: 5070)
  private static let outsideStreams = Scene.address(203, 0, 113, 1, port: 5070)

  func speaksTCP(_ agent: Int) -> Bool {
    guard hasStreams else { return false }
    return agent < phones ? agent % 3 == 1 : agent == pbx || agent == carriers[1]
  }

  func listener(of agent: Int) -> SocketAddress {
    let isInside = agent <= pbx
    guard speaksTCP(agent) else { return isInside ? Scene.inside : Scene.outside }
    return isInside ? SwarmOffice.insideStreams : SwarmOffice.outsideStreams
  }

  func resources() -> Resources {
    var resources = Resources()
    resources.tenants = [Tenant(name: "acme", domains: ["trunk.example"])]
    let streams = hasStreams ? ["-tcp"] : []
    resources.networks = [("office", "inside"), ("carriers", "outside")].map { name, listener in
      Network(
        name: name, listeners: [listener] + streams.map { listener + $0 }, media: [listener])
    }
    let names = ["north", "south", "east"]
    resources.trunks = zip(names, carriers).map { name, agent in
      Trunk(
        name: name, tenant: "acme", kind: .carrier, network: "carriers", targets: [address(agent)],
        credentials: name == "east" ? SwarmOffice.eastCredentials : nil)
    }
    for i in resources.trunks.indices {
      resources.trunks[i].sessionExpires = .seconds([120, 180, 90][i % 3])
    }
    resources.trunks.append(
      Trunk(name: "pbx", tenant: "acme", kind: .pbx, network: "office", targets: [address(pbx)]))
    for (i, agent) in (carriers + [pbx]).enumerated() where speaksTCP(agent) {
      resources.trunks[i].transport = .tcp
    }
    for (i, agent) in carriers.enumerated() { resources.trunks[i].srtp = rules(of: agent) }
    for phone in 0..<phones {
      resources.users.append(
        User(
          name: name(phone), tenant: "acme", network: "office", extension: phoneExtension(phone),
          password: password(phone)))
      resources.users[phone].srtp = rules(of: phone)
      resources.numbers.append(
        Number(
          number: number(phone), tenant: "acme",
          destinations: [
            DestinationHop(to: .user(name(phone)), timeout: .seconds(12)),
            DestinationHop(to: .user(name((phone + 1) % phones)), timeout: .seconds(15)),
            DestinationHop(to: .trunk("pbx"), timeout: .seconds(20)),
          ]))
    }
    resources.numbers.append(
      Number(
        number: SwarmOffice.pbxNumber, tenant: "acme",
        destinations: [DestinationHop(to: .trunk("pbx"), timeout: .seconds(25))]))
    for group in 0..<(hasGroups ? SwarmOffice.groups : 0) {
      let members = (0..<4).map { Destination.user(name((group * 4 + $0) % phones)) }
      resources.numbers.append(
        Number(
          number: SwarmOffice.groupNumber(group), tenant: "acme",
          destinations: [
            DestinationHop(to: .ring(members), timeout: .seconds(15)),
            DestinationHop(to: .trunk("pbx"), timeout: .seconds(20)),
          ]))
    }
    resources.routes = [
      Route(
        name: "world", tenant: "acme", prefix: "+44",
        carriers: [
          RouteCarrier(trunk: "north", priority: 1, weight: 60),
          RouteCarrier(trunk: "east", priority: 1, weight: 40),
          RouteCarrier(trunk: "south", priority: 2),
        ])
    ]
    resources.applications = [
      Application(name: "echo", tenant: "acme", kind: .echo, extension: SwarmOffice.echo),
      Application(
        name: "hello", tenant: "acme", kind: .announcement, extension: SwarmOffice.announcement,
        file: "hello.wav"),
      Application(name: "waiting", tenant: "acme", kind: .music),
    ]
    resources.tenants[0].musicOnHold = "waiting"
    resources.allowCallsAbroad()
    return resources
  }

  func settings(seed: UInt64) -> WorldSettings {
    var settings = Scene.settings(seed: seed, resources: resources())
    if hasStreams {
      settings.listeners.append(
        Listener(name: "inside-tcp", bound: SwarmOffice.insideStreams, transport: .tcp))
      settings.listeners.append(
        Listener(name: "outside-tcp", bound: SwarmOffice.outsideStreams, transport: .tcp))
    }
    settings.mediaAddresses = [
      MediaAddress(name: "inside", bound: Scene.inside.ip, ports: 30_000...33_999),
      MediaAddress(name: "outside", bound: Scene.outside.ip, ports: 30_000...33_999),
    ]
    return settings
  }

  func populate(_ world: World) {
    for phone in 0..<phones {
      let agent = world.agent(
        name(phone), at: address(phone), trunk: listener(of: phone), user: name(phone))
      agent.credentials = Credentials(username: name(phone), password: password(phone))
    }
    _ = world.agent("pbx", at: address(pbx), trunk: listener(of: pbx), user: "+49301")
    for (name, carrier) in zip(["north", "south", "east"], carriers) {
      let agent = world.agent(
        name, at: address(carrier), trunk: listener(of: carrier), user: "+43\(carrier)")
      if name == "east" { agent.demands = SwarmOffice.eastCredentials }
    }
    for (i, agent) in world.agents.enumerated() {
      guard let keys = keys(of: i) else { continue }
      agent.mustBeEncrypted = true
      if keys == .dtls { agent.dtls = AgentDTLS() } else { agent.srtp = AgentSRTP() }
    }
  }
}
