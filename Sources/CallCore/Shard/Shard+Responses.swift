import Base
import SIPCore
import SIPWire
import Policy

// Responses as they arrive (RFC 3261 §17.1.3), and those that we write (§8.2.6).

extension Shard {
  func receiveResponse(_ message: borrowing Message, _ arrival: Arrival) {
    guard let via = message.topVia(), let cseq = message.cseq else {
      return drop(.strayResponse, arrival)
    }
    guard let transaction = clientTransaction(message, via, cseq) else {
      return endsLateAnswer(message, via, cseq, arrival) ? () : drop(.strayResponse, arrival)
    }
    traceIncoming(message, transaction.serial, transaction.side, arrival)
    takeOverload(transaction, message, via)
    switch transaction.machine {
    case .invite:
      let event: InviteClientTransaction.Event =
        message.status < 200 ? .provisional : message.status < 300 ? .success : .failure
      handleClient(transaction, invite: event, message)
    case .nonInvite:
      handleClient(transaction, other: message.status < 200 ? .provisional : .final, message)
    }
  }

  /// Our branch names the transaction; a CANCEL shares its INVITE's branch and is told apart by CSeq.
  private func clientTransaction(
    _ message: borrowing Message, _ via: Via, _ cseq: CSeq
  ) -> ClientTransaction? {
    guard let transaction = ownBranch(message, via).flatMap({ client($0) }) else { return nil }
    if transaction.method == cseq.method, transaction.cseq == cseq.number { return transaction }
    if let cancel = transaction.cancel, cseq.method == .cancel, cancel.cseq == cseq.number {
      return cancel
    }
    return nil
  }

  /// Whose transaction the branch names, living or not; nil when we did not write it.
  func ownBranch(_ message: borrowing Message, _ via: Via) -> SlabHandle? {
    let branch = message.bytes.extracting(via.branch)
    guard branch.byteCount == 7 + TokenMint.digits,
      let token = mint.read(branch.slice(7, branch.byteCount)), token.kind == .branch
    else { return nil }
    return token.owner
  }

  // MARK: What every response repeats

  /// Everything between the status line and our To tag, as a block that a transaction can keep: Via with
  /// `received` and `rport` filled in (§18.2.1, RFC 3581 §4), From, Call-ID, CSeq, Record-Route, To.
  func writeHead(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival,
    into output: inout OutputBuffer
  ) {
    let bytes = message.bytes
    writeVias(message, fields.via, arrival, into: &output)
    output.append("From: ")
    output.append(bytes, message.first(.from) ?? .none)
    output.append("\r\nCall-ID: ")
    output.append(bytes, fields.callID)
    output.append("\r\nCSeq: ")
    output.append(decimal: Int(fields.cseq.number))
    output.append(" ")
    output.append(bytes, message.methodToken)
    output.append("\r\n")
    if message.method == .invite || message.method == .subscribe {
      var i = message.next(.recordRoute, after: -1)
      while let at = i {
        output.append("Record-Route: ")
        output.append(bytes, message.header(at).value)
        output.append("\r\n")
        i = message.next(.recordRoute, after: at)
      }
    }
    output.append("To: ")
    output.append(bytes, message.first(.to) ?? .none)
  }

  /// Each Via as it came, the top one with what we saw of its source.
  private func writeVias(
    _ message: borrowing Message, _ via: Via, _ arrival: Arrival, into output: inout OutputBuffer
  ) {
    let bytes = message.bytes
    var values = message.values(of: .via)
    var isTop = true
    while let value = values.next(bytes) {
      output.append("Via: ")
      if isTop {
        writeTopVia(bytes, value, via, arrival, into: &output)
      } else {
        output.append(bytes, value)
      }
      output.append("\r\n")
      isTop = false
    }
  }

  /// The peer's Via with what we saw of its source in place of what it may have said of it.
  private func writeTopVia(
    _ bytes: RawSpan, _ value: ByteRange, _ via: Via, _ arrival: Arrival,
    into output: inout OutputBuffer
  ) {
    let params = via.params
    // RFC 7339 §4.1: a value of `oc` is the server's to write, whatever stood there.
    var answersOverload: Bool?
    if params.isEmpty {
      output.append(bytes, value)
    } else {
      output.append(bytes, ByteRange(from: value.start, to: params.start))
      var parameters = Parameters(params)
      while let parameter = parameters.next(bytes) {
        let name = bytes.extracting(parameter.name)
        if name.equalsIgnoringCase("rport") || name.equalsIgnoringCase("received") { continue }
        if OverloadParameters.isOne(bytes, parameter.name) {
          let answers = answersOverload ?? self.answersOverload(bytes, via, arrival)
          answersOverload = answers
          if answers { continue }
        }
        output.append(";")
        output.append(bytes, parameter.name)
        guard !parameter.value.isEmpty else { continue }
        // A quoted value begins right behind its quote, which is not part of it.
        let isQuoted = bytes.byte(at: parameter.value.start - 1) == UInt8(ascii: "\"")
        output.append(isQuoted ? "=\"" : "=")
        output.append(bytes, parameter.value)
        if isQuoted { output.append("\"") }
      }
    }
    let sentBy = IPAddress(parsingHost: bytes.extracting(via.host))
    if via.hasRport || sentBy != arrival.source.ip {
      output.append(";received=")
      output.append(arrival.source.ip, bracketed: false)
    }
    if via.hasRport {
      output.append(";rport=")
      output.append(decimal: Int(arrival.source.port))
    }
    if answersOverload == true { writeOverload(into: &output) }
  }

  /// §18.2.2 and RFC 3581 §4. `maddr` is not followed: nobody may direct our packets to a third party.
  func replyAddress(_ message: borrowing Message, _ via: Via, _ arrival: Arrival) -> SocketAddress {
    // By a stream: on the connection of the request.
    if isReliable(arrival.listener) { return arrival.source }
    if via.hasRport { return arrival.source }
    // A sent-by that is not the source's address stands behind a NAT: only the source port leads back.
    let sentBy = IPAddress(parsingHost: message.bytes.extracting(via.host))
    guard sentBy == arrival.source.ip else { return arrival.source }
    return SocketAddress(arrival.source.ip, via.port ?? 5060)
  }

  func writeStatusLine(_ status: Int, into output: inout OutputBuffer) {
    output.append("SIP/2.0 ")
    output.append(decimal: status)
    output.append(" ")
    output.append(Status.reason(status))
    output.append("\r\n")
  }

  func writeSupported(into output: inout OutputBuffer) {
    output.append("Supported: 100rel, timer, replaces, norefersub\r\n")
  }

  private static var allow: StaticString {
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, SUBSCRIBE\r\n"
  }

  func writeCapabilities(into output: inout OutputBuffer) {
    output.append(Self.allow)
    output.append("Accept: application/sdp\r\n")
  }

  // MARK: Stateless responses (§8.2.7)

  /// Answers without keeping anything: a stranger's request must not cost memory. The To tag is a keyed hash
  /// of what a retransmission repeats, so the same request gets the same tag.
  func replyStateless(
    _ message: borrowing Message, _ fields: RequestFields, _ status: Int, _ arrival: Arrival,
    leg: Leg? = nil, invite: ServerTransaction? = nil, withCapabilities: Bool = false
  ) {
    beginStateless(message, fields, status, arrival, invite: invite)
    let isStranger = leg == nil && invite == nil
    if withCapabilities || status == 405 || status == 501 {
      if !isStranger || hasRoom(for: Self.capabilityBytes, message, arrival) {
        writeCapabilities(into: &outbox.datagrams)
        writeSupported(into: &outbox.datagrams)
        if withCapabilities { outbox.datagrams.append(Self.allowEvents) }
      } else if hasRoom(for: Self.allow.utf8CodeUnitCount, message, arrival) {
        outbox.datagrams.append(Self.allow)
      }
    }
    if status == 415 {
      outbox.datagrams.append("Accept: application/sdp\r\nAccept-Encoding: identity\r\n")
    }
    endStateless(message, fields, arrival, leg: leg, invite: invite)
  }

  /// Status line to To tag; the caller adds header fields of its own before `endStateless`.
  func beginStateless(
    _ message: borrowing Message, _ fields: RequestFields, _ status: Int, _ arrival: Arrival,
    invite: ServerTransaction? = nil
  ) {
    outbox.datagrams.begin()
    writeStatusLine(status, into: &outbox.datagrams)
    writeHead(message, fields, arrival, into: &outbox.datagrams)
    if fields.to.tag.isEmpty {
      outbox.datagrams.append(";tag=")
      if let leg = invite?.leg {
        mint.write(
          OwnerToken(kind: .tag, fork: leg.fork, owner: leg.handle), into: &outbox.datagrams)
      } else {
        let key = hash.extend(
          mergeKey(message, fields), message.bytes.extracting(fields.via.branch))
        // As short as it may be: see `allowance`.
        outbox.datagrams.append(hex: key.low, digits: 16)
      }
    }
    outbox.datagrams.append("\r\n")
  }

  func endStateless(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival, leg: Leg? = nil,
    invite: ServerTransaction? = nil, serial: UInt64 = 0
  ) {
    if leg != nil || invite != nil || hasRoom(for: serverLine.count, message, arrival) {
      writeServer(into: &outbox.datagrams)
    }
    outbox.datagrams.append("Content-Length: 0\r\n\r\n")
    let destination = replyAddress(message, fields.via, arrival)
    if leg == nil, invite == nil {
      return sendToStranger(message, to: destination, arrival, serial: serial)
    }
    send(
      to: destination, arrival.listener, serial: leg?.call.serial ?? invite?.serial ?? 0,
      side: leg?.side ?? invite?.side ?? .a)
  }

  func writeServer(into output: inout OutputBuffer) {
    output.append(serverLine)
  }

  /// A refusal that leaves a fact with its cause.
  func refuse(
    _ message: borrowing Message, _ fields: RequestFields, _ status: Int, _ cause: Cause,
    _ arrival: Arrival
  ) {
    countRefusal(message.method, status, cause, arrival)
    replyStateless(message, fields, status, arrival)
  }

  /// 420 with the options that were asked for and that we don't have (§8.2.2.3). False: there are none.
  func refuseExtensions(
    _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival, leg: Leg? = nil
  ) -> Bool {
    let bytes = message.bytes
    var options: [ByteRange] = []
    for id in [HeaderID.require, .proxyRequire] where message.first(id) != nil {
      var values = message.values(of: id)
      while let option = values.next(bytes), options.count < 16 {
        if !supports(bytes.extracting(option), message.method) { options.append(option) }
      }
    }
    guard !options.isEmpty else { return false }
    countRefusal(message.method, 420, .extensionUnsupported, arrival)
    beginStateless(message, fields, 420, arrival)
    for option in options {
      outbox.datagrams.append("Unsupported: ")
      outbox.datagrams.append(bytes, option)
      outbox.datagrams.append("\r\n")
    }
    endStateless(message, fields, arrival, leg: leg)
    return true
  }

  /// Of a registrar: RFC 3327, RFC 5626, RFC 5627, RFC 6140; of a user agent: RFC 3262,
  /// RFC 3891, RFC 4028, RFC 4488.
  private func supports(_ option: RawSpan, _ method: Method) -> Bool {
    guard method == .register else {
      return option.equalsIgnoringCase("100rel") || option.equalsIgnoringCase("timer")
        || option.equalsIgnoringCase("norefersub") || option.equalsIgnoringCase("replaces")
    }
    return option.equalsIgnoringCase("path") || option.equalsIgnoringCase("outbound")
      || option.equalsIgnoringCase("gruu") || option.equalsIgnoringCase("gin")
  }

  /// 400 where the header fields allow an answer, silence and a count where they don't.
  func refuseMalformed(_ message: borrowing Message, _ status: Int, _ arrival: Arrival) {
    guard message.method != .ack, let via = message.topVia(), let from = message.first(.from),
      let to = message.first(.to), !message.callID.isEmpty, let cseq = message.cseq
    else { return drop(.replyImpossible, arrival) }
    let cause = status == 513 ? Cause.messageTooLarge : .malformed
    if let from = message.from, let to = message.to {
      let fields = RequestFields(via: via, from: from, to: to, callID: message.callID, cseq: cseq)
      return refuse(message, fields, status, cause, arrival)
    }
    countRefusal(message.method, status, cause, arrival)
    replyUnread(message, status, via, from: from, to: to, cseq: cseq, arrival)
  }

  /// A From or To that can't be read is repeated as it came (§8.2.6.2), so that its sender knows what is meant.
  private func replyUnread(
    _ message: borrowing Message, _ status: Int, _ via: Via, from: ByteRange, to: ByteRange,
    cseq: CSeq, _ arrival: Arrival
  ) {
    let bytes = message.bytes
    outbox.datagrams.begin()
    writeStatusLine(status, into: &outbox.datagrams)
    writeVias(message, via, arrival, into: &outbox.datagrams)
    writeField("From: ", bytes, from)
    writeField("Call-ID: ", bytes, message.callID)
    outbox.datagrams.append("CSeq: ")
    outbox.datagrams.append(decimal: Int(cseq.number))
    outbox.datagrams.append(" ")
    outbox.datagrams.append(bytes, cseq.methodToken)
    outbox.datagrams.append("\r\nTo: ")
    outbox.datagrams.append(bytes, to)
    if let readable = message.to, readable.tag.isEmpty {
      let key = hash.key(bytes.extracting(message.callID), bytes.extracting(from), seed: 0x300)
      outbox.datagrams.append(";tag=")
      outbox.datagrams.append(hex: key.low, digits: 16)
    }
    outbox.datagrams.append("\r\n")
    writeServer(into: &outbox.datagrams)
    outbox.datagrams.append("Content-Length: 0\r\n\r\n")
    sendToStranger(message, to: replyAddress(message, via, arrival), arrival)
  }

  private func writeField(_ name: StaticString, _ bytes: RawSpan, _ value: ByteRange) {
    outbox.datagrams.append(name)
    outbox.datagrams.append(bytes, value)
    outbox.datagrams.append("\r\n")
  }

  /// What `writeCapabilities`, `writeSupported` and `allowEvents` come to at most.
  private static let capabilityBytes = 220
  /// What ends every stateless response.
  private static let endBytes = 21

  /// Whether so much more may be written to whoever sent the request.
  func hasRoom(
    for bytes: Int, _ message: borrowing Message, _ arrival: Arrival
  ) -> Bool {
    let length = outbox.datagrams.position + bytes + Self.endBytes
    return length <= message.bytes.byteCount * 3 / 2
      || length <= allowance(message, arrival)
  }

  /// How long an answer to somebody who has proved nothing may be: half as much again as the request, where its source
  /// may be somebody else's address.
  private func allowance(_ message: borrowing Message, _ arrival: Arrival) -> Int {
    let least = message.bytes.byteCount * 3 / 2
    guard isReliable(arrival.listener) || isKnown(arrival) else { return least }
    return max(least, 768)
  }

  /// A source that has proved nothing may be somebody else's address: no answer that is much larger than
  /// the question (lists in Via or Require would be written out one by one).
  private func sendToStranger(
    _ message: borrowing Message, to destination: SocketAddress, _ arrival: Arrival,
    serial: UInt64 = 0
  ) {
    guard
      outbox.datagrams.position <= message.bytes.byteCount * 3 / 2
        || outbox.datagrams.position <= allowance(message, arrival)
    else {
      outbox.datagrams.abandon()
      return drop(.replyImpossible, arrival)
    }
    send(to: destination, arrival.listener, serial: serial, side: .a)
  }

  func refuseUnparsable(_ bytes: RawSpan, _ error: SIPParseError, _ arrival: Arrival) {
    guard error.headersUsable, let message = Message.parseLenient(bytes, using: index),
      message.isRequest
    else { return drop(.unparsable, arrival) }
    refuseMalformed(message, error.status, arrival)
  }
}
