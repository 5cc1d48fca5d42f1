import Operations
import Testing

/// Passwords that anybody would guess are mistakes of a document.
struct PasswordDocumentTests {
  private func errors(_ text: String) -> [ConfigError] {
    do throws(ConfigErrors) {
      _ = try ResourceDocument.parse(text, source: "a.yaml")
      return []
    } catch {
      return error.errors
    }
  }

  @Test(arguments: ["alice", "ALICE", "1001", "1234", "password", "Changeme"])
  func guessedOnes(password: String) {
    let found = errors(
      """
      networks: [{name: inside, listeners: [udp4], media: [media4]}]
      users:
        - {name: alice, extension: "1001", password: "\(password)"}
      """)
    #expect(found.map(\.path) == ["users[0].password"])
    #expect(found.first?.message == "this password is among the first that anybody tries")
    #expect(found.first?.line == 3)
  }

  @Test func whatAPBXProves() {
    let trunk = "trunks: [{name: pbx, kind: pbx, targets: [192.0.2.1], authentication: "
    let network = "networks: [{name: inside, listeners: [udp4], media: [media4]}]\n"
    let found = errors(network + trunk + "{username: office, password: office}}]")
    #expect(found.map(\.path) == ["trunks[0].authentication.password"])
    #expect(errors(network + trunk + "{username: office, password: a-long-secret}}]").isEmpty)
  }

  /// A provider's is what it is.
  @Test func whatAProviderGaveUs() {
    #expect(
      errors(
        """
        networks: [{name: inside, listeners: [udp4], media: [media4]}]
        trunks:
          - {name: north, kind: carrier, targets: [192.0.2.1], credentials: {username: us, password: us}}
        """
      ).isEmpty)
  }
}
