import Base

package enum AgentMethod: String, Sendable {
  case invite = "INVITE"
  case ack = "ACK"
  case bye = "BYE"
  case cancel = "CANCEL"
  case options = "OPTIONS"
  case publish = "PUBLISH"
  case register = "REGISTER"
  case prack = "PRACK"
  case update = "UPDATE"
  case info = "INFO"
  case refer = "REFER"
  case notify = "NOTIFY"
  case subscribe = "SUBSCRIBE"
  case other = ""
}

/// The headers that an agent looks at.
package enum AgentHeader: String, Sendable, CaseIterable {
  case via, from, to, contact, route, expires, allow, supported, require, unsupported, authorization
  case callID = "call-id"
  case cseq
  case maxForwards = "max-forwards"
  case contentLength = "content-length"
  case contentType = "content-type"
  case recordRoute = "record-route"
  case retryAfter = "retry-after"
  case wwwAuthenticate = "www-authenticate"
  case proxyAuthenticate = "proxy-authenticate"
  case proxyAuthorization = "proxy-authorization"
  case proxyRequire = "proxy-require"
  case path
  case preferredIdentity = "p-preferred-identity"
  case rack, rseq, reason
  case sessionExpires = "session-expires"
  case minSE = "min-se"
  case sessionID = "session-id"
  case earlyMedia = "p-early-media"
  case event
  case subscriptionState = "subscription-state"
  case referSub = "refer-sub"
  case allowEvents = "allow-events"

  fileprivate static let byLength: [[(name: [UInt8], header: AgentHeader)]] = {
    var table = [[(name: [UInt8], header: AgentHeader)]](repeating: [], count: 24)
    for header in allCases {
      table[header.rawValue.utf8.count].append((Array(header.rawValue.utf8), header))
    }
    for (letter, header) in [
      ("v", AgentHeader.via), ("f", .from), ("t", .to), ("m", .contact), ("i", .callID),
      ("l", .contentLength), ("c", .contentType), ("k", .supported), ("x", .sessionExpires),
    ] { table[1].append((Array(letter.utf8), header)) }
    return table
  }()

  fileprivate init?(_ name: ArraySlice<UInt8>) {
    guard name.count < AgentHeader.byLength.count else { return nil }
    for (candidate, header) in AgentHeader.byLength[name.count]
    where zip(candidate, name).allSatisfy({ $0 == $1 | ($1 >= 65 && $1 <= 90 ? 32 : 0) }) {
      self = header
      return
    }
    return nil
  }
}

package struct AgentParseError: Error {
  package var reason: String
  init(_ reason: String) { self.reason = reason }
}

/// A SIP message as the agents read it. Their own parser, and a strict one: the trunk's messages must
/// have CRLF line ends, an exact Content-Length and each header that RFC 3261 §8.1.1 demands, once.
package struct AgentMessage {
  package let bytes: [UInt8]
  /// Of a response: the method in its CSeq.
  package private(set) var method = AgentMethod.other
  package private(set) var methodText = ""
  /// 0: a request.
  package private(set) var status = 0
  package private(set) var callID = ""
  package private(set) var branch = ""
  package private(set) var cseq: UInt32 = 0
  package private(set) var fromTag = ""
  package private(set) var toTag = ""
  private var requestURIRange = 0..<0
  private var fields: [(header: AgentHeader, value: Range<Int>)] = []
  package private(set) var body = 0..<0

  package var isRequest: Bool { status == 0 }
  package var hasBody: Bool { !body.isEmpty }
  package var requestURI: String { text(requestURIRange) }
  package var bodyText: String { text(body) }

  package init(_ bytes: [UInt8]) throws(AgentParseError) {
    self.bytes = bytes
    var cursor = try startLine()
    while true {
      let line = try lineEnd(cursor)
      if line == cursor { break }
      try header(cursor..<line)
      cursor = line + 2
    }
    body = (cursor + 2)..<bytes.count
    try decode()
  }

  package func value(_ header: AgentHeader) -> String? {
    for field in fields where field.header == header { return text(field.value) }
    return nil
  }

  /// Bytes of a header that no agent needs to know, by its name as the trunk writes it.
  package func text(after name: String) -> String? {
    let all = String(decoding: bytes, as: UTF8.self)
    guard let start = all.firstRange(of: "\r\n\(name): ") else { return nil }
    return String(all[start.upperBound...].prefix { !$0.isNewline })
  }

  package func values(_ header: AgentHeader) -> [String] {
    fields.filter { $0.header == header }.map { text($0.value) }
  }

  /// The first header of this name, for those that agents don't look at.
  package func line(_ name: String) -> String? { lines(name).first }

  package func lines(_ name: String) -> [String] {
    String(decoding: bytes[..<body.lowerBound], as: UTF8.self).split(separator: "\r\n")
      .filter { $0.lowercased().hasPrefix(name.lowercased() + ":") }
      .map { String($0.dropFirst(name.utf8.count + 1).drop { $0 == " " }) }
  }

  /// Whether a list of tokens holds one.
  package func lists(_ token: String, _ header: AgentHeader) -> Bool {
    values(header).contains { value in
      value.split(separator: ",").contains {
        $0.drop { $0 == " " }.prefix { $0 != " " && $0 != ";" } == token
      }
    }
  }

  package func has(_ header: AgentHeader) -> Bool { fields.contains { $0.header == header } }

  /// The user part of the URI in a header or of the Request-URI (nil).
  package func user(_ header: AgentHeader?) -> String {
    let uri = header.map { value($0) ?? "" } ?? requestURI
    guard let scheme = uri.firstRange(of: "sip:"), let at = uri.firstIndex(of: "@"),
      scheme.upperBound <= at
    else { return "" }
    return String(uri[scheme.upperBound..<at])
  }

  /// `<uri>` of a name-addr, or what stands before the parameters.
  package func uri(_ header: AgentHeader) -> String? {
    guard let value = value(header) else { return nil }
    if let open = value.firstIndex(of: "<"), let close = value.firstIndex(of: ">"), open < close {
      return String(value[value.index(after: open)..<close])
    }
    return value.split(separator: ";", omittingEmptySubsequences: false).first.map(String.init)
  }

  private func text(_ range: Range<Int>) -> String {
    String(decoding: bytes[range], as: UTF8.self)
  }

  // MARK: Parsing

  private func lineEnd(_ start: Int) throws(AgentParseError) -> Int {
    var index = start
    while index < bytes.count {
      if bytes[index] == 10 { throw AgentParseError("bare LF at \(index)") }
      if bytes[index] == 13 {
        guard index + 1 < bytes.count, bytes[index + 1] == 10 else {
          throw AgentParseError("bare CR at \(index)")
        }
        return index
      }
      index += 1
    }
    throw AgentParseError("no end of line after \(start)")
  }

  private mutating func startLine() throws(AgentParseError) -> Int {
    let end = try lineEnd(0)
    let words = bytes[..<end].split(separator: 32, maxSplits: 2, omittingEmptySubsequences: false)
    guard words.count == 3 else { throw AgentParseError("start line") }
    if words[0].elementsEqual("SIP/2.0".utf8) {
      guard let code = Int(text(words[1].indices)), (100...699).contains(code) else {
        throw AgentParseError("status")
      }
      status = code
    } else {
      guard words[2].elementsEqual("SIP/2.0".utf8) else { throw AgentParseError("version") }
      methodText = text(words[0].indices)
      method = AgentMethod(rawValue: methodText) ?? .other
      requestURIRange = words[1].indices
    }
    return end + 2
  }

  private mutating func header(_ line: Range<Int>) throws(AgentParseError) {
    guard let colon = bytes[line].firstIndex(of: 58) else { throw AgentParseError("no colon") }
    var name = bytes[line.lowerBound..<colon]
    while let last = name.last, last == 32 || last == 9 { name.removeLast() }
    guard let header = AgentHeader(name) else { return }
    var start = colon + 1
    while start < line.upperBound, bytes[start] == 32 || bytes[start] == 9 { start += 1 }
    fields.append((header, start..<line.upperBound))
  }

  private mutating func decode() throws(AgentParseError) {
    var needed: [AgentHeader] = [.via, .from, .to, .callID, .cseq]
    if isRequest { needed.append(.maxForwards) }
    for header in needed where !has(header) { throw AgentParseError("no \(header.rawValue)") }
    let single: [AgentHeader] = [.from, .to, .callID, .cseq, .maxForwards, .contentLength]
    for header in single where fields.count(where: { $0.header == header }) > 1 {
      throw AgentParseError("two of \(header.rawValue)")
    }
    guard let length = value(.contentLength), Int(length) == body.count else {
      throw AgentParseError("Content-Length")
    }
    callID = value(.callID) ?? ""
    branch = AgentMessage.parameter("branch", of: value(.via) ?? "") ?? ""
    fromTag = AgentMessage.parameter("tag", of: value(.from) ?? "") ?? ""
    toTag = AgentMessage.parameter("tag", of: value(.to) ?? "") ?? ""
    let sequence = (value(.cseq) ?? "").split(separator: " ")
    guard sequence.count == 2, let number = UInt32(sequence[0]) else {
      throw AgentParseError("CSeq")
    }
    cseq = number
    let named = String(sequence[1])
    if isRequest {
      guard named == methodText else { throw AgentParseError("CSeq method") }
    } else {
      methodText = named
      method = AgentMethod(rawValue: named) ?? .other
    }
  }

  /// The header parameter `;name=value`, outside of `<>`.
  package static func parameter(_ name: String, of value: String) -> String? {
    let outside = value.lastIndex(of: ">").map { value[value.index(after: $0)...] } ?? value[...]
    for part in outside.split(separator: ";").dropFirst(value.contains(">") ? 0 : 1) {
      guard part.hasPrefix(name), part.utf8.count > name.utf8.count else { continue }
      let rest = part.dropFirst(name.count)
      if rest.first == "=" { return String(rest.dropFirst()) }
    }
    return nil
  }
}
