import SIPWire
import Testing

/// The sets as RFC 3261 §25.1, RFC 3966 §3 and RFC 8866 §9 spell them.
@Suite struct OctetSetTests {
  private static let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
  private static let digits = "0123456789"
  private static let alphanum = letters + digits
  private static let unreserved = alphanum + "-_.!~*'()"
  private static let token = alphanum + "-.!%*_+`'~"

  private func expect(_ set: OctetSet, _ members: String, _ name: String) {
    for c in UInt8.min...UInt8.max {
      #expect(set.contains(c) == members.utf8.contains(c), "\(name): \(c)")
    }
  }

  @Test func members() {
    expect(.token, Self.token, "token")
    expect(.word, Self.token + "()<>:\\\"/[]?{}", "word")
    expect(.user, Self.unreserved + "&=+$,;?/%", "user")
    expect(.password, Self.unreserved + "&=+$,%", "password")
    expect(.host, Self.alphanum + "-._", "host")
    expect(.ipv6, Self.digits + "abcdefABCDEF:.", "ipv6")
    expect(.uriParameter, Self.unreserved + "[]/:&+$%", "uriParameter")
    expect(.uriHeader, Self.unreserved + "[]/?:+$%", "uriHeader")
    expect(.uri, Self.unreserved + ";/?:@&=+$,%[]#", "uri")
    expect(.parameterValue, Self.token + "[]:/@&?$=#", "parameterValue")
    expect(.scheme, Self.alphanum + "+-.", "scheme")
    expect(.telephone, Self.digits + "abcdefABCDEF+*#-.()", "telephone")
    expect(.sdpToken, Self.alphanum + "!#$%&'*+-.^_`{|}~", "sdpToken")
    expect(.sdpProtocol, Self.alphanum + "!#$%&'*+-.^_`{|}~/", "sdpProtocol")
  }
}
