import Base
import CallCore
import Policy
import Simulation
import Testing

/// RFC 3665 §2.
@Suite struct RegistrationLadderTests {
  private func bindings(_ scene: Scene) -> [Binding] {
    if case .registrations(let bindings)? = scene.world.ask(.registrations) { return bindings }
    return []
  }

  /// §2.1 Successful new registration.
  @Test func newRegistration() throws {
    let scene = try Scene()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [scene.bob], [],
      """
      bob                                demarc
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 401 Unauthorized (REGISTER) ── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
      """)
    #expect(scene.bob.registration.isRegistered)
    #expect(bindings(scene).map(\.user) == ["bob"])
    #expect(scene.world.facts.contains { if case .bindingAdded = $0.event { true } else { false } })
    scene.expectRest()
  }

  /// §2.2 Update of contact list: a second contact beside the first.
  @Test func updateOfContacts() throws {
    let scene = try Scene()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    scene.bob.register(contactHeader: "Contact: <sip:bob@10.0.0.102:5062>")
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [scene.bob], [],
      """
      bob                                demarc
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 401 Unauthorized (REGISTER) ── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
      """)
    #expect(bindings(scene).count == 2)
    #expect(scene.bob.registration.contacts.joined().contains("10.0.0.102:5062"))
  }

  /// §2.3 Request for current contact list.
  @Test func query() throws {
    let scene = try Scene()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    scene.bob.fetchBindings()
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [scene.bob], [],
      """
      bob                                demarc
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 401 Unauthorized (REGISTER) ── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
      """)
    #expect(scene.bob.registration.contacts.count == 1)
    #expect(bindings(scene).count == 1)
  }

  /// §2.4 Cancellation of registration: one contact, then all.
  @Test func cancellation() throws {
    let scene = try Scene()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    scene.bob.register(expires: 0)
    scene.world.run(for: .seconds(5))
    #expect(bindings(scene).isEmpty && scene.bob.registration.contacts.isEmpty)
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    scene.bob.register(expires: 0, all: true)
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [scene.bob], [],
      """
      bob                                demarc
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 401 Unauthorized (REGISTER) ── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
      """)
    #expect(bindings(scene).isEmpty && scene.bob.registration.status == 200)
    let removed = scene.world.facts.count {
      if case .bindingRemoved = $0.event { true } else { false }
    }
    #expect(removed == 2)
    scene.expectRest()
  }

  /// §2.5 Unsuccessful registration: the wrong password is challenged again, and that is the end.
  @Test func unsuccessful() throws {
    let scene = try Scene()
    scene.bob.register(credentials: .wrong)
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [scene.bob], [],
      """
      bob                                demarc
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 401 Unauthorized (REGISTER) ── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 401 Unauthorized (REGISTER) ── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 401 Unauthorized (REGISTER) ── │
      """)
    #expect(!scene.bob.registration.isRegistered && bindings(scene).isEmpty)
    #expect(
      scene.world.facts.contains {
        if case .authenticationFailed = $0.event { true } else { false }
      })
  }

  @Test func refreshReusesTheNonce() throws {
    let scene = try Scene()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    scene.world.trace.removeAll()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [scene.bob], [],
      """
      bob                      demarc
       │ ── REGISTER ───────────▶ │
       │ ◀── 200 OK (REGISTER) ── │
      """)
    #expect(bindings(scene).count == 1)
  }

  /// D3: a request that was heard and is sent again by somebody else, in a transaction of its own.
  @Test func replayIsChallenged() throws {
    let scene = try Scene()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    scene.bob.register(credentials: .replayed)
    scene.world.run(for: .seconds(5))
    #expect(scene.bob.registration.status == 401)
  }

  /// D3: a nonce is good for the address that it was given to, even with the right password.
  @Test func nonceOfAnotherAddressIsStale() throws {
    let scene = try Scene()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    scene.carol.user = "bob"
    scene.carol.credentials = scene.bob.credentials
    scene.carol.challenge = scene.bob.challenge
    scene.world.trace.removeAll()
    scene.carol.register()
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [scene.carol], [],
      """
      carol                               demarc
        │ ── REGISTER ─────────────────────▶ │
        │ ◀── 401 Unauthorized (REGISTER) ── │
        │ ── REGISTER ─────────────────────▶ │
        │ ◀── 200 OK (REGISTER) ──────────── │
      """)
    let challenge = scene.world.trace.entries.first {
      $0.bytes.starts(with: Array("SIP/2.0 401".utf8))
    }
    #expect(
      challenge.map { String(decoding: $0.bytes, as: UTF8.self).contains("stale=true") } == true)
  }

  /// A nonce has its time; after it the challenge says that only the nonce was wrong.
  @Test func oldNonceIsStale() throws {
    let scene = try Scene()
    scene.bob.register(expires: 7_200)
    scene.world.run(for: .seconds(3_000))
    scene.world.trace.removeAll()
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    #expect(scene.bob.registration.isRegistered)
    let challenge = scene.world.trace.entries.first {
      $0.bytes.starts(with: Array("SIP/2.0 401".utf8))
    }
    if let challenge {
      #expect(String(decoding: challenge.bytes, as: UTF8.self).contains("stale=true"))
    }
  }

  /// A user's password changes: what is registered stays so until its time is over, and is renewed with the new one
  /// only; calls of the phone have to prove it at once.
  @Test func changedPassword() throws {
    let scene = try Scene()
    scene.alice.register(expires: 600)
    scene.register(scene.bob)
    var resources = scene.world.settings.resources
    resources.users[0].password = "another"
    try scene.world.apply(resources)
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(2)))
    scene.world.run(for: .seconds(10))
    #expect(call.ending == .hungUpHere && scene.alice.calls.count == 1)
    let own = scene.alice.call("102")
    scene.alice.register(expires: 600)
    scene.world.run(for: .seconds(10))
    #expect(own.ending == .refused(401) && scene.alice.registration.status == 401)
    // The binding ends by itself.
    scene.world.run(for: .seconds(600))
    let late = scene.bob.call("101")
    scene.world.run(for: .seconds(5))
    #expect(late.ending == .refused(480))
    scene.alice.credentials = Credentials(username: "alice", password: "another")
    scene.register(scene.alice)
    #expect(scene.alice.registration.isRegistered)
  }

  /// Nobody refreshes: the binding ends by itself, and calls find nobody.
  @Test func expiry() throws {
    let scene = try Scene()
    scene.alice.register(expires: 60)
    scene.bob.register(expires: 300)
    scene.world.run(for: .seconds(61))
    #expect(bindings(scene).map(\.user) == ["bob"])
    scene.bob.call("101")
    scene.world.run(for: .seconds(5))
    #expect(scene.bob.calls.last?.ending == .refused(480))
    #expect(scene.records.map(\.cause) == [.notRegistered])
    scene.world.run(for: .seconds(300))
    #expect(bindings(scene).isEmpty)
    scene.expectRest()
  }

  /// The reply is lost: the copy of the request is answered as the first one was, and counted once.
  @Test func lostReply() throws {
    let scene = try Scene()
    var lost = false
    scene.world.network.loses = { message in
      guard !message.isRequest, message.status == 200, !lost else { return false }
      lost = true
      return true
    }
    scene.bob.register()
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [scene.bob], [], times: true,
      """
      bob                                demarc
       │ ── REGISTER ─────────────────────▶ │       0.000
       │ ◀── 401 Unauthorized (REGISTER) ── │      +0.005
       │ ── REGISTER ─────────────────────▶ │      +0.010
       │   ✗── 200 OK (REGISTER) ────────── │      +0.015
       │ ── REGISTER ↻ ───────────────────▶ │      +0.510
       │ ◀── 200 OK (REGISTER) ↻ ────────── │      +0.515
      """)
    #expect(scene.bob.registration.isRegistered)
  }
}
