import Base
import CallCore
import Edge
import Foundation
import MediaEngine
import Persistence
import Policy
import Synchronization

extension DemarcServer {
  /// A shard that does not answer leaves its own figures at zero; the rest is told all the same, so that
  /// whoever watches sees the store, the media and the queues.
  package func metrics() async -> String {
    stream.flush()
    let start = Double(WallTime.process.milliseconds(at: startedAt)) / 1_000
    var page = MetricsPage(version: Version.text, processStart: start)
    if let counters = try? await shardCounters() { page.shard = counters }
    if case .trunks(let statuses) = try? await queries.ask(.trunks) { page.trunks = statuses }
    page.upstreams = (try? await upstreamStatuses()) ?? []
    for trunk in keeper.current.trunks {
      page.trunkLimits[TrunkKey(tenant: trunk.tenant, name: trunk.name)] = trunk.maxCalls
    }
    page.revision = revision
    page.draining = isDraining.load(ordering: .relaxed)
    (page.threadStalls, page.isStalled) = watchdog.counts
    page.processSeconds = ProcessUsage.cpuTime.seconds
    page.residentBytes = UInt64(clamping: ProcessUsage.residentBytes)
    page.openDescriptors =
      (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
    page.tally = tally.current
    page.readers = stream.counters
    page.media = media.counters
    page.fastPath = media.fastPath
    page.edge = edge.counters.reading
    page.streams = edge.streamCounters
    page.names = names.counters
    page.kernelBans = kernelBans?.counters
    page.identityFiles = identities.reading
    page.store = writer.counters
    page.storeBytes = store.bytes
    (page.logLines, page.logDropped) = log.counters
    page.requests = requests.current
    return page.render()
  }
}
