import Base
import CryptoCore
import SIPCore
import SIPWire

/// What one peer of a `ShardExercise` says: messages that fit the last ones it got, with whatever the
/// script puts into them.
struct ScriptWriter {
  let address: SocketAddress
  /// A user of the configuration; its password is known.
  let user: String?

  private(set) var lastResponse: [UInt8] = []
  private var lastRequest: [UInt8] = []
  private var lastReceived: [UInt8] = []
  private var challenge: [UInt8] = []
  private var ownRequest: [UInt8] = []
  private var serial = 100

  init(address: SocketAddress, user: String?) {
    self.address = address
    self.user = user
  }

  // MARK: What crossed

  mutating func received(_ bytes: RawSpan) {
    let copy = bytes.array(ByteRange(0, bytes.byteCount))
    lastReceived = copy
    guard bytes.slice(0, 8).equals("SIP/2.0 ") else {
      lastRequest = copy
      return
    }
    lastResponse = copy
    let status = bytes.slice(8, 11)
    if status.equals("401") || status.equals("407") { challenge = copy }
  }

  mutating func sent(_ bytes: [UInt8]) {
    if !bytes.starts(with: Array("SIP/2.0 ".utf8)) { ownRequest = bytes }
  }

  // MARK: What to say

  /// Answers the last request with the status and the rest that `text` gives.
  func response(_ text: [UInt8]) -> [UInt8]? {
    guard text.count >= 3 else { return nil }
    return with(lastRequest) { message in
      guard message.isRequest else { return nil }
      var out = Array("SIP/2.0 ".utf8) + text.prefix(3) + Array(" X\r\n".utf8)
      copy(.via, message, into: &out)
      copy(.from, message, into: &out)
      copyTo(message, tagged: String(text: text.prefix(3)) != "100", into: &out)
      copy(.callID, message, into: &out)
      copy(.cseq, message, into: &out)
      finish(text.dropFirst(3), into: &out)
      return out
    }
  }

  /// A request with the method and the rest that `text` gives, in the dialog of the last message; CANCEL
  /// and the ACK of a failure belong to the last own request instead.
  mutating func request(_ text: [UInt8]) -> [UInt8]? {
    serial += 1
    let name = text.prefix { $0.isASCIILetter }
    let method = Method.parse(Array(name).rawSpan)
    let rest = text.dropFirst(name.count)
    if method == .cancel { return sameTransaction(name, rest, to: ownRequest) }
    let isFailure = lastReceived.count > 8 && lastReceived[8] >= UInt8(ascii: "3")
    if method == .ack, lastReceived == lastResponse, isFailure {
      return sameTransaction(name, rest, to: ownRequest)
    }
    let number = serial
    let via = ownVia
    return with(lastReceived) { message in
      var out = Array(name) + Array(" sip:trunk@trunk.example SIP/2.0\r\n".utf8) + via
      if message.isRequest {
        swap(message, into: &out)
      } else {
        copy(.from, message, into: &out)
        copy(.to, message, into: &out)
      }
      copy(.callID, message, into: &out)
      let answered = method == .ack ? message.cseq.map { Int($0.number) } : nil
      out +=
        Array("CSeq: \(answered ?? number) ".utf8) + name + Array("\r\nMax-Forwards: 70\r\n".utf8)
      finish(rest, into: &out)
      return out
    }
  }

  /// An INVITE to where the last request said that its sender can be reached.
  mutating func invitation(_ text: [UInt8]) -> [UInt8]? {
    serial += 1
    let number = serial
    let via = ownVia
    let found: [UInt8]? = with(lastRequest) { message in
      guard message.isRequest, let contact = message.contact else { return nil }
      return message.bytes.array(contact.uri)
    }
    guard let target = found else { return nil }
    var out = Array("INVITE ".utf8) + target + Array(" SIP/2.0\r\n".utf8) + via
    out += Array("From: <sip:pbx@pbx.example>;tag=i\(number)\r\nTo: <".utf8) + target
    out += Array(">\r\nCall-ID: invited-\(number)\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n".utf8)
    finish(text[...], into: &out)
    return out
  }

  /// The last own request once more, new in branch and CSeq, with credentials.
  mutating func authorized() -> [UInt8]? {
    guard let user, let field = credentials(of: user) else { return nil }
    serial += 1
    let number = serial
    let via = ownVia
    return with(ownRequest) { message in
      guard message.isRequest, !message.requestURI.isEmpty else { return nil }
      var out = message.bytes.array(message.methodToken) + [0x20]
      out += message.bytes.array(message.requestURI) + Array(" SIP/2.0\r\n".utf8) + via
      for i in 0..<message.headerCount {
        let header = message.header(i)
        if header.id == .via || header.id == .cseq || header.id == .authorization { continue }
        out += line(message, header)
      }
      out += Array("CSeq: \(number) ".utf8) + message.bytes.array(message.methodToken)
      out += Array("\r\n".utf8) + field + Array("\r\n".utf8) + message.bytes.array(message.body)
      return out
    }
  }

  // MARK: Parts

  private var ownVia: [UInt8] {
    var out = OutputBuffer(byteLimit: 1_024, recordLimit: 1)
    out.begin()
    out.append("Via: SIP/2.0/UDP ")
    out.append(address)
    out.append(";rport;branch=z9hG4bK")
    out.append(decimal: serial)
    out.append("\r\n")
    return out.openBytes.array(ByteRange(0, out.openBytes.byteCount))
  }

  private func with(_ bytes: [UInt8], _ body: (borrowing Message) -> [UInt8]?) -> [UInt8]? {
    let index = HeaderIndex()
    do throws(SIPParseError) {
      let message = try Message.parse(bytes.rawSpan, using: index)
      return body(message)
    } catch {
      return nil
    }
  }

  private func line(_ message: borrowing Message, _ field: HeaderField) -> [UInt8] {
    message.bytes.array(field.name) + Array(": ".utf8) + message.bytes.array(field.value)
      + Array("\r\n".utf8)
  }

  private func copy(_ id: HeaderID, _ message: borrowing Message, into out: inout [UInt8]) {
    var at = message.next(id, after: -1)
    while let i = at {
      out += line(message, message.header(i))
      at = message.next(id, after: i)
    }
  }

  private func copyTo(_ message: borrowing Message, tagged: Bool, into out: inout [UInt8]) {
    guard let to = message.first(.to) else { return }
    out += Array("To: ".utf8) + message.bytes.array(to)
    if tagged, message.to?.tag.isEmpty == true { out += Array(";tag=peer\(address.port)".utf8) }
    out += Array("\r\n".utf8)
  }

  /// From and To of a request, each in the other's place.
  private func swap(_ message: borrowing Message, into out: inout [UInt8]) {
    guard let from = message.first(.from), let to = message.first(.to) else { return }
    out += Array("From: ".utf8) + message.bytes.array(to)
    if message.to?.tag.isEmpty == true { out += Array(";tag=peer\(address.port)".utf8) }
    out += Array("\r\nTo: ".utf8) + message.bytes.array(from) + Array("\r\n".utf8)
  }

  private func sameTransaction(
    _ method: ArraySlice<UInt8>, _ rest: ArraySlice<UInt8>, to request: [UInt8]
  ) -> [UInt8]? {
    with(request) { message in
      guard message.isRequest, let cseq = message.cseq else { return nil }
      var out = Array(method) + [0x20] + message.bytes.array(message.requestURI)
      out += Array(" SIP/2.0\r\n".utf8)
      copy(.via, message, into: &out)
      copy(.from, message, into: &out)
      copy(.to, message, into: &out)
      copy(.callID, message, into: &out)
      out += Array("CSeq: \(cseq.number) ".utf8) + method + Array("\r\n".utf8)
      finish(rest, into: &out)
      return out
    }
  }

  /// The rest of a message as the script has it: `+` for a Contact and SDP, nothing for a Contact.
  private func finish(_ rest: ArraySlice<UInt8>, into out: inout [UInt8]) {
    guard rest.isEmpty || rest.first == UInt8(ascii: "+") else {
      out += rest
      return
    }
    var text = OutputBuffer(byteLimit: 4_096, recordLimit: 1)
    text.begin()
    text.append("Contact: <sip:peer@")
    text.append(address)
    text.append(">\r\n")
    if !rest.isEmpty {
      text.append("Content-Type: application/sdp\r\n\r\n")
      let session = SDPSession(id: 1, version: UInt64(clamping: serial), address: address.ip)
      SDPWriter.offer(as: session, port: 20_000, into: &text)
    } else {
      text.append("\r\n")
    }
    out += text.openBytes.array(ByteRange(0, text.openBytes.byteCount))
  }

  private func credentials(of user: String) -> [UInt8]? {
    let own = ownRequest
    let index = HeaderIndex()
    let ownIndex = HeaderIndex()
    do throws(SIPParseError) {
      let message = try Message.parse(challenge.rawSpan, using: index)
      let request = try Message.parse(own.rawSpan, using: ownIndex)
      guard let chosen = DigestResponder.choose(message) else { return nil }
      var out = OutputBuffer(byteLimit: 1 << 17, recordLimit: 1)
      out.begin()
      DigestResponder.write(
        chosen, message.bytes, method: request.method.token,
        uri: request.bytes.extracting(request.requestURI), username: user,
        password: "secret-\(user)", cnonce: 1, context: DigestContext(chosen.algorithm), into: &out)
      return out.openBytes.array(ByteRange(0, out.openBytes.byteCount))
    } catch {
      return nil
    }
  }
}

extension String {
  fileprivate init(text: ArraySlice<UInt8>) { self.init(decoding: text, as: UTF8.self) }
}
