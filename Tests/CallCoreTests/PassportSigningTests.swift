import Base
import CallCore
import CryptoCore
import Policy
import SIPWire
import Simulation
import Testing

/// What we sign and pass on (RFC 8588, RFC 8946; RELIABILITY K3).
@Suite struct PassportSigningTests {
  /// The tokens of the last INVITE that the carrier got, each verified with our certificate.
  private func tokens(_ bed: PassportBed) throws -> [PASSporT] {
    let certificate = try PassportBed.trust([]).judge(
      chain: try PassportBed.file("provider.pem"), at: Int64(PassportBed.epoch)
    ).get()
    return try bed.carrier.lines("Identity").map { line in
      let bytes = Array(line.dropFirst("Identity: ".count).utf8)
      let parsed = IdentityValue.parse(bytes.rawSpan, ByteRange(0, bytes.count))
      let value = try #require(parsed)
      let decoded = Base64URL.decode(bytes.rawSpan.extracting(value.signature))
      let isGood = certificate.key.verifies(
        try #require(decoded), of: bytes.rawSpan.extracting(value.signed))
      #expect(isGood)
      let token = try PASSporT.read(bytes.rawSpan, value)
      return try #require(token)
    }
  }

  private func signing(_ change: (inout Resources) -> Void = { _ in }) throws -> PassportBed {
    try PassportBed {
      $0.trunks[0].stir.verify = .report
      for i in 0...1 {
        $0.trunks[i].stir.sign = true
        $0.trunks[i].stir.pass = true
      }
      change(&$0)
    }
  }

  @Test func aUsersCallIsSigned() throws {
    let bed = try signing()
    bed.scene.alice.call("+441234")
    bed.scene.world.run(for: .seconds(5))
    let token = try #require(try tokens(bed).first)
    #expect(token.type == .shaken && token.attestation == .full)
    #expect(token.orig == .number("49301101") && token.dest == [.number("441234")])
    #expect(token.iat + 5 >= bed.time && token.iat <= bed.time)
    #expect(token.x5u == "https://ours.example/provider.pem")
    #expect(
      bed.carrier.lines("Identity").first?.hasSuffix(
        ";info=<https://ours.example/provider.pem>;alg=ES256;ppt=shaken") == true)
    #expect(bed.notes.contains("signed by provider, attestation A"))
    // A UUID that is the same for the same customer, and another one for another.
    let id = try #require(token.origid)
    #expect(id.count == 36 && id.split(separator: "-").map(\.count) == [8, 4, 4, 4, 12])
    bed.scene.alice.call("+441235")
    bed.scene.world.run(for: .seconds(5))
    #expect(try tokens(bed).first?.origid == id)
    bed.scene.pbx.call("+441235")
    bed.scene.world.run(for: .seconds(5))
    #expect(try tokens(bed).first?.origid != id)
    bed.scene.expectRest()
  }

  /// Who knows certificate, tenant and account knows no `origid`: another secret makes another one of them.
  @Test func originIsKnownToNobodyElse() {
    func origid(_ secret: [UInt8], _ tenant: String = "acme") -> String {
      let wall = WallAnchor(milliseconds: 0, at: .zero)
      return IdentityMaterial(wall: wall, originSecret: secret).origid(
        url: "https://ours.example/provider.pem", tenant: tenant, account: "user:alice")
    }
    // HMAC-SHA-256 by Python's hmac, cut to a UUID.
    let secret = [UInt8](0..<32)
    #expect(origid(secret) == "0e2a5585-0a9c-8dc0-a470-a04b59e0e886")
    #expect(origid(secret) != origid(secret.reversed()) && origid(secret) != origid([]))
    #expect(origid(secret) != origid(secret, "other"))
  }

  /// A, B and C by whose the number is.
  @Test func attestationsByNumbers() throws {
    let bed = try signing {
      $0.trunks[2].callerID = CallerPolicy(numbers: ["+4940*"])
    }
    func level(of number: String, from agent: Agent) throws -> Attestation? {
      agent.call("+441234", CallerScript().with { $0.callerNumber = number })
      bed.scene.world.run(for: .seconds(5))
      return try tokens(bed).first?.attestation
    }
    // Of the tenant's inventory; written down for the trunk; somebody else's.
    #expect(try level(of: "+493010", from: bed.scene.pbx) == .full)
    #expect(try level(of: "+4940123", from: bed.scene.pbx) == .full)
    #expect(try level(of: "+4989123", from: bed.scene.pbx) == .partial)
    let counters = bed.counters
    #expect(counters.signedFull == 2 && counters.signedPartial == 1)
    bed.scene.expectRest()
  }

  @Test func whatComesFromANetworkIsOfAGateway() throws {
    let bed = try signing { $0.users[0].forward.always = .number("+441234") }
    bed.call(number: "+493010")
    #expect(try tokens(bed).first?.attestation == .gateway)
    #expect(try tokens(bed).first?.orig == .number("441000"))
    #expect(bed.counters.signedGateway == 1)
  }

  /// Lowered, never raised.
  @Test func aTrunkMayBeHeldDown() throws {
    for (most, level) in [(Attestation.partial, Attestation.partial), (.gateway, .gateway)] {
      let bed = try signing { $0.trunks[2].stir.attestation = most }
      bed.scene.pbx.call("+441234", CallerScript().with { $0.callerNumber = "+493010" })
      bed.scene.world.run(for: .seconds(5))
      #expect(try tokens(bed).first?.attestation == level)
    }
    let bed = try signing { $0.trunks[2].stir.attestation = .partial }
    bed.scene.pbx.call("+441234", CallerScript().with { $0.callerNumber = "+4989123" })
    bed.scene.world.run(for: .seconds(5))
    #expect(try tokens(bed).first?.attestation == .partial)
  }

  @Test func whatIsNotSigned() throws {
    // An extension is nobody's number; a trunk that wants none; one whose certificate is not there.
    let bed = try signing { $0.users[0].callerID = nil }
    bed.scene.alice.call("+441234")
    bed.scene.world.run(for: .seconds(5))
    #expect(bed.carrier.invites.count == 1 && bed.carrier.lines("Identity").isEmpty)
    let off = try PassportBed { $0.trunks[0].stir.sign = false }
    off.scene.alice.call("+441234")
    off.scene.world.run(for: .seconds(5))
    #expect(off.carrier.invites.count == 1 && off.carrier.lines("Identity").isEmpty)
    let other = try signing { $0.trunks[0].stir.certificate = "other" }
    other.scene.alice.call("+441234")
    other.scene.world.run(for: .seconds(5))
    #expect(other.carrier.invites.count == 1 && other.carrier.lines("Identity").isEmpty)
    #expect(other.notes.contains("not signed: no certificate `other` is there"))
    #expect(other.counters.signingFailures == 1)
  }

  /// The number of whoever asks not to be shown is not in a token either, but inside the trust domain.
  @Test func aPrivateNumberIsSignedForTheTrustedAlone() throws {
    for isTrusted in [false, true] {
      let bed = try signing { $0.networks[1].trusted = isTrusted }
      bed.scene.alice.call("+441234", CallerScript().with { $0.extraHeaders = ["Privacy: id"] })
      bed.scene.world.run(for: .seconds(5))
      #expect(bed.carrier.invites.count == 1)
      #expect(bed.carrier.lines("Identity").isEmpty != isTrusted)
    }
  }

  // MARK: Passing on

  /// A number that leads from one carrier to another: what the first has signed goes on as it came.
  @Test func whatIsStillTrueGoesOn() throws {
    let bed = try signing {
      $0.numbers[0].destinations = [DestinationHop(to: .trunk("south"))]
      $0.trunks[0].stir.verify = .off
    }
    let identity = try bed.identity()
    bed.call(identity)
    #expect(bed.carrier.lines("Identity") == [identity])
    #expect(bed.notes.contains("Identity passed on") && bed.counters.passed == 1)
    #expect(bed.counters.signedGateway == 0 && bed.counters.fetches == 0)
    // One of another caller is not true, and ours says what we know.
    bed.call(try bed.identity { $0.orig = .number("441001") })
    #expect(try tokens(bed).map(\.attestation) == [.gateway])
  }

  @Test func whatIsKnownToBeFalseDoesNot() throws {
    let bed = try signing { $0.numbers[0].destinations = [DestinationHop(to: .trunk("south"))] }
    bed.call(try bed.identity { $0.iat -= 100 })
    #expect(try tokens(bed).map(\.attestation) == [.gateway])
    let quiet = try signing {
      $0.numbers[0].destinations = [DestinationHop(to: .trunk("south"))]
      $0.trunks[1].stir.pass = false
      $0.trunks[1].stir.sign = false
    }
    quiet.call(try quiet.identity())
    #expect(quiet.carrier.invites.count == 1 && quiet.carrier.lines("Identity").isEmpty)
  }

  /// RFC 8946 §4.1: the original as it came, and a div of ours from the number that sent the call on.
  @Test func aForwardIsSaid() throws {
    let bed = try signing { $0.users[0].forward.always = .number("+441234") }
    let identity = try bed.identity { $0.iat -= 7 }
    bed.call(identity)
    #expect(bed.carrier.lines("Identity").first == identity)
    let found = try tokens(bed)
    #expect(found.map(\.type) == [.shaken, .div])
    #expect(found.last?.div == .number("493010") && found.last?.dest == [.number("441234")])
    #expect(found.last?.orig == .number("441000") && found.last?.iat == found.first?.iat)
    #expect(bed.notes.contains("Identity passed on, with div"))
    #expect(bed.counters.signedDiversions == 1 && bed.counters.signedGateway == 0)
    // What we say is what we would believe ourselves.
    let again = try PassportBed { $0.numbers[0].number = "+441234" }
    again.scene.north.call(
      "+441234", CallerScript().with { $0.extraHeaders = bed.carrier.lines("Identity") })
    again.scene.world.run(for: .seconds(5))
    #expect(again.alice.invites.count == 1)
  }

  /// Both of a trunk: the PBX is told what was found, its number is verified no more.
  @Test func aTrunkIsToldToo() throws {
    let bed = try PassportBed {
      $0.trunks[2].stir.verstat = true
      $0.networks[0].trusted = true
      var numbers = TrunkNumbers()
      numbers.scheme = .tel
      numbers.callerIn = [.assertedIdentity]
      $0.trunks[2].numbers = numbers
    }
    bed.scene.pbx.onInvite = { [seen = bed.carrier] message in
      let text = String(decoding: message.bytes, as: UTF8.self)
      seen.invites.append(text.split(separator: "\r\n").map(String.init))
      return .refusing(603, after: .milliseconds(5))
    }
    bed.call(try bed.identity { $0.dest = [.number("493011")] }, number: "+493011")
    #expect(
      bed.carrier.lines("P-Asserted-Identity")
        == ["P-Asserted-Identity: <tel:+441000;verstat=TN-Validation-Passed>"])
  }
}
