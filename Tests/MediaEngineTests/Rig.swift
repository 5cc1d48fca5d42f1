import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Synchronization
import Testing

/// Facts as they come, for a test to wait on.
final class FactLog: Sendable {
  private let facts = Mutex<[MediaFact]>([])

  func append(_ new: [MediaFact]) { facts.withLock { $0 += new } }
  func removeAll() { facts.withLock { $0 = [] } }
  var all: [MediaFact] { facts.withLock { $0 } }

  /// The first fact that `pick` takes; nil after two seconds.
  func wait<T>(_ pick: (MediaFact) -> T?) -> T? {
    for _ in 0..<1_000 {
      for fact in all { if let found = pick(fact) { return found } }
      usleep(2_000)
    }
    return nil
  }
}

/// A running media plane on ports of its own, and the commands of a test.
final class Rig {
  /// Somewhere below the ephemeral ports; other runs may be under way, so not all need be free.
  static func ports(pairs: Int) -> ClosedRange<UInt16> {
    let first = 2 * Int.random(in: 4_000..<16_000 - pairs)
    return UInt16(first)...UInt16(first + 2 * pairs - 1)
  }

  /// Ports that are all free on loopback.
  static func freePorts(pairs: Int) throws -> ClosedRange<UInt16> {
    try Rig(pairs: pairs).range
  }

  let range: ClosedRange<UInt16>
  let plane: MediaPlane
  let log = FactLog()
  let bound: IPAddress
  private var pool: MediaPortPool
  private var serial: UInt64 = 0
  private var now = Instant.zero
  private var last: End?

  /// Of everything that had come before; they are published when a worker has done with what woke it.
  var counters: MediaCounters {
    if let last { measure(last) }
    return plane.counters
  }

  init(
    _ bound: IPAddress = .loopbackV4, pairs: Int = 2 * 6, announcements: [AnnouncementSource] = [],
    settings: MediaSettings = MediaSettings()
  ) throws {
    self.bound = bound
    var ports = Self.ports(pairs: pairs)
    var running: MediaPlane?
    for _ in 0..<200 where running == nil {
      let plane = try MediaPlane(
        addresses: [MediaAddress(name: "test", bound: bound, ports: ports)],
        announcements: announcements, settings: settings, sink: { [log] in log.append($0) })
      if let readiness = try? plane.start(), readiness.bound == pairs {
        running = plane
      } else {
        plane.stop()
        log.removeAll()
        ports = Self.ports(pairs: pairs)
      }
    }
    plane = try #require(running)
    range = ports
    pool = MediaPortPool(addresses: [MediaAddress(name: "test", bound: bound, ports: ports)])
    for case .ready(let address, let ports, let failed) in log.all {
      pool.add(address: Int(address), ports: ports, except: failed)
    }
  }

  deinit { plane.stop() }

  /// Opens a transport; its RTP address is where peers send to.
  func open() throws -> End {
    let lease = try #require(self.lease())
    serial += 1
    let id = MediaTransportID(raw: serial)
    plane.submit([.open(id, lease)])
    try #require(log.wait { $0 == .opened(id) ? true : nil } == true)
    let end = End(id: id, media: SocketAddress(bound, lease.port), lease: lease)
    last = end
    return end
  }

  func lease() -> LocalMedia? { pool.lease(address: 0, at: now) }

  /// Gives the ports of closed transports back, with their quarantine over.
  func release(_ ends: End...) {
    for end in ends { _ = pool.release(end.lease, at: now) }
    now = now + MediaPortPool.quarantine
  }

  /// Two transports, bridged, with these peers at the far ends.
  func bridge(_ a: RemoteMedia, _ b: RemoteMedia) throws -> (a: End, b: End) {
    let (first, second) = (try open(), try open())
    plane.submit([.remote(first.id, a), .remote(second.id, b), .bridge(first.id, second.id)])
    _ = measure(second)
    return (first, second)
  }

  /// The counters of a transport, after everything submitted before.
  @discardableResult
  func measure(_ end: End) -> StreamQuality? {
    let before = log.all.count
    plane.submit([.measure(end.id)])
    for _ in 0..<1_000 {
      for case .quality(end.id, let quality) in log.all.dropFirst(before) { return quality }
      usleep(1_000)
    }
    return nil
  }
}

struct End {
  var id: MediaTransportID
  var media: SocketAddress
  var lease: LocalMedia
  var control: SocketAddress { SocketAddress(media.ip, media.port + 1) }
}

extension RemoteMedia {
  init(
    _ rtp: SocketAddress, rtcp: SocketAddress? = nil, signalling: IPAddress? = nil,
    latch: LatchPolicy = .signalled, weSend: Bool = true, weReceive: Bool = true,
    codec: AudioCodec = .pcmu, packetTime: UInt16 = 20
  ) {
    self.init(
      rtp: rtp, rtcp: rtcp ?? SocketAddress(rtp.ip, rtp.port &+ 1),
      signallingSource: signalling ?? rtp.ip, latch: latch, weSend: weSend, weReceive: weReceive,
      codec: codec, payloadType: codec == .pcma ? 8 : 0, clockRate: 8_000, packetTime: packetTime,
      telephoneEvent: 101)
  }
}

/// An RTP packet of 160 bytes of payload that tell its number.
func rtp(
  _ number: Int, ssrc: UInt32 = 0x1111_2222, payloadType: UInt8 = 0, marker: Bool = false
) -> [UInt8] {
  let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 160)
  return header(
    RTPHeader(
      payloadType: payloadType, marker: marker, sequence: UInt16(truncatingIfNeeded: number),
      timestamp: UInt32(truncatingIfNeeded: number * 160), ssrc: ssrc)) + payload
}

private func header(_ header: RTPHeader) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: RTPHeader.size)
  var elements = bytes.mutableSpan
  var raw = unsafe elements.mutableBytes
  header.write(to: &raw)
  return bytes
}

/// A compound RTCP packet by `body`.
func rtcp(_ body: (inout RTCPWriter, inout MutableRawSpan) -> Void) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: 512)
  var writer = RTCPWriter()
  do {
    var elements = bytes.mutableSpan
    var raw = unsafe elements.mutableBytes
    body(&writer, &raw)
  }
  return Array(bytes.prefix(writer.count))
}

func parse(_ bytes: [UInt8]) -> (header: RTPHeader, payload: [UInt8])? {
  guard let header = RTPHeader(bytes.rawSpan) else { return nil }
  return (header, Array(bytes[header.payload.start..<header.payload.end]))
}

extension Peer {
  /// The next datagram as RTP.
  func packet() -> (header: RTPHeader, payload: [UInt8])? { receive().flatMap { parse($0.bytes) } }
}
