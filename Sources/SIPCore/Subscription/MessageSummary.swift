package import Base

/// What waits in a mailbox: application/simple-message-summary (RFC 3842 §5).
package struct MessageSummary: Hashable, Sendable {
  package var new: Int
  package var old: Int
  package var newUrgent: Int
  package var oldUrgent: Int

  package init(new: Int = 0, old: Int = 0, newUrgent: Int = 0, oldUrgent: Int = 0) {
    self.new = new
    self.old = old
    self.newUrgent = newUrgent
    self.oldUrgent = oldUrgent
  }

  package static let contentType: StaticString = "application/simple-message-summary"

  /// §5.2: counts are of all messages, those in parentheses of the urgent ones among them.
  package func write(account: String, into output: inout OutputBuffer) {
    output.append("Messages-Waiting: ")
    output.append(new > 0 ? "yes" : "no")
    output.append("\r\nMessage-Account: ")
    output.append(account)
    output.append("\r\nVoice-Message: ")
    output.append(decimal: new)
    output.append("/")
    output.append(decimal: old)
    output.append(" (")
    output.append(decimal: newUrgent)
    output.append("/")
    output.append(decimal: oldUrgent)
    output.append(")\r\n")
  }
}
