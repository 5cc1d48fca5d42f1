import Base
import CallCore
import Policy
import Simulation
import Testing

/// What a registrar of today does beside RFC 3665's flows: q, Path, GRUU, Outbound, limits, devices that move.
@Suite struct RegistrarTests {
  private static let urn = "urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF"

  private func bindings(_ scene: Scene) -> [Binding] {
    if case .registrations(let bindings)? = scene.world.ask(.registrations) { return bindings }
    return []
  }

  private func register(
    _ scene: Scene, _ contact: String, _ headers: [String] = [], cseq: UInt32? = nil
  ) {
    scene.bob.register(contactHeader: ([contact] + headers).joined(separator: "\r\n"))
    scene.world.run(for: .seconds(2))
  }

  private func contacts(_ scene: Scene) -> String {
    scene.bob.registration.contacts.joined(separator: " ")
  }

  @Test func preferenceDecidesTheOrder() throws {
    let scene = try Scene()
    let low = scene.world.agent(
      "low", at: Scene.address(10, 0, 0, 111), trunk: Scene.inside, user: "bob")
    low.credentials = scene.bob.credentials
    low.onInvite = { _ in .dead }
    register(scene, "Contact: <sip:bob@10.0.0.102:5060>;q=0.25")
    low.register(contactHeader: "Contact: <sip:bob@10.0.0.111:5060>;q=0.7")
    scene.world.run(for: .seconds(2))
    #expect(bindings(scene).map(\.preference).sorted() == [250, 700])
    #expect(low.registration.contacts.joined().contains("q=0.250"))
    scene.register(scene.alice)
    scene.alice.call("102")
    scene.world.run(for: .seconds(20))
    #expect(low.calls.count == 1, "the preferred contact first, the other when it says nothing")
    #expect(scene.bob.calls.count == 1)
  }

  @Test(
    "Preferences as they are written",
    arguments: [
      ("1", 1_000), ("0", 0), ("0.5", 500), ("0.123", 123), ("1.0", 1_000), ("0.", 0),
      ("2", 1_000), ("1.5", 1_000), ("x", 1_000), ("0.1234", 1_000), ("99999", 1_000),
    ])
  func preference(text: String, expected: Int) throws {
    let scene = try Scene()
    register(scene, "Contact: <sip:bob@10.0.0.102:5060>;q=\(text)")
    #expect(bindings(scene).map { Int($0.preference) } == [expected])
  }

  /// RFC 3327: kept, returned, and the way of every call.
  @Test func path() throws {
    let scene = try Scene()
    register(
      scene, "Contact: <sip:bob@10.9.9.9:5060>",
      ["Supported: path", "Path: <sip:edge1.example;lr>, <sip:10.0.0.102;lr;ob>"])
    #expect(bindings(scene).first?.path == "<sip:edge1.example;lr>, <sip:10.0.0.102;lr;ob>")
    scene.register(scene.alice)
    scene.alice.call("102")
    scene.world.run(for: .seconds(5))
    let invite = scene.world.trace.entries.compactMap { try? AgentMessage($0.bytes) }
      .first { $0.isRequest && $0.method == .invite && $0.requestURI == "sip:bob@10.9.9.9:5060" }
    #expect(invite?.value(.route) == "<sip:edge1.example;lr>, <sip:10.0.0.102;lr;ob>")
    #expect(scene.bob.calls.first?.state == .answered)
  }

  /// RFC 3327 §5.3: a phone that does not know of it is told.
  @Test func pathUnasked() throws {
    let scene = try Scene()
    register(scene, "Contact: <sip:bob@10.0.0.102:5060>", ["Path: <sip:edge1.example;lr>"])
    #expect(scene.bob.registration.status == 420 && bindings(scene).isEmpty)
  }

  /// RFC 5627: a GRUU rings one device of several.
  @Test func gruus() throws {
    let scene = try Scene()
    scene.bob.register(contactHeader: "Contact: <sip:bob@10.0.0.109:5060>")
    scene.world.run(for: .seconds(2))
    register(
      scene, "Contact: <sip:bob@10.0.0.102:5060>;+sip.instance=\"<\(Self.urn)>\"",
      ["Supported: gruu"])
    let listed = contacts(scene)
    #expect(listed.contains("pub-gruu=\"sip:bob@trunk.example;gr=\(Self.urn)\""))
    guard let start = listed.firstRange(of: "temp-gruu=\"") else {
      Issue.record("no temp-gruu in \(listed)")
      return
    }
    let temporary = String(listed[start.upperBound...].prefix { $0 != "\"" })
    #expect(temporary.hasPrefix("sip:tgruu.") && temporary.hasSuffix(";gr"))
    #expect(!temporary.contains("bob"))
    scene.register(scene.alice)
    for uri in ["sip:bob@trunk.example;gr=\(Self.urn)", temporary] {
      scene.alice.call("bob", CallerScript().with { $0.requestURI = uri })
      scene.world.run(for: .seconds(5))
      #expect(scene.alice.calls.last?.state == .answered, "\(uri)")
      scene.alice.calls.last?.hangUp()
      scene.world.run(for: .seconds(2))
    }
    // Another device of the same user is not there.
    scene.alice.call(
      "bob", CallerScript().with { $0.requestURI = "sip:bob@trunk.example;gr=urn:x:1" })
    scene.world.run(for: .seconds(5))
    #expect(scene.alice.calls.last?.ending == .refused(480))
    // With the device its temporary names end.
    scene.bob.register(expires: 0, all: true)
    scene.world.run(for: .seconds(2))
    scene.alice.call("bob", CallerScript().with { $0.requestURI = temporary })
    scene.world.run(for: .seconds(5))
    #expect(scene.alice.calls.last?.ending == .refused(404))
  }

  /// A phone that comes back on another port is the same phone.
  @Test func deviceMoves() throws {
    let scene = try Scene()
    register(scene, "Contact: <sip:bob@10.0.0.102:5060>;+sip.instance=\"<\(Self.urn)>\"")
    register(scene, "Contact: <sip:bob@10.0.0.102:6999>;+sip.instance=\"<\(Self.urn)>\"")
    #expect(bindings(scene).map(\.contact) == ["sip:bob@10.0.0.102:6999"])
    let removed = scene.world.facts.count {
      if case .bindingRemoved(let old) = $0.event { old.contact.hasSuffix("5060") } else { false }
    }
    #expect(removed == 1, "the store must forget the old one")
    scene.world.input(.query(.registrations, token: 1))
  }

  /// RFC 5626 §6: a binding is a flow; the same flow again replaces it.
  @Test func outbound() throws {
    let scene = try Scene()
    let supported = ["Supported: outbound, path"]
    register(
      scene, "Contact: <sip:bob@10.0.0.102:5060;ob>;reg-id=1;+sip.instance=\"<\(Self.urn)>\"",
      supported)
    register(
      scene, "Contact: <sip:bob@10.0.0.102:5060;ob>;reg-id=2;+sip.instance=\"<\(Self.urn)>\"",
      supported)
    register(
      scene, "Contact: <sip:bob@10.0.0.102:7000;ob>;reg-id=1;+sip.instance=\"<\(Self.urn)>\"",
      supported)
    #expect(bindings(scene).map(\.flow).sorted() == [1, 2])
    #expect(contacts(scene).contains("reg-id=1") && contacts(scene).contains("reg-id=2"))
    let answer = scene.world.trace.entries.compactMap { try? AgentMessage($0.bytes) }
      .last { $0.status == 200 }
    #expect(answer?.value(.require) == "outbound")
    #expect(answer?.text(after: "Flow-Timer") == "120")
    scene.register(scene.alice)
    scene.alice.call("102")
    scene.world.run(for: .seconds(5))
    #expect(scene.bob.calls.count == 1, "two flows are one phone")
  }

  @Test func outboundThroughAProxyThatDoesNotKeepFlows() throws {
    let scene = try Scene()
    let contact = "Contact: <sip:bob@10.0.0.102:5060>;reg-id=1;+sip.instance=\"<\(Self.urn)>\""
    let second = "Via: SIP/2.0/UDP 10.0.0.3;branch=z9hG4bKsecond"
    register(scene, contact, ["Supported: outbound, path", second])
    #expect(scene.bob.registration.status == 439 && bindings(scene).isEmpty)
    register(
      scene, contact, ["Supported: outbound, path", second, "Path: <sip:10.0.0.3;lr;ob>"])
    #expect(bindings(scene).map(\.flow) == [1])
    // Who does not ask for it has an ordinary binding.
    register(scene, contact, [second])
    #expect(bindings(scene).contains { $0.flow == 0 })
  }

  @Test func twoFlowsInOneRequest() throws {
    let scene = try Scene()
    register(
      scene,
      "Contact: <sip:bob@10.0.0.102:5060>;reg-id=1;+sip.instance=\"<\(Self.urn)>\", "
        + "<sip:bob@10.0.0.102:5062>;reg-id=2;+sip.instance=\"<\(Self.urn)>\"",
      ["Supported: outbound"])
    #expect(scene.bob.registration.status == 400 && bindings(scene).isEmpty)
  }

  /// §8.2.2.3: only what is not known is listed.
  @Test func unknownExtensions() throws {
    let scene = try Scene()
    register(scene, "Contact: <sip:bob@10.0.0.102:5060>", ["Require: path, pref, gruu"])
    #expect(scene.bob.registration.status == 420 && bindings(scene).isEmpty)
    let answer = scene.world.trace.entries.compactMap { try? AgentMessage($0.bytes) }
      .last { $0.status == 420 }
    #expect(answer?.values(.unsupported) == ["pref"])
  }

  /// The oldest contact makes room for a new one, and the user keeps its number of them.
  @Test func contactsAreLimited() throws {
    let scene = try Scene()
    for port in 1...7 { register(scene, "Contact: <sip:bob@10.0.0.102:600\(port)>") }
    let ports = bindings(scene).map { $0.contact.suffix(1) }.sorted()
    #expect(ports == ["3", "4", "5", "6", "7"])
  }

  @Test(
    "Contacts that are refused",
    arguments: [
      "Contact: *\r\nContact: <sip:bob@10.0.0.102:5060>", "Contact: <tel:123>",
      "Contact: <sip:bob@>", "Contact: <sip:10.0.0.102;bnc>",
      "Contact: <sip:bob@10.0.0.102:5060>;+sip.instance=\"<a b>\"",
    ])
  func refused(contact: String) throws {
    let scene = try Scene()
    register(scene, contact)
    #expect([400, 403].contains(scene.bob.registration.status) && bindings(scene).isEmpty)
  }

  /// What was stored comes back whole.
  @Test func restored() throws {
    let scene = try Scene()
    register(
      scene, "Contact: <sip:bob@10.0.0.102:5060>;q=0.5;+sip.instance=\"<\(Self.urn)>\"",
      ["Supported: path", "Path: <sip:10.0.0.102;lr>"])
    let before = bindings(scene)
    scene.world.crash()
    try scene.world.start(restoring: before)
    #expect(bindings(scene) == before)
    register(scene, "Contact: <sip:bob@10.0.0.102:5099>;+sip.instance=\"<\(Self.urn)>\"")
    #expect(bindings(scene).map(\.contact) == ["sip:bob@10.0.0.102:5099"])
  }
}
