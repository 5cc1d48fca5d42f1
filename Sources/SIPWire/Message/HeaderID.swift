/// The header fields that something in this program reads or writes, by name.
@frozen
package enum HeaderID: UInt8, Sendable, CaseIterable {
  case other
  // RFC 3261 §20
  case accept, acceptEncoding, acceptLanguage, alertInfo, allow, authenticationInfo, authorization,
    callID, callInfo, contact, contentDisposition, contentEncoding, contentLanguage, contentLength,
    contentType, cseq, date, errorInfo, expires, from, inReplyTo, maxForwards, mimeVersion,
    minExpires, organization, priority, proxyAuthenticate, proxyAuthorization, proxyRequire,
    recordRoute, replyTo, require, retryAfter, route, server, subject, supported, timestamp, to,
    unsupported, userAgent, via, warning, wwwAuthenticate
  // Extensions
  case rack, rseq  // RFC 3262
  case privacy  // RFC 3323
  case pAssertedIdentity, pPreferredIdentity  // RFC 3325
  case reason  // RFC 3326
  case path  // RFC 3327
  case pAssociatedURI  // RFC 7315
  case referTo  // RFC 3515
  case serviceRoute  // RFC 3608
  case replaces  // RFC 3891
  case referredBy  // RFC 3892
  case sessionExpires, minSE  // RFC 4028
  case diversion  // RFC 5806
  case event, allowEvents, subscriptionState  // RFC 6665
  case pEarlyMedia  // RFC 5009
  case historyInfo  // RFC 7044
  case pCalledPartyID  // RFC 7315
  case flowTimer  // RFC 5626
  case sessionID  // RFC 7989
  case identity  // RFC 8224
  case referSub  // RFC 4488
  case remotePartyID  // draft-ietf-sip-privacy-04, expired in 2002 and in use ever since

  /// As it is written on the wire; empty for `.other`.
  package var name: StaticString {
    switch self {
    case .other: ""
    case .accept: "Accept"
    case .acceptEncoding: "Accept-Encoding"
    case .acceptLanguage: "Accept-Language"
    case .alertInfo: "Alert-Info"
    case .allow: "Allow"
    case .authenticationInfo: "Authentication-Info"
    case .authorization: "Authorization"
    case .callID: "Call-ID"
    case .callInfo: "Call-Info"
    case .contact: "Contact"
    case .contentDisposition: "Content-Disposition"
    case .contentEncoding: "Content-Encoding"
    case .contentLanguage: "Content-Language"
    case .contentLength: "Content-Length"
    case .contentType: "Content-Type"
    case .cseq: "CSeq"
    case .date: "Date"
    case .errorInfo: "Error-Info"
    case .expires: "Expires"
    case .from: "From"
    case .inReplyTo: "In-Reply-To"
    case .maxForwards: "Max-Forwards"
    case .mimeVersion: "MIME-Version"
    case .minExpires: "Min-Expires"
    case .organization: "Organization"
    case .priority: "Priority"
    case .proxyAuthenticate: "Proxy-Authenticate"
    case .proxyAuthorization: "Proxy-Authorization"
    case .proxyRequire: "Proxy-Require"
    case .recordRoute: "Record-Route"
    case .replyTo: "Reply-To"
    case .require: "Require"
    case .retryAfter: "Retry-After"
    case .route: "Route"
    case .server: "Server"
    case .subject: "Subject"
    case .supported: "Supported"
    case .timestamp: "Timestamp"
    case .to: "To"
    case .unsupported: "Unsupported"
    case .userAgent: "User-Agent"
    case .via: "Via"
    case .warning: "Warning"
    case .wwwAuthenticate: "WWW-Authenticate"
    case .rack: "RAck"
    case .rseq: "RSeq"
    case .privacy: "Privacy"
    case .pAssertedIdentity: "P-Asserted-Identity"
    case .pPreferredIdentity: "P-Preferred-Identity"
    case .reason: "Reason"
    case .path: "Path"
    case .pAssociatedURI: "P-Associated-URI"
    case .referTo: "Refer-To"
    case .serviceRoute: "Service-Route"
    case .replaces: "Replaces"
    case .referredBy: "Referred-By"
    case .sessionExpires: "Session-Expires"
    case .minSE: "Min-SE"
    case .diversion: "Diversion"
    case .event: "Event"
    case .allowEvents: "Allow-Events"
    case .subscriptionState: "Subscription-State"
    case .pEarlyMedia: "P-Early-Media"
    case .historyInfo: "History-Info"
    case .flowTimer: "Flow-Timer"
    case .sessionID: "Session-ID"
    case .identity: "Identity"
    case .pCalledPartyID: "P-Called-Party-ID"
    case .referSub: "Refer-Sub"
    case .remotePartyID: "Remote-Party-ID"
    }
  }

  /// The one-letter form (RFC 3261 §7.3.3 and the extensions' registrations), 0 where there is none.
  package var compact: UInt8 {
    switch self {
    case .callID: UInt8(ascii: "i")
    case .contact: UInt8(ascii: "m")
    case .contentEncoding: UInt8(ascii: "e")
    case .contentLength: UInt8(ascii: "l")
    case .contentType: UInt8(ascii: "c")
    case .from: UInt8(ascii: "f")
    case .subject: UInt8(ascii: "s")
    case .supported: UInt8(ascii: "k")
    case .to: UInt8(ascii: "t")
    case .via: UInt8(ascii: "v")
    case .event: UInt8(ascii: "o")
    case .allowEvents: UInt8(ascii: "u")
    case .referTo: UInt8(ascii: "r")
    case .referredBy: UInt8(ascii: "b")
    case .sessionExpires: UInt8(ascii: "x")
    case .identity: UInt8(ascii: "y")
    default: 0
    }
  }
}
