import Base
import CallCore
import CryptoCore
import SIPWire

/// What a call costs that is signed, and one that is verified with a certificate that is known: the header field is read,
/// its token too, and the signature verified; or claims are written and signed. Figures of one core.
func stirBench(into results: inout BenchResults) {
  guard let load = STIRLoad() else { return print("stir: libcrypto has no P-256") }
  let signing = measure(iterations: 1_000) { load.sign($0) }
  results.record("stir_sign_us", signing.least / 1_000, "us")
  let verifying = measure(iterations: 1_000) { load.verify($0) }
  results.record("stir_verify_us", verifying.least / 1_000, "us")
  results.record("stir_verify_per_s_core", 1_000_000_000 / max(verifying.least, 1), "1/s")
}

private final class STIRLoad {
  private let credential: SigningCredential
  private let key: ES256PublicKey
  private let token: PASSporT
  private var line: [UInt8] = []

  /// The keys of RFC 8946's appendix A.
  init?() {
    let secret = """
      -----BEGIN EC PRIVATE KEY-----
      MHcCAQEEIFKCsFZ4Wsw3ZpBxgc4Z0sOjaXDdMk07Ny1fKg6OntAkoAoGCCqGSM49
      AwEHoUQDQgAEmzGM1VsO+3IqbMF54rQMaYKQftO4hUYm9wv5wutLgEd9FsiTy3+4
      +Wa2O7pffOXPC0QzO+yD8hGEXGP/2mZo6w==
      -----END EC PRIVATE KEY-----
      """
    let open = """
      -----BEGIN PUBLIC KEY-----
      MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmzGM1VsO+3IqbMF54rQMaYKQftO4
      hUYm9wv5wutLgEd9FsiTy3+4+Wa2O7pffOXPC0QzO+yD8hGEXGP/2mZo6w==
      -----END PUBLIC KEY-----
      """
    guard let secretKey = ES256PrivateKey(pem: Array(secret.utf8)),
      let key = ES256PublicKey(pem: Array(open.utf8))
    else { return nil }
    self.key = key
    credential = SigningCredential(
      name: "bench", url: "https://certs.example.com/provider.pem", key: secretKey)
    token = PASSporT(
      type: .shaken, iat: 1_700_000_000, orig: .number("4930123456"),
      dest: [.number("441234567890")], attestation: .full,
      origid: "f3b9b2d0-0000-4000-8000-000000000001")
    guard let first = credential.sign(token) else { return nil }
    line = first
  }

  func sign(_ count: Int) {
    for _ in 0..<count {
      guard credential.sign(token) != nil else { return print("stir: not signed") }
    }
  }

  func verify(_ count: Int) {
    let value = Array(line.dropFirst("Identity: ".utf8.count).dropLast(2))
    for _ in 0..<count {
      let bytes = value.rawSpan
      guard let identity = IdentityValue.parse(bytes, ByteRange(0, value.count)),
        let read = try? PASSporT.read(bytes, identity), read.orig == token.orig,
        let signature = Base64URL.decode(bytes.extracting(identity.signature)),
        key.verifies(signature, of: bytes.extracting(identity.signed))
      else { return print("stir: not verified") }
    }
  }
}
