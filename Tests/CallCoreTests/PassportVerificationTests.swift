import Base
import CallCore
import CryptoCore
import Policy
import SIPWire
import Simulation
import Testing

/// Who calls is verified before the call goes anywhere (RFC 8224 §6.2; RELIABILITY K1).
@Suite struct PassportVerificationTests {
  @Test func aSignedCallGoesOn() throws {
    let bed = try PassportBed { $0.users[0].verstat = true }
    bed.call(try bed.identity())
    #expect(bed.alice.invites.count == 1)
    #expect(bed.notes.contains("caller verified, attestation A, signed by /CN=Provider"))
    #expect(
      bed.alice.lines("From").first?.hasPrefix(
        "From: <sip:+441000;verstat=TN-Validation-Passed@10.0.0.1:5060>;tag=") == true)
    // What the carrier has signed is of no concern to a phone.
    #expect(bed.alice.lines("Identity").isEmpty)
    // The next one finds the certificate.
    bed.call(try bed.identity())
    #expect(bed.alice.invites.count == 2)
    let counters = bed.counters
    #expect(counters.verified == 2 && counters.fetches == 1 && counters.certificates == 1)
    bed.scene.expectRest()
    #expect(bed.counters.waiting == 0)
  }

  /// A phone that is not to be told, and one of a trunk that nothing is verified of, see what they always saw.
  @Test func othersSeeNothingOfIt() throws {
    let bed = try PassportBed()
    bed.call(try bed.identity())
    #expect(
      bed.alice.lines("From").first?.hasPrefix("From: <sip:+441000@10.0.0.1:5060>;tag=") == true)
    let off = try PassportBed {
      $0.trunks[0].stir.verify = .off
      $0.users[0].verstat = true
    }
    off.call("Identity: nonsense")
    #expect(off.alice.invites.count == 1)
    #expect(
      off.alice.lines("From").first?.hasPrefix("From: <sip:+441000@10.0.0.1:5060>;tag=") == true)
  }

  /// Each failure with its own answer and note, and with `report` the call goes on.
  private func expect(
    _ status: String, _ cause: Cause, _ note: String, lists: [String] = [],
    sourceLocation: SourceLocation = #_sourceLocation,
    _ headers: (PassportBed) throws -> [String]
  ) throws {
    for policy in [IdentityVerification.require, .report] {
      let bed = try PassportBed(lists: lists) {
        $0.trunks[0].stir.verify = policy
        $0.users[0].verstat = true
      }
      let lines = try headers(bed)
      bed.scene.north.call("+493010", CallerScript().with { $0.extraHeaders = lines })
      bed.scene.world.run(for: .seconds(10))
      #expect(
        bed.notes.contains("caller not verified: \(note)"), "\(bed.notes)",
        sourceLocation: sourceLocation)
      if policy == .require {
        #expect(bed.alice.invites.isEmpty, sourceLocation: sourceLocation)
        #expect(bed.refusals == ["SIP/2.0 \(status)"], sourceLocation: sourceLocation)
        #expect(bed.scene.records.last?.cause == cause, sourceLocation: sourceLocation)
      } else {
        #expect(bed.alice.invites.count == 1, sourceLocation: sourceLocation)
        let word = cause == .identityMissing ? "No-TN-Validation" : "TN-Validation-Failed"
        #expect(
          bed.alice.lines("From").first?.contains("+441000;verstat=\(word)@") == true,
          sourceLocation: sourceLocation)
      }
      bed.scene.expectRest(sourceLocation: sourceLocation)
    }
  }

  @Test func withoutOne() throws {
    try expect("428 Use Identity Header", .identityMissing, "no PASSporT") { _ in [] }
    // One of a kind that we do not know is none (RFC 8224 §6.2 step 1).
    try expect("428 Use Identity Header", .identityMissing, "no PASSporT") { _ in
      ["Identity: a.b.c;info=<https://certs.example/p.pem>;ppt=rph"]
    }
  }

  @Test func tooOldOrTooEarly() throws {
    try expect("403 Stale Date", .identityStale, "PASSporT is 61 s old") { bed in
      [try bed.identity { $0.iat -= 61 }]
    }
    try expect("403 Stale Date", .identityStale, "PASSporT is 61 s in the future") { bed in
      [try bed.identity { $0.iat += 61 }]
    }
    let far = try PassportBed()
    far.call(try far.identity { $0.iat = .max })
    #expect(far.refusals == ["SIP/2.0 403 Stale Date"])
    let bed = try PassportBed()
    for age in [-59, 59] {
      bed.call(try bed.identity { $0.iat = UInt64(Int64($0.iat) + Int64(age)) })
    }
    #expect(bed.alice.invites.count == 2)
  }

  @Test func certificatesThatCannotBeHad() throws {
    try expect("436 Bad Identity Info", .identityUnavailable, "nothing is there") { bed in
      [try bed.identity(url: "https://certs.example/none.pem")]
    }
    for url in ["http://certs.example/provider.pem", "file:///etc/passwd", "cid:1"] {
      try expect(
        "436 Bad Identity Info", .identityUnavailable, "certificate is not at an https URL"
      ) { bed in [try bed.identity(url: url)] }
    }
  }

  @Test(arguments: [
    ("stranger", "certificate is not trusted: unable to get local issuer certificate"),
    ("expired", "certificate is not trusted: certificate has expired"),
    ("plain", "certificate names no numbers that it may speak for"),
    ("range", "certificate may not speak for 441000"),
  ])
  func certificatesThatAreNotBelieved(signer: String, note: String) throws {
    try expect("437 Unsupported Credential", .identityUntrusted, note) { bed in
      [try bed.identity(by: signer)]
    }
  }

  @Test func revokedCertificates() throws {
    try expect(
      "437 Unsupported Credential", .identityUntrusted,
      "certificate is not trusted: certificate revoked",
      lists: ["revocations.pem"]
    ) { bed in [try bed.identity(by: "revoked")] }
    let bed = try PassportBed()
    bed.call(try bed.identity(by: "revoked"))
    #expect(bed.alice.invites.count == 1)
  }

  @Test func otherAlgorithms() throws {
    try expect("437 Unsupported Credential", .identityUntrusted, "PASSporT is not signed by ES256")
    { bed in
      [try bed.identity().replacing("alg=ES256", with: "alg=RS256")]
    }
  }

  @Test func tokensOfOtherCalls() throws {
    try expect("438 Invalid Identity Header", .identityInvalid, "PASSporT is of another caller") {
      bed in
      [try bed.identity { $0.orig = .number("441001") }]
    }
    try expect("438 Invalid Identity Header", .identityInvalid, "PASSporT is of another caller") {
      bed in
      [try bed.identity { $0.orig = .uri("sip:+441000@carrier.example") }]
    }
    try expect(
      "438 Invalid Identity Header", .identityInvalid, "PASSporT is for another called number"
    ) { bed in
      [try bed.identity { $0.dest = [.number("493011")] }]
    }
  }

  /// Each claim, and the signature itself.
  @Test func whateverIsChangedIsNoticed() throws {
    let changes: [(inout PASSporT) -> Void] = [
      { $0.iat += 1 }, { $0.attestation = .partial }, { $0.origid = "other" },
      { $0.dest.append(.number("4411")) }, { $0.dest = [.number("493010"), .number("493010")] },
    ]
    for change in changes {
      try expect("438 Invalid Identity Header", .identityInvalid, "signature is wrong") { bed in
        let parts = try bed.identity().split(separator: ".", maxSplits: 2)
        let other = try bed.identity(change).split(separator: ".", maxSplits: 2)
        return ["\(parts[0]).\(other[1]).\(parts[2])"]
      }
    }
    try expect("438 Invalid Identity Header", .identityInvalid, "signature is wrong") { bed in
      // Another key than that of the certificate.
      [try bed.identity(by: "range", url: PassportBed.url)]
    }
    try expect("438 Invalid Identity Header", .identityInvalid, "Identity breaks its grammar") {
      _ in
      ["Identity: nonsense"]
    }
    try expect("438 Invalid Identity Header", .identityInvalid, "PASSporT is in the compact form") {
      bed in
      [String("Identity: .." + (try bed.identity().split(separator: ".").last ?? ""))]
    }
    try expect(
      "438 Invalid Identity Header", .identityInvalid, "PASSporT and Identity contradict each other"
    ) { bed in [try bed.identity().replacing("info=<https://certs", with: "info=<https://others")] }
  }

  @Test func aTokenIsGoodForOneCall() throws {
    let bed = try PassportBed()
    let identity = try bed.identity()
    bed.call(identity)
    #expect(bed.alice.invites.count == 1)
    bed.call(identity)
    #expect(bed.alice.invites.count == 1)
    #expect(bed.refusals.last == "SIP/2.0 438 Invalid Identity Header")
    #expect(bed.notes.contains("caller not verified: PASSporT was used by another call before"))
    #expect(bed.counters.replays == 1)
    // Another one of the same second and of the same words is another token.
    bed.call(try bed.identity())
    #expect(bed.alice.invites.count == 2)
  }

  /// At its limit the table forgets the older half, and says so.
  @Test func usedTokensAreBounded() throws {
    let bed = try PassportBed(settings: PassportBed.settings { $0.replays = 4 })
    for _ in 0..<7 { bed.call(try bed.identity()) }
    #expect(bed.alice.invites.count == 7)
    #expect(bed.counters.replaysForgotten > 0)
  }

  /// One good one is enough (RFC 8224 §6.2.1).
  @Test func oneOfSeveralIsEnough() throws {
    let bed = try PassportBed()
    bed.call(
      "Identity: a.b.c;info=<https://certs.example/p.pem>;ppt=rph",
      try bed.identity(by: "stranger"),
      "Identity: nonsense", try bed.identity())
    #expect(bed.alice.invites.count == 1)
  }

  /// RFC 8946: for the number that sent the call on, and from there for ours.
  @Test func diversionsLeadHere() throws {
    let bed = try PassportBed()
    func div(from: String, to: String) throws -> String {
      try bed.identity {
        $0 = PASSporT(
          type: .div, iat: $0.iat, orig: $0.orig, dest: [.number(to)], div: .number(from))
      }
    }
    let original = try bed.identity { $0.dest = [.number("4477")] }
    bed.call(try div(from: "4477", to: "493010"), original)
    #expect(bed.alice.invites.count == 1)
    bed.call(
      try div(from: "4488", to: "493010"), try bed.identity { $0.dest = [.number("4477")] },
      try div(from: "4477", to: "4488"))
    #expect(bed.alice.invites.count == 2)
    // A gap, a circle, and no original at all.
    bed.call(try bed.identity { $0.dest = [.number("4477")] }, try div(from: "4488", to: "493010"))
    bed.call(
      try bed.identity { $0.dest = [.number("4477")] }, try div(from: "4477", to: "4488"),
      try div(from: "4488", to: "4477"))
    bed.call(try div(from: "493010", to: "493010"))
    #expect(bed.alice.invites.count == 2)
    #expect(bed.refusals.suffix(3).allSatisfy { $0 == "SIP/2.0 438 Invalid Identity Header" })
  }

  // MARK: Waiting

  /// The caller hears 100 at once and 436 when patience ends; nothing is left of it.
  @Test func aCallWaitsNoLongerThanItsPatience() throws {
    let bed = try PassportBed()
    bed.scene.world.fetch = { _ in nil }
    let start = bed.scene.world.now
    bed.call(try bed.identity())
    #expect(bed.refusals == ["SIP/2.0 436 Bad Identity Info"])
    #expect(bed.notes.contains("caller not verified: certificate did not come in time"))
    let record = try #require(bed.scene.records.last)
    let waited = try #require(record.end) - start
    #expect(waited >= .seconds(2) && waited < .milliseconds(2_200))
    #expect(bed.scene.north.received.first { $0.status > 0 }?.status == 100)
    bed.scene.expectRest()
    #expect(bed.counters.waiting == 0)
  }

  @Test func whoWaitsMayHangUp() throws {
    let bed = try PassportBed()
    bed.scene.world.fetchTime = .milliseconds(1_500)
    bed.call(try bed.identity(), cancelAfter: .milliseconds(500))
    #expect(bed.scene.records.last?.cause == .cancelled)
    #expect(bed.alice.invites.isEmpty && bed.counters.waiting == 0)
    bed.scene.expectRest()
    bed.call(try bed.identity())
    #expect(bed.alice.invites.count == 1)
  }

  /// Many calls, one question; and those beyond the limit do not wait.
  @Test func aCertificateIsAskedForOnce() throws {
    let bed = try PassportBed(settings: PassportBed.settings { $0.waiting = 5 })
    bed.scene.world.fetchTime = .seconds(1)
    for _ in 0..<8 {
      let line = try bed.identity()
      bed.scene.north.call("+493010", CallerScript().with { $0.extraHeaders = [line] })
    }
    bed.scene.world.run(for: .milliseconds(900))
    #expect(bed.counters.waiting == 5 && bed.counters.waitsRefused == 3)
    bed.scene.world.run(for: .seconds(10))
    #expect(bed.alice.invites.count == 5)
    #expect(bed.counters.fetches == 1 && bed.counters.unavailable == 3)
    bed.scene.expectRest()
    #expect(bed.counters.waiting == 0)
  }

  /// What cannot be had is not asked for again at once, and is again later.
  @Test func failuresAreRememberedForAWhile() throws {
    let bed = try PassportBed()
    for _ in 0..<3 { bed.call(try bed.identity(url: "https://certs.example/none.pem")) }
    #expect(bed.counters.fetches == 1 && bed.counters.fetchFailures == 1)
    bed.scene.world.run(for: .seconds(30))
    bed.call(try bed.identity(url: "https://certs.example/none.pem"))
    #expect(bed.counters.fetches == 2)
  }

  @Test func certificatesAreBounded() throws {
    let bed = try PassportBed(settings: PassportBed.settings { $0.certificates = 3 })
    for i in 0..<10 { bed.call(try bed.identity(url: "https://certs.example/\(i)/provider.pem")) }
    #expect(bed.alice.invites.count == 10)
    #expect(bed.counters.certificates == 3)
  }

  /// What a certificate allows its PASSporTs to say (RFC 8226 §8, RFC 9118): one that says more is as good as none.
  @Test func claimsThatACertificateDoesNotAllow() throws {
    let bed = try PassportBed()
    for level in [Attestation.full, .partial] {
      bed.call(try bed.identity(by: "constrained") { $0.attestation = level })
    }
    bed.call(try bed.identity(by: "excluding"))
    #expect(bed.alice.invites.count == 3)
    for (signer, level) in [("constrained", Attestation.gateway), ("excluding", .partial)] {
      bed.call(try bed.identity(by: signer) { $0.attestation = level })
      #expect(bed.refusals.last == "SIP/2.0 437 Unsupported Credential")
      #expect(
        bed.notes.contains(
          "caller not verified: certificate does not allow this of claim attest"))
    }
    #expect(bed.alice.invites.count == 3)
    bed.call(try bed.identity(by: "broken-constraints"))
    #expect(
      bed.notes.contains(
        "caller not verified: certificate limits claims in a way that cannot be read"))
    // An extension that is critical, and that nobody here knows (RFC 5280 §4.2).
    bed.call(try bed.identity(by: "critical"))
    #expect(
      bed.notes.contains(
        "caller not verified: certificate is not trusted: unhandled critical extension"))
    #expect(bed.refusals.last == "SIP/2.0 437 Unsupported Credential")
    #expect(bed.alice.invites.count == 3)
  }

  /// Nobody but us says to a phone that a caller was verified.
  @Test func aForgedVerstatGoesNowhere() throws {
    for policy in [IdentityVerification.off, .report] {
      for verstat in [true, false] {
        let bed = try PassportBed {
          $0.trunks[0].stir.verify = policy
          $0.users[0].verstat = verstat
        }
        bed.scene.north.call(
          "+493010",
          CallerScript().with {
            $0.callerNumber = "+441000;verstat=TN-Validation-Passed"
            $0.extraHeaders = [
              "P-Asserted-Identity: <sip:+441000;verstat=TN-Validation-Passed@carrier.example>",
              "P-Asserted-Identity: <tel:+441000;verstat=TN-Validation-Passed>",
            ]
          })
        bed.scene.world.run(for: .seconds(10))
        #expect(bed.alice.invites.count == 1)
        let text = bed.alice.invites.joined().joined(separator: "\n")
        #expect(text.contains("+441000") && !text.contains("Passed"))
        let isSaid = policy == .report && verstat
        #expect(text.contains("verstat=No-TN-Validation") == isSaid)
      }
    }
  }

  /// A list that comes later holds for certificates that are known.
  @Test func newListsHoldAtOnce() throws {
    let bed = try PassportBed()
    bed.call(try bed.identity(by: "revoked"))
    #expect(bed.alice.invites.count == 1)
    var material = IdentityMaterial(
      wall: WallAnchor(milliseconds: bed.time * 1_000, at: bed.scene.world.now),
      originSecret: [])
    material.trust = try PassportBed.trust(["revocations.pem"])
    bed.scene.world.input(.identity(material))
    bed.call(try bed.identity(by: "revoked"))
    #expect(bed.alice.invites.count == 1 && bed.counters.fetches == 1)
    #expect(bed.refusals.last == "SIP/2.0 437 Unsupported Credential")
    // Without anything to verify with nothing is verified, and whoever waits goes on.
    bed.scene.world.input(.identity(nil))
    bed.call()
    #expect(bed.alice.invites.count == 2)
  }

  /// A clock that is set is followed.
  @Test func theTimeOfDayIsFollowed() throws {
    let bed = try PassportBed()
    let identity = try bed.identity { $0.iat += 1_000 }
    bed.call(identity)
    #expect(bed.alice.invites.isEmpty)
    bed.scene.world.input(
      .wallClock(WallAnchor(milliseconds: (bed.time + 1_000) * 1_000, at: bed.scene.world.now)))
    bed.call(identity)
    #expect(bed.alice.invites.count == 1)
  }
}
