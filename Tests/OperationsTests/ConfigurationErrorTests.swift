import Base
import Operations
import Policy
import Testing

/// What somebody reads who wrote something wrong. Whole texts, so that a change of wording is seen.
struct ConfigurationErrorTests {
  private func errors(_ text: String) -> [String] {
    do throws(ConfigErrors) {
      _ = try ResourceDocument.parse(text, source: "a.yaml")
      return []
    } catch {
      return error.errors.map(\.description)
    }
  }

  @Test func unknownKey() {
    #expect(
      errors("tenants:\n  - name: acme\n    domians: [a.example]\n") == [
        "a.yaml:3:5: unknown key `domians`; did you mean `domains`? "
          + "Known keys: name, domains, digestAlgorithms, numbers, maxCalls, callsPerSecond, "
          + "qualityCollector, qualityInterval, qualityAlert, musicOnHold, tones, recordingCode, "
          + "recordingRetentionDays, mayCall, costlyCalls, callsPerMinute, maxCallDuration."
      ])
    #expect(
      errors("user: []\n") == [
        "a.yaml:1:1: unknown key `user`; did you mean `users`? "
          + "Known keys: tenants, networks, trunks, users, applications, numbers, routes, pools, "
          + "classes, emergencies."
      ])
  }

  @Test func everythingAtOnce() {
    let text = """
      networks:
        - name: inside
          listeners: [udp]
          media: media
          advertisedMedia: sip.example.com
          trusted: yes
      trunks:
        - name: office
          kind: pxb
          targets: [10.0.0.1:0x1, "10.0.0.2"]
          sources: [10.0.0.1/8]
          mediaTimeout: 60
          maxCalls: many
        - kind: carrier
      """
    #expect(
      errors(text) == [
        "a.yaml:4:12: a list is expected here, not `media`. "
          + "Begin each item with a dash, or write [a, b].",
        "a.yaml:5:22: `sip.example.com` is not an IP address (host names are not resolved). "
          + "For example: 203.0.113.5.",
        "a.yaml:6:14: `yes` is not true or false. One of: true, false.",
        "a.yaml:9:11: `pxb` is not a kind of trunk; did you mean `pbx`? One of: pbx, carrier.",
        "a.yaml:10:15: `10.0.0.1:0x1` is not an address, a host name or a SIP URI without a user, "
          + "with or without a port. For example: 192.0.2.1:5060, \"[2001:db8::1]:5060\", "
          + "sip.example.com or pbx.example.com:5080.",
        "a.yaml:11:15: `10.0.0.1/8` is not an address, a block of addresses or an address with a "
          + "port. For example: 192.0.2.7, 10.0.0.0/8 or 127.0.0.1:5070.",
        "a.yaml:12:19: `60` is not a duration. For example: 60s (units: ms, s, m, h).",
        "a.yaml:13:15: `many` is not a whole number. For example: 30.",
        "a.yaml:14:5: the key `name` is missing. Add name: main.",
      ])
  }

  @Test func destinations() {
    let text = """
      numbers:
        - number: "+441632960100"
          destinations:
            - user: alice
              trunk: office
            - timeout: 5s
            - user: alice
              continueOn: [bussy]
            - bob
      """
    #expect(
      errors(text) == [
        "a.yaml:4:9: the destination names more than one target. "
          + "Write one of user, trunk, application, number, ring; a further target is a further item.",
        "a.yaml:6:9: the destination names no target. "
          + "Write one of user, trunk, application, number, ring; a further target is a further item.",
        "a.yaml:8:22: `bussy` is not a cause; did you mean `busy`? One of: "
          + Cause.allCases.map(\.name).joined(separator: ", ") + ".",
        "a.yaml:9:9: a group of keys is expected here, not `bob`. "
          + "Known keys: user, trunk, application, number, ring, timeout, continueOn.",
      ])
  }

  @Test func valuesThatAreMissing() {
    let text = """
      networks: [{name: inside, listeners: [udp], media: [media]}]
      users:
        - name: alice
          extension: #43
          password:
      """
    #expect(
      errors(text) == [
        "a.yaml:4:15: the key `extension` has no value. Write an extension; "
          + "text that begins with # or * must stand in quotes.",
        "a.yaml:5:14: the key `password` has no value. Write a password; "
          + "text that begins with # or * must stand in quotes.",
      ])
  }

  @Test func whatYAMLHasAndWeDoNot() {
    #expect(
      errors("users:\n  - extension: *43\n") == [
        "a.yaml:2:16: a value that begins with `*` is an alias in YAML, and those are not taken. "
          + "Write the value out; put it in quotes if it is meant as text."
      ])
    for text in [
      "a: &x 1\n", "a: [&x b]\n", "a: {b: *x}\n", "- *x\n", "*x : b\n", "? a\n: b\n",
      "a: !!str b\n",
      "a: |\n  text\n", "a: >-\n  text\n", "x: 'it''s'\ny: *a\n", "x: \"a\\\"\"\ny: *a\n",
      "x: it's\ny: *a\n", "x: a#b\ny: *a\n", "# \"\nx: *a\n", "x: [a, 'b]']\ny: *c\n",
      "x:\n  \"a\n  b\"\ny: *z\n", "a:\r\n  - *x\r\n", "--- *x\n", "a: - *x\n",
    ] {
      #expect(
        errors(text).contains { $0.contains("not taken") || $0.contains("cannot be read") },
        "\(text)")
    }
    for text in [
      "tenants: [{name: a*b}]\n", "tenants: [{name: 'x'}] # *no & alias\n",
      "tenants:\n  - name: \"*43 &x\"\n", "{\"tenants\":[{\"name\":\"a\"}]}",
      "tenants:\n- name: a\n  domains: [a-b.example, \"c\"]\n",
    ] {
      #expect(errors(text).isEmpty, "\(text): \(errors(text))")
    }
  }

  @Test func bombsAreRefusedQuickly() {
    let clock = ContinuousClock()
    let laughs = (0..<40).map {
      "a\($0): &a\($0) [\(String(repeating: "*a\($0 - 1),", count: 9))]\n"
    }
    let documents = [
      laughs.joined(), String(repeating: "[", count: 1_000_000),
      "a: " + String(repeating: "{a: ", count: 100_000),
      String(repeating: "- ", count: 1_000_000), String(repeating: "? ", count: 100_000),
      (0..<5_000).map { String(repeating: " ", count: $0) + "a:\n" }.joined(),
      String(repeating: "a", count: 17 << 20), String(repeating: "x: 1\n", count: 100_000),
      "\u{0}", "a: \u{1}", "\"", "'", "\"\\", "a: \"\\u0000\"", "%YAML 3.0\n---\n", "\t- a\n: :",
    ]
    for document in documents {
      var found: [String] = []
      let took = clock.measure { found = errors(document) }
      #expect(!found.isEmpty, "\(document.prefix(40))")
      #expect(found.count <= 1_001)
      #expect(took < .seconds(10), "\(document.prefix(40)) took \(took)")
    }
  }

  @Test func duplicateKeysAndSyntax() {
    #expect(
      errors("tenants:\n  - name: a\n    name: b\n") == [
        "a.yaml:2:5: the key `name` is written more than once in one group. Keep one of them."
      ])
    let syntax = errors("tenants:\n  - name: a\n   name: b\n")
    #expect(syntax.count == 1 && syntax[0].hasPrefix("a.yaml:3:"), "\(syntax)")
    let two = errors("tenants: []\n---\nusers: []\n")
    #expect(two.count == 1 && two[0].contains("Put everything into one document."), "\(two)")
  }

  /// The problem of a compiled configuration is shown where its value stands.
  @Test func danglingReferencesHaveAPlace() throws {
    let text = """
      tenants: [{name: acme}]
      networks: [{name: inside, listeners: [udp], media: [media]}]
      users:
        - name: alice
          extension: 1001
          password: x
      numbers:
        - number: "+441632960100"
          destinations:
            - user: alcie
      """
    let document = try ResourceDocument.parse(text, source: "a.yaml")
    var found: [String] = []
    do throws(ConfigurationProblems) {
      _ = try Configuration(
        resources: document.resources, revision: 1,
        listeners: [("udp", SocketAddress(.loopbackV4, 5060))], media: [("media", .loopbackV4)])
    } catch {
      found = error.problems.map { document.map.locate($0).description }
    }
    #expect(
      found == [
        "a.yaml:10:15: no user of tenant `acme` is named `alcie`; did you mean `alice`? "
          + "Define the user of tenant `acme`, or name one that exists."
      ])
  }

  @Test func passwordsAreNotInErrors() {
    let found = errors("users:\n  - {name: a, password: [hunter2], extension: [1]}\n")
    #expect(found.count >= 2)
    #expect(!found.joined().contains("hunter2"))
  }
}
