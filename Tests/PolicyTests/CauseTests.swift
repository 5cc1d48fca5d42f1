import Policy
import Testing

struct CauseTests {
  @Test func everyCauseHasARowOfItsOwn() {
    let all = Cause.allCases
    #expect(Set(all.map(\.name)).count == all.count)
    #expect(Set(all.map(\.meaning)).count == all.count)
    #expect(Set(all.map(\.remedy)).count == all.count)
    for cause in all {
      #expect(Cause(name: cause.name) == cause)
      #expect(cause.name.utf8.allSatisfy { $0 == 0x2d || (0x61...0x7a).contains($0) })
      #expect(cause == .normalClearing || (400..<700).contains(cause.sipStatus))
      #expect((1...127).contains(cause.q850))
      #expect(cause.meaning.hasSuffix(".") && cause.remedy.hasSuffix("."))
    }
    #expect(Cause(name: "no-such-cause") == nil)
  }

  /// Published names stand in records and in other people's scripts: a change here is a break.
  @Test func publishedNames() {
    let published = """
      normal-clearing cancelled busy no-answer rejected-by-user unreachable not-registered \
      number-unknown no-route all-routes-failed address-incomplete authentication-required \
      authentication-failed forbidden source-unknown trunk-call-limit trunk-rate-limit capacity \
      ports-exhausted records-stalled draining malformed message-too-large extension-unsupported \
      method-unsupported loop-detected too-many-hops media-unacceptable content-unsupported \
      carrier-timeout carrier-unavailable carrier-rejected transport-failed \
      completed-elsewhere trunk-not-registered forwarded media-timeout hung-up-by-operator \
      acknowledgement-missing interrupted internal-fault number-invalid caller-refused \
      session-expired session-interval-too-small provisional-unacknowledged \
      tenant-call-limit tenant-rate-limit user-call-limit user-rate-limit class-call-limit \
      class-rate-limit lines-busy pool-full name-unresolved overload transfer-refused \
      transfer-failed transferred number-unassigned number-suspended event-unsupported \
      subscription-refused subscription-limit insecure-transport registrar-unavailable \
      srtp-required srtp-refused srtp-unsupported srtp-without-tls \
      destination-denied costly-limit account-blocked duration-limit \
      identity-missing identity-stale identity-unavailable identity-untrusted identity-invalid
      """
    #expect(Cause.allCases.map(\.name).joined(separator: " ") == published)
  }

  /// A set is one word: whatever a hop can end by must be among the first 64.
  @Test func setsHoldWhatAHopCanEndBy() {
    let ends =
      ResourceDefaults.continueOn + ResourceDefaults.failoverOn
      + (200..<700).map { Cause.of(sipStatus: $0) } + [.numberUnassigned, .numberSuspended]
    #expect(ends.allSatisfy { CauseSet([$0]).contains($0) })
  }

  @Test(
    "What a peer's status means",
    arguments: [
      (200, Cause.normalClearing), (301, .carrierRejected), (400, .carrierRejected),
      (401, .carrierRejected), (403, .carrierRejected), (404, .numberUnknown), (408, .noAnswer),
      (410, .numberUnknown), (415, .contentUnsupported), (480, .noAnswer), (482, .loopDetected),
      (483, .tooManyHops), (484, .addressIncomplete), (486, .busy), (487, .cancelled),
      (488, .mediaUnacceptable), (500, .carrierUnavailable), (501, .carrierRejected),
      (503, .carrierUnavailable), (504, .carrierUnavailable), (600, .busy),
      (603, .rejectedByUser), (604, .numberUnknown), (606, .mediaUnacceptable),
      (699, .rejectedByUser), (0, .carrierRejected), (-1, .carrierRejected),
      (9_999, .carrierRejected),
    ])
  func meaningOfStatus(status: Int, cause: Cause) {
    #expect(Cause.of(sipStatus: status) == cause)
  }

  @Test func setsHoldEachCauseAlone() {
    for cause in Cause.allCases {
      let set = CauseSet([cause])
      #expect(set.causes == (cause.rawValue < 64 ? [cause] : []))
    }
    #expect(CauseSet(Cause.allCases).causes == Array(Cause.allCases.prefix(64)))
    #expect(CauseSet().isEmpty)
  }
}
