import Base
import CallCore
import Policy
import Simulation
import Testing

/// Numbers and callers on both sides of a call (TRK-5, RELIABILITY D5, D6), and what rules change (SIG-9).
@Suite struct IdentityTests {
  /// The header lines of the first INVITE that a carrier gets, without their ends.
  private final class Seen {
    var lines: [String] = []
    func line(_ name: String) -> String? {
      lines.first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
    }
  }

  private func seen(by agent: Agent) -> Seen {
    let seen = Seen()
    agent.onInvite = { message in
      let text = String(decoding: message.bytes, as: UTF8.self)
      seen.lines = text.split(separator: "\r\n").map(String.init)
      return .refusing(486, after: .milliseconds(5))
    }
    return seen
  }

  private func call(
    _ resources: Resources, from caller: (Scene) -> Agent, _ script: CallerScript = CallerScript()
  )
    throws -> (scene: Scene, seen: Seen, call: AgentCall)
  {
    let scene = try Scene(Scene.settings(resources: resources))
    let seen = seen(by: scene.north)
    let call = caller(scene).call("+441234567890", script)
    scene.finish()
    scene.expectRest()
    return (scene, seen, call)
  }

  @Test func aUserIsSeenAsItsNumber() throws {
    let (_, seen, _) = try call(Scene.resources(), from: { $0.alice })
    #expect(seen.line("From")?.hasPrefix("From: <sip:+49301101@203.0.113.1:5060>;tag=") == true)
    #expect(seen.line("P-Asserted-Identity") == nil)
  }

  @Test func aTrustedNetworkIsToldWhoCalls() throws {
    var resources = Scene.resources()
    resources.networks[1].trusted = true
    var (_, seen, _) = try call(resources, from: { $0.alice })
    #expect(
      seen.line("P-Asserted-Identity") == "P-Asserted-Identity: <sip:+49301101@203.0.113.1:5060>")
    #expect(seen.line("Privacy") == nil)
    (_, seen, _) = try call(
      resources, from: { $0.alice }, CallerScript().with { $0.extraHeaders = ["Privacy: id"] })
    #expect(
      seen.line("From")?.hasPrefix("From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;") == true
    )
    #expect(
      seen.line("P-Asserted-Identity") == "P-Asserted-Identity: <sip:+49301101@203.0.113.1:5060>")
    #expect(seen.line("Privacy") == "Privacy: id")
  }

  @Test func nobodyElseLearnsAPrivateNumber() throws {
    var resources = Scene.resources()
    var numbers = TrunkNumbers()
    numbers.callerIn = [.assertedIdentity, .remotePartyID]
    resources.trunks[0].numbers = numbers
    let (scene, seen, _) = try call(
      resources, from: { $0.alice }, CallerScript().with { $0.extraHeaders = ["Privacy: user;id"] })
    #expect(!seen.lines.joined().contains("49301101"))
    #expect(scene.records.first?.callerNumber == "anonymous")
    #expect(scene.records.first?.notes == ["caller of the user, not to be shown"])
  }

  @Test func formsOfATrunk() throws {
    var resources = Scene.resources()
    var numbers = TrunkNumbers(plan: NumberPlan(countryCode: "44"))
    numbers.form = .national
    numbers.userPhone = true
    numbers.callerIn = [.remotePartyID]
    resources.trunks[0].numbers = numbers
    let (_, seen, _) = try call(resources, from: { $0.alice })
    #expect(seen.lines.first == "INVITE sip:01234567890@198.51.100.10:5060;user=phone SIP/2.0")
    #expect(seen.line("To") == "To: <sip:01234567890@198.51.100.10:5060;user=phone>")
    #expect(
      seen.line("Remote-Party-ID")
        == "Remote-Party-ID: <sip:0049301101@203.0.113.1:5060;user=phone>;party=calling;screen=yes;privacy=off"
    )
  }

  /// A customer may write a foreign number wherever it likes.
  @Test(
    arguments: [
      "P-Asserted-Identity: <sip:+15005550006@x>", "P-Preferred-Identity: <tel:+15005550006>",
      "Remote-Party-ID: <sip:+15005550006@x>;party=calling", "Diversion: <sip:+15005550006@x>",
      "History-Info: <sip:+15005550006@x>;index=1", "Referred-By: <sip:+15005550006@x>",
      "Subject: x",
    ])
  func spoofedCallers(header: String) throws {
    var resources = Scene.resources()
    resources.networks[1].trusted = true
    resources.trunks[2].callerID = CallerPolicy(allow: .owned, standard: "+493010")
    let script = CallerScript().with {
      $0.extraHeaders = [header]
      $0.callerNumber = header.hasPrefix("Subject") ? "+15005550006" : "+493011"
    }
    let (scene, seen, _) = try call(resources, from: { $0.pbx }, script)
    #expect(!seen.lines.joined().contains("15005550006"))
    let own = header.hasPrefix("Subject") ? "+493010" : "+493011"
    #expect(seen.line("From")?.contains("sip:\(own)@") == true)
    #expect(seen.line("P-Asserted-Identity")?.contains("sip:\(own)@") == true)
    #expect(scene.records.first?.callerNumber == own)
  }

  @Test func aCallerThatIsNotOwnedIsRefused() throws {
    var resources = Scene.resources()
    resources.trunks[2].callerID = CallerPolicy(allow: .owned, otherwise: .refuse)
    let (scene, seen, call) = try call(
      resources, from: { $0.pbx }, CallerScript().with { $0.callerNumber = "+15005550006" })
    #expect(call.ending == .refused(403))
    #expect(seen.lines.isEmpty && scene.records.map(\.cause) == [.callerRefused])
  }

  @Test func aNumberThatIsNoneIsRefused() throws {
    var resources = Scene.resources()
    resources.tenants[0].numbers = NumberPlan(countryCode: "49")
    let scene = try Scene(Scene.settings(resources: resources))
    let call = scene.alice.call("49301234567")
    scene.finish()
    #expect(call.ending == .refused(484))
    #expect(scene.records.map(\.cause) == [.numberInvalid])
    scene.expectRest()
  }

  /// RELIABILITY D5: seventeen spellings of a header that nothing names, and of one that must not be believed.
  @Test func smuggledHeadersReachNobody() throws {
    let scene = try Scene()
    let seen = seen(by: scene.north)
    let spellings = [
      "X-Evil: zqevil", "X-Evil : zqevil", "X-Evil\t: zqevil", "x-evil: zqevil", "X-EVIL:zqevil",
      "X-Evil:\r\n zqevil", "X-Evil: a\r\n\tzqevil", "Subject: a\r\n X-Evil: zqevil",
      "s: zqevil", "Subject: a\nX-Evil: zqevil", "Subject: a\rX-Evil: zqevil",
      "Subject: \"a\r\n X-Evil: zqevil\"", "P-Asserted-Identity : <sip:zqevil@x>",
      "p-asserted-identity:<sip:zqevil@x>", "P-Asserted-Identity: <sip:a@b>,\r\n <sip:zqevil@x>",
      "X%2DEvil: zqevil", "X-Evil: a\r\nX-Evil: zqevil",
    ]
    #expect(spellings.count == 17)
    for spelling in spellings {
      seen.lines = []
      scene.pbx.call("+441234567890", CallerScript().with { $0.extraHeaders = [spelling] })
      scene.world.run(for: .seconds(2))
      let text = seen.lines.joined(separator: "\n").lowercased()
      #expect(!text.contains("zqevil") && !text.contains("x-evil"), "\(spelling)")
    }
    scene.finish()
  }

  @Test func rulesChangeWhatIsReadAndWhatIsWritten() throws {
    var resources = Scene.resources()
    resources.trunks[2].rules = [
      HeaderRule(
        name: "nine", direction: .inbound,
        when: [RuleCondition(part: "request-uri.user", matches: #"9(\d+)"#)],
        then: [.set(part: "request-uri.user", value: "+$1"), .pass(header: "X-Customer")])
    ]
    resources.trunks[0].rules = [
      HeaderRule(
        name: "agent", direction: .outbound, methods: ["INVITE", "ACK", "BYE"],
        then: [
          .set(part: "User-Agent", value: "Other/1"), .set(part: "From.display", value: "A \"B\""),
          .add(header: "X-Group", value: "7"), .remove(header: "Supported"),
        ]),
      HeaderRule(
        name: "declined", direction: .inbound, statuses: ["603"],
        then: [.set(part: "status", value: "486")]),
    ]
    let scene = try Scene(Scene.settings(resources: resources))
    let seen = seen(by: scene.north)
    let refused = scene.north.onInvite
    scene.north.onInvite = { message in
      _ = refused(message)
      return .refusing(603, after: .milliseconds(5))
    }
    let call = scene.pbx.call(
      "9441234567890",
      CallerScript().with { $0.extraHeaders = ["X-Customer : 4711", "X-Other: 1"] })
    scene.finish()
    #expect(call.ending == .refused(486))
    #expect(seen.lines.first?.hasPrefix("INVITE sip:+441234567890@") == true)
    #expect(seen.line("User-Agent") == "User-Agent: Other/1")
    #expect(seen.line("From")?.hasPrefix(#"From: "A \"B\"" <sip:"#) == true)
    #expect(seen.line("X-Group") == "X-Group: 7")
    #expect(seen.line("X-Customer") == "X-Customer: 4711")
    #expect(seen.line("X-Other") == nil && seen.line("Supported") == nil)
    #expect(
      scene.records.first?.notes == [
        "rule nine applied to what came in", "rule agent applied to what went out",
        "rule declined applied to what came in",
      ])
    #expect(scene.records.first?.cause == .busy)
    scene.expectRest()
  }

  /// A call whose every message is changed goes its whole way.
  @Test func aChangedCallLives() throws {
    var resources = Scene.resources()
    for trunk in [0, 2] {
      resources.trunks[trunk].rules = [
        HeaderRule(
          name: "all", direction: .outbound, methods: ["INVITE", "ACK", "BYE", "CANCEL"],
          then: [.set(part: "From.display", value: "Demarc"), .set(part: "User-Agent", value: "x")]),
        HeaderRule(
          name: "answers", direction: .outbound, statuses: ["1xx", "2xx"],
          then: [.set(part: "Server", value: "y"), .set(part: "Contact.user", value: "trunk")]),
      ]
    }
    let scene = try Scene(Scene.settings(resources: resources))
    let call = scene.pbx.call("+441234567890", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }
}
