import Base
import CLinux
import Foundation
import MediaEngine

/// What a relayed packet costs, all of it: in the kernel, in user space, and by rtpengine, one after the other in
/// rounds, on the same generator, in a network namespace of its own.
///
/// The kernel does softirq work on the account of whichever thread it interrupts, and on loopback that is the
/// sender. So what is counted is the CPU time of the generator's thread, of the relay and of the kernel's softirq
/// threads, by their own clocks, over the packets that arrived; and of that is taken away what the same generator
/// costs when it sends to itself. What is left is the relay and the second hop that it makes necessary.
func relayComparisonBench(into results: inout BenchResults) {
  let before = clkernel_namespace_new()
  guard before >= 0 else { return print("relay comparison: not measured; it needs root") }
  defer {
    _ = clkernel_namespace_enter(before)
    clinux_close(before)
  }
  guard Subprocess.run("/bin/sh", ["-c", "ip link set lo up"]) == 0 else {
    return print("relay comparison: not measured; no loopback")
  }
  for streams in [100, 500, 2_000] { compare(streams, &results) }
}

private let rounds = 3

private func compare(_ streams: Int, _ results: inout BenchResults) {
  var runs: [RelayPath: [RelayRun]] = [:]
  var directs: [Double] = []
  for _ in 0..<rounds {
    guard let direct = RelayRun.measure(.direct, streams) else { return print("no generator") }
    directs.append(direct.packetMicroseconds)
    for path in [RelayPath.fastpath, .userspace, .rtpengine] {
      guard var run = RelayRun.measure(path, streams) else { continue }
      run.packetMicroseconds -= direct.packetMicroseconds
      runs[path, default: []].append(run)
    }
  }
  results.record("relay_direct_packet_us_\(streams)", median(directs), "us")
  for path in [RelayPath.fastpath, .userspace, .rtpengine] {
    guard let runs = runs[path] else {
      print("relay by \(path.rawValue), \(streams) streams: not measured")
      continue
    }
    let name = "relay_\(path.rawValue)"
    results.record("\(name)_packet_us_\(streams)", median(runs.map(\.packetMicroseconds)), "us")
    results.record("\(name)_delay_p99_us_\(streams)", median(runs.map(\.delayP99)), "us")
    results.record("\(name)_lost_\(streams)", median(runs.map { Double($0.lost) }), "packets")
    if path == .fastpath {
      results.record("\(name)_share_\(streams)", median(runs.map(\.kernelShare)), "1")
      if streams == 500 {
        results.record("\(name)_delay_p99_us", median(runs.map(\.delayP99)), "us")
      }
    }
  }
}

func median(_ values: [Double]) -> Double {
  values.isEmpty ? .nan : values.sorted()[values.count / 2]
}

/// Who relays.
enum RelayPath: String {
  /// Nobody: the generator sends to itself.
  case direct
  case fastpath, userspace, rtpengine
}

struct RelayRun {
  var packetMicroseconds: Double
  var delayP99: Double
  var lost: Int
  /// Of what arrived, the part that the kernel relayed.
  var kernelShare: Double

  /// Two seconds, after as much time to get going.
  static func measure(_ path: RelayPath, _ streams: Int) -> RelayRun? {
    guard let generator = RelayGenerator(streams: streams),
      let relay = Relay.make(path, streams, farEnd: generator.address)
    else { return nil }
    defer { relay.stop() }
    generator.flows.targets = relay.targets
    generator.run(milliseconds: 1_500)
    generator.flows.reset()
    let before = (relay.cpu, SoftirqThreads.cpu, clinux_thread_time(), relay.kernelPackets)
    generator.run(milliseconds: 2_000)
    let after = (relay.cpu, SoftirqThreads.cpu, clinux_thread_time(), relay.kernelPackets)
    let arrived = Double(generator.flows.arrived)
    guard arrived > 0 else { return nil }
    // A relay that does nothing may be some ns below 0: two clocks are read one after the other.
    let nanoseconds =
      Int64(bitPattern: after.0 &- before.0) + Int64(bitPattern: after.1 &- before.1)
      + Int64(bitPattern: after.2 &- before.2)
    return RelayRun(
      packetMicroseconds: Double(nanoseconds) / arrived / 1_000,
      delayP99: generator.flows.delay(0.99), lost: generator.flows.sent - generator.flows.arrived,
      kernelShare: Double(after.3 &- before.3) / arrived)
  }
}

/// CPU time of the kernel's threads for softirq work that was put off, in ns.
enum SoftirqThreads {
  private static let paths: [String] = {
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return folders.filter { Int($0) != nil }.filter {
      let name = try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8)
      return name?.hasPrefix("ksoftirqd/") ?? false
    }.map { "/proc/\($0)/schedstat" }
  }()

  static var cpu: UInt64 { paths.reduce(0) { $0 + scheduledTime($1) } }
}

/// The first word of a schedstat file: nanoseconds on a CPU.
func scheduledTime(_ path: String) -> UInt64 {
  let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
  return text.split(separator: " ").first.flatMap { UInt64($0) } ?? 0
}
