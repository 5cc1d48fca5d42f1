import Base
import CallCore
import Policy
import Simulation
import Testing

/// What proves a caller stays out of ladders, and what came before the call stands in them.
@Suite struct TraceRedactionTests {
  private func ladder(_ scene: Scene, _ number: Int = 0) -> [TracedMessage] {
    guard let id = scene.records.dropFirst(number).first?.id,
      case .ladder(let messages)? = scene.world.ask(.ladder(id))
    else { return [] }
    return messages
  }

  private func texts(_ scene: Scene) -> [String] {
    ladder(scene).map { String(decoding: $0.bytes, as: UTF8.self) }
  }

  @Test func responsesAreHidden() throws {
    let scene = try Scene()
    scene.bob.call("*43")
    scene.world.run(for: .seconds(3))
    scene.bob.calls.last?.hangUp()
    scene.world.run(for: .seconds(3))
    let withCredentials = texts(scene).filter { $0.contains("Authorization: Digest") }
    #expect(withCredentials.count == 1)
    let text = withCredentials.first ?? ""
    let sent =
      scene.world.trace.entries.compactMap { try? AgentMessage($0.bytes) }
      .compactMap { $0.value(.authorization) }.last ?? ""
    let secret = sent.firstRange(of: "response=\"").map { sent[$0.upperBound...].prefix(32) } ?? ""
    #expect(secret.count == 32 && !text.contains(secret))
    #expect(text.contains("response=\"\(String(repeating: "*", count: 32))\""))
    #expect(text.contains("cnonce=\"***") && text.contains("username=\"bob\""))
    #expect(text.contains("nonce=\"") && text.contains("\r\n\r\nv=0"))
  }

  /// INVITE, 401, and the INVITE that became the call: one ladder.
  @Test func theChallengeIsPartOfTheLadder() throws {
    let scene = try Scene()
    scene.bob.call("*43")
    scene.world.run(for: .seconds(3))
    scene.bob.calls.last?.hangUp()
    scene.world.run(for: .seconds(3))
    let starts = texts(scene).prefix(4).map { $0.prefix { $0 != "\r\n" }.prefix(11) }
    #expect(starts == ["INVITE sip:", "SIP/2.0 401", "INVITE sip:", "SIP/2.0 100"])
  }

  /// Strangers cannot fill the ring with INVITEs that are challenged.
  @Test func preludesAreBounded() throws {
    var settings = Scene.settings()
    settings.limits.admission.sourceRate = 400
    let scene = try Scene(settings)
    let before = scene.world.counters.traceBytes
    for number in 0..<400 {
      scene.bob.request("a\(number)", method: "INVITE", uri: "sip:*43@trunk.example")
    }
    scene.world.run(for: .milliseconds(200))
    #expect(scene.world.counters.traceBytes <= max(before, 1 << 20))
    #expect(scene.bob.answers.values.filter { $0 == 401 }.count == 400)
  }
}
