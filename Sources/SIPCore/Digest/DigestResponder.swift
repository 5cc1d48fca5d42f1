package import Base
package import CryptoCore
package import SIPWire

/// The client's half of digest authentication: what answers a carrier's 401 or 407 (RFC 3261 §22.2, §22.3).
package enum DigestResponder {
  /// The challenge to answer among several of one response: the first with an algorithm that we have, as
  /// RFC 8760 §2.4 asks, since the server lists them by preference.
  package struct Challenge: Sendable {
    package var params: AuthParams
    package var algorithm: DigestAlgorithm
    package var isProxy: Bool
    package var isStale: Bool
  }

  package static func choose(_ message: borrowing Message) -> Challenge? {
    let isProxy = message.status == 407
    let id: HeaderID = isProxy ? .proxyAuthenticate : .wwwAuthenticate
    var i = message.next(id, after: -1)
    while let at = i {
      let bytes = message.bytes
      if let params = AuthParams.parse(bytes, message.header(at).value), params.nonce != nil,
        params.realm != nil, let algorithm = DigestAlgorithm(bytes, params),
        params.qop == nil || params.offersAuth(in: bytes)
      {
        let isStale = params.stale.map { bytes.extracting($0).equalsIgnoringCase("true") } ?? false
        return Challenge(
          params: params, algorithm: algorithm, isProxy: isProxy, isStale: isStale)
      }
      i = message.next(id, after: at)
    }
    return nil
  }

  /// One `Authorization` or `Proxy-Authorization` field. `bytes` are the challenge's; a nonce is used once,
  /// so its count is always 1.
  package static func write(
    _ challenge: Challenge, _ bytes: RawSpan, method: StaticString, uri: RawSpan, username: String,
    password: String, cnonce: UInt64, context: DigestContext, into output: inout OutputBuffer
  ) {
    let params = challenge.params
    let realm = params.realm ?? .none
    let nonce = params.nonce ?? .none
    let name = username.utf8Span.span.rawSpan
    context.begin()
    context.update(name)
    context.update(":")
    context.update(Quoting.string(bytes, realm))
    context.update(":")
    context.update(password)
    let a1 = context.finish().hex
    context.begin()
    context.update(method)
    context.update(":")
    context.update(uri)
    let a2 = context.finish().hex
    let cnonceDigits = String(cnonce, radix: 16)
    context.begin()
    context.update(a1.rawSpan)
    context.update(":")
    context.update(bytes.extracting(nonce))
    if params.qop != nil {
      context.update(":00000001:")
      context.update(cnonceDigits)
      context.update(":auth")
    }
    context.update(":")
    context.update(a2.rawSpan)
    let response = context.finish().hex

    output.append(challenge.isProxy ? "Proxy-Authorization" : "Authorization")
    output.append(": Digest username=\"")
    output.append(username)
    output.append("\", realm=\"")
    output.append(bytes, realm)
    output.append("\", nonce=\"")
    output.append(bytes, nonce)
    output.append("\", uri=\"")
    output.append(uri)
    output.append("\", response=\"")
    output.append(response.rawSpan)
    output.append("\"")
    if let algorithm = params.algorithm {
      output.append(", algorithm=")
      output.append(bytes, algorithm)
    }
    if params.qop != nil {
      output.append(", qop=auth, nc=00000001, cnonce=\"")
      output.append(cnonceDigits)
      output.append("\"")
    }
    if let opaque = params.opaque {
      output.append(", opaque=\"")
      output.append(bytes, opaque)
      output.append("\"")
    }
    output.append("\r\n")
  }
}
