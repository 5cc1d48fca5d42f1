// Passwords are plain text in the resources (digest needs them), so the types that hold one print and
// dump without it: a log line, a failed test or a crash report never shows it.

extension Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package var description: String { "Credentials(username: \"\(username)\", password: •••)" }
  package var debugDescription: String { description }
  package var customMirror: Mirror {
    Mirror(self, children: ["username": username, "password": "•••"], displayStyle: .struct)
  }
}

extension User: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package var description: String {
    "User(name: \"\(name)\", tenant: \"\(tenant)\", network: \"\(network)\", "
      + "extension: \"\(`extension`)\", password: •••)"
  }
  package var debugDescription: String { description }
  package var customMirror: Mirror {
    Mirror(
      self,
      children: [
        "name": name, "tenant": tenant, "network": network, "extension": `extension`,
        "password": "•••", "callerID": callerID as Any, "maxContacts": maxContacts,
        "mediaTimeout": mediaTimeout, "forward": forward, "redirects": redirects,
        "transfer": transfer, "transport": transport, "busyLamp": busyLamp, "pickup": pickup,
      ], displayStyle: .struct)
  }
}
