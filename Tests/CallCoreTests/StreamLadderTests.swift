import Base
import CallCore
import Policy
import SIPWire
import Simulation
import Testing

/// Calls whose phones and carriers are reached by connections.
@Suite struct StreamLadderTests {
  private func scene(
    inside: Transport = .tcp, outside: TrunkTransport = .tcp, seed: UInt64 = 1,
    _ change: (inout WorldSettings) -> Void = { _ in }
  ) throws -> Scene {
    var settings = Scene.settings(seed: seed)
    settings.listeners[0].transport = inside
    settings.listeners[1].transport = outside.wire
    for i in settings.resources.trunks.indices {
      let isInside = settings.resources.trunks[i].network == "office"
      settings.resources.trunks[i].transport = isInside ? (inside == .udp ? .udp : .tcp) : outside
    }
    change(&settings)
    return try Scene(settings)
  }

  private func bindings(_ scene: Scene) -> [Binding] {
    if case .registrations(let bindings)? = scene.world.ask(.registrations) { return bindings }
    return []
  }

  /// RFC 3665 §3.1's call, from a phone by TCP to a carrier by TCP.
  @Test func aCallByConnections() throws {
    let scene = try scene()
    scene.register(scene.alice)
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    let sent = scene.world.trace.entries.map { String(decoding: $0.bytes, as: UTF8.self) }
    let invite = try #require(sent.first { $0.hasPrefix("INVITE") && $0.contains("203.0.113.1") })
    #expect(invite.contains("Via: SIP/2.0/TCP 203.0.113.1:5060;"))
    #expect(invite.contains("Contact: <sip:203.0.113.1:5060;transport=tcp>\r\n"))
    #expect(scene.records.map(\.status) == [200])
    #expect(scene.world.counters.retransmissionsSent == 0)
    scene.expectRest()
  }

  /// Nothing is repeated towards a carrier that keeps silent (§17.1.1.2): the next one is tried in time.
  @Test func nothingIsSentAgain() throws {
    let scene = try scene()
    scene.register(scene.alice)
    scene.north.alive = false
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.finish()
    let invites = scene.world.trace.entries.filter {
      $0.to == scene.north.address && $0.bytes.starts(with: Array("INVITE".utf8))
    }
    #expect(invites.count == 1)
    #expect(scene.records.first?.attempts.map(\.target) == ["trunk:north", "trunk:south"])
    #expect(scene.records.first?.status == 200)
  }

  /// A carrier whose host refuses connections is passed over at once (§18.4).
  @Test func aRefusedConnectionFailsOver() throws {
    let scene = try scene()
    scene.register(scene.alice)
    scene.world.network.setDown(true, scene.north)
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(2))
    scene.world.network.setDown(false, scene.north)
    scene.finish()
    let record = try #require(scene.records.first)
    #expect(record.attempts.first?.cause == .transportFailed && record.status == 200)
    let (begun, ended) = (record.attempts[0].started, record.attempts[0].ended)
    #expect(ended.map { $0 - begun < .milliseconds(100) } ?? false)
  }

  /// RFC 5626 §5.3: a contact is worth what its connection is.
  @Test func aRegistrationEndsWithItsConnection() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    #expect(bindings(scene).map(\.user).sorted() == ["alice", "bob"])
    scene.world.network.breakFlow(of: scene.bob)
    scene.world.run(for: .seconds(1))
    #expect(bindings(scene).map(\.user) == ["alice"])
    #expect(
      scene.world.facts.contains {
        if case .bindingRemoved(let binding) = $0.event { binding.user == "bob" } else { false }
      })
    scene.register(scene.bob)
    #expect(bindings(scene).count == 2)
  }

  /// A phone that rings and loses its connection cannot answer any more: the chain goes on.
  @Test func aRingingPhoneIsLost() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    scene.alice.onInvite = { _ in .answering(after: .seconds(8)) }
    scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(2)))
    scene.world.run(for: .seconds(2))
    scene.world.network.breakFlow(of: scene.alice)
    scene.finish()
    let record = try #require(scene.records.first)
    #expect(record.attempts.map(\.target) == ["user:alice", "user:bob"])
    #expect(record.attempts.first?.cause == .transportFailed && record.status == 200)
  }

  /// A caller whose connection is gone while it rings is not rung for.
  @Test func aCallerIsLost() throws {
    let scene = try scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering(after: .seconds(8)) }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(2)))
    scene.world.run(for: .seconds(2))
    scene.world.network.breakFlow(of: scene.alice)
    scene.world.run(for: .seconds(1))
    #expect(
      scene.world.trace.entries.contains {
        $0.to == scene.north.address && $0.bytes.starts(with: Array("CANCEL".utf8))
      })
    scene.finish()
    let record = try #require(scene.records.first)
    #expect(record.cause == .transportFailed && record.releasedBy == .caller)
  }

  /// §18.1.1: an INVITE beyond 1300 bytes goes by TCP where the network has it …
  @Test func aLargeRequestMovesToTCP() throws {
    for isRefused in [false, true] {
      let scene = try scene(inside: .udp, outside: .udp) { settings in
        settings.listeners.append(
          Listener(
            name: "outside-tcp", bound: Scene.address(203, 0, 113, 1, port: 5070), transport: .tcp))
        settings.resources.networks[1].listeners.append("outside-tcp")
      }
      scene.register(scene.alice)
      // … and by UDP after all where nobody listens there.
      scene.world.network.refusesStreams = isRefused
      scene.alice.call(
        "+441234",
        CallerScript().hangingUp(after: .seconds(2)).with {
          $0.payloads = [0, 8, 101] + Array(AgentSDP.wordy)
        })
      scene.finish()
      #expect(scene.records.map(\.status) == [200])
      let counters = scene.world.counters
      #expect(counters.movedToStream == 1 && counters.movedBack == (isRefused ? 1 : 0))
      let vias = scene.world.trace.entries.filter {
        $0.to == scene.north.address && $0.bytes.starts(with: Array("INVITE".utf8))
      }.map { String(decoding: $0.bytes, as: UTF8.self).contains("SIP/2.0/TCP") }
      #expect(vias == (isRefused ? [true, false] : [true]))
    }
  }

  #if DEBUG
    static let hundreds = 3
  #else
    static let hundreds = 100
  #endif

  /// What is said back to back arrives in that order, 10 000 of 10 000, over datagrams and connections.
  @Test(arguments: [Transport.udp, .tcp])
  func ringingNeverOvertakesTheAnswer(transport: Transport) throws {
    let scene = try scene(inside: transport, outside: transport == .udp ? .udp : .tcp)
    scene.register(scene.alice)
    var pairs = 0
    for _ in 0..<Self.hundreds {
      scene.world.trace.removeAll()
      for _ in 0..<100 {
        scene.north.onInvite = { _ in .answering(after: .zero, ringing: .zero) }
        scene.alice.call("+441234", CallerScript().hangingUp(after: .milliseconds(100)))
        scene.world.run(for: .milliseconds(400))
      }
      var ringing: Set<String> = []
      for entry in scene.world.trace.entries where entry.to == scene.alice.address {
        if entry.bytes.starts(with: Array("SIP/2.0 180".utf8)) { ringing.insert(entry.callID) }
        let text = entry.bytes.starts(with: Array("SIP/2.0 200".utf8))
        if text, String(decoding: entry.bytes, as: UTF8.self).contains(" INVITE\r\n") {
          #expect(ringing.contains(entry.callID))
          pairs += 1
        }
      }
    }
    #expect(pairs == Self.hundreds * 100)
  }

  /// The keep-alive of flows over UDP (RFC 5626 §3.5.2) is answered, and only there; that of somebody who may have
  /// forged his address is not, since the answer is so much longer.
  @Test func stunIsAnswered() throws {
    let scene = try scene(inside: .udp)
    scene.register(scene.alice)
    let request: [UInt8] =
      [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42] + [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    scene.alice.sendRaw(request)
    scene.carol.sendRaw(request)
    scene.world.run(for: .seconds(1))
    let answer = scene.world.trace.entries.first { $0.to == scene.alice.address }
    #expect(answer?.bytes.prefix(4).elementsEqual([1, 1, 0, 12]) ?? false)
    #expect(scene.world.counters.keepAlives == 1)
  }
}
