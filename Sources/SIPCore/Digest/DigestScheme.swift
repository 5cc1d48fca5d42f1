import Base
package import CryptoCore
package import SIPWire

/// An `algorithm` of digest authentication: a hash, and whether A1 is made anew for each session
/// (RFC 7616 §3.4.2, "-sess").
package struct DigestScheme: Hashable, Sendable {
  package var algorithm: DigestAlgorithm
  package var isSession: Bool

  package init(_ algorithm: DigestAlgorithm, isSession: Bool = false) {
    self.algorithm = algorithm
    self.isSession = isSession
  }

  /// What the `algorithm` parameter names; MD5 without one, nil for one that is not known here.
  package init?(_ bytes: RawSpan, _ params: AuthParams) {
    guard let name = params.algorithm else {
      self.init(.md5)
      return
    }
    let text = bytes.extracting(name)
    let isSession =
      text.byteCount > 5
      && text.slice(text.byteCount - 5, text.byteCount).equalsIgnoringCase("-sess")
    let base = isSession ? text.slice(0, text.byteCount - 5) : text
    guard let known = DigestAlgorithm.allCases.first(where: { base.equalsIgnoringCase($0.token) })
    else { return nil }
    self.init(known, isSession: isSession)
  }
}

/// What a response is computed over besides the names (RFC 7616 §3.3, `qop`).
package enum DigestQuality: Sendable {
  /// RFC 2069: no count, no client nonce.
  case none
  case auth
  /// The body too.
  case authInt
}

extension AuthParams {
  /// The `qop` of a challenge that we answer with; nil where it offers none that we have.
  package func quality(in bytes: RawSpan) -> DigestQuality? {
    guard let qop else { return DigestQuality.none }
    var offersBody = false
    var list = CommaList(qop)
    while let option = list.next(bytes) {
      if bytes.extracting(option).equalsIgnoringCase("auth") { return .auth }
      if bytes.extracting(option).equalsIgnoringCase("auth-int") { offersBody = true }
    }
    return offersBody ? .authInt : nil
  }
}

/// RFC 7616 §3.4.1: H(H(A1):nonce[:nc:cnonce:qop]:H(A2)), for either side. `realm` is without quotes and
/// backslashes; `body` is looked at with auth-int alone.
package func digestResponse(
  _ context: DigestContext, isSession: Bool, quality: DigestQuality, username: RawSpan,
  realm: String, password: String, method: RawSpan, uri: RawSpan, nonce: RawSpan, count: RawSpan,
  clientNonce: RawSpan, body: RawSpan
) -> DigestValue {
  context.begin()
  context.update(username)
  context.update(":")
  context.update(realm)
  context.update(":")
  context.update(password)
  var a1 = context.finish().hex
  if isSession {
    context.begin()
    context.update(a1.rawSpan)
    context.update(":")
    context.update(nonce)
    context.update(":")
    context.update(clientNonce)
    a1 = context.finish().hex
  }
  let a2 = secondHash(context, quality, method: method, uri: uri, body: body)
  context.begin()
  context.update(a1.rawSpan)
  context.update(":")
  context.update(nonce)
  context.update(":")
  if quality != .none {
    context.update(count)
    context.update(":")
    context.update(clientNonce)
    context.update(quality == .authInt ? ":auth-int:" : ":auth:")
  }
  context.update(a2.rawSpan)
  return context.finish()
}

/// §3.4.3: H(method:uri), with auth-int H(method:uri:H(body)).
private func secondHash(
  _ context: DigestContext, _ quality: DigestQuality, method: RawSpan, uri: RawSpan, body: RawSpan
) -> HexDigits {
  let bodyHash = quality == .authInt ? context.hash(body).hex : nil
  context.begin()
  context.update(method)
  context.update(":")
  context.update(uri)
  if let bodyHash {
    context.update(":")
    context.update(bodyHash.rawSpan)
  }
  return context.finish().hex
}
