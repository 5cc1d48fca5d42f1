package import Base

/// What a user's calls are like now: application/dialog-info+xml (RFC 4235 §4.1), always the full state.
package struct DialogInfo: Sendable {
  /// §3.7.1, figure 3. `proceeding` is left out: nobody's lamp tells it from `early`.
  package enum State: String, Sendable { case trying, early, confirmed, terminated }
  package enum Direction: String, Sendable { case initiator, recipient }

  /// What an INVITE with Replaces names the dialog by (§4.1.2).
  package struct Identifiers: Sendable, Equatable {
    package var callID: String
    package var localTag: String
    package var remoteTag: String

    package init(callID: String, localTag: String, remoteTag: String) {
      self.callID = callID
      self.localTag = localTag
      self.remoteTag = remoteTag
    }
  }

  package struct Dialog: Sendable, Equatable {
    package var id: String
    package var state: State
    package var direction: Direction
    package var identifiers: Identifiers?
    /// The other side's URI.
    package var remote: String?

    package init(
      id: String, state: State, direction: Direction, identifiers: Identifiers? = nil,
      remote: String? = nil
    ) {
      self.id = id
      self.state = state
      self.direction = direction
      self.identifiers = identifiers
      self.remote = remote
    }
  }

  package static let contentType: StaticString = "application/dialog-info+xml"

  package var entity: String
  package var version: UInt32
  package var dialogs: [Dialog]

  package init(entity: String, version: UInt32, dialogs: [Dialog]) {
    self.entity = entity
    self.version = version
    self.dialogs = dialogs
  }

  package func write(into output: inout OutputBuffer) {
    output.append(
      "<?xml version=\"1.0\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\""
    )
    output.append(decimal: Int(version))
    output.append("\" state=\"full\"")
    XMLText.attribute("entity", entity, into: &output)
    output.append(">\r\n")
    for dialog in dialogs { write(dialog, into: &output) }
    output.append("</dialog-info>\r\n")
  }

  private func write(_ dialog: Dialog, into output: inout OutputBuffer) {
    output.append("<dialog")
    XMLText.attribute("id", dialog.id, into: &output)
    if let identifiers = dialog.identifiers {
      XMLText.attribute("call-id", identifiers.callID, into: &output)
      XMLText.attribute("local-tag", identifiers.localTag, into: &output)
      XMLText.attribute("remote-tag", identifiers.remoteTag, into: &output)
    }
    XMLText.attribute("direction", dialog.direction.rawValue, into: &output)
    output.append("><state>")
    output.append(dialog.state.rawValue)
    output.append("</state>")
    party("local", entity, into: &output)
    if let remote = dialog.remote { party("remote", remote, into: &output) }
    output.append("</dialog>\r\n")
  }

  /// §4.1.6: who it is, and where it is reached.
  private func party(_ name: StaticString, _ uri: String, into output: inout OutputBuffer) {
    output.append("<")
    output.append(name)
    output.append("><identity>")
    XMLText.append(uri, into: &output)
    output.append("</identity><target")
    XMLText.attribute("uri", uri, into: &output)
    output.append("/></")
    output.append(name)
    output.append(">")
  }
}
