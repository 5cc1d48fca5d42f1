import Base
import CryptoCore
import Policy
import SIPWire

/// What came of the verification of who calls.
enum IdentityVerdict {
  case passed(Attestation?, signer: String, isNumber: Bool)
  case failed(PassportFailure)
  case absent

  /// 3GPP TS 24.229 §7.2A.20.
  var verstat: StaticString {
    switch self {
    case .passed(_, _, let isNumber):
      isNumber ? "TN-Validation-Passed" : "No-TN-Validation"
    case .failed: "TN-Validation-Failed"
    case .absent: "No-TN-Validation"
    }
  }

  /// What it is refused for where a good PASSporT is required.
  var refusal: Cause? {
    switch self {
    case .passed: nil
    case .failed(let failure): failure.cause
    case .absent: .identityMissing
    }
  }

  var note: String {
    switch self {
    case .passed(let attestation, let signer, _):
      "caller verified" + (attestation.map { ", attestation \($0.rawValue)" } ?? "")
        + ", signed by \(signer)"
    case .failed(let failure): "caller not verified: " + failure.reason
    case .absent: "caller not verified: no PASSporT"
    }
  }
}

/// One Identity value of a call.
struct ReceivedPassport {
  /// The value as it came.
  var text: [UInt8]
  var value: IdentityValue
  var token: PASSporT

  var signature: [UInt8]? { Base64URL.decode(text.rawSpan.extracting(value.signature)) }
  fileprivate var payload: [UInt8]? { Base64URL.decode(text.rawSpan.extracting(value.payload)) }
}

/// The Identity header fields that a call came with, and what has come of them: at most `most` of `IdentityValue.most`
/// octets, until it is answered.
final class CallPassports {
  static let most = 8

  let policy: IdentityVerification
  /// Who calls and whom, in the canonical form, as the signalling says it (RFC 8224 §6.2.4). Nil: nobody is shown.
  let orig: PASSporT.Party?
  let dest: [PASSporT.Party]
  /// Of the caller's Call-ID.
  let call: HashKey
  var passports: [ReceivedPassport] = []
  /// What could not be read of them.
  var failures: [PassportFailure] = []
  var verdict: IdentityVerdict?
  /// URLs of certificates that are waited for.
  var awaited: Set<String> = []
  var timer = TimerID.none
  /// The store has the call's record: it goes on when the certificates are there.
  var isRecorded = false
  /// The stream of facts has its record: what comes is told there too.
  var isTold = false

  init(
    policy: IdentityVerification, orig: PASSporT.Party?, dest: [PASSporT.Party], call: HashKey
  ) {
    self.policy = policy
    self.orig = orig
    self.dest = dest
    self.call = call
  }

  /// Takes each value that we know the kind of.
  func read(_ message: borrowing Message) {
    var values = message.values(of: .identity)
    var count = 0
    while count < Self.most, let range = values.next(message.bytes) {
      count += 1
      let text = message.bytes.array(range)
      let bytes = text.rawSpan
      guard let value = IdentityValue.parse(bytes, ByteRange(0, text.count)) else {
        failures.append(PassportFailure(.identityInvalid, "Identity breaks its grammar"))
        continue
      }
      do throws(PASSporT.Defect) {
        if let token = try PASSporT.read(bytes, value) {
          passports.append(ReceivedPassport(text: text, value: value, token: token))
        }
      } catch {
        failures.append(error.failure)
      }
    }
  }

  /// What is wrong with one before its certificate is looked at.
  func defect(of token: PASSporT, seconds: Int64, freshness: Int64) -> PassportFailure? {
    let age = seconds &- Int64(clamping: token.iat)
    if age > freshness {
      return PassportFailure(.identityStale, "PASSporT is \(age) s old")
    }
    if age < -freshness {
      return PassportFailure(.identityStale, "PASSporT is \(0 &- age) s in the future")
    }
    guard let orig, token.orig == orig else {
      return PassportFailure(.identityInvalid, "PASSporT is of another caller")
    }
    return nil
  }

  /// Whether an original, by itself or by those that say how it was sent on, is for who is called here (RFC 8946 §4.2).
  func leadsHere(_ original: PASSporT, by diversions: [PASSporT]) -> Bool {
    var reached = original.dest
    var left = diversions
    while true {
      if dest.contains(where: reached.contains) { return true }
      guard let next = left.firstIndex(where: { $0.div.map(reached.contains) ?? false }) else {
        return false
      }
      reached = left.remove(at: next).dest
    }
  }
}

extension PASSporT.Defect {
  fileprivate var failure: PassportFailure {
    switch self {
    case .compact: PassportFailure(.identityInvalid, "PASSporT is in the compact form")
    case .malformed: PassportFailure(.identityInvalid, "PASSporT cannot be read")
    case .algorithm: PassportFailure(.identityUntrusted, "PASSporT is not signed by ES256")
    case .contradictory:
      PassportFailure(.identityInvalid, "PASSporT and Identity contradict each other")
    }
  }
}

extension PassportCertificate {
  /// What is wrong with the token of this certificate.
  func defect(of passport: ReceivedPassport) -> PassportFailure? {
    let token = passport.token
    if let failure = defect(of: token.speaker, at: Int64(clamping: token.iat)) { return failure }
    if constraints != nil, let failure = defect(ofClaims: passport.payload ?? []) {
      return failure
    }
    let bytes = passport.text.rawSpan
    guard let signature = passport.signature,
      key.verifies(signature, of: bytes.extracting(passport.value.signed))
    else { return PassportFailure(.identityInvalid, "signature is wrong") }
    return nil
  }

  /// Whether it may speak for this party, and at this time, in seconds since 1970.
  func defect(of party: PASSporT.Party?, at date: Int64) -> PassportFailure? {
    guard begins <= date, date <= ends else {
      return PassportFailure(.identityUntrusted, "certificate was not valid when it signed")
    }
    let name: String
    switch party {
    case nil: return nil
    case .number(let number)?:
      if authority?.covers(number) == true { return nil }
      name = number
    case .uri(let uri)?:
      if let domain = CanonicalURI.domain(of: uri), domains?.covers(domain) == true { return nil }
      name = Array(uri.utf8.prefix(64)).rawSpan.displayText
    }
    return PassportFailure(.identityUntrusted, "certificate may not speak for \(name)")
  }

  /// Whether a payload says what it may say.
  func defect(ofClaims payload: [UInt8]) -> PassportFailure? {
    guard let constraints else { return nil }
    guard let claims = PASSporT.claims(payload) else {
      return PassportFailure(.identityInvalid, "PASSporT cannot be read")
    }
    guard let claim = constraints.broken(by: claims) else { return nil }
    let name = Array(claim.utf8.prefix(64)).rawSpan.displayText
    return PassportFailure(.identityUntrusted, "certificate does not allow this of claim \(name)")
  }
}

extension PASSporT {
  /// For whom whoever has signed it must be allowed to speak (RFC 8946 §4.2).
  var speaker: Party? { type == .div ? div : orig }
}
