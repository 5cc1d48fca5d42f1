import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// Music on hold: who hears it and when, and what each side is told of the directions.
@Suite struct HoldTests {
  private func scene(_ change: (inout Resources) -> Void = { _ in }) throws -> Scene {
    var resources = Scene.resources()
    resources.applications.append(Application(name: "waiting", tenant: "acme", kind: .music))
    resources.tenants[0].musicOnHold = "waiting"
    change(&resources)
    return try Scene(Scene.settings(resources: resources))
  }

  private func music(_ scene: Scene, _ call: AgentCall) -> MediaApplication? {
    scene.world.media.interlude(of: call.media)
  }

  private func reoffer(_ scene: Scene, _ call: AgentCall, _ reoffer: Reoffer) {
    call.reoffer(reoffer)
    scene.world.run(for: .seconds(2))
  }

  private func reoffer(
    _ scene: Scene, _ call: AgentCall, _ direction: AgentSDP.Direction, update: Bool = false
  ) {
    reoffer(scene, call, Reoffer(after: .zero, direction: direction, update: update))
  }

  /// RFC 5359 §2.3: the held side is told sendonly, and answers; the holder is answered by what it has offered. The
  /// announcement before the music in the table has an index of its own.
  @Test(arguments: [
    (AgentSDP.Direction.sendonly, AgentSDP.Direction.recvonly, false),
    (.inactive, .inactive, false), (.sendonly, .recvonly, true), (.inactive, .inactive, true),
  ])
  func holdAndResume(
    _ direction: AgentSDP.Direction, _ answer: AgentSDP.Direction, _ update: Bool
  ) throws {
    let scene = try scene()
    let (far, near) = try scene.connected()
    #expect(music(scene, far) == nil)
    reoffer(scene, near, direction, update: update)
    #expect(near.reoffersAnswered == [200] && near.remoteSDP?.direction == answer)
    #expect(far.remoteSDP?.direction == .sendonly)
    #expect(music(scene, far) == .music(1) && music(scene, near) == nil)
    reoffer(scene, near, .sendrecv, update: update)
    #expect(near.remoteSDP?.direction == .sendrecv && far.remoteSDP?.direction == .sendrecv)
    #expect(music(scene, far) == nil && music(scene, near) == nil)
    far.hangUp()
    scene.finish()
    #expect(scene.records.first?.notes.filter { $0 == "music on hold" }.count == 1)
    scene.expectRest()
  }

  /// RFC 3264 §8.4: the address that holds of old.
  @Test func zeroAddress() throws {
    let scene = try scene()
    let (far, near) = try scene.connected()
    let held = AgentSDP(media: SocketAddress(.anyV4, near.media.port), payloads: [0, 101])
    var reoffer = Reoffer(after: .zero)
    reoffer.sdp = sdp(held)
    self.reoffer(scene, near, reoffer)
    #expect(near.reoffersAnswered == [200] && near.remoteSDP?.direction == .recvonly)
    #expect(far.remoteSDP?.direction == .sendonly && music(scene, far) == .music(1))
    self.reoffer(scene, near, .sendrecv)
    #expect(music(scene, far) == nil)
    scene.finish()
  }

  private func sdp(_ description: AgentSDP) -> String {
    "v=0\r\no=- 1 9 IN IP4 \(description.media.ip)\r\ns=-\r\nc=IN IP4 \(description.media.ip)\r\nt=0 0\r\n"
      + "m=audio \(description.media.port) RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
  }

  /// Who is held and says something new of itself meanwhile is told the same again, and hears on.
  @Test func theHeldSideReoffers() throws {
    let scene = try scene()
    let (far, near) = try scene.connected()
    reoffer(scene, near, .inactive)
    reoffer(scene, far, Reoffer(after: .zero, direction: .recvonly, movesMedia: true))
    #expect(far.reoffersAnswered == [200] && far.remoteSDP?.direction == .sendonly)
    #expect(music(scene, far) == .music(1))
    // The same again is answered here (RFC 4028 §7.4).
    reoffer(scene, far, .recvonly)
    #expect(far.reoffersAnswered == [200, 200] && far.remoteSDP?.direction == .sendonly)
    #expect(music(scene, far) == .music(1))
    scene.finish()
  }

  /// Each holds the other: there is nobody who would hear anything.
  @Test func both() throws {
    let scene = try scene()
    let (far, near) = try scene.connected()
    reoffer(scene, near, .sendonly)
    reoffer(scene, far, .inactive)
    #expect(music(scene, far) == nil && music(scene, near) == nil)
    scene.finish()
  }

  /// A setting of its own goes before that of the tenant; without either hold passes as it is.
  @Test func whose() throws {
    let own = try scene {
      $0.tenants[0].musicOnHold = nil
      $0.applications.append(Application(name: "jazz", tenant: "acme", kind: .music))
      $0.users[0].musicOnHold = "jazz"
    }
    let (far, near) = try own.connected()
    reoffer(own, near, .inactive)
    #expect(music(own, far) == .music(2))
    reoffer(own, near, .sendrecv)
    // The carrier has none.
    reoffer(own, far, .inactive)
    #expect(music(own, near) == nil && near.remoteSDP?.direction == .inactive)
    own.finish()
    let none = try scene { $0.tenants[0].musicOnHold = nil }
    let (other, holder) = try none.connected()
    reoffer(none, holder, .inactive)
    #expect(music(none, other) == nil && other.remoteSDP?.direction == .inactive)
    none.finish()
  }

  /// Who has never listened does not hold anybody: a call that is one-way from its start stays that.
  @Test func oneWayFromTheStart() throws {
    let scene = try scene()
    scene.register(scene.alice)
    let silent = sdp(AgentSDP(media: SocketAddress(.anyV4, 9), payloads: [0, 101]))
    let far = scene.north.call("+493010", CallerScript().with { $0.sdp = silent })
    scene.world.run(for: .seconds(5))
    let near = try #require(scene.alice.calls.last)
    #expect(near.remoteSDP?.direction == .sendonly && music(scene, near) == nil)
    far.hangUp()
    scene.finish()
  }

  /// Who was held and is handed on hears whom it is given to.
  @Test func endsWithATransfer() throws {
    let scene = try scene { resources in
      for index in resources.trunks.indices { resources.trunks[index].transfer = .allow }
    }
    let (far, near) = try scene.connected()
    scene.bob.onInvite = { _ in .answering(after: .seconds(2)) }
    reoffer(scene, near, .sendonly)
    #expect(music(scene, far) == .music(1))
    near.transfer(to: "102")
    scene.world.run(for: .seconds(8))
    let target = try #require(scene.bob.calls.last)
    #expect(scene.world.media.partner(of: far.media) == target.media)
    #expect(music(scene, far) == nil && far.remoteSDP?.direction == .sendrecv)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// All that stands in the table can be played, and a tenant's numbers say which.
  @Test func tonesOfCountries() throws {
    #expect(NationalTones.ringing.count == 41)
    for (country, tone) in NationalTones.ringing {
      #expect(tone.cadenced != nil, "\(country)")
      #expect(tone.cadence.count == 2 || tone.cadence.count == 4, "\(country)")
    }
    #expect(NationalTones.ringing["de"]?.cadenced == .ringing)
    #expect(
      NationalTones.ringing["gb"]?.cadenced
        == CadencedTone(400, 450, cadence: [400, 200, 400, 2_000]))
    #expect(
      NationalTones.ringing["jp"]?.cadenced
        == CadencedTone(400, modulation: 16, cadence: [1_000, 2_000]))
    for (code, country) in [("1", "us"), ("44", "gb"), ("49", "de"), ("353", "ie")] {
      #expect(NationalTones.country(code: code) == country)
    }
    #expect(NationalTones.country(code: "881") == nil)
  }

  /// Who is transferred hears the ringing of the tenant's country, of its numbers or named.
  @Test(
    arguments: [("44", nil, "gb"), ("44", "us", "us"), ("881", nil, "de")]
      as [(String, String?, String)])
  func ringingOfTheCountry(_ code: String, _ tones: String?, _ heard: String) throws {
    let scene = try scene {
      $0.tenants[0].numbers = NumberPlan(countryCode: code)
      $0.tenants[0].tones = tones
    }
    scene.register(scene.alice, scene.bob)
    scene.bob.onInvite = { _ in .answering(after: .seconds(4)) }
    let far = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    let near = try #require(scene.alice.calls.last)
    near.transfer(to: "102", Transferring().with { $0.goodbye = .atOnce })
    scene.world.run(for: .seconds(2))
    let tone = try #require(NationalTones.ringing[heard]?.cadenced)
    #expect(scene.world.media.application(of: far.media) == .tone(tone))
    scene.finish()
  }
}
