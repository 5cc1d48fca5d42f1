import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// What a collector hears of a call that is over (RFC 6035).
@Suite struct QualityReportTests {
  private func scene(_ collector: String? = "south") throws -> Scene {
    var resources = Scene.resources()
    resources.tenants[0].qualityCollector = collector
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
    scene.world.setDown(true, scene.south)
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
