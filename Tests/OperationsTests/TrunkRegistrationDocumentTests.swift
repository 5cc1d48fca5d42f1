import Base
import Operations
import Policy
import Testing

/// `register` and `matchHeader` of a trunk: read, written, and what is wrong with them.
struct TrunkRegistrationDocumentTests {
  private static let listeners: [(name: String, address: SocketAddress)] = [
    ("v4", SocketAddress(.loopbackV4, 5060))
  ]
  private static let media: [(name: String, address: IPAddress)] = [("m", .loopbackV4)]

  private func document(_ trunk: String) throws -> ResourceDocument {
    try ResourceDocument.parse(
      """
      tenants: [{name: acme}]
      networks: [{name: outside, listeners: [v4], media: [m]}]
      trunks:
        - name: provider
          kind: carrier
      \(trunk)
      """, source: "a.yaml")
  }

  private func problems(_ trunk: String) throws -> [ConfigError] {
    let document: ResourceDocument
    do throws(ConfigErrors) {
      document = try ResourceDocument.parse(
        """
        tenants: [{name: acme}]
        networks: [{name: outside, listeners: [v4], media: [m]}]
        trunks:
          - name: provider
            kind: carrier
        \(trunk)
        """, source: "a.yaml")
    } catch {
      return error.errors
    }
    do throws(ConfigurationProblems) {
      _ = try Configuration(
        resources: document.resources, revision: 1, listeners: Self.listeners, media: Self.media)
      return []
    } catch {
      return error.problems.map { document.map.locate($0) }
    }
  }

  private static let whole = """
        targets: [127.0.0.1:5070]
        sources: [127.0.0.1]
        register:
          registrar: sip.example.net
          username: acme
          credentials: {username: acme-auth, password: secret}
          aor: "493012@example.net"
          realm: example.net
          expires: 10m
          outboundProxy: 127.0.0.1:5080
          contactUser: trunk
          keepAlive: 25s
          numberBlock: true
        matchHeader: {name: X-Account, value: "7"}
    """

  @Test func everyKeyIsReadAndWritten() throws {
    let document = try document(Self.whole)
    let trunk = try #require(document.resources.trunks.first)
    let register = try #require(trunk.register)
    var expected = TrunkRegistration(
      registrar: "sip.example.net", username: "acme", expires: .seconds(600))
    expected.credentials = Credentials(username: "acme-auth", password: "secret")
    expected.aor = "493012@example.net"
    expected.realm = "example.net"
    expected.outboundProxy = SIPTarget(SocketAddress(.loopbackV4, 5080))
    expected.contactUser = "trunk"
    expected.keepAlive = .seconds(25)
    expected.numberBlock = true
    #expect(register == expected)
    #expect(trunk.matchHeader == HeaderMatch(name: "X-Account", value: "7"))
    #expect(trunk.registrarAddresses == [SocketAddress(.loopbackV4, 5080)])
    #expect(try problems(Self.whole) == [])
    let written = DocumentWriter.yaml(document.resources.document(secrets: .written))
    let again = try ResourceDocument.parse(written, source: "b.yaml")
    #expect(again.resources == document.resources)
    let shown = DocumentWriter.yaml(document.resources.document(secrets: .omitted))
    #expect(shown.contains("acme-auth") && !shown.contains("secret"))
  }

  /// Names need no address beside them.
  @Test func namesAreEnough() throws {
    let text =
      "    register: {registrar: sip.example.net, username: a, password: b, outboundProxy: edge.example.net:5070}"
    let document = try document(text)
    let trunk = try #require(document.resources.trunks.first)
    #expect(trunk.registrarTargets == [SIPTarget(name: "edge.example.net", port: 5_070)])
    #expect(try problems(text) == [])
    let plain = "    register: {registrar: sip.example.net, username: a, password: b}"
    #expect(try problems(plain) == [])
    let written = DocumentWriter.yaml(document.resources.document(secrets: .written))
    #expect(try ResourceDocument.parse(written, source: "b.yaml").resources == document.resources)
  }

  @Test func shortForms() throws {
    let short = try document(
      "    targets: [127.0.0.1:5070]\n    register: {registrar: 127.0.0.1, username: a, password: b}"
    )
    let register = try #require(short.resources.trunks.first?.register)
    #expect(register.credentials == Credentials(username: "a", password: "b"))
    #expect(register.addressOfRecord == "a@127.0.0.1")
    #expect(register.registrarAddress == SocketAddress(.loopbackV4, 5060))
    let shared = try document(
      "    credentials: {username: c, password: d}\n    register: {registrar: sip.example.net}")
    let trunk = try #require(shared.resources.trunks.first)
    #expect(trunk.register?.username == "c")
    #expect(trunk.registrationCredentials == Credentials(username: "c", password: "d"))
  }

  struct Wrong: Sendable, CustomTestStringConvertible {
    var lines: String
    var line: Int
    var message: String
    var testDescription: String { message }
  }

  @Test(
    "What is wrong is said with its line",
    arguments: [
      Wrong(
        lines:
          "    register: {registrar: sip.example.net, username: a, password: b, outboundProxy: a b}",
        line: 6, message: "an address, a host name or a SIP URI"),
      Wrong(
        lines:
          "    register: {registrar: a.example, username: a, password: b, outboundProxy: \"sips:b.example\"}",
        line: 6, message: "the trunk's transport is udp"),
      Wrong(
        lines: "    register: {registrar: 127.0.0.1, username: a}", line: 6,
        message: "has no password"),
      Wrong(
        lines: "    register: {registrar: 127.0.0.1, username: a, password: b, expires: 5s}",
        line: 6, message: "out of range"),
      Wrong(
        lines: "    register: {registrar: \"a b\", username: a, password: b}", line: 6,
        message: "neither a host name nor an address"),
      Wrong(
        lines: "    register: {registrar: 127.0.0.1, username: a, password: b, aor: nobody}",
        line: 6, message: "no address of record"),
      Wrong(
        lines:
          "    register: {registrar: 127.0.0.1, username: a, password: b, contactUser: \"a b\"}",
        line: 6, message: "user part of a Contact"),
      Wrong(
        lines: "    register: {registrar: 127.0.0.1, username: a, password: b, keepAlive: 1s}",
        line: 6, message: "keep-alive"),
      Wrong(
        lines: "    register: {registrar: \"::1\", username: a, password: b}", line: 6,
        message: "no listener of transport udp of the family"),
      Wrong(
        lines: "    register: {registrar: 127.0.0.1}", line: 6, message: "`username` is missing"),
      Wrong(
        lines: "    register: {registrer: 127.0.0.1}", line: 6, message: "unknown key `registrer`"),
      Wrong(
        lines: "    matchHeader: {name: X-Account, value: seven}", line: 6,
        message: "counts only beside a source"),
      Wrong(
        lines: "    targets: [127.0.0.1]\n    matchHeader: {name: \"X Account\", value: seven}",
        line: 7, message: "no header name"),
    ])
  func wrong(_ wrong: Wrong) throws {
    let found = try problems(wrong.lines)
    let one = found.first { $0.message.contains(wrong.message) }
    #expect(one?.line == wrong.line, "\(found)")
    #expect(one?.remedy.isEmpty == false)
  }

  /// Two trunks of one source are told apart by a header, or are an error as before.
  @Test func sameSources() throws {
    let second = """
          targets: [127.0.0.1:5070]
          sources: [127.0.0.1]
        - name: other
          kind: carrier
          sources: [127.0.0.1]
      """
    #expect(try problems(second).contains { $0.message.contains("used twice") })
    #expect(try problems(second + "\n    matchHeader: {name: X-Account, value: seven}") == [])
  }

  /// A PBX that registers needs no address to be called.
  @Test func registeringPBXCanBeCalled() throws {
    let trunk = """
          targets: [127.0.0.1:5070]
        - name: office
          kind: pbx
      """
    let number = "\nnumbers: [{number: \"+4930\", destinations: [{trunk: office}]}]"
    #expect(try problems(trunk + number).contains { $0.message.contains("has no targets") })
    let secret = "\n    authentication: {username: office, password: secret}"
    #expect(try problems(trunk + secret + number) == [])
  }
}
