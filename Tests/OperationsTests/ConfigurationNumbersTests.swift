import Operations
import Policy
import Testing

/// Forms of numbers, callers and rules in documents: what is written is read again, and mistakes have their place.
struct ConfigurationNumbersTests {
  private let text = """
    tenants:
      - {name: acme, numbers: {countryCode: "49", nationalPrefix: "0", bare: national}}
    networks: [{name: n, listeners: [udp], media: [media]}]
    users:
      - {name: u, extension: "1", password: p, callerID: "+491", callerIDs: ["+492", "+493"]}
    trunks:
      - name: t
        kind: pbx
        numbers:
          countryCode: "44"
          internationalPrefixes: ["00", "9"]
          localDigits: 5
          calledFrom: [to, request-uri]
          callerFrom: [remote-party-id, from]
          form: national
          prefix: "9"
          scheme: tel
          userPhone: true
          callerIn: []
        callerID: {allow: owned, numbers: ["+44*"], default: "+441", otherwise: refuse}
        rules:
          - name: r
            direction: out
            methods: [INVITE, BYE]
            statuses: ["183", 4xx]
            when:
              - {part: From.user, matches: '9(.*)'}
              - {part: X-A, not: 'b'}
              - {part: X-C, absent: true}
              - {part: X-D}
            then:
              - {set: From.user, value: "$1"}
              - {add: X-E, value: "1"}
              - {remove: X-F}
          - {name: p, direction: in, then: [{pass: X-G}]}
    """

  @Test func whatIsWrittenIsReadAgain() throws {
    let read = try ResourceDocument.parse(text, source: "a").resources
    let trunk = try #require(read.trunks.first)
    #expect(trunk.numbers?.plan?.internationalPrefixes == ["00", "9"])
    #expect(trunk.numbers?.callerIn == [] && trunk.numbers?.callerFrom == [.remotePartyID, .from])
    #expect(trunk.callerID?.otherwise == .refuse && trunk.callerID?.standard == "+441")
    #expect(trunk.rules.map(\.name) == ["r", "p"] && trunk.rules.first?.when.count == 4)
    #expect(read.users.first?.callerIDs == ["+492", "+493"])
    #expect(read.tenants.first?.numbers?.bare == .national)
    let node = read.document(secrets: .written)
    for again in [DocumentWriter.yaml(node), DocumentWriter.json(node)] {
      #expect(try ResourceDocument.parse(again, source: "b").resources == read)
    }
  }

  @Test(
    "Mistakes have their place",
    arguments: [
      ("form: national", "form: nationl", "nationl"), ("matches: '9(.*)'", "match: x", "match"),
      ("{remove: X-F}", "{remove: X-F, add: X}", "an action is one of"),
      ("not: 'b'", "not: 'b', absent: true", "a condition says one of"),
      ("allow: owned", "allow: own", "own"), ("direction: in,", "direction: inn,", "inn"),
    ])
  func mistakes(old: String, new: String, word: String) throws {
    let wrong = text.replacing(old, with: new, maxReplacements: 1)
    #expect(wrong != text)
    do throws(ConfigErrors) {
      _ = try ResourceDocument.parse(wrong, source: "a")
      Issue.record("read")
    } catch {
      #expect(error.errors.contains { $0.message.contains(word) && $0.line > 5 })
    }
  }
}
