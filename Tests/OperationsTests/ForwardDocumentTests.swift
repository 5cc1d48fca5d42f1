import Base
import Operations
import Policy
import Testing

/// What rings together, forwards, redirects and transfers, as it stands in documents.
struct ForwardDocumentTests {
  static let text = """
    networks:
      - {name: inside, listeners: [udp4], media: [media4]}
    trunks:
      - {name: office, kind: pbx, targets: [192.0.2.1], redirects: follow, diversion: history-info,
         transfer: allow}
    users:
      - name: alice
        extension: "101"
        password: one
        redirects: reject
        transfer: deny
        forward:
          busy: {user: bob}
          noAnswer: {number: "102"}
          noAnswerAfter: 7s
          unreachable: {ring: [{user: bob}, {trunk: office}]}
      - {name: bob, extension: "102", password: two, forward: {always: {trunk: office}}}
    numbers:
      - number: "600"
        destinations:
          - ring: [{user: alice}, {number: "102"}]
            timeout: 20s
    """

  private func resources(_ text: String) throws -> Resources {
    try ResourceDocument.parse(text, source: "a.yaml").resources
  }

  @Test func everyKeyIsRead() throws {
    let resources = try resources(Self.text)
    #expect(resources.trunks[0].redirects == .follow)
    #expect(resources.trunks[0].diversion == .historyInfo)
    #expect(resources.users[0].redirects == .reject && resources.users[1].redirects == .follow)
    #expect(resources.trunks[0].transfer == .allow)
    #expect(resources.users[0].transfer == .deny && resources.users[1].transfer == .allow)
    var forward = Forwarding()
    forward.busy = .user("bob")
    forward.noAnswer = .number("102")
    forward.noAnswerAfter = .seconds(7)
    forward.unreachable = .ring([.user("bob"), .trunk("office")])
    #expect(resources.users[0].forward == forward)
    #expect(resources.users[1].forward.always == .trunk("office"))
    #expect(resources.numbers[0].destinations[0].to == .ring([.user("alice"), .number("102")]))
  }

  @Test func whatIsWrittenReadsBack() throws {
    let resources = try resources(Self.text)
    let node = resources.document(secrets: .written)
    for text in [DocumentWriter.yaml(node), DocumentWriter.json(node)] {
      #expect(try self.resources(text) == resources, "\(text)")
    }
  }

  @Test(arguments: [
    ("busy: {user: bob}", "busy: {usr: bob}", "unknown key `usr`"),
    ("busy: {user: bob}", "busy: {user: bob, number: \"1\"}", "names more than one target"),
    ("redirects: follow", "redirects: folow", "did you mean `follow`"),
    ("{number: \"102\"}]", "{ring: [{user: bob}]}]", "unknown key `ring`"),
  ])
  func mistakes(old: String, new: String, message: String) throws {
    let range = try #require(Self.text.firstRange(of: old))
    let text = Self.text.replacingCharacters(range, with: new)
    do {
      _ = try resources(text)
      Issue.record("nothing wrong with \(new)")
    } catch let errors as ConfigErrors {
      #expect("\(errors)".contains(message), "\(errors)")
    }
  }
}

extension String {
  fileprivate func replacingCharacters(_ range: Range<String.Index>, with new: String) -> String {
    var text = self
    text.replaceSubrange(range, with: new)
    return text
  }
}
