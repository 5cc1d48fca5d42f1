package import Base

/// A contact as it is stored (RFC 3261 §10.3, RFC 5626 §6): a phone of a user, or a PBX of a trunk.
package struct Binding: Hashable, Sendable {
  package var tenant: String
  /// The user's name, or the trunk's.
  package var user: String
  package var contact: String
  /// Where the REGISTER came from: requests to the contact go here (RFC 3581, NAT).
  package var source: SocketAddress
  package var listener: UInt16
  package var callID: String
  package var cseq: UInt32
  package var expires: Instant
  package var userAgent: String
  /// It is the PBX of a trunk that registers.
  package var isTrunk = false
  /// Preference in thousandths (§20.10).
  package var preference: UInt16 = 1_000
  /// The Route to it, as one header value (RFC 3327 §5.4).
  package var path = ""
  /// `+sip.instance` without its brackets; empty: it names none.
  package var instance = ""
  /// RFC 5626: which flow of the instance; 0: none.
  package var flow: UInt32 = 0
  /// RFC 6140: it stands for every number of the trunk.
  package var isNumberBlock = false
  /// It is of a phone whose registration a PBX keeps; the user is its whole address then.
  package var passed: PassedContact?

  package init(
    tenant: String, user: String, contact: String, source: SocketAddress, listener: UInt16,
    callID: String, cseq: UInt32, expires: Instant, userAgent: String = ""
  ) {
    self.tenant = tenant
    self.user = user
    self.contact = contact
    self.source = source
    self.listener = listener
    self.callID = callID
    self.cseq = cseq
    self.expires = expires
    self.userAgent = userAgent
  }
}
