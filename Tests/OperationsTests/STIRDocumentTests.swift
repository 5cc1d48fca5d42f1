import Base
import Operations
import Policy
import SIPWire
import Testing

/// Signed calls, as they stand in documents and settings.
struct STIRDocumentTests {
  static let text = """
    tenants:
      - {name: acme}
    networks:
      - {name: inside, listeners: [udp4], media: [media4]}
    trunks:
      - {name: carrier, kind: carrier, targets: [192.0.2.1],
         stir: {sign: true, certificate: provider, verify: require, pass: true, verstat: true}}
      - {name: office, kind: pbx, targets: [192.0.2.2], stir: {attestation: B}}
      - {name: plain, kind: pbx, targets: [192.0.2.3]}
    users:
      - {name: alice, extension: "101", password: one, verstat: true}
    """

  private func resources(_ text: String) throws -> Resources {
    try ResourceDocument.parse(text, source: "a.yaml").resources
  }

  @Test func everyKeyIsRead() throws {
    let resources = try resources(Self.text)
    let carrier = resources.trunks[0].stir
    #expect(carrier.sign && carrier.pass && carrier.verstat)
    #expect(carrier.certificate == "provider" && carrier.verify == .require)
    #expect(resources.trunks[1].stir.attestation == .partial)
    #expect(resources.trunks[2].stir == TrunkSTIR())
    #expect(resources.users[0].verstat)
  }

  @Test func whatIsWrittenReadsBack() throws {
    let resources = try resources(Self.text)
    let node = resources.document(secrets: .written)
    for text in [DocumentWriter.yaml(node), DocumentWriter.json(node)] {
      #expect(try self.resources(text) == resources, "\(text)")
    }
  }

  @Test func settingsAreRead() throws {
    let settings = try ProcessSettings.read(
      """
      stir:
        trust: [ca.pem]
        crls: [a.crl, "https://crl.example/list"]
        certificates: [{name: provider, url: "https://certs.example/p.pem", certificate: p.pem, key: p.key}]
        freshness: 30s
        fetchTimeout: 1s
        hosts: [certs.example]
        privateHosts: [inside.example]
        ca: https.pem
      """, source: "demarc.yaml"
    ).stir
    #expect(settings.trust == ["ca.pem"] && settings.crls == ["a.crl", "https://crl.example/list"])
    #expect(settings.certificates.map(\.url) == ["https://certs.example/p.pem"])
    #expect(settings.certificates.map(\.key) == ["p.key"])
    #expect(settings.freshness == .seconds(30) && settings.fetchTimeout == .seconds(1))
    #expect(settings.hosts == ["certs.example"] && settings.privateHosts == ["inside.example"])
    #expect(settings.ca == "https.pem")
    #expect(try ProcessSettings.read("log: {level: info}", source: "").stir == STIRSettings())
  }

  @Test(arguments: [
    "stir: {freshness: 2h}", "stir: {fetchTimeout: 60s}", "stir: {x: 1}",
    "stir: {certificates: [{name: a, url: \"http://a.example/\", certificate: a, key: b}]}",
    "stir: {certificates: [{name: a}]}",
  ])
  func whatIsWrongIsSaid(text: String) {
    #expect(throws: ConfigErrors.self) { try ProcessSettings.read(text, source: "demarc.yaml") }
  }
}
