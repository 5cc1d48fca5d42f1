import Base
import Foundation
import SIPCore
import Testing

/// The documents of RFC 4235, RFC 3680 and RFC 3842 as we write them.
@Suite struct StateDocumentTests {
  private static let canary = "q\"<'>&]]>\u{0}\u{1b}é\u{FFFE}"
  private static let escaped = "q&quot;&lt;&apos;&gt;&amp;]]&gt;é"

  private func text(_ write: (inout OutputBuffer) -> Void) -> String {
    var output = OutputBuffer(byteLimit: 1 << 16, recordLimit: 1)
    output.begin()
    write(&output)
    return output.withOpenBytes {
      String(decoding: $0.array(ByteRange(0, $0.byteCount)), as: UTF8.self)
    }
  }

  @Test func escaping() {
    #expect(text { XMLText.append(Self.canary, into: &$0) } == Self.escaped)
    #expect(text { XMLText.attribute("a", "<\"", into: &$0) } == " a=\"&lt;&quot;\"")
  }

  /// RFC 4235 §6.1, example of a call that rings.
  @Test func dialogInfo() {
    let info = DialogInfo(
      entity: "sip:bob@example.com", version: 1,
      dialogs: [
        DialogInfo.Dialog(
          id: "as7d900as8", state: .early, direction: .recipient,
          identifiers: DialogInfo.Identifiers(
            callID: "a84b4c76e66710", localTag: "1928301774", remoteTag: "314159"),
          remote: "sip:alice@example.com"),
        DialogInfo.Dialog(id: "b", state: .terminated, direction: .initiator),
      ])
    #expect(
      text { info.write(into: &$0) } == """
        <?xml version="1.0"?>\r
        <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="full" \
        entity="sip:bob@example.com">\r
        <dialog id="as7d900as8" call-id="a84b4c76e66710" local-tag="1928301774" \
        remote-tag="314159" direction="recipient"><state>early</state>\
        <local><identity>sip:bob@example.com</identity><target uri="sip:bob@example.com"/></local>\
        <remote><identity>sip:alice@example.com</identity><target uri="sip:alice@example.com"/>\
        </remote></dialog>\r
        <dialog id="b" direction="initiator"><state>terminated</state>\
        <local><identity>sip:bob@example.com</identity><target uri="sip:bob@example.com"/></local>\
        </dialog>\r
        </dialog-info>\r

        """)
  }

  /// RFC 3680 §5.
  @Test func registrationInfo() {
    let contact = RegistrationInfo.Contact(
      id: "76", event: .registered, uri: "sip:joe@pc887.example.com", expires: 30)
    var gone = contact
    gone.id = "77"
    gone.event = .expired
    let info = RegistrationInfo(
      addressOfRecord: "sip:joe@example.com", id: "a7", version: 0, contacts: [contact, gone])
    #expect(
      text { info.write(into: &$0) } == """
        <?xml version="1.0"?>\r
        <reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="0" state="full">\r
        <registration aor="sip:joe@example.com" id="a7" state="active">\r
        <contact id="76" state="active" event="registered" expires="30">\
        <uri>sip:joe@pc887.example.com</uri></contact>\r
        <contact id="77" state="terminated" event="expired">\
        <uri>sip:joe@pc887.example.com</uri></contact>\r
        </registration>\r
        </reginfo>\r

        """)
    let none = RegistrationInfo(addressOfRecord: "a", id: "b", version: 0, contacts: [])
    #expect(text { none.write(into: &$0) }.contains("state=\"init\""))
    let ended = RegistrationInfo(addressOfRecord: "a", id: "b", version: 0, contacts: [gone])
    #expect(text { ended.write(into: &$0) }.contains("id=\"b\" state=\"terminated\""))
  }

  /// Whatever stands in a name: an XML parser reads the same back.
  @Test func nothingBreaksOut() throws {
    let name = Self.canary
    let documents = [
      text {
        DialogInfo(
          entity: name, version: 0,
          dialogs: [
            DialogInfo.Dialog(
              id: name, state: .early, direction: .recipient,
              identifiers: DialogInfo.Identifiers(callID: name, localTag: name, remoteTag: name),
              remote: name)
          ]
        ).write(into: &$0)
      },
      text {
        RegistrationInfo(
          addressOfRecord: name, id: name, version: 0,
          contacts: [
            RegistrationInfo.Contact(
              id: name, event: .registered, uri: name, expires: 1)
          ]
        ).write(into: &$0)
      },
    ]
    for document in documents {
      #expect(!document.contains(name))
      #expect(document.matches(of: #/q&quot;&lt;&apos;&gt;&amp;\]\]&gt;é/#).count >= 4)
      // Tags alone are left when what is escaped is taken out: each that opens closes.
      let bare = document.replacing(Self.escaped, with: "")
      #expect(!bare.contains("&") && bare.count { $0 == "<" } == bare.count { $0 == ">" })
    }
  }

  /// RFC 3842 §5.2.
  @Test func messageSummary() {
    let summary = MessageSummary(new: 2, old: 8, newUrgent: 0, oldUrgent: 2)
    #expect(
      text { summary.write(account: "sip:alice@vmail.example.com", into: &$0) }
        == "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\n"
        + "Voice-Message: 2/8 (0/2)\r\n")
  }
}
