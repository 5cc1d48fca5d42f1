package import Base
import CallCore
package import MediaControl

/// The media plane of the world: it answers commands with facts as the real one does, holds the engine
/// to the contract of `MediaCommand`, and knows who is talking. No packet is made.
package final class SimulatedMedia {
  private struct Transport {
    var local: LocalMedia
    var remote: RemoteMedia?
    var peer: MediaTransportID?
    var application: MediaApplication?
    /// What is heard in place of the peer while that is silent.
    var interlude: MediaApplication?
    var latched: SocketAddress?
    var opened: Instant
    var watch = 0
    /// When it was last said to be silent.
    var reported = Instant.zero
    /// Looked at for a verdict, in ms from when it was asked for; 0: not.
    var examination: UInt32 = 0
    /// What it was told to say.
    var digits: [MediaDigit] = []
    var numbers = PayloadNumbers()
    /// Its digits are told and not passed on.
    var isHeeded = false
    var closing = false
  }

  /// An agent's RTP: whether it flows, and since when it does not.
  private struct Flow {
    var talking = false
    /// It is of somebody whose media must be encrypted.
    var isSecret = false
    var last: Instant
    var heardBy: MediaTransportID?
  }

  /// A closed port rests for so long before it may be opened again (E10).
  package static let quarantine = Interval.seconds(5)

  private var transports: [MediaTransportID: Transport] = [:]
  private var used: Set<MediaTransportID> = []
  private var ports: [LocalMedia: MediaTransportID] = [:]
  private var closedAt: [LocalMedia: Instant] = [:]
  private var recordings: Set<RecordingID> = []
  /// Who has sent under each key; nil: the transport has ended with SRTP since, and so forgotten its count.
  private var senders: [SRTPKey: MediaTransportID?] = [:]
  /// The same for all, so that they come in order.
  private static let recordingDelay = Interval.milliseconds(2)
  private var flows: [SocketAddress: Flow] = [:]
  private var counted: [SocketAddress: StreamQuality] = [:]
  package private(set) var opens = 0
  package private(set) var closes = 0
  /// Whether handshakes come to an end.
  package var shakesHands = true
  package internal(set) var addresses: [MediaAddress]
  /// What stands in SDP for each media address.
  let advertised: [IPAddress]
  unowned let world: World
  private var random: SeededRandom

  init(
    addresses: [MediaAddress], advertised: [IPAddress], world: World, random: SeededRandom
  ) {
    self.addresses = addresses
    self.advertised = advertised
    self.world = world
    self.random = random
  }

  package var openCount: Int { transports.count }
  package var recordingCount: Int { recordings.count }

  func start() {
    for (index, address) in addresses.enumerated() {
      world.input(.media(.ready(address: UInt16(index), ports: address.ports, failed: [])))
    }
  }

  func crash() {
    recordings = []
    transports = [:]
    ports = [:]
    used = []
    closedAt = [:]
    opens = 0
    closes = 0
  }

  /// Whether SDP may name this address of ours now.
  package func isOpen(_ address: SocketAddress) -> Bool {
    ports.keys.contains { $0.port == address.port && advertised[Int($0.address)] == address.ip }
  }

  // MARK: Agents

  /// An address that an agent may put into SDP.
  package func know(_ media: SocketAddress, isSecret: Bool = false) {
    flows[media] = Flow(isSecret: isSecret, last: world.now)
  }

  package func talk(_ media: SocketAddress, at now: Instant) {
    guard var flow = flows[media], !flow.talking else { return }
    flow.talking = true
    flows[media] = flow
    if let transport = flow.heardBy { latch(transport) }
  }

  package func silence(_ media: SocketAddress, at now: Instant) {
    guard flows[media]?.talking == true else { return }
    flows[media]?.talking = false
    flows[media]?.last = now
  }

  // MARK: Commands

  func handle(_ command: MediaCommand) {
    switch command {
    case .open(let id, let local): openPort(id, local)
    case .remote(let id, let remote): setRemote(id, remote)
    case .bridge(let a, let b):
      guard known(a, command), known(b, command) else { return }
      if a == b { breach("bridged with itself") }
      bridge(a, b)
    case .play(let id, let application):
      if known(id, command) { play(id, application) }
    case .interpose(let id, let application):
      if known(id, command) { interpose(id, application) }
    case .watch(let id, let milliseconds):
      guard known(id, command) else { return }
      transports[id]?.watch += 1
      if milliseconds > 0 { check(id, after: .milliseconds(Int(milliseconds)), Int(milliseconds)) }
    case .examine(let id, let milliseconds):
      if known(id, command) { transports[id]?.examination = milliseconds }
    case .digit(let id, let digit):
      if known(id, command) { transports[id]?.digits.append(digit) }
    case .number(let id, let numbers):
      if known(id, command) { transports[id]?.numbers = numbers }
    case .heed(let id):
      if known(id, command) { transports[id]?.isHeeded = true }
    case .measure(let id):
      if known(id, command) { report(.quality(id, quality(id))) }
    case .close(let id): close(id, command)
    case .record(let id, let order):
      if known(id, command) { record(order) }
    case .moveRecording(_, let id, _): _ = known(id, command)
    case .pauseRecording: break
    case .stopRecording(let id, let end): stopRecording(id, end)
    }
  }

  /// A recording is done as soon as it is asked for.
  private func record(_ order: RecordingOrder) {
    if !recordings.insert(order.id).inserted { breach("recording \(order.id.raw) began twice") }
    if order.notice != nil { report(.recording(order.id, .announced), after: Self.recordingDelay) }
    report(.recording(order.id, .started(wall: 0, rate: 8_000)), after: Self.recordingDelay)
  }

  private func stopRecording(_ id: RecordingID, _ end: RecordingEnd) {
    guard recordings.remove(id) != nil else { return breach("recording \(id.raw) is none") }
    report(.recording(id, .ended(RecordingResult(end))), after: Self.recordingDelay)
  }

  private func bridge(_ a: MediaTransportID, _ b: MediaTransportID) {
    for id in [a, b] {
      if let peer = transports[id]?.peer { transports[peer]?.peer = nil }
    }
    transports[a]?.peer = b
    transports[b]?.peer = a
    for id in [a, b] {
      transports[id]?.application = nil
      transports[id]?.interlude = nil
    }
  }

  private func interpose(_ id: MediaTransportID, _ application: MediaApplication?) {
    let isBridged = transports[id]?.peer != nil
    if application != nil, !isBridged { breach("music for \(id.raw), which hears nobody") }
    transports[id]?.interlude = isBridged ? application : nil
  }

  /// The transport of this agent that a verdict is asked on, and in how many ms.
  package func examination(of media: SocketAddress) -> (MediaTransportID, UInt32)? {
    transports.first { $0.value.remote?.rtp == media }.map { ($0.key, $0.value.examination) }
  }

  /// The digits that were said to this agent by its media, as events of RFC 4733.
  package func digits(to media: SocketAddress) -> [UInt8] {
    transports.first { $0.value.remote?.rtp == media }?.value.digits.map(\.event.exposed) ?? []
  }

  /// Says a digit as this agent's media would have brought it.
  package func say(_ event: UInt8, _ kind: DigitKind, by media: SocketAddress) {
    guard let id = transports.first(where: { $0.value.remote?.rtp == media })?.key else { return }
    report(.digit(id, MediaDigit(event: event, milliseconds: 100, kind: kind)))
  }

  /// Whether this agent's digits are told and not passed on.
  package func isHeeded(_ media: SocketAddress) -> Bool {
    transports.values.first { $0.remote?.rtp == media }?.isHeeded ?? false
  }

  /// What this agent hears in place of somebody.
  package func application(of media: SocketAddress) -> MediaApplication? {
    transports.values.first { $0.remote?.rtp == media }?.application
  }

  /// What this agent hears while who has put it on hold is silent.
  package func interlude(of media: SocketAddress) -> MediaApplication? {
    transports.values.first { $0.remote?.rtp == media }?.interlude
  }

  /// Whose media this agent hears now.
  package func partner(of media: SocketAddress) -> SocketAddress? {
    transports.values.first { $0.remote?.rtp == media }?.peer.flatMap {
      transports[$0]?.remote?.rtp
    }
  }

  /// What we know of this agent's end.
  package func remote(of media: SocketAddress) -> RemoteMedia? {
    transports.values.first { $0.remote?.rtp == media }?.remote
  }

  /// What is counted of an agent's media from now on, for whoever asks.
  package func count(_ quality: StreamQuality, of media: SocketAddress) {
    counted[media] = quality
  }

  private func quality(_ id: MediaTransportID) -> StreamQuality {
    transports[id]?.remote.flatMap { counted[$0.rtp] } ?? StreamQuality()
  }

  /// How what it sends is numbered.
  package func numbers(of media: SocketAddress) -> PayloadNumbers {
    transports.values.first { $0.remote?.rtp == media }?.numbers ?? PayloadNumbers()
  }

  /// The keys between us and this agent; nil: none.
  package func security(of media: SocketAddress) -> MediaSecurity? {
    transports.values.first { $0.remote?.rtp == media }?.remote?.security
  }

  private func breach(_ text: String) { world.violate(.media, text, "") }

  private func known(_ id: MediaTransportID, _ command: MediaCommand) -> Bool {
    if let transport = transports[id], !transport.closing { return true }
    breach("unknown transport in \(command)")
    report(.refused(id))
    return false
  }

  private func openPort(_ id: MediaTransportID, _ local: LocalMedia) {
    if !used.insert(id).inserted { breach("transport \(id.raw) opened twice") }
    guard Int(local.address) < addresses.count,
      addresses[Int(local.address)].ports.contains(local.port), local.port % 2 == 0
    else {
      breach("port \(local.port) is not of the range")
      return report(.refused(id))
    }
    if ports[local] != nil { breach("port \(local.port) opened twice") }
    if let closed = closedAt[local], world.now - closed < SimulatedMedia.quarantine {
      breach("port \(local.port) opened in its quarantine")
    }
    opens += 1
    ports[local] = id
    transports[id] = Transport(local: local, opened: world.now)
    report(.opened(id))
  }

  private func setRemote(_ id: MediaTransportID, _ remote: RemoteMedia) {
    guard known(id, .remote(id, remote)) else { return }
    if !remote.rtp.ip.isUnspecified, remote.rtp.port != 0 {
      if flows[remote.rtp] == nil {
        world.violate(
          .destination, "media to \(AgentText.hostPort(remote.rtp)), which nobody named", "")
      }
      flows[remote.rtp]?.heardBy = id
      if flows[remote.rtp]?.isSecret == true, remote.security == nil,
        remote.weSend || remote.weReceive
      {
        breach("plain media with \(AgentText.hostPort(remote.rtp)), which must be encrypted")
      }
    }
    let before = transports[id]?.remote?.security?.handshake
    checkKey(id, transports[id]?.remote?.security?.sending, remote.security?.sending)
    transports[id]?.remote = remote
    if shakesHands, let handshake = remote.security?.handshake, handshake != before {
      report(.handshake(id, .agreed(.aeadAES128GCM)), after: random.interval(5...60))
    }
    if flows[remote.rtp]?.talking == true { latch(id) }
  }

  /// RFC 3711 §9.1: what two transports, or one that began to count anew, send under one key may be read by anybody.
  private func checkKey(_ id: MediaTransportID, _ before: SRTPKey?, _ key: SRTPKey?) {
    guard before != key else { return }
    guard let key else {
      for (known, owner) in senders where owner == id { senders[known] = .some(nil) }
      return
    }
    if let owner = senders[key], owner != id {
      breach("a key of \(owner.map { "\($0.raw)" } ?? "nobody any more") is that of \(id.raw)")
    }
    senders[key] = id
  }

  private func latch(_ id: MediaTransportID) {
    guard let remote = transports[id]?.remote, transports[id]?.latched != remote.rtp else { return }
    transports[id]?.latched = remote.rtp
    report(.latched(id, remote.rtp, at: world.now), after: random.interval(5...60))
  }

  private func play(_ id: MediaTransportID, _ application: MediaApplication) {
    if let peer = transports[id]?.peer { transports[peer]?.peer = nil }
    transports[id]?.peer = nil
    transports[id]?.application = application
    transports[id]?.interlude = nil
    switch application {
    case .echo, .milliwatt, .tone, .music: break
    case .announcement, .qualityTest:
      world.after(random.interval(2_000...6_000)) { [self] in
        if transports[id] != nil { report(.applicationEnded(id)) }
      }
    }
  }

  private func check(_ id: MediaTransportID, after: Interval, _ milliseconds: Int) {
    guard let watch = transports[id]?.watch else { return }
    let epoch = world.epoch
    let since = world.now
    world.after(after) { [self] in
      guard epoch == world.epoch, let transport = transports[id], transport.watch == watch,
        !transport.closing
      else { return }
      let flow = transport.remote.flatMap { flows[$0.rtp] }
      let last = flow.map { $0.talking ? world.now : max($0.last, transport.opened) } ?? since
      let quiet = (world.now - max(last, transport.reported)).milliseconds
      if quiet >= milliseconds {
        transports[id]?.reported = world.now
        report(.silent(id, last: last))
        check(id, after: .milliseconds(milliseconds), milliseconds)
      } else {
        check(id, after: .milliseconds(milliseconds - quiet), milliseconds)
      }
    }
  }

  private func close(_ id: MediaTransportID, _ command: MediaCommand) {
    guard known(id, command), let local = transports[id]?.local else { return }
    closes += 1
    transports[id]?.closing = true
    var quality = StreamQuality()
    quality.packets = 1
    let delay = random.interval(0...3)
    let epoch = world.epoch
    world.after(delay) { [self] in
      guard epoch == world.epoch else { return }
      if let peer = transports[id]?.peer { transports[peer]?.peer = nil }
      transports[id] = nil
      ports[local] = nil
      closedAt[local] = world.now
      world.input(.media(.quality(id, quality)))
      world.input(.media(.closed(id)))
    }
  }

  private func report(_ fact: MediaFact, after: Interval? = nil) {
    let epoch = world.epoch
    world.after(after ?? random.interval(0...2)) { [self] in
      guard epoch == world.epoch else { return }
      if case .latched(let id, _, _) = fact, transports[id] == nil { return }
      if case .handshake(let id, _) = fact, transports[id] == nil { return }
      world.input(.media(fact))
    }
  }
}
