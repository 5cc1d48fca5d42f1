import Base
import CallCore
import CryptoCore
import Policy
import SIPWire
import Simulation
import Testing

/// What our own certificates let us sign (RFC 8226 §8 and §9): `range` speaks for 44123456 to 44123555 and 4930,
/// `constrained` attests A and B, `partial` B and C, `excluding` allows no div.
@Suite struct SigningLimitTests {
  private func bed(_ ours: [String], _ change: (inout Resources) -> Void = { _ in }) throws
    -> PassportBed
  {
    try PassportBed(ours: ours) {
      $0.trunks[0].stir.verify = .off
      for i in 0...1 {
        $0.trunks[i].stir.sign = true
        $0.trunks[i].stir.pass = true
      }
      $0.trunks[2].callerID = CallerPolicy(numbers: ["+441234*"])
      change(&$0)
    }
  }

  /// Calls as the PBX with this number: the token that the carrier got.
  private func token(_ bed: PassportBed, showing number: String) throws -> PASSporT? {
    bed.scene.pbx.call("+441999", CallerScript().with { $0.callerNumber = number })
    bed.scene.world.run(for: .seconds(5))
    return try token(bed)
  }

  private func token(_ bed: PassportBed) throws -> PASSporT? {
    guard let line = bed.carrier.lines("Identity").first else { return nil }
    let bytes = Array(line.dropFirst("Identity: ".count).utf8)
    let value = IdentityValue.parse(bytes.rawSpan, ByteRange(0, bytes.count))
    return try PASSporT.read(bytes.rawSpan, try #require(value))
  }

  @Test("A certificate of numbers signs for those alone")
  func numbers() throws {
    let bed = try bed(["range"])
    #expect(try token(bed, showing: "+44123460")?.attestation == .full)
    #expect(bed.notes.contains("signed by range, attestation A"))
    // Of the tenant's inventory, but not of the certificate: no attestation makes that good.
    #expect(try token(bed, showing: "+493010") == nil)
    #expect(bed.carrier.invites.count == 2)
    #expect(
      bed.notes.contains("not signed: certificate may not speak for 493010 (range)"))
    #expect(bed.counters.signedFull == 1 && bed.counters.signingFailures == 1)
    bed.scene.expectRest()
  }

  @Test("Of several certificates the first that may speak for the number signs")
  func several() throws {
    let all = try bed(["range", "provider"])
    #expect(try token(all, showing: "+44123460")?.x5u == "https://ours.example/range.pem")
    let other = try token(all, showing: "+493010")
    #expect(other?.x5u == "https://ours.example/provider.pem" && other?.attestation == .full)
    #expect(all.notes == ["signed by provider, attestation A"])
    // A trunk that names one has that alone.
    let named = try bed(["provider", "range"]) { $0.trunks[0].stir.certificate = "range" }
    #expect(try token(named, showing: "+493010") == nil)
    #expect(try token(named, showing: "+44123460")?.x5u == "https://ours.example/range.pem")
  }

  @Test("What a certificate may not attest is attested with less, where that is allowed")
  func attestations() throws {
    let partial = try bed(["partial"])
    #expect(try token(partial, showing: "+493010")?.attestation == .partial)
    #expect(partial.notes.contains("signed by partial, attestation B"))
    #expect(
      partial.notes.contains(
        "not attested with A: certificate does not allow this of claim attest (partial)"))
    #expect(partial.counters.signedPartial == 1 && partial.counters.signedFull == 0)
    // Another one that allows more is better.
    let both = try bed(["partial", "constrained"])
    #expect(try token(both, showing: "+493010")?.attestation == .full)
    #expect(try token(both, showing: "+4989123")?.x5u == "https://ours.example/partial.pem")
    // Nothing is raised: what comes from a network is C, which this one may not say.
    let constrained = try bed(["constrained"]) { $0.users[0].forward.always = .number("+441234") }
    constrained.call()
    #expect(constrained.carrier.invites.count == 1)
    #expect(try token(constrained) == nil)
    #expect(
      constrained.notes.contains(
        "not signed: certificate does not allow this of claim attest (constrained)"))
  }

  @Test("Nothing is signed by a certificate that has expired")
  func expired() throws {
    let bed = try bed(["expired"])
    #expect(try token(bed, showing: "+493010") == nil)
    #expect(bed.notes.contains("not signed: certificate was not valid when it signed (expired)"))
  }

  @Test("A div is signed for a number of the certificate's, by one that allows it")
  func diversions() throws {
    for (ours, isSigned) in [
      (["range"], false), (["excluding"], false), (["range", "provider"], true),
    ] {
      let bed = try bed(ours) { $0.users[0].forward.always = .number("+441234") }
      bed.call(try bed.identity())
      #expect(bed.carrier.invites.count == 1)
      #expect(bed.counters.signedDiversions == (isSigned ? 1 : 0), "\(ours)")
      #expect(bed.carrier.lines("Identity").count == (isSigned ? 2 : 0), "\(ours)")
    }
  }

  @Test(
    "In words",
    arguments: [
      ("provider", Attestation.full, nil), ("constrained", .full, nil), ("excluding", .full, nil),
      ("range", .full, "speaks for 2 blocks of numbers alone"),
      ("partial", .partial, "attests B at most"),
    ] as [(String, Attestation, String?)])
  func words(name: String, level: Attestation, limits: String?) throws {
    let certificate = try PassportCertificate.read(PassportBed.file("\(name).pem")).get()
    #expect(certificate.mostAttestation == level)
    #expect(certificate.limits == limits)
  }
}
