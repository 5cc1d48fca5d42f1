import Base
import CLinux
import Foundation
import MediaControl
import MediaEngine

/// What a relayed RTP packet costs in user space: 200 two-way calls of 20 ms packets (20 000 packets a
/// second) through the real media plane on loopback.
///
/// CPU is that of the worker's thread alone, by its own clock. On loopback the kernel does the receiver's
/// half of a send in the sender's time, so the figure contains the delivery to the sink, which a network
/// card's interrupt would carry otherwise. Delay is from the generator's send to the kernel's stamp at
/// the sink: two hops of loopback and the relay.
func relayBench(into results: inout BenchResults) {
  var settings = MediaSettings()
  record(RelayLoad.run(settings, seconds: 4), "relay_userspace", &results)
  // The same without the tick: woken by the packets. What the tick buys, and what it costs in delay.
  settings.busyPacketsPerSecond = .max
  record(RelayLoad.run(settings, seconds: 2), "relay_woken", &results)
}

private func record(_ outcome: RelayLoad.Outcome?, _ name: String, _ results: inout BenchResults) {
  guard let outcome else { return print("\(name): not measured") }
  results.record("\(name)_packet_us", outcome.packetMicroseconds, "us")
  results.record("\(name)_packets_per_s", outcome.packetsPerSecond, "1/s")
  results.record("\(name)_lost", Double(outcome.lost), "packets")
  if let mallocs = outcome.mallocs { results.record("\(name)_mallocs", mallocs, "1") }
  results.record("\(name)_delay_p50_us", outcome.delays.p50, "us")
  results.record("\(name)_delay_p99_us", outcome.delays.p99, "us")
}

/// The media plane with its calls, and `RTPFlows` as all their far ends: every call's both far ends are this socket, told apart by our ports.
private final class RelayLoad {
  static let calls = 200
  /// The generator sends in steps of 250 us, the 400 streams evenly spread over 20 ms.
  static let step: UInt64 = 250_000
  static let streamsPerStep = 2 * calls * 250 / 20_000

  struct Outcome {
    var packetMicroseconds: Double
    var packetsPerSecond: Double
    var lost: Int
    /// Per packet, generator and all; nil where they are not counted.
    var mallocs: Double?
    /// Median and 99th percentile, in microseconds.
    var delays: (p50: Double, p99: Double)
  }

  private let plane: MediaPlane
  private let flows: RTPFlows

  static func run(_ settings: MediaSettings, seconds: Int) -> Outcome? {
    // Ports that nothing else on the machine holds.
    let places = stride(from: UInt16(11_000), to: 31_000, by: 1_000)
    guard let load = places.lazy.compactMap({ RelayLoad(settings, from: $0) }).first else {
      return nil
    }
    load.generate(nanoseconds: 1_000_000_000)  // latches, warms up, reaches the busy state
    load.flows.settle(times: 30, every: 10_000_000)
    return load.measure(seconds: seconds)
  }

  private init?(_ settings: MediaSettings, from first: UInt16) {
    let ports = first...first + 4 * UInt16(Self.calls) - 1
    let farEnd = SocketAddress(.loopbackV4, first - 1)
    guard
      let plane = try? MediaPlane(
        addresses: [MediaAddress(name: "bench", bound: farEnd.ip, ports: ports)],
        announcements: [], settings: settings, sink: { _ in })
    else { return nil }
    self.plane = plane
    guard let flows = RTPFlows(farEnd, expecting: 200_000), (try? plane.start()) != nil else {
      return nil
    }
    self.flows = flows
    while plane.counters.portPairsBound + plane.counters.portPairsTaken < 2 * Self.calls {
      clmedia_sleep_until(clmedia_monotonic() + 1_000_000)
    }
    guard plane.counters.portPairsTaken == 0 else { return nil }
    let remote = RemoteMedia(
      rtp: farEnd, rtcp: SocketAddress(farEnd.ip, farEnd.port + 1), signallingSource: farEnd.ip,
      latch: .signalled, weSend: true, weReceive: true, codec: .pcmu, payloadType: 0,
      clockRate: 8_000, packetTime: 20, telephoneEvent: 101)
    var commands: [MediaCommand] = []
    var targets: [SocketAddress] = []
    for index in 0..<2 * Self.calls {
      let id = MediaTransportID(raw: UInt64(index))
      let port = ports.lowerBound + 2 * UInt16(index)
      commands += [.open(id, LocalMedia(address: 0, port: port)), .remote(id, remote)]
      if index % 2 == 1 { commands.append(.bridge(id, MediaTransportID(raw: UInt64(index - 1)))) }
      targets.append(SocketAddress(farEnd.ip, port))
    }
    plane.submit(commands)
    flows.targets = targets
  }

  deinit { plane.stop() }

  private func measure(seconds: Int) -> Outcome? {
    let before = plane.counters
    let mallocsBefore = mallocCount()
    flows.reset()
    generate(nanoseconds: UInt64(seconds) * 1_000_000_000)
    flows.settle(times: 30, every: 10_000_000)
    let after = plane.counters
    let mallocsAfter = mallocCount()
    let relayed = Double(after.relayed - before.relayed)
    guard relayed > 0 else { return nil }
    var mallocs: Double?
    if let mallocsBefore, let mallocsAfter {
      mallocs = Double(mallocsAfter - mallocsBefore) / relayed
    }
    return Outcome(
      packetMicroseconds: Double(after.cpuNanoseconds - before.cpuNanoseconds) / relayed / 1_000,
      packetsPerSecond: relayed / Double(seconds), lost: flows.sent - flows.arrived,
      mallocs: mallocs,
      delays: (flows.delay(0.5), flows.delay(0.99)))
  }

  private func generate(nanoseconds: UInt64) {
    let start = clmedia_monotonic()
    var due = start
    while due < start + nanoseconds {
      for _ in 0..<Self.streamsPerStep { flows.sendNext() }
      flows.drain()
      due += Self.step
      clmedia_sleep_until(due)
    }
  }
}
