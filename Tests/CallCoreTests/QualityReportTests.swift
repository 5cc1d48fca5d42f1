import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// What a collector hears of a call that is over (RFC 6035).
@Suite struct QualityReportTests {
  private func scene(
    _ collector: String? = "south", _ change: (inout Tenant) -> Void = { _ in }
  ) throws -> Scene {
    var resources = Scene.resources()
    resources.tenants[0].qualityCollector = collector
    change(&resources.tenants[0])
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    return scene
  }

  private func call(_ scene: Scene) {
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(10)))
    scene.world.run(for: .seconds(20))
  }

  @Test func aReportForEachLeg() throws {
    let scene = try scene()
    call(scene)
    let reports = scene.south.published
    #expect(reports.count == 2 && reports.allSatisfy { $0.requestURI.hasPrefix("sip:") })
    let near = try #require(reports.first?.bodyText)
    let lines = near.components()
    #expect(lines.first == "VQSessionReport: CallTerm")
    // A leg has a name of its own, and the other side's is not told.
    let names = reports.compactMap { report in
      report.bodyText.components().first { $0.hasPrefix("CallID: ") }
    }
    #expect(Set(names).count == 2)
    let phone = try #require(scene.alice.calls.first)
    #expect(names.first == "CallID: \(phone.callID)")
    let parts = lines.map { $0.prefix { $0 != ":" } }
    #expect(
      parts == [
        "VQSessionReport", "CallID", "LocalID", "RemoteID", "OrigID", "LocalAddr", "RemoteAddr",
        "LocalGroup", "RemoteGroup", "LocalMetrics", "Timestamps", "SessionDesc", "PacketLoss",
        "Delay", "DialogID",
      ])
    #expect(lines.contains { $0.hasPrefix("RemoteID: ") && $0.hasSuffix(">") })
    #expect(lines.contains { $0.hasPrefix("RemoteAddr: IP=\(phone.media.ip) PORT=") })
    #expect(lines.contains("PacketLoss:NLR=0.0 JDR=0.0"))
    #expect(lines.contains { $0.hasPrefix("Timestamps:START=20") && $0.contains("Z STOP=20") })
    #expect(scene.world.counters.qualityReports == 2)
    scene.finish()
    #expect(scene.world.counters.qualityReportsFailed == 0)
    scene.expectRest()
  }

  /// A collector that challenges is answered with what its trunk has, once; the same report goes again.
  @Test(arguments: [(true, 2, 0), (false, 0, 2)])
  func challenged(isRight: Bool, published: Int, failed: Int) throws {
    var resources = Scene.resources()
    resources.tenants[0].qualityCollector = "south"
    for index in resources.trunks.indices where resources.trunks[index].name == "south" {
      resources.trunks[index].credentials = Credentials(
        username: "demarc", password: isRight ? "secret" : "wrong")
    }
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.south.demands = Credentials(username: "demarc", password: "secret")
    call(scene)
    #expect(scene.south.published.count == published)
    for report in scene.south.published {
      #expect(report.bodyText.hasPrefix("VQSessionReport: CallTerm\r\n"))
      #expect(report.bodyText.contains("LocalMetrics:\r\n"))
    }
    #expect(scene.world.counters.qualityReports == 2)
    scene.finish()
    #expect(scene.world.counters.qualityReportsFailed == failed)
    scene.expectRest()
  }

  /// Counters after so many packets, of which some were lost.
  private func counted(_ packets: UInt64, lost: UInt64, _ mos: UInt16, _ last: Instant)
    -> StreamQuality
  {
    var quality = StreamQuality()
    quality.packets = packets
    quality.lost = lost
    quality.mos = mos
    quality.first = last
    quality.last = last
    return quality
  }

  private func lines(_ reports: [AgentMessage], _ first: String) -> [[String]] {
    reports.map { $0.bodyText.components() }.filter { $0.first?.hasPrefix(first) == true }
  }

  /// Each interval what was heard in it, of either side that is heard at all; and at the end the whole.
  @Test func intervals() throws {
    let scene = try scene { $0.qualityInterval = 20 }
    let phone = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(65)))
    scene.world.run(for: .seconds(15))
    let media = scene.world.media
    media.count(counted(1_000, lost: 0, 440, scene.world.now), of: phone.media)
    scene.world.run(for: .seconds(20))
    media.count(counted(1_900, lost: 100, 300, scene.world.now), of: phone.media)
    scene.world.run(for: .seconds(60))
    let intervals = lines(scene.south.published, "VQIntervalReport")
    #expect(intervals.count == 2, "\(intervals)")
    #expect(intervals.first?.first == "VQIntervalReport")
    #expect(intervals.first?.contains("PacketLoss:NLR=0.0 JDR=0.0") == true)
    #expect(intervals.last?.contains("PacketLoss:NLR=10.0 JDR=0.0") == true)
    let name = "CallID: \(phone.callID)"
    #expect(intervals.allSatisfy { $0.contains(name) && $0.contains("LocalMetrics:") })
    #expect(lines(scene.south.published, "VQSessionReport").count == 2)
    #expect(lines(scene.south.published, "VQAlertReport").isEmpty)
    scene.finish()
    scene.expectRest()
  }

  /// Once for a side, when a look finds it below the threshold, however long that lasts.
  @Test func alerts() throws {
    let scene = try scene { $0.qualityAlert = 360 }
    let phone = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(65)))
    scene.world.run(for: .seconds(5))
    let media = scene.world.media
    media.count(counted(500, lost: 0, 440, scene.world.now), of: phone.media)
    scene.world.run(for: .seconds(15))
    #expect(scene.south.published.isEmpty)
    media.count(counted(900, lost: 100, 410, scene.world.now), of: phone.media)
    scene.world.run(for: .seconds(10))
    media.count(counted(1_300, lost: 200, 400, scene.world.now), of: phone.media)
    scene.world.run(for: .seconds(15))
    let alerts = lines(scene.south.published, "VQAlertReport")
    #expect(alerts.count == 1)
    #expect(alerts.first?.first == "VQAlertReport: Type=MOSCQ Severity=Warning Dir=local")
    #expect(alerts.first?.contains("PacketLoss:NLR=20.0 JDR=0.0") == true)
    #expect(scene.south.published.count == 1)
    scene.finish()
    scene.expectRest()
  }

  /// An interval that holds several looks is told of when it is over, and not more often.
  @Test func intervalsWithLooks() {
    let both = QualityWatchRule(interval: 60, alert: 360)
    #expect(both.looksPerReport == 6 && both.period == 10_000)
    let odd = QualityWatchRule(interval: 25, alert: 360)
    #expect(odd.looksPerReport == 3 && odd.period == 8_333)
    let plain = QualityWatchRule(interval: 300, alert: nil)
    #expect(plain.looksPerReport == 1 && plain.period == 300_000)
    let alone = QualityWatchRule(interval: 0, alert: 360)
    #expect(alone.looksPerReport == 0 && alone.period == 10_000)
  }

  @Test func nobodyIsToldUnlessNamed() throws {
    let scene = try scene(nil)
    call(scene)
    #expect(scene.south.published.isEmpty && scene.world.counters.qualityReports == 0)
  }

  /// A collector that refuses or is silent costs the calls nothing, and what it misses is counted.
  @Test func collectorsThatFail() throws {
    let scene = try scene()
    scene.south.publishStatus = 489
    call(scene)
    #expect(scene.world.counters.qualityReportsFailed == 2)
    scene.world.network.setDown(true, scene.south)
    call(scene)
    scene.finish()
    #expect(scene.records.count == 2 && scene.records.allSatisfy { $0.cause == .normalClearing })
    #expect(scene.world.counters.qualityReportsFailed == 4)
    scene.expectRest()
  }
}

extension String {
  /// Its lines, each of which has to end with CR and LF.
  fileprivate func components() -> [String] {
    split(separator: "\r\n").map(String.init)
  }
}
