package import Base

/// The contacts of an address of record: application/reginfo+xml (RFC 3680 §5), always the full state. What it may leave
/// out of a phone's own requests (callid, cseq) is no watcher's business.
package struct RegistrationInfo: Sendable {
  /// What brought a contact into its state (§3.4.2).
  package enum Event: String, Sendable { case registered, expired, unregistered }

  package struct Contact: Sendable, Equatable {
    package var id: String
    package var event: Event
    package var uri: String
    /// Seconds left; 0 of one that is gone.
    package var expires: Int

    package init(id: String, event: Event, uri: String, expires: Int) {
      self.id = id
      self.event = event
      self.uri = uri
      self.expires = expires
    }
  }

  package static let contentType: StaticString = "application/reginfo+xml"

  package var addressOfRecord: String
  package var id: String
  package var version: UInt32
  package var contacts: [Contact]

  package init(addressOfRecord: String, id: String, version: UInt32, contacts: [Contact]) {
    self.addressOfRecord = addressOfRecord
    self.id = id
    self.version = version
    self.contacts = contacts
  }

  package func write(into output: inout OutputBuffer) {
    output.append(
      "<?xml version=\"1.0\"?>\r\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"")
    output.append(decimal: Int(version))
    output.append("\" state=\"full\">\r\n<registration")
    XMLText.attribute("aor", addressOfRecord, into: &output)
    XMLText.attribute("id", id, into: &output)
    XMLText.attribute("state", state, into: &output)
    output.append(">\r\n")
    for contact in contacts { write(contact, into: &output) }
    output.append("</registration>\r\n</reginfo>\r\n")
  }

  /// §3.4.1, figure 1: without any contact it is as if nobody had ever registered.
  private var state: String {
    if contacts.contains(where: { $0.event == .registered }) { return "active" }
    return contacts.isEmpty ? "init" : "terminated"
  }

  private func write(_ contact: Contact, into output: inout OutputBuffer) {
    let isActive = contact.event == .registered
    output.append("<contact")
    XMLText.attribute("id", contact.id, into: &output)
    XMLText.attribute("state", isActive ? "active" : "terminated", into: &output)
    XMLText.attribute("event", contact.event.rawValue, into: &output)
    if isActive { XMLText.attribute("expires", String(contact.expires), into: &output) }
    output.append("><uri>")
    XMLText.append(contact.uri, into: &output)
    output.append("</uri></contact>\r\n")
  }
}
