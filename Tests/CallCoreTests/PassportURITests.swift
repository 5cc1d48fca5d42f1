import Base
import CallCore
import CryptoCore
import Policy
import SIPWire
import Simulation
import Testing

/// Callers and called parties that are URIs (RFC 8224 §8.4 and §8.5): `domain` speaks for example.com, `sip-domain` for
/// voice.example.net alone, since it has a SIP URI beside its DNS name (RFC 5922 §7.1).
@Suite struct PassportURITests {
  @Test(
    "The canonical form of a URI",
    arguments: [
      ("sip:alice@example.com", "sip:alice@example.com"),
      ("SIP:Alice:secret@EXAMPLE.com:5070;transport=tcp?subject=x", "sip:alice@example.com"),
      ("sips:%41%6c%69ce@example.com", "sips:alice@example.com"),
      ("sip:a%2Fb%C3%BC@example.com", "sip:a%2fb%c3%bc@example.com"),
      ("sip:alice@[2001:DB8::1]:5060", "sip:alice@[2001:db8::1]"),
      ("sip:example.com", nil), ("tel:+441234", nil), ("mailto:alice@example.com", nil),
      ("sip:alice@", nil), ("", nil),
    ] as [(String, String?)])
  func canonical(written: String, form: String?) {
    #expect(CanonicalURI.read(written) == form)
    #expect(form.flatMap { CanonicalURI.read($0) } == form)
  }

  /// Calls as north with this From, and this said of who calls.
  private func call(
    _ bed: PassportBed, from: String, saying uri: String, by signer: String = "domain",
    _ change: (inout PASSporT) -> Void = { _ in }
  ) throws {
    let identity = try bed.identity(by: signer) {
      $0.orig = .uri(uri)
      change(&$0)
    }
    bed.scene.north.call(
      "+493010",
      CallerScript().with {
        $0.extraHeaders = [identity]
        $0.callerURI = from
      })
    bed.scene.world.run(for: .seconds(10))
  }

  @Test("A caller that is a URI is verified, however it is written")
  func verified() throws {
    let bed = try PassportBed { $0.users[0].verstat = true }
    for from in ["sip:bob@example.com", "sip:BOB@Example.COM:5070;x=y", "sip:b%6fb@example.com"] {
      try call(bed, from: from, saying: "sip:Bob@example.com")
      #expect(bed.notes.contains("caller verified, attestation A, signed by /CN=domain"), "\(from)")
    }
    #expect(bed.alice.invites.count == 3 && bed.counters.verified == 3)
    // It is no number that was validated, and nobody is told so.
    #expect(bed.alice.lines("From").first?.contains("verstat=No-TN-Validation") == true)
  }

  @Test("Another user, domain or scheme is another caller")
  func others() throws {
    let bed = try PassportBed()
    for from in ["sip:rob@example.com", "sip:bob@example.org", "sips:bob@example.com"] {
      try call(bed, from: from, saying: "sip:bob@example.com")
      #expect(bed.refusals.last == "SIP/2.0 438 Invalid Identity Header", "\(from)")
      #expect(bed.notes.contains("caller not verified: PASSporT is of another caller"), "\(from)")
    }
    // A number is a number, whatever domain it is written with.
    try call(bed, from: "sip:+441000@example.com", saying: "sip:+441000@example.com")
    #expect(bed.refusals.last == "SIP/2.0 438 Invalid Identity Header")
    #expect(bed.alice.invites.isEmpty)
  }

  @Test("Who may speak for numbers may not for domains, nor the other way round")
  func authority() throws {
    let bed = try PassportBed()
    for (signer, uri) in [
      ("provider", "sip:bob@example.com"), ("sip-domain", "sip:bob@example.com"),
      ("sip-domain", "sip:bob@example.org"), ("domain", "sip:bob@sip.example.net"),
      ("domain", "sip:bob@sub.example.com"),
    ] {
      try call(bed, from: uri, saying: uri, by: signer)
      #expect(bed.refusals.last == "SIP/2.0 437 Unsupported Credential", "\(signer), \(uri)")
      #expect(
        bed.notes.contains("caller not verified: certificate may not speak for \(uri)"),
        "\(signer), \(uri)")
    }
    bed.call(try bed.identity(by: "domain"))
    #expect(bed.notes.contains("caller not verified: certificate may not speak for 441000"))
    #expect(bed.alice.invites.isEmpty)
    try call(
      bed, from: "sip:bob@voice.example.net", saying: "sip:bob@voice.example.net", by: "sip-domain")
    #expect(bed.alice.invites.count == 1)
  }

  @Test("Of two headers that which the trunk is read by")
  func asserted() throws {
    let bed = try PassportBed { $0.networks[1].trusted = true }
    for (asserted, count) in [("sip:bob@example.com", 1), ("sip:bob@example.org", 1)] {
      let identity = try bed.identity(by: "domain") { $0.orig = .uri("sip:bob@example.com") }
      bed.scene.north.call(
        "+493010",
        CallerScript().with {
          $0.extraHeaders = [identity, "P-Asserted-Identity: <\(asserted)>"]
          $0.callerURI = "sip:bob@example.com"
        })
      bed.scene.world.run(for: .seconds(10))
      #expect(bed.alice.invites.count == count, "\(asserted)")
    }
  }
}
