import Base
import CallCore
import Policy
import Simulation
import Testing

/// RFC 3665 §3.2 from the side of the trunk: proxies of the carrier's stand in the dialog (RFC 3261 §12.1, §12.2.1.1).
@Suite struct RouteSetTests {
  private static let edge = "<sip:198.51.100.10;lr>"
  private static let core = "<sip:core.provider.example;lr>"

  private static func scene() throws -> Scene {
    let scene = try Scene()
    scene.north.keepsMessages = true
    scene.register(scene.alice)
    return scene
  }

  private static func requests(_ scene: Scene, _ methods: String...) -> [AgentMessage] {
    scene.north.received.filter { $0.isRequest && methods.contains($0.methodText) }
  }

  /// As a UAC: Record-Route of the 200, the last proxy first, is the route set; its reverse stands in what we send.
  @Test func asCaller() throws {
    let scene = try Self.scene()
    scene.north.onInvite = { _ in
      .answering().with { $0.extraHeaders = ["Record-Route: \(Self.core), \(Self.edge)"] }
    }
    let call = scene.alice.call(
      "+441234",
      CallerScript().with {
        $0.hangUpAfter = .seconds(4)
        $0.reoffers = [Reoffer(after: .seconds(2), direction: .sendonly)]
      })
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                demarc                 north
        │ ── INVITE (SDP) ──▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE (SDP) ──▶ │
        │                     │ ◀── 100 Trying ──── │
        │                     │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ─── │                     │
        │                     │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ── │                     │
        │                     │ ── ACK ───────────▶ │
        │ ── ACK ───────────▶ │                     │
        │ ── INVITE (SDP) ──▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE (SDP) ──▶ │
        │                     │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ── │                     │
        │                     │ ── ACK ───────────▶ │
        │ ── ACK ───────────▶ │                     │
        │ ── BYE ───────────▶ │                     │
        │ ◀── 200 OK (BYE) ── │                     │
        │                     │ ── BYE ───────────▶ │
        │                     │ ◀── 200 OK (BYE) ── │
      """)
    #expect(call.ending == .hungUpHere)
    #expect(Self.requests(scene, "INVITE").first?.value(.route) == nil)
    let within = Self.requests(scene, "ACK", "BYE") + Self.requests(scene, "INVITE").dropFirst()
    #expect(within.count == 4)
    for request in within {
      #expect(request.value(.route) == "\(Self.edge), \(Self.core)", "\(request.methodText)")
      #expect(request.requestURI == "sip:+441000@198.51.100.10:5060")
    }
    scene.expectRest()
  }

  /// As a UAS: Record-Route of the INVITE is repeated in the answers that begin the dialog, and is the route set as it
  /// came.
  @Test func asCallee() throws {
    let scene = try Self.scene()
    scene.alice.onInvite = { _ in .answering().with { $0.hangUpAfter = .seconds(4) } }
    let call = scene.north.call(
      "+493010",
      CallerScript().with { $0.extraHeaders = ["Record-Route: \(Self.edge), \(Self.core)"] })
    scene.finish()
    expectLadder(
      scene, [scene.north], [scene.alice],
      """
      north                demarc                 alice
        │ ── INVITE (SDP) ──▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE (SDP) ──▶ │
        │                     │ ◀── 100 Trying ──── │
        │                     │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ─── │                     │
        │                     │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ── │                     │
        │                     │ ── ACK ───────────▶ │
        │ ── ACK ───────────▶ │                     │
        │                     │ ◀── BYE ─────────── │
        │                     │ ── 200 OK (BYE) ──▶ │
        │ ◀── BYE ─────────── │                     │
        │ ── 200 OK (BYE) ──▶ │                     │
      """)
    #expect(call.ending == .hungUpThere)
    let answers = scene.north.received.filter {
      !$0.isRequest && $0.status > 100 && $0.method == .invite
    }
    #expect(answers.map(\.status) == [180, 200])
    for answer in answers {
      let routes = answer.values(.recordRoute).joined(separator: ", ")
      #expect(routes == "\(Self.edge), \(Self.core)")
    }
    let bye = try #require(Self.requests(scene, "BYE").first)
    #expect(bye.value(.route) == "\(Self.edge), \(Self.core)")
    #expect(bye.requestURI == "sip:+441000@198.51.100.10:5060")
    scene.expectRest()
  }

  /// §3.6: whoever is called sends the call elsewhere, and the answer to the callee's offer is in the ACK.
  @Test func redirectedWithTheOfferInTheAnswer() throws {
    var resources = Scene.resources()
    resources.trunks[2].redirects = .follow
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.carol)
    scene.pbx.onInvite = { _ in .redirecting(to: "<sip:103@x.example>") }
    let call = scene.north.call(
      "+493011",
      CallerScript().with {
        $0.delayedOffer = true
        $0.hangUpAfter = .seconds(3)
      })
    scene.finish()
    expectLadder(
      scene, [scene.north], [scene.pbx, scene.carol],
      """
      north                               demarc                           pbx                  carol
        │ ── INVITE ───────────────────────▶ │                              │                     │
        │ ◀── 100 Trying ─────────────────── │                              │                     │
        │                                    │ ── INVITE ─────────────────▶ │                     │
        │                                    │ ◀── 100 Trying ───────────── │                     │
        │                                    │ ◀── 302 Moved Temporarily ── │                     │
        │                                    │ ── ACK ────────────────────▶ │                     │
        │ ◀── 181 Call Is Being Forwarded ── │                              │                     │
        │                                    │ ── INVITE ───────────────────────────────────────▶ │
        │                                    │ ◀── 100 Trying ─────────────────────────────────── │
        │                                    │ ◀── 180 Ringing ────────────────────────────────── │
        │ ◀── 180 Ringing ────────────────── │                              │                     │
        │                                    │ ◀── 200 OK (SDP) ───────────────────────────────── │
        │ ◀── 200 OK (SDP) ───────────────── │                              │                     │
        │ ── ACK (SDP) ────────────────────▶ │                              │                     │
        │                                    │ ── ACK (SDP) ────────────────────────────────────▶ │
        │ ── BYE ──────────────────────────▶ │                              │                     │
        │ ◀── 200 OK (BYE) ───────────────── │                              │                     │
        │                                    │ ── BYE ──────────────────────────────────────────▶ │
        │                                    │ ◀── 200 OK (BYE) ───────────────────────────────── │
      """)
    #expect(call.ending == .hungUpHere)
    #expect(scene.records.first?.attempts.map(\.status) == [302, 200])
    #expect(scene.carol.calls.last?.remoteMedia != nil)
    scene.expectRest()
  }
}
