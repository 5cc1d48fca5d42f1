import Base
import Operations
import Policy
import Testing

/// `passesRegistrations` of a trunk: read, written, and what is wrong with it.
struct PassingDocumentTests {
  private func text(_ passing: String, trunk: String = "kind: pbx, targets: [127.0.0.1:5070]")
    -> String
  {
    """
    tenants: [{name: acme, domains: [acme.example]}]
    networks: [{name: outside, listeners: [v4], media: [m]}]
    trunks:
      - {name: office, \(trunk), passesRegistrations: \(passing)}
    """
  }

  private func problems(_ text: String) throws -> [ConfigError] {
    let document: ResourceDocument
    do throws(ConfigErrors) {
      document = try ResourceDocument.parse(text, source: "a.yaml")
    } catch {
      return error.errors
    }
    do throws(ConfigurationProblems) {
      _ = try Configuration(
        resources: document.resources, revision: 1,
        listeners: [("v4", SocketAddress(.loopbackV4, 5060))], media: [("m", .loopbackV4)])
      return []
    } catch {
      return error.problems.map { document.map.locate($0) }
    }
  }

  @Test func everyKeyIsReadAndWritten() throws {
    let whole = text(
      "{domain: pbx.example, networks: [outside], expires: 30m, natExpires: 90s, maxContacts: 2}")
    let document = try ResourceDocument.parse(whole, source: "a.yaml")
    var expected = RegistrationPassing(domain: "pbx.example")
    expected.networks = ["outside"]
    expected.expires = .seconds(1_800)
    expected.natExpires = .seconds(90)
    expected.maxContacts = 2
    #expect(document.resources.trunks.first?.passing == expected)
    #expect(try problems(whole) == [])
    let written = DocumentWriter.yaml(document.resources.document(secrets: .written))
    let again = try ResourceDocument.parse(written, source: "b.yaml")
    #expect(again.resources == document.resources)
  }

  @Test func aDomainIsEnough() throws {
    let document = try ResourceDocument.parse(text("{domain: pbx.example}"), source: "a.yaml")
    #expect(document.resources.trunks.first?.passing?.natExpires == .seconds(60))
    #expect(try problems(text("{domain: pbx.example}")) == [])
  }

  @Test(
    "What is wrong",
    arguments: [
      ("{domain: ACME.example}", "kind: pbx, targets: [127.0.0.1:5070]", "acme"),
      ("{domain: \"a b\"}", "kind: pbx, targets: [127.0.0.1:5070]", "is no domain"),
      ("{domain: pbx.example}", "kind: carrier, targets: [127.0.0.1:5070]", "only a PBX"),
      ("{domain: pbx.example}", "kind: pbx", "only a PBX"),
      (
        "{domain: pbx.example, networks: [nowhere]}", "kind: pbx, targets: [127.0.0.1:5070]",
        "nowhere"
      ),
      (
        "{domain: pbx.example, natExpires: 5s}", "kind: pbx, targets: [127.0.0.1:5070]",
        "out of range"
      ),
      (
        "{domain: pbx.example, expires: 5s}", "kind: pbx, targets: [127.0.0.1:5070]", "out of range"
      ),
    ])
  func mistakes(passing: String, trunk: String, message: String) throws {
    let found = try problems(text(passing, trunk: trunk))
    #expect(found.count == 1 && found.first?.message.contains(message) == true, "\(found)")
    #expect(found.first?.remedy.isEmpty == false)
  }
}
