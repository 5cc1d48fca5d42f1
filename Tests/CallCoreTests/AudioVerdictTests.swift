import Base
import CallCore
import MediaControl
import Simulation
import Testing

/// One-way audio: what the media plane saw of a side becomes a reason, a line of the record and a fact.
@Suite struct AudioVerdictTests {
  private static let stranger = SocketAddress(IPAddress(v4: 0xcb00_7109), 31_000)

  /// A call that was answered, with the media transports of both sides.
  private struct Talk {
    let scene: Scene
    let call: AgentCall
    let caller: MediaTransportID
    let callee: MediaTransportID

    init() throws {
      scene = try Scene()
      scene.register(scene.alice)
      scene.north.onInvite = { _ in .answering() }
      call = scene.alice.call("+441234")
      scene.world.run(for: .seconds(5))
      let far = try #require(scene.north.calls.first).media
      let (caller, after) = try #require(scene.world.media.examination(of: call.media))
      let (callee, alsoAfter) = try #require(scene.world.media.examination(of: far))
      #expect(after == 2_500 && alsoAfter == 2_500)
      (self.caller, self.callee) = (caller, callee)
    }

    func give(_ transport: MediaTransportID, _ body: (inout MediaEvidence) -> Void) {
      var evidence = MediaEvidence()
      evidence.isAimed = true
      body(&evidence)
      scene.world.input(.media(.evidence(transport, evidence)))
    }

    var verdicts: [AudioVerdict] {
      scene.world.facts.compactMap {
        if case .audioVerdict(let verdict) = $0.event { verdict } else { nil }
      }
    }

    func notes() -> [String] { AudioVerdictTests.notes(scene) }
  }

  private static func notes(_ scene: Scene) -> [String] {
    scene.world.facts.compactMap { if case .callNoted(let text) = $0.event { text } else { nil } }
  }

  @Test func eachReasonOfTheCaller() throws {
    let table: [(SilenceReason?, (inout MediaEvidence) -> Void)] = [
      (.blocked, { _ in }),
      (.farEndSilent, { $0.controlPackets = 1 }),
      (.notRTP, { $0.malformed = 3 }),
      (
        .natNotLatched,
        {
          $0.refused = 100
          $0.refusedSource = Self.stranger
          $0.malformed = 1
        }
      ),
      (
        .payloadType,
        {
          $0.packets = 9
          $0.payloadType = 77
        }
      ),
      (
        .forbiddenAddress,
        {
          $0.packets = 9
          $0.payloadType = 0
          $0.isAimed = false
        }
      ),
      (
        .notArriving,
        {
          $0.packets = 9
          $0.payloadType = 0
          $0.sent = 80
          $0.reportedLoss = 255
        }
      ),
      // PCMA is in the description, if not the first: nothing is wrong.
      (
        nil,
        {
          $0.packets = 9
          $0.payloadType = 8
        }
      ),
    ]
    for (reason, evidence) in table {
      let talk = try Talk()
      talk.give(talk.caller, evidence)
      #expect(talk.verdicts.map(\.reason) == [reason].compactMap(\.self))
      #expect(talk.verdicts.allSatisfy { $0.side == .a })
      let notes = talk.notes()
      #expect(
        notes.contains { $0.contains(reason?.rawValue ?? "heard") } == (reason != nil), "\(notes)")
    }
  }

  /// The carrier's addresses are public ones.
  @Test func publicAddresses() throws {
    let talk = try Talk()
    talk.give(talk.callee) {
      $0.refused = 50
      $0.refusedSource = Self.stranger
    }
    #expect(talk.verdicts.map(\.reason) == [.wrongAddress])
    #expect(
      talk.notes().contains {
        $0.hasPrefix(
          "the callee is not heard: wrong-address: 50 packets came from 203.0.113.9:31000")
      })
  }

  /// We stand behind a NAT and say our private address to a peer on the internet.
  @Test func ourOwnAddress() throws {
    var settings = Scene.settings()
    settings.mediaAddresses[1] = MediaAddress(
      name: "outside", bound: IPAddress(v4: 0xc0a8_0001), ports: 30_000...30_999)
    let scene = try Scene(settings)
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering() }
    _ = scene.alice.call("+441234")
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.first).media
    let (callee, _) = try #require(scene.world.media.examination(of: far))
    var evidence = MediaEvidence()
    evidence.isAimed = true
    scene.world.input(.media(.evidence(callee, evidence)))
    let notes = Self.notes(scene)
    #expect(
      notes.contains { $0.contains("own-address: it was told to send to 192.168.0.1:") }, "\(notes)"
    )
  }

  @Test func heardAfterAll() throws {
    let talk = try Talk()
    talk.give(talk.caller) { _ in }
    talk.scene.world.input(.media(.latched(talk.caller, Self.stranger, at: .zero)))
    talk.scene.world.input(.media(.latched(talk.caller, Self.stranger, at: .zero)))
    #expect(talk.notes().filter { $0 == "the caller is heard after all" }.count == 1)
  }

  /// On hold nobody has to be heard; afterwards both are looked at again.
  @Test func holdCallsItOff() throws {
    let talk = try Talk()
    talk.call.reoffer(Reoffer(after: .zero, direction: .sendonly))
    talk.scene.world.run(for: .seconds(3))
    #expect(talk.scene.world.media.examination(of: talk.call.media)?.1 == 0)
    talk.call.reoffer(Reoffer(after: .zero, direction: .sendrecv))
    talk.scene.world.run(for: .seconds(3))
    #expect(talk.scene.world.media.examination(of: talk.call.media)?.1 == 2_500)
  }
}
