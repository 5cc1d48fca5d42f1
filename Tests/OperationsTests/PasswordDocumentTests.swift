import Operations
import Policy
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

  private static let network = "networks: [{name: inside, listeners: [udp4], media: [media4]}]\n"

  private func users(_ fields: String) -> String {
    Self.network + "users: [{name: alice, extension: \"1001\", password: secret-1, \(fields)}]"
  }

  @Test func previousOnes() throws {
    let text = users("previousPassword: secret-0, previousPasswordUntil: 2026-12-01T00:00:00Z")
    let document = try ResourceDocument.parse(text, source: "a.yaml")
    #expect(document.resources.users[0].previous?.password == "secret-0")
    #expect(document.resources.users[0].previous?.until == 1_796_083_200_000)
    let written = DocumentWriter.yaml(document.resources.document(secrets: .written))
    let again = try ResourceDocument.parse(written, source: "again")
    #expect(again.resources == document.resources)
    let shown = DocumentWriter.yaml(document.resources.document(secrets: .omitted))
    #expect(!shown.contains("secret-0") && shown.contains("previousPasswordUntil"))
    // Both keys or none, and a moment is a moment.
    #expect(
      errors(users("previousPassword: secret-0")).map(\.path)
        == ["users[0].previousPasswordUntil"])
    #expect(
      errors(users("previousPasswordUntil: 2026-12-01T00:00:00Z")).map(\.path)
        == ["users[0].previousPassword"])
    #expect(
      errors(users("previousPassword: secret-0, previousPasswordUntil: tomorrow")).map(\.path)
        == ["users[0].previousPasswordUntil"])
  }

  /// What people write by mistake where a password belongs is not said back.
  @Test func mistakesAreNotRepeated() {
    let texts = [
      "users: [{name: alice, extension: \"1001\", password hunter22}]",
      "users: [\"password: hunter22\"]",
      "users: [{name: alice, extension: \"1001\", password: [hunter22]}]",
      "trunks: [{name: x, kind: pbx, targets: [192.0.2.1], authentication: hunter22}]",
      "trunks: [{name: x, kind: carrier, targets: [192.0.2.1], credentials: hunter22}]",
      "trunks: [{name: x, kind: carrier, targets: [192.0.2.1], register: hunter22}]",
    ]
    for text in texts {
      let found = errors(Self.network + text)
      #expect(!found.isEmpty && !"\(found)".contains("hunter22"), "\(found)")
    }
  }
}
