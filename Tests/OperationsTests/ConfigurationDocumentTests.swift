import Base
import CryptoCore
import Operations
import Policy
import Testing

struct ConfigurationDocumentTests {
  /// Every key of every kind, none at its default.
  static let complete = """
    tenants:
      - name: acme
        domains: [pbx.example.com, 192.0.2.5]
        digestAlgorithms: [SHA-256, md5]
    networks:
      - name: inside
        listeners: [udp4, udp6]
        media: [media4]
        advertisedSignalling: 203.0.113.5
        advertisedMedia: 203.0.113.6
        trusted: true
    trunks:
      - name: office
        tenant: acme
        kind: pbx
        network: inside
        targets: [192.0.2.1, "[2001:db8::1]:5070", SIP.example.com, "pbx.example.com:5080"]
        sources: [10.0.0.0/8, 192.0.2.7, 127.0.0.1:5070]
        credentials: {username: us, password: one}
        authentication: {username: them, password: "two"}
        maxCalls: 30
        callsPerSecond: 7
        codecs: [PCMA, PCMU]
        wideLatching: true
        srtp: off
        srtpKeys: dtls
        mediaTimeout: 90s
        sessionTimers: off
        sessionExpires: 10m
        minSessionExpires: 2m
        sessionRefresher: them
        earlyMedia: authorized
        earlyOffer: true
        reliableProvisionals: required
        dtmfInfo: false
        dtmf: info
        probe: {enabled: false, interval: 45s, failures: 2, successes: 4, slowStart: 0s}
        overloadControl: true
    users:
      - name: alice
        tenant: acme
        network: inside
        extension: 0101
        password: "three: # \\"quoted\\""
        callerID: "+441632960100"
        maxContacts: 2
        mediaTimeout: 2m
        srtp: require
        srtpWithoutTLS: true
        dtmf: inband
    applications:
      - {name: greeting, kind: announcement, extension: "*1", file: hello.wav}
    numbers:
      - number: "+44 1632 960100"
        destinations:
          - {user: alice, timeout: 500ms, continueOn: [busy, no-answer]}
          - {trunk: office, continueOn: []}
          - application: greeting
          - number: "0101"
    routes:
      - name: world
        prefix: "00"
        strip: 2
        prepend: "+"
        carriers:
          - {trunk: office, priority: 3, weight: 7}
        timeout: 4s
        failoverOn: [carrier-timeout]
    pools:
      - {name: lines, lines: 30, trunks: [office], whenFull: next}
    classes:
      - {name: costly, prefixes: ["+88"], maxCalls: 1, callsPerSecond: 2}
    emergencies:
      - country: "49"
        numbers: ["999"]
        carriers: [{trunk: office, priority: 2, weight: 3}]
        reserved: 6
        callerID: "+4930123"
    """

  static func expected() -> Resources {
    var r = Resources()
    r.tenants = [
      Tenant(
        name: "acme", domains: ["pbx.example.com", "192.0.2.5"],
        digestAlgorithms: [.sha256, .md5])
    ]
    r.networks = [
      Network(
        name: "inside", listeners: ["udp4", "udp6"], media: ["media4"],
        advertisedSignalling: IPAddress("203.0.113.5"), advertisedMedia: IPAddress("203.0.113.6"),
        trusted: true)
    ]
    r.trunks = [
      Trunk(
        name: "office", tenant: "acme", kind: .pbx, network: "inside",
        targets: ["192.0.2.1:5060", "[2001:db8::1]:5070"].compactMap { SocketAddress($0) },
        sources: [
          SourceMatch(network: IPAddress(v4: 10 << 24), prefixLength: 8),
          SourceMatch(IPAddress(v4: 0xc000_0207)), SourceMatch(.loopbackV4, port: 5070),
        ],
        credentials: Credentials(username: "us", password: "one"),
        authentication: Credentials(username: "them", password: "two"), maxCalls: 30,
        callsPerSecond: 7, codecs: ["PCMA", "PCMU"], wideLatching: true,
        mediaTimeout: .seconds(90))
    ]
    r.trunks[0].srtp.policy = .off
    r.trunks[0].srtp.keys = .dtls
    r.trunks[0].sessionTimers = false
    r.trunks[0].sessionExpires = .seconds(600)
    r.trunks[0].minSessionExpires = .seconds(120)
    r.trunks[0].sessionRefresher = .them
    r.trunks[0].earlyMedia = .authorized
    r.trunks[0].earlyOffer = true
    r.trunks[0].reliableProvisionals = .required
    r.trunks[0].dtmfInfo = false
    r.trunks[0].dtmf = .info
    r.trunks[0].targets += [
      SIPTarget(name: "sip.example.com"), SIPTarget(name: "pbx.example.com", port: 5_080),
    ]
    r.trunks[0].probe.enabled = false
    r.trunks[0].probe.interval = .seconds(45)
    r.trunks[0].probe.failures = 2
    r.trunks[0].probe.successes = 4
    r.trunks[0].probe.slowStart = .zero
    r.trunks[0].overloadControl = true
    r.users = [
      User(
        name: "alice", tenant: "acme", network: "inside", extension: "0101",
        password: "three: # \"quoted\"", callerID: "+441632960100", maxContacts: 2,
        mediaTimeout: .seconds(120))
    ]
    r.users[0].srtp.policy = .require
    r.users[0].srtp.withoutTLS = true
    r.users[0].dtmf = .inband
    r.applications = [
      Application(
        name: "greeting", tenant: "acme", kind: .announcement, extension: "*1", file: "hello.wav")
    ]
    r.numbers = [
      Number(
        number: "+44 1632 960100", tenant: "acme",
        destinations: [
          DestinationHop(
            to: .user("alice"), timeout: .milliseconds(500), continueOn: [.busy, .noAnswer]),
          DestinationHop(to: .trunk("office"), continueOn: []),
          DestinationHop(to: .application("greeting")), DestinationHop(to: .number("0101")),
        ])
    ]
    r.routes = [
      Route(
        name: "world", tenant: "acme", prefix: "00", strip: 2, prepend: "+",
        carriers: [RouteCarrier(trunk: "office", priority: 3, weight: 7)], timeout: .seconds(4),
        failoverOn: [.carrierTimeout])
    ]
    r.pools = [
      Pool(name: "lines", tenant: "acme", lines: 30, trunks: ["office"], whenFull: .next)
    ]
    r.classes = [
      NumberClass(
        name: "costly", tenant: "acme", prefixes: ["+88"], maxCalls: 1, callsPerSecond: 2)
    ]
    r.emergencies = [
      Emergency(
        tenant: "acme", country: "49", numbers: ["999"],
        carriers: [RouteCarrier(trunk: "office", priority: 2, weight: 3)], reserved: 6,
        callerID: "+4930123")
    ]
    return r
  }

  @Test func everyKeyIsRead() throws {
    let document = try ResourceDocument.parse(Self.complete, source: "a.yaml")
    #expect(document.resources == Self.expected())
    #expect(document.sections == Set(ResourceSection.allCases))
  }

  @Test func whatIsWrittenReadsBack() throws {
    let node = Self.expected().document(secrets: .written)
    for text in [
      DocumentWriter.yaml(node), DocumentWriter.json(node),
      DocumentWriter.json(node, indented: true),
    ] {
      let back = try ResourceDocument.parse(text, source: "back")
      #expect(back.resources == Self.expected(), "\(text)")
    }
  }

  @Test func oddTextsReadBack() throws {
    var random = RandomSource(seed: 11)
    let pieces = [
      "\"", "'", "\\", ":", " ", "#", "*", "&", "!", "|", ">", "-", "?", "{", "}", "[", "]", ",",
      "%", "@", "`", "\n", "\r", "\t", "\u{7f}", "\u{85}", "\u{a0}", "\u{2028}", "é",
      "电", "😀", "a", "0", "~", "null", "true", "\u{1}", "\u{1b}",
    ]
    for _ in 0..<500 {
      let password = (0...random.next(below: 12)).map { _ in
        pieces[random.next(below: pieces.count)]
      }.joined()
      var r = Resources()
      r.tenants = [Tenant(name: "acme")]
      r.networks = [Network(name: "n", listeners: ["l"], media: ["m"])]
      r.users = [
        User(name: "u", tenant: "acme", network: "n", extension: "1", password: password)
      ]
      let node = r.document(secrets: .written)
      for text in [DocumentWriter.yaml(node), DocumentWriter.json(node)] {
        let back = try ResourceDocument.parse(text, source: "back")
        #expect(back.resources == r, "\(text)")
      }
    }
  }

  @Test func passwordsAreLeftOut() {
    let text = DocumentWriter.yaml(Self.expected().document(secrets: .omitted))
    for secret in ["one", "two", "three"] { #expect(!text.contains("password: \(secret)")) }
    #expect(!text.contains("password"))
    #expect(text.contains("username: us"))
  }

  @Test func readableYAML() {
    let text = DocumentWriter.yaml(
      Self.expected().document([.networks, .applications, .numbers], secrets: .omitted))
    #expect(
      text == """
        networks:
          - name: inside
            listeners: [udp4, udp6]
            media: [media4]
            advertisedSignalling: 203.0.113.5
            advertisedMedia: 203.0.113.6
            trusted: true
        applications:
          - name: greeting
            tenant: acme
            kind: announcement
            extension: "*1"
            file: hello.wav
        numbers:
          - number: "+44 1632 960100"
            tenant: acme
            destinations:
              - user: alice
                timeout: 500ms
                continueOn: [busy, no-answer]
              - trunk: office
                timeout: 30s
                continueOn: []
              - application: greeting
                timeout: 30s
                continueOn: [\(ResourceDefaults.continueOn.map(\.name).joined(separator: ", "))]
              - number: "0101"
                timeout: 30s
                continueOn: [\(ResourceDefaults.continueOn.map(\.name).joined(separator: ", "))]

        """)
  }

  @Test func oneResource() throws {
    let resources = Self.expected()
    let node = try #require(resources.document(.trunks, named: "office", secrets: .omitted))
    #expect(DocumentWriter.json(node).hasPrefix("{\"name\":\"office\",\"tenant\":\"acme\""))
    #expect(
      resources.document(.numbers, named: "+44 1632 960100", secrets: .omitted) != nil)
    #expect(resources.document(.trunks, named: "x", secrets: .omitted) == nil)
    #expect(
      resources.document(.trunks, named: "office", tenant: "other", secrets: .omitted) == nil)
  }

  @Test func theOnlyTenantAndNetworkNeedNotBeNamed() throws {
    let text = """
      networks: [{name: inside, listeners: [udp], media: [media]}]
      users: [{name: alice, extension: "1001", password: x}]
      """
    let resources = try ResourceDocument.parse(text, source: "a").resources
    #expect(resources.tenants == [Tenant(name: "default")])
    #expect(resources.users[0].tenant == "default" && resources.users[0].network == "inside")

    var existing = resources
    existing.tenants = [Tenant(name: "acme")]
    let later = try ResourceDocument.parse(
      "users: [{name: bob, extension: '1002', password: x}]", source: "b", over: existing)
    #expect(later.resources.users.map(\.name) == ["bob"])
    #expect(later.resources.users[0].tenant == "acme")
    #expect(later.resources.networks == resources.networks)
    #expect(later.sections == [.users])
  }

  @Test func anEmptyDocumentChangesNothing() throws {
    for text in ["", "# nothing\n", "{}", "---\n"] {
      let document = try ResourceDocument.parse(text, source: "a", over: Self.expected())
      #expect(document.resources == Self.expected() && document.sections.isEmpty)
    }
  }

  @Test func anEmptySectionRemovesAll() throws {
    let document = try ResourceDocument.parse(
      "routes: []\nnumbers:\n", source: "a", over: Self.expected())
    #expect(document.resources.routes.isEmpty && document.resources.numbers.isEmpty)
    #expect(document.resources.users == Self.expected().users)
  }
}
