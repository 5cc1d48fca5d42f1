import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// What our requests repeat: the request line, the dialog, who we are, credentials (RFC 3261 §8.1.1, §12.2.1.1).

extension Shard {
  func writeRequestLine(_ leg: Leg, _ method: StaticString) {
    let text = blocks.bytes(leg.text)
    outbox.datagrams.append(method)
    outbox.datagrams.append(" ")
    outbox.datagrams.append(text, leg.target)
    outbox.datagrams.append(" SIP/2.0\r\n")
  }

  /// Max-Forwards, From, To, Call-ID, CSeq and Route (§8.1.1, §12.2.1.1).
  func writeDialog(_ leg: Leg, _ method: StaticString, cseq: UInt32) {
    let text = blocks.bytes(leg.text)
    outbox.datagrams.append("Max-Forwards: ")
    outbox.datagrams.append(decimal: leg.isOurs && leg.state == .early ? Int(leg.maxForwards) : 70)
    outbox.datagrams.append("\r\nFrom: ")
    outbox.datagrams.append(text, leg.local)
    outbox.datagrams.append(";tag=")
    writeOwnTag(leg, into: &outbox.datagrams)
    outbox.datagrams.append("\r\nTo: ")
    outbox.datagrams.append(text, leg.remote)
    outbox.datagrams.append("\r\nCall-ID: ")
    outbox.datagrams.append(text, leg.callID)
    outbox.datagrams.append("\r\nCSeq: ")
    outbox.datagrams.append(decimal: Int(cseq))
    outbox.datagrams.append(" ")
    outbox.datagrams.append(method)
    outbox.datagrams.append("\r\n")
    writeSessionID(leg, into: &outbox.datagrams)
    if !leg.routes.isEmpty {
      outbox.datagrams.append("Route: ")
      outbox.datagrams.append(text, leg.routes)
      outbox.datagrams.append("\r\n")
    }
  }

  func writeContact(_ leg: Leg, into output: inout OutputBuffer) {
    writeContact(leg.listener, into: &output)
  }

  func writeContact(_ listener: ListenerIndex, into output: inout OutputBuffer) {
    output.append("Contact: <sip:")
    writeOurAddress(listener, into: &output)
    output.append(transport(listener).parameter)
    output.append(">\r\n")
  }

  func writeOurAddress(_ listener: ListenerIndex, into output: inout OutputBuffer) {
    guard addressTexts.indices.contains(Int(listener)) else { return }
    output.append(addressTexts[Int(listener)])
  }

  func writeUserAgent() {
    outbox.datagrams.append(userAgentLine)
  }

  /// What SIP names for a listener.
  func ourAddress(_ listener: ListenerIndex) -> SocketAddress {
    ourAddresses.element(at: Int(listener)) ?? SocketAddress(.anyV4, 0)
  }

  /// One that is leaving belongs to no network any more; its calls go on under the name that they know.
  func nameListeners() {
    for (index, listener) in listeners.enumerated() {
      let index = ListenerIndex(clamping: index)
      if index == ourAddresses.count {
        ourAddresses.append(publicAddress(index))
      } else if listener.state == .open {
        ourAddresses[Int(index)] = publicAddress(index)
      }
    }
    addressTexts = ourAddresses.map { Array($0.description.utf8) }
  }

  /// The advertised address of its network, else the bound one.
  private func publicAddress(_ listener: ListenerIndex) -> SocketAddress {
    let bound = listeners[Int(listener)].bound
    if let network = configuration.network(ofListener: listener),
      let advertised = configuration.networks[network].advertisedSignalling,
      advertised.family == bound.ip.family
    {
      return SocketAddress(advertised, bound.port)
    }
    return bound
  }

  func writeCredentials(
    _ challenge: DigestResponder.Challenge, _ bytes: RawSpan, _ method: StaticString, _ leg: Leg,
    _ credentials: Credentials, hasBody: Bool = false
  ) {
    let text = blocks.bytes(leg.text)
    let drawn = random.next()
    let context = digest.context(challenge.algorithm)
    guard hasBody, challenge.quality == .authInt else {
      return DigestResponder.write(
        challenge, bytes, method: method, uri: text.extracting(leg.target),
        username: credentials.username, password: credentials.password, cnonce: drawn,
        context: context, into: &outbox.datagrams)
    }
    let copy = body.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) }
    DigestResponder.write(
      challenge, bytes, method: method, uri: text.extracting(leg.target),
      username: credentials.username, password: credentials.password, cnonce: drawn,
      body: copy.rawSpan, context: context, into: &outbox.datagrams)
  }
}
