import Base
import CallCore
import CryptoCore
import Foundation
import Policy
import SIPWire
import Simulation
import Testing

/// A scene whose carrier north signs its calls, with the certificates of `Tests/Golden/stir`.
struct PassportBed {
  let scene: Scene
  let alice = Seen()
  let carrier = Seen()

  /// What somebody is called with: each INVITE's lines, without their ends.
  final class Seen {
    var invites: [[String]] = []
    func lines(_ name: String) -> [String] {
      (invites.last ?? []).filter { $0.lowercased().hasPrefix(name.lowercased() + ":") }
    }
  }

  static let url = "https://certs.example/provider.pem"
  static let epoch: UInt64 = 1_700_000_000

  init(
    lists: [String] = [], settings: IdentitySettings = IdentitySettings(),
    ours: [String] = ["provider"], _ change: (inout Resources) -> Void = { _ in }
  ) throws {
    var resources = Scene.resources()
    resources.trunks[0].stir.verify = .require
    change(&resources)
    scene = try Scene(Scene.settings(resources: resources))
    let world = scene.world
    var material = IdentityMaterial(
      wall: WallAnchor(milliseconds: Self.epoch * 1_000, at: world.now),
      originSecret: [UInt8](0..<32))
    material.trust = try Self.trust(lists)
    material.credentials = try ours.map {
      let certificate = try PassportCertificate.read(Self.file("\($0).pem")).get()
      return try Self.credential($0, "https://ours.example/\($0).pem", certificate)
    }
    material.settings = settings
    world.input(.identity(material))
    world.fetch = { url in
      guard let name = url.split(separator: "/").last, let pem = try? Self.file(String(name)) else {
        return .failed("nothing is there")
      }
      return .fetched(pem, maxAge: .seconds(3_600))
    }
    let (alice, carrier) = (alice, carrier)
    for (agent, seen) in [(scene.alice, alice), (scene.north, carrier), (scene.south, carrier)] {
      agent.keepsMessages = true
      agent.onInvite = { message in
        let text = String(decoding: message.bytes, as: UTF8.self)
        seen.invites.append(text.split(separator: "\r\n").map(String.init))
        return .refusing(603, after: .milliseconds(5))
      }
    }
    scene.register(scene.alice)
  }

  static func file(_ name: String) throws -> [UInt8] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return Array(try Data(contentsOf: tests.appending(path: "Golden/stir/\(name)")))
  }

  static func trust(_ lists: [String]) throws -> TrustAnchors {
    let anchors = TrustAnchors(
      authorities: try ["authority", "second-authority", "domain-authority"].map {
        try file("\($0).pem")
      },
      lists: try lists.map { try file($0) })
    return try #require(anchors)
  }

  static func credential(
    _ name: String, _ url: String, _ certificate: PassportCertificate? = nil
  ) throws -> SigningCredential {
    let key = try #require(ES256PrivateKey(pem: try file("\(name).key")))
    return SigningCredential(name: name, url: url, key: key, certificate: certificate)
  }

  /// Seconds since 1970 in the world.
  var time: UInt64 { Self.epoch + (scene.world.now.nanoseconds - 1_000_000_000) / 1_000_000_000 }

  /// Of a call of +441000 to +493010, as its carrier signs it; one line.
  func identity(
    by signer: String = "provider", url: String? = nil,
    _ change: (inout PASSporT) -> Void = { _ in }
  ) throws -> String {
    var token = PASSporT(
      type: .shaken, iat: time, orig: .number("441000"), dest: [.number("493010")],
      attestation: .full, origid: "f3b9b2d0-0000-4000-8000-000000000001")
    change(&token)
    let credential = try Self.credential(signer, url ?? "https://certs.example/\(signer).pem")
    let line = try #require(credential.sign(token))
    return String(decoding: line.dropLast(2), as: UTF8.self)
  }

  /// Calls +493010 as north and goes on until that is over.
  @discardableResult
  func call(_ headers: String..., number: String = "+493010", cancelAfter: Interval? = nil)
    -> AgentCall
  {
    let call = scene.north.call(
      number,
      CallerScript().with {
        $0.extraHeaders = headers
        $0.cancelAfter = cancelAfter
      })
    scene.world.run(for: .seconds(10))
    return call
  }

  /// Status lines of final refusals that north got.
  var refusals: [String] {
    scene.north.received.filter { $0.status >= 400 }.map {
      String(String(decoding: $0.bytes, as: UTF8.self).prefix { $0 != "\r\n" })
    }
  }

  var notes: [String] { scene.records.last?.notes ?? [] }

  var counters: IdentityCounters { scene.world.counters.identity }

  static func settings(_ change: (inout IdentitySettings) -> Void) -> IdentitySettings {
    var settings = IdentitySettings()
    change(&settings)
    return settings
  }
}
