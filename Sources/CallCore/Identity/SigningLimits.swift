import Base
package import CryptoCore
package import SIPWire

// What our own certificates let us say. A verifier refuses a PASSporT of somebody whom its certificate does not speak for,
// or with a claim that it does not allow (RFC 8224 §6.2, RFC 8226 §5 and §8), and then thinks less of the call than of one
// that is not signed: such a token is not made.

extension SigningCredential {
  /// Why no verifier would believe what we sign so; nil: nothing speaks against it.
  func defect(of token: PASSporT) -> PassportFailure? {
    guard let certificate else { return nil }
    if let failure = certificate.defect(of: token.speaker, at: Int64(clamping: token.iat)) {
      return failure
    }
    return certificate.constraints == nil
      ? nil : certificate.defect(ofClaims: token.canonicalClaims)
  }
}

extension PassportCertificate {
  /// The most that a call of ours can be signed with, as far as its constraints are about our claims (RFC 8588 §3);
  /// nil: no call can be.
  package var mostAttestation: Attestation? {
    guard let constraints else { return .full }
    let ours: Set = ["attest", "dest", "iat", "orig", "origid"]
    guard ours.isSuperset(of: constraints.mustInclude),
      ours.isDisjoint(with: constraints.mustExclude)
    else { return nil }
    guard let allowed = constraints.permitted["attest"] else { return .full }
    return allowed.compactMap(Attestation.init(rawValue:)).max()
  }

  /// In words, which calls it lets us sign; nil: all.
  package var limits: String? {
    let blocks = authority.flatMap { $0.providerCodes.isEmpty ? $0.blocks : nil }
    let level = mostAttestation == .full ? nil : mostAttestation
    let parts = [
      blocks.map { "speaks for \($0 == 1 ? "one block" : "\($0) blocks") of numbers alone" },
      level.map { "attests \($0.rawValue) at most" },
    ].compactMap { $0 }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}
