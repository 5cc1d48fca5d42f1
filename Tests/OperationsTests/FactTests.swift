import Base
import CallCore
import Dispatch
import Edge
import MediaControl
import MediaEngine
import Operations
import Policy
import Synchronization
import Testing

private func ended(_ serial: UInt64, cause: Cause = .normalClearing) -> Fact {
  let id = CallID(incarnation: 1, serial: serial)
  var record = CallRecord(id: id, tenant: "t", setup: .zero)
  record.cause = cause
  record.releasedBy = .caller
  record.ringing = .zero + .milliseconds(300)
  record.answer = .zero + .seconds(2)
  record.end = .zero + .seconds(62)
  record.fromCaller.mos = 441
  return Fact(sequence: serial, at: .zero, call: id, event: .callEnded(record))
}

@Suite struct FactReaderTests {
  @Test func batchesArriveInOrder() {
    let seen = Mutex<[UInt64]>([])
    let reader = FactReader(name: "r", limit: 100_000) { batch in
      seen.withLock { $0 += batch.map(\.sequence) }
    }
    for start in stride(from: UInt64(0), to: 10_000, by: 10) {
      reader.offer((start..<(start + 10)).map { ended($0) })
    }
    reader.flush()
    #expect(seen.withLock { $0 } == Array(0..<10_000))
    #expect(reader.counters == counters(offered: 10_000, dropped: 0))
  }

  /// A handler that never returns: offering stays quick, the bound holds, the rest is counted.
  @Test func aStuckReaderHoldsNobodyUp() {
    let release = DispatchSemaphore(value: 0)
    let handled = Mutex(0)
    let reader = FactReader(name: "stuck", limit: 100) { batch in
      release.wait()
      handled.withLock { $0 += batch.count }
    }
    let facts = (0..<50).map { ended($0) }
    let clock = ContinuousClock()
    let time = clock.measure {
      for _ in 0..<1_000 { reader.offer(facts) }
    }
    #expect(time < .seconds(2))
    let before = reader.counters
    #expect(before.offered == 50_000)
    #expect(before.waiting <= 100)
    #expect(before.dropped >= 49_800)
    for _ in 0..<10 { release.signal() }
    reader.flush()
    #expect(UInt64(handled.withLock { $0 }) + before.dropped == 50_000)
  }

  private func counters(offered: UInt64, dropped: UInt64) -> FactReaderCounters {
    var counters = FactReaderCounters()
    counters.offered = offered
    counters.dropped = dropped
    return counters
  }
}

@Suite struct RecentCallsTests {
  @Test func theNewestAreKept() {
    let recent = RecentCalls(capacity: 3)
    recent.observe((1...5).map { ended($0) })
    #expect(recent.latest(10).map(\.id.serial) == [5, 4, 3])
    #expect(recent.latest(2).map(\.id.serial) == [5, 4])
    #expect(recent.record(of: CallID(incarnation: 1, serial: 2)) == nil)
    #expect(recent.record(of: CallID(incarnation: 1, serial: 4))?.cause == .normalClearing)
    recent.observe([ended(4, cause: .busy), ended(6)])
    #expect(recent.latest(10).map(\.id.serial) == [6, 5, 4])
  }
}

@Suite struct MetricsTests {
  @Test func aPageIsWhatPrometheusReads() throws {
    var page = MetricsPage(version: "1.2 \"x\"\\\n", processStart: 1_795_230_091.5)
    page.shard.dropped = ["unparsable": 3]
    page.shard.refused = ["forbidden": 2]
    page.trunks = [
      TrunkStatus(name: "b\"eta", tenant: "t", calls: 4), TrunkStatus(name: "a", tenant: "t"),
    ]
    page.trunkLimits = [TrunkKey(tenant: "t", name: "a"): 30]
    page.tally.observe(ended(1))
    page.tally.observe(ended(2, cause: .busy))
    page.requests = [APIRequestCount(method: "GET", route: "/v1/calls", status: 200, count: 9)]
    let text = page.render()
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.last == "")
    #expect(lines.contains(#"demarc_build_info{version="1.2 \"x\"\\\n"} 1"#))
    #expect(lines.contains("demarc_process_start_time_seconds 1795230091.5"))
    #expect(lines.contains(#"demarc_sip_messages_dropped_total{reason="unparsable"} 3"#))
    #expect(lines.contains(#"demarc_sip_messages_dropped_total{reason="strayAck"} 0"#))
    #expect(lines.contains(#"demarc_sip_requests_refused_total{cause="forbidden"} 2"#))
    #expect(lines.contains(#"demarc_trunk_calls{tenant="t",trunk="b\"eta"} 4"#))
    #expect(lines.contains(#"demarc_trunk_calls_limit{tenant="t",trunk="a"} 30"#))
    #expect(lines.contains(#"demarc_calls_ended_total{cause="busy",by="caller"} 1"#))
    #expect(lines.contains(#"demarc_call_setup_seconds_bucket{le="0.25"} 0"#))
    #expect(lines.contains(#"demarc_call_setup_seconds_bucket{le="0.5"} 2"#))
    #expect(lines.contains(#"demarc_call_setup_seconds_bucket{le="+Inf"} 2"#))
    #expect(lines.contains("demarc_call_duration_seconds_sum 120"))
    #expect(
      lines.contains(#"demarc_api_requests_total{method="GET",route="/v1/calls",status="200"} 9"#))
  }

  @Test func loadIsTold() {
    var page = MetricsPage(version: "1", processStart: 0)
    page.shard.standingWait = .milliseconds(45)
    page.shard.refusedStrangers = 1_000
    page.shard.refusedKnown = 125
    page.shard.overloads = 3
    var target = TargetStatus(
      address: SocketAddress(IPAddress(v4: 0x0a00_0001), 5060), name: "a", since: .zero)
    target.askedLoss = 30
    target.leftOut = 7
    page.trunks = [TrunkStatus(name: "a", tenant: "t")]
    page.trunks[0].targets = [target]
    let lines = page.render().split(separator: "\n")
    #expect(lines.contains("demarc_overload_wait_seconds 0.045"))
    #expect(lines.contains(#"demarc_overload_refused_ratio{caller="stranger"} 1"#))
    #expect(lines.contains(#"demarc_overload_refused_ratio{caller="known"} 0.125"#))
    #expect(lines.contains("demarc_overloads_total 3"))
    let labels = #"{tenant="t",trunk="a",address="10.0.0.1:5060"}"#
    #expect(lines.contains("demarc_target_asked_loss_ratio\(labels) 0.3"))
    #expect(lines.contains("demarc_target_left_out_total\(labels) 7"))
  }

  @Test func mediaInTheKernelIsTold() {
    var page = MetricsPage(version: "1", processStart: 0)
    page.media.relayedByKernel = 5_000
    page.media.kernelFlows = 4
    page.fastPath = .on(interfaces: 2, links: true)
    let lines = page.render().split(separator: "\n")
    #expect(lines.contains("demarc_media_kernel_packets_total 5000"))
    #expect(lines.contains("demarc_media_kernel_flows 4"))
    #expect(lines.contains(#"demarc_media_fast_path{state="on"} 1"#))
    page.fastPath = .unavailable(.notPermitted(missing: ["CAP_BPF"]))
    #expect(page.render().contains(#"demarc_media_fast_path{state="not-permitted"} 1"#))
  }

  @Test func bansInTheKernelAreTold() {
    var page = MetricsPage(version: "1", processStart: 0)
    #expect(!page.render().contains("bans_in_kernel"))
    var reading = KernelBans.Reading()
    reading.state = .unavailable(.taken)
    reading.failures = 2
    reading.dropped = 70_000
    page.kernelBans = reading
    let lines = page.render().split(separator: "\n")
    #expect(lines.contains(#"demarc_bans_in_kernel_state{state="taken"} 1"#))
    #expect(lines.contains("demarc_bans_in_kernel 0"))
    #expect(lines.contains("demarc_bans_in_kernel_failures_total 2"))
    #expect(lines.contains("demarc_bans_in_kernel_dropped_packets_total 70000"))
  }

  /// Each family is opened once, with its two lines, and holds the samples that follow; counters end in
  /// `_total`; nothing appears twice.
  @Test func familiesAreWellFormed() throws {
    var page = MetricsPage(version: "1", processStart: 0)
    page.trunks = [TrunkStatus(name: "a", tenant: "t")]
    page.tally.observe(ended(1))
    let lines = page.render().split(separator: "\n")
    var families: Set<Substring> = []
    var samples: Set<Substring> = []
    var family: Substring = ""
    var kind: Substring = ""
    for (index, line) in lines.enumerated() {
      if line.hasPrefix("# HELP ") {
        family = line.split(separator: " ")[2]
        #expect(families.insert(family).inserted, "\(family) twice")
        #expect(family.hasPrefix("demarc_"))
        let type = lines[index + 1].split(separator: " ")
        #expect(type.count == 4 && type[1] == "TYPE" && type[2] == family)
        kind = type[3]
        #expect(kind != "counter" || family.hasSuffix("_total"), "\(family)")
        #expect(kind == "counter" || !family.hasSuffix("_total"), "\(family)")
      } else if !line.hasPrefix("#") {
        let name = try #require(line.split(whereSeparator: { $0 == "{" || $0 == " " }).first)
        #expect(name == family || (kind == "histogram" && name.hasPrefix(family)))
        let key = line[..<(line.lastIndex(of: " ") ?? line.endIndex)]
        #expect(samples.insert(key).inserted, "\(key) twice")
        #expect(Double(line.split(separator: " ").last ?? "") != nil, "\(line)")
      }
    }
    #expect(families.count > 30)
  }
}
