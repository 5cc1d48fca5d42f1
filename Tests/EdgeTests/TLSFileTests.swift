import Edge
import Foundation
import Testing

/// Files of certificates that nobody can use, and what is said of them.
@Suite struct TLSFileTests {
  private let folder = FileManager.default.temporaryDirectory
    .appending(path: "demarc-tls-\(UUID().uuidString)")

  /// The same key on P-256 twice, as PKCS #8 and as libcrypto wrote it before, each encrypted with "secret".
  private static let encrypted = [
    """
    -----BEGIN ENCRYPTED PRIVATE KEY-----
    MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiFdQaNjc4VEwICCAAw
    DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDq2JOBb8rsqVTeIp9fOOuIEgZC9
    /T5EwGHa1mM3FUtiUmzHCbA6LCtcGU2o+EdEegRluTz/dfkIQ45iALoMR1Zgfp9N
    yO2nZTzZJ/6eknm7fAYIGfed0/Ms9gLCsatAlZTyGVh8UbxG8oXKDPANqDfhIf7W
    oORayoUkpIEFhHf3Z8rirufAVhD+0yWqsmbJplwHv7P0Ll0ta9L4fzDsv41bZ5A=
    -----END ENCRYPTED PRIVATE KEY-----
    """,
    """
    -----BEGIN EC PRIVATE KEY-----
    Proc-Type: 4,ENCRYPTED
    DEK-Info: AES-128-CBC,E4C1F4CECD09D7CEB51C5AD7B74DE86E

    Haq5kne1Qy/NHqZinLlwyVM1cpToERZ4LaVLT2KeEtj04VufVQ4EXE1Ehr047MQu
    P4WxcmchR5gQDi2UX4zHv6vV0svojeKjuFAN0rTSbD/RkLlCZh1J9q9Op0SxVtSa
    HXUy0l4SAo/I2SSYLD9Ew78IqX1kGtW5sF2O//JkIm8=
    -----END EC PRIVATE KEY-----
    """,
  ]
  private static let certificate = """
    -----BEGIN CERTIFICATE-----
    MIIBdDCCARugAwIBAgIUEVHRpe5+0t0CcaGSuIHel29/bbQwCgYIKoZIzj0EAwIw
    DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjkxNTA3NTVaGA8yMTI2MTEwNTE1MDc1
    NVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJRw
    mm9mXZ402VPNzYT29xSomzFC5CXNuCSfC7OMYKFQNdO3qJqffHjJr7LozpGU9nfM
    OEed9oeccx2lmiI2bBSjUzBRMB0GA1UdDgQWBBT4JeK9Uof3vL5+76jVFz1Pq54n
    2DAfBgNVHSMEGDAWgBT4JeK9Uof3vL5+76jVFz1Pq54n2DAPBgNVHRMBAf8EBTAD
    AQH/MAoGCCqGSM49BAMCA0cAMEQCIA9/Al1pCbgnjH/Qi/1kUorDYfImsAHdErXC
    3/fUXmYoAiALoY1wMPyPsuG0jmdwhkzZaT28fXGF1zrIS0hL6v1WQg==
    -----END CERTIFICATE-----
    """

  private func file(_ name: String, _ text: String) throws -> String {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let path = folder.appending(path: name).path
    try Data((text + "\n").utf8).write(to: URL(fileURLWithPath: path))
    return path
  }

  private func problem(_ identity: TLSIdentity) -> TLSProblem? {
    do throws(TLSProblem) {
      _ = try CertificateState.read(TLSListenerSettings(identity: identity), listener: "tls")
      return nil
    } catch {
      return error
    }
  }

  /// libcrypto's own way is to ask the terminal, and to wait for it.
  @Test(arguments: encrypted)
  func keyWithPassphraseIsSaid(pem: String) throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let (chain, key) = (try file("chain.pem", Self.certificate), try file("key.pem", pem))
    let found = try #require(problem(TLSIdentity(certificate: chain, key: key)))
    #expect(found.file == key && found.reason.contains("it is encrypted"))
    #expect(found.remedy.contains("openssl pkey -in \(key)"))
    // Whatever is encrypted, and a file that is not.
    let either = problem(TLSIdentity(certificate: key, key: key))
    #expect(either?.file == key && either?.reason.contains("no certificate") == true)
    let other = problem(TLSIdentity(certificate: chain, key: chain))
    #expect(other?.file == chain && other?.reason.contains("no private key") == true)
  }
}
