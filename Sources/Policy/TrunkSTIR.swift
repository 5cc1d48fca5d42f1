package import SIPWire

/// What a call that comes without a good PASSporT may do.
package enum IdentityVerification: String, Sendable, CaseIterable {
  /// Nothing is verified.
  case off
  /// The call goes on, and what came of the verification is told.
  case report
  /// It is refused, with the answer of RFC 8224 §6.2.2.
  case require
}

/// STIR on a trunk (RFC 8224, RFC 8588, RFC 8946).
package struct TrunkSTIR: Hashable, Sendable {
  /// Calls to it are signed.
  package var sign = false
  /// Its name among the process's certificates. Nil: the first of those.
  package var certificate: String?
  /// The most that calls from it are attested: it lowers what the rules come to, never raises it.
  package var attestation = Attestation.full
  /// What becomes of calls from it.
  package var verify = IdentityVerification.off
  /// What has come with a call goes on to it, as long as it is still true.
  package var pass = false
  /// The caller's URI says what came of the verification (3GPP TS 24.229 §7.2A.20).
  package var verstat = false

  package init() {}
}

extension Configuration {
  /// How sure we are of the number that a caller is shown with (RFC 8588 §4).
  ///
  /// Full: it belongs to the tenant's inventory of numbers, or the operator has written it down for this caller.
  /// Partial: we know who calls, not whose the number is. Gateway: it has come from another network.
  package func attestation(of caller: CallerKind, showing number: String) -> Attestation {
    switch caller {
    case .user(let user):
      guard let account = users.element(at: user), let tenant = tenant(ofUser: user) else {
        return .gateway
      }
      let isOwn = account.callerID == number || account.callerIDs.contains(number)
      return isOwn || owns(number, tenant: tenant) ? .full : .partial
    case .trunk(let trunk), .phone(let trunk):
      guard let peer = trunks.element(at: trunk), let tenant = tenant(ofTrunk: trunk) else {
        return .gateway
      }
      if peer.kind == .carrier { return .gateway }
      let mayShow = (tables.callers.element(at: trunk) ?? nil)?.numbers.contains(number) ?? false
      let found = mayShow || owns(number, tenant: tenant) ? Attestation.full : .partial
      return min(found, peer.stir.attestation)
    }
  }

  private func owns(_ number: String, tenant: Int) -> Bool {
    let spellings = [number, DialString.withOtherPlus(number)]
    return spellings.contains { tables.numbers[TenantKey(tenant, $0)] != nil }
  }
}
