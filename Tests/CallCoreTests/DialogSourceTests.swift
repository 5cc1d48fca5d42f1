import Base
import CallCore
import Policy
import Simulation
import Testing

/// Requests within a call from where its peer is not (RELIABILITY C5).
@Suite struct DialogSourceTests {
  /// North calls alice, who answers; a BYE with every tag and the Call-ID right, as somebody writes it who saw them.
  private static func overheard(
    _ change: (inout Resources) -> Void = { _ in }
  ) throws -> (scene: Scene, call: AgentCall, bye: (Agent) -> [UInt8]) {
    var resources = Scene.resources()
    change(&resources)
    let scene = try Scene(Scene.settings(resources: resources))
    scene.north.keepsMessages = true
    scene.register(scene.alice)
    let call = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    let answer = try #require(
      scene.north.received.last { !$0.isRequest && $0.status == 200 && $0.method == .invite })
    let (from, to) = (try #require(answer.value(.from)), try #require(answer.value(.to)))
    let (callID, cseq) = (answer.callID, answer.cseq + 100)
    return (
      scene, call,
      { agent in
        let address = "\(agent.address)"
        return Array(
          """
          BYE sip:203.0.113.1:5060 SIP/2.0\r
          Via: SIP/2.0/UDP \(address);branch=z9hG4bK\(agent.canary)bye\r
          Max-Forwards: 70\r
          From: \(from)\r
          To: \(to)\r
          Call-ID: \(callID)\r
          CSeq: \(cseq) BYE\r
          Content-Length: 0\r
          \r

          """.utf8)
      }
    )
  }

  private static func stranger(_ scene: Scene, _ last: UInt32 = 99) -> Agent {
    let agent = scene.world.agent(
      "stranger\(last)", at: Scene.address(198, 51, 100, last), trunk: Scene.outside, user: "x")
    agent.keepsMessages = true
    return agent
  }

  private static func statuses(_ agent: Agent) -> [Int] {
    agent.received.filter { !$0.isRequest && $0.methodText == "BYE" }.map(\.status)
  }

  @Test func aStrangerEndsNoCall() throws {
    let (scene, call, bye) = try Self.overheard()
    let stranger = Self.stranger(scene)
    stranger.sendRaw(bye(stranger))
    scene.world.run(for: .seconds(1))
    #expect(Self.statuses(stranger) == [481])
    #expect(call.state == .answered)
    #expect(scene.world.counters.refused["source-unknown"] == 1)
    call.hangUp()
    scene.finish()
    #expect(call.ending == .hungUpHere && scene.records.map(\.releasedBy) == [.caller])
  }

  /// RFC 3261 §12.2.2, §17.2.2: what has a number of before is refused, and a copy of it gets the same although the call
  /// has ended meanwhile.
  @Test func aCopyOfAnOldRequestGetsWhatTheRequestGot() throws {
    let (scene, call, bye) = try Self.overheard()
    let text = String(decoding: bye(scene.north), as: UTF8.self)
    let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false).map {
      $0.hasPrefix("CSeq:")
        ? "CSeq: 0 INFO" : $0.hasPrefix("BYE ") ? "INFO" + $0.dropFirst(3) : String($0)
    }
    let old = Array(lines.joined(separator: "\r\n").utf8)
    scene.north.sendRaw(old)
    scene.world.run(for: .seconds(1))
    #expect(call.state == .answered)
    call.hangUp()
    scene.world.run(for: .seconds(1))
    scene.north.sendRaw(old)
    scene.finish()
    let statuses = scene.north.received.filter { !$0.isRequest && $0.methodText == "INFO" }
      .map(\.status)
    #expect(statuses == [500, 500])
    scene.expectRest()
  }

  /// Other hosts of the peer's: one in `sources`, the other carrier of the tenant's, a proxy that recorded itself.
  @Test func otherHostsOfThePeerMay() throws {
    let (scene, call, bye) = try Self.overheard {
      $0.trunks[0].sources = [
        SourceMatch(Scene.address(198, 51, 100, 10).ip),
        SourceMatch(Scene.address(198, 51, 100, 98).ip),
      ]
    }
    let other = Self.stranger(scene, 98)
    other.sendRaw(bye(other))
    scene.finish()
    #expect(Self.statuses(other) == [200])
    #expect(
      scene.records.map(\.releasedBy) == [.caller] && scene.alice.calls.last?.ending == .hungUpThere
    )
    call.die()
    let (second, _, secondBye) = try Self.overheard()
    second.south.keepsMessages = true
    second.south.sendRaw(secondBye(second.south))
    second.world.run(for: .seconds(2))
    #expect(Self.statuses(second.south) == [200] && second.records.count == 1)
  }
}
