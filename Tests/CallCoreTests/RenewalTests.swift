import Base
import CallCore
import MediaControl
import Policy
import SIPWire
import Simulation
import Testing

/// What many peers are told at once after a crash, and those whose media had keys.
@Suite("Calls that outlive a crash: new keys, and many ends at once")
struct RenewalTests {
  /// Carriers with SRTP by keys in SDP, phones without.
  private static func settings(
    users: SRTPPolicy = .allow, keys: SRTPKeying = .sdes
  ) -> WorldSettings {
    Scene.settings(users: users, carriers: .require, keys: keys)
  }

  /// A call of alice to a carrier that has been up for some seconds when the process is gone.
  private struct Bed {
    let scene: Scene
    let inside: AgentCall
    let outside: AgentCall
    /// Of media before the crash.
    let keys: MediaSecurity

    init(
      _ settings: WorldSettings = RenewalTests.settings(), byDTLS: Bool = false,
      prepare: (Scene) -> Void = { _ in }, before: (Scene, AgentCall) -> Void = { _, _ in }
    ) throws {
      scene = try Scene(settings)
      if byDTLS { scene.north.dtls = AgentDTLS() } else { scene.north.srtp = AgentSRTP() }
      prepare(scene)
      scene.register(scene.alice)
      inside = scene.alice.call("+441234")
      scene.world.run(for: .seconds(5))
      outside = try #require(scene.north.calls.last)
      try #require(outside.state == .answered && inside.state == .answered)
      keys = try #require(scene.world.media.security(of: outside.media))
      before(scene, outside)
      scene.world.crash()
      scene.world.auditor.forget()
      scene.world.run(for: .seconds(1))
      try scene.world.start(restoring: [], recovers: true)
    }

    func expectEnded(
      _ why: String = "the keys of its media are gone",
      _ sourceLocation: SourceLocation = #_sourceLocation
    ) {
      #expect(scene.records.map(\.cause) == [.interrupted], sourceLocation: sourceLocation)
      let notes = scene.records.first?.notes ?? []
      #expect(
        notes.contains("could not go on after a restart: " + why), sourceLocation: sourceLocation)
      #expect(scene.world.counters.recovery.released == 1, sourceLocation: sourceLocation)
      scene.expectRest(sourceLocation: sourceLocation)
    }
  }

  private func hangsUp(_ bed: Bed) {
    bed.inside.hangUp()
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.outside.ending == .hungUpThere)
    #expect(bed.scene.records.map(\.cause) == [.normalClearing])
    bed.scene.expectRest()
  }

  @Test("A protected side gets new keys, and nothing passes before that")
  func newKeys() throws {
    let bed = try Bed()
    let media = bed.scene.world.media
    #expect(bed.scene.world.counters.recovery.recovered == 1)
    #expect(media.remote(of: bed.outside.media) == nil)
    #expect(media.partner(of: bed.inside.media) == nil)
    bed.scene.world.run(for: .seconds(2))
    let now = try #require(media.security(of: bed.outside.media))
    let (sending, before) = (try #require(now.sending), try #require(bed.keys.sending))
    #expect(sending.secret.exposed != before.secret.exposed)
    #expect(bed.outside.remoteSDP?.profile == "RTP/SAVP")
    #expect(media.security(of: bed.inside.media) == nil)
    #expect(media.partner(of: bed.outside.media) == bed.inside.media)
    hangsUp(bed)
  }

  @Test("Both sides are protected: each gets keys of its own")
  func bothSides() throws {
    let bed = try Bed(Self.settings(users: .require), prepare: { $0.alice.srtp = AgentSRTP() })
    bed.scene.world.run(for: .seconds(2))
    let media = bed.scene.world.media
    let one = try #require(media.security(of: bed.inside.media)?.sending)
    let other = try #require(media.security(of: bed.outside.media)?.sending)
    #expect(one.secret.exposed != other.secret.exposed)
    #expect(media.partner(of: bed.outside.media) == bed.inside.media)
    hangsUp(bed)
  }

  /// Both sides are asked, and each is offered what the other one had: so the line of pictures comes back as well.
  @Test("Pictures under keys get new ones", arguments: [false, true])
  func pictures(byDTLS: Bool) throws {
    var before: MediaSecurity?
    let bed = try Bed(
      Self.settings(users: .require, keys: byDTLS ? .dtls : .sdes), byDTLS: byDTLS,
      prepare: { $0.alice.srtp = AgentSRTP() },
      before: { scene, outside in
        var reoffer = Reoffer(after: .zero)
        reoffer.change = .video
        outside.reoffer(reoffer)
        scene.world.run(for: .seconds(3))
        before = outside.beside.first?.media.flatMap { scene.world.media.security(of: $0) }
      })
    let media = bed.scene.world.media
    let (near, far) = (
      try #require(bed.inside.beside.first?.media), try #require(bed.outside.beside.first?.media)
    )
    #expect(media.remote(of: near) == nil && media.remote(of: far) == nil)
    bed.scene.world.run(for: .seconds(3))
    let (one, other) = (
      try #require(media.security(of: near)), try #require(media.security(of: far))
    )
    #expect(before != nil && (byDTLS || before?.sending != other.sending))
    #expect((other.handshake != nil) == byDTLS && one.sending != nil)
    #expect(one.sending != other.sending)
    #expect(media.partner(of: near) == far)
    hangsUp(bed)
  }

  /// Plain RTP with a key beside it is asked for a key in the same way.
  @Test("A key beside plain RTP is renewed beside plain RTP")
  func beside() throws {
    let bed = try Bed(
      prepare: { scene in
        scene.alice.srtp = AgentSRTP()
        scene.alice.srtp?.profile = "RTP/AVP"
      })
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.inside.remoteSDP?.profile == "RTP/AVP")
    #expect(bed.scene.world.media.security(of: bed.inside.media)?.sending != nil)
    hangsUp(bed)
  }

  @Test("Keys by DTLS: a new handshake with our new certificate")
  func handshake() throws {
    let bed = try Bed(Self.settings(keys: .dtls), byDTLS: true)
    #expect(bed.scene.world.media.remote(of: bed.outside.media) == nil)
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.outside.remoteSDP?.handshake.setup == "actpass")
    let keys = bed.scene.world.media.security(of: bed.outside.media)
    #expect(keys?.handshake?.role == .server)
    hangsUp(bed)
  }

  private static let unused = "a peer agreed to new keys of its media and did not use them"

  @Test("Who agrees to a new handshake and makes none is told that it is over after ten seconds")
  func noHandshake() throws {
    let bed = try Bed(
      Self.settings(keys: .dtls), byDTLS: true,
      before: { scene, _ in scene.world.media.shakesHands = false })
    bed.scene.world.run(for: .seconds(9))
    #expect(bed.outside.state == .answered && bed.inside.state == .answered)
    #expect(bed.scene.world.counters.recovery.recovered == 1)
    bed.scene.world.run(for: .seconds(3))
    #expect(bed.outside.ending == .hungUpThere && bed.inside.ending == .hungUpThere)
    bed.expectEnded(Self.unused)
  }

  @Test("A shorter media timeout ends it earlier, for the same reason")
  func noHandshakeAndSilence() throws {
    var settings = Self.settings(keys: .dtls)
    for i in settings.resources.trunks.indices {
      settings.resources.trunks[i].mediaTimeout = .seconds(5)
    }
    let bed = try Bed(
      settings, byDTLS: true,
      before: { scene, outside in
        scene.world.media.shakesHands = false
        scene.world.media.silence(outside.media, at: scene.world.now)
      })
    bed.scene.world.run(for: .seconds(8))
    #expect(bed.outside.ending == .hungUpThere && bed.inside.ending == .hungUpThere)
    bed.expectEnded(Self.unused)
  }

  @Test(
    "Who agrees to new keys and keeps the old ones is told that it is over; who is silent is not",
    arguments: [0, 60])
  func oldKeys(unopened: UInt64) throws {
    let bed = try Bed()
    let media = bed.scene.world.media
    bed.scene.world.run(for: .seconds(9))
    // At first what does not open tells no more than a verdict.
    let (transport, _) = try #require(media.examination(of: bed.outside.media))
    var evidence = MediaEvidence()
    evidence.unopened = unopened
    bed.scene.world.input(.media(.evidence(transport, evidence)))
    #expect(bed.outside.state == .answered)
    bed.scene.world.run(for: .milliseconds(1_500))
    #expect(media.examination(of: bed.outside.media)?.1 == 1_000)
    bed.scene.world.input(.media(.evidence(transport, evidence)))
    bed.scene.world.run(for: .seconds(2))
    guard unopened == 0 else {
      #expect(bed.outside.ending == .hungUpThere && bed.inside.ending == .hungUpThere)
      return bed.expectEnded(Self.unused)
    }
    bed.scene.world.run(for: .seconds(20))
    #expect(bed.scene.world.counters.recovery.recovered == 1)
    hangsUp(bed)
  }

  @Test(
    "Who talks to an application under keys goes on to, under new ones", arguments: [false, true])
  func application(byDTLS: Bool) throws {
    let scene = try Scene(Self.settings())
    if byDTLS { scene.alice.dtls = AgentDTLS() } else { scene.alice.srtp = AgentSRTP() }
    scene.register(scene.alice)
    let call = scene.alice.call("*43")
    scene.world.run(for: .seconds(5))
    let media = scene.world.media
    let before = try #require(media.remote(of: call.media))
    try #require(before.security != nil)
    try scene.world.restart(after: .seconds(1), recovers: true)
    scene.world.run(for: .seconds(20))
    #expect(media.application(of: call.media) == .echo)
    let now = try #require(media.remote(of: call.media))
    #expect(now.codec == before.codec && now.payloadType == before.payloadType)
    #expect(now.security != nil && (byDTLS || now.security != before.security))
    call.hangUp()
    scene.world.run(for: .seconds(2))
    #expect(scene.records.map(\.cause) == [.normalClearing])
    scene.expectRest()
  }

  @Test("Another crash before the answer: the next process asks again")
  func again() throws {
    let bed = try Bed()
    bed.scene.world.run(for: .milliseconds(5))
    for _ in 0..<2 {
      try bed.scene.world.restart(after: .milliseconds(200), recovers: true)
      bed.scene.world.run(for: .milliseconds(30))
    }
    bed.scene.world.run(for: .seconds(3))
    #expect(bed.scene.world.media.security(of: bed.outside.media)?.sending != nil)
    hangsUp(bed)
  }

  @Test("Who refuses new keys, or gives none, is told that it is over", arguments: [0, 1])
  func refused(kind: Int) throws {
    let bed = try Bed(before: { scene, outside in
      if kind == 0 { outside.refusesReoffers = true } else { scene.north.srtp?.answersPlain = true }
    })
    bed.scene.world.run(for: .seconds(3))
    #expect(bed.outside.ending == .hungUpThere && bed.inside.ending == .hungUpThere)
    bed.expectEnded()
  }

  @Test("Who says nothing is missed, and the other side told")
  func silent() throws {
    let bed = try Bed(before: { _, outside in outside.die() })
    bed.scene.world.run(for: .seconds(40))
    #expect(bed.inside.ending == .hungUpThere)
    bed.scene.world.run(for: .seconds(40))
    bed.expectEnded()
  }

  @Test("A BYE that comes while keys are asked for ends the call as ever")
  func byeMeanwhile() throws {
    let bed = try Bed()
    bed.inside.hangUp()
    bed.scene.world.run(for: .seconds(40))
    #expect(bed.inside.ending == .hungUpHere && bed.outside.state == .ended)
    #expect(bed.scene.records.map(\.cause) == [.normalClearing])
    bed.scene.expectRest()
  }

  @Test("An offer that crosses ours is waited for")
  func glare() throws {
    let script = CallerScript().with { $0.reoffers = [Reoffer(after: .milliseconds(5_900))] }
    let scene = try Scene(Self.settings())
    scene.north.srtp = AgentSRTP()
    scene.register(scene.alice)
    let outside = scene.north.call("+493010", script)
    scene.world.run(for: .seconds(5))
    try #require(outside.state == .answered)
    // Its offer is under way when the process comes.
    try scene.world.restart(after: .milliseconds(910), recovers: true)
    scene.world.run(for: .seconds(20))
    #expect(outside.state == .answered)
    #expect(scene.world.media.security(of: outside.media)?.sending != nil)
    outside.hangUp()
    scene.world.run(for: .seconds(2))
    #expect(scene.alice.calls.last?.ending == .hungUpThere)
    scene.expectRest()
  }

  @Test("No key is ever on the disk")
  func disk() throws {
    let bed = try Bed()
    bed.scene.world.run(for: .seconds(3))
    let ours = bed.scene.world.media.security(of: bed.outside.media)?.sending?.secret.exposed ?? []
    let secrets = [ours, bed.keys.sending?.secret.exposed ?? []].map { Base64.text($0) }
    try #require(secrets.allSatisfy { $0.count >= 36 })
    var sessions = 0
    for fact in bed.scene.world.store.durable {
      let bytes: [UInt8]
      switch fact.event {
      case .callAnswered(_, let session), .callRecovered(_, let session),
        .sessionChanged(let session):
        bytes = session
      default: continue
      }
      sessions += 1
      let text = String(decoding: bytes, as: UTF8.self)
      for secret in secrets + [AgentSRTP.offered, AgentSRTP.answered] {
        #expect(!text.contains(secret))
      }
      #expect(SessionRecord(bytes)?.legs.contains { $0.state.isProtected } == true)
    }
    #expect(sessions >= 3)
    hangsUp(bed)
  }

  @Test("More ends than the output holds: each side gets its BYE, and none is lost")
  func manyEnds() throws {
    var settings = Scene.settings()
    settings.limits.outputDatagrams = 64
    let scene = try Scene(settings)
    let calls = (0..<60).map { _ in scene.north.call("+493011") }
    scene.world.run(for: .seconds(8))
    try #require(calls.allSatisfy { $0.state == .answered })
    scene.world.crash()
    scene.world.auditor.forget()
    scene.world.run(for: .seconds(1))
    scene.world.setMediaPorts(31_000...31_999)
    let sent = scene.world.network.datagramsSent
    try scene.world.start(recovers: true)
    #expect(scene.world.counters.recovery.released == 60)
    // Whoever hangs up before its turn is answered.
    calls[59].hangUp()
    scene.world.run(for: .milliseconds(400))
    #expect(calls.dropLast().allSatisfy { $0.ending == .hungUpThere })
    #expect(scene.pbx.calls.allSatisfy { $0.ending == .hungUpThere })
    let counters = scene.world.counters
    #expect(counters.dropped[DropReason.outputFull.rawValue] == 0)
    #expect(counters.retransmissionsSent == 0)
    // A BYE each, but for the one that came, which got an answer.
    #expect(scene.world.network.datagramsSent - sent == 120)
    scene.expectRest()
    #expect(scene.records.count == 60)
    #expect(scene.records.filter { $0.cause == .interrupted }.count == 59)
  }

  @Test("More new keys than the output holds")
  func manyKeys() throws {
    var settings = Self.settings()
    settings.limits.outputDatagrams = 64
    let scene = try Scene(settings)
    scene.north.srtp = AgentSRTP()
    scene.pbx.srtp = AgentSRTP()
    let calls = (0..<50).map { _ in scene.north.call("+493011") }
    scene.world.run(for: .seconds(8))
    try #require(calls.allSatisfy { $0.state == .answered })
    try scene.world.restart(after: .seconds(1), recovers: true)
    scene.world.run(for: .seconds(2))
    #expect(scene.world.counters.recovery.recovered == 50)
    #expect(scene.world.counters.dropped[DropReason.outputFull.rawValue] == 0)
    for call in calls + scene.pbx.calls {
      #expect(scene.world.media.security(of: call.media)?.sending != nil)
    }
    for call in calls { call.hangUp() }
    scene.world.run(for: .seconds(2))
    #expect(scene.pbx.calls.allSatisfy { $0.ending == .hungUpThere })
    scene.expectRest()
  }

  /// A phone by TLS in a call with a carrier, the process killed and its connection gone.
  private func phoneByTLS() throws -> Bed {
    var settings = Self.settings(users: .require)
    for i in settings.listeners.indices { settings.listeners[i].transport = .tls }
    for i in settings.resources.trunks.indices { settings.resources.trunks[i].transport = .tls }
    for i in settings.resources.users.indices { settings.resources.users[i].transport = .tls }
    return try Bed(
      settings, prepare: { $0.alice.srtp = AgentSRTP() },
      before: { scene, _ in
        scene.world.run(for: .milliseconds(100))
        scene.world.network.breakFlow(of: scene.alice)
      })
  }

  @Test("A phone by TLS is asked when it has registered anew")
  func phoneThatComesBack() throws {
    let bed = try phoneByTLS()
    let media = bed.scene.world.media
    bed.scene.world.run(for: .seconds(5))
    #expect(media.security(of: bed.outside.media)?.sending != nil)
    #expect(bed.inside.state == .answered && media.remote(of: bed.inside.media) == nil)
    bed.scene.alice.register()
    bed.scene.world.run(for: .seconds(2))
    #expect(media.security(of: bed.inside.media)?.sending != nil)
    #expect(media.partner(of: bed.outside.media) == bed.inside.media)
    bed.outside.hangUp()
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.inside.ending == .hungUpThere)
    #expect(bed.scene.records.map(\.cause) == [.normalClearing])
    bed.scene.expectRest()
  }

  @Test("A phone by TLS that does not come back")
  func phoneThatStaysAway() throws {
    let bed = try phoneByTLS()
    bed.scene.world.run(for: .seconds(31))
    #expect(bed.outside.state == .answered)
    bed.scene.world.run(for: .seconds(3))
    #expect(bed.outside.ending == .hungUpThere)
    bed.inside.die()
    bed.scene.world.run(for: .seconds(40))
    bed.expectEnded()
  }
}
