import Base
import SIPWire
import Testing

/// The Identity header field of RFC 8224 and the tokens of RFC 8225, RFC 8588 and RFC 8946.
@Suite struct PASSporTTests {
  private func read(_ text: String) -> (IdentityValue, PASSporT?, PASSporT.Defect?)? {
    let bytes = Array(text.utf8)
    guard let value = IdentityValue.parse(bytes.rawSpan, ByteRange(0, bytes.count)) else {
      return nil
    }
    do throws(PASSporT.Defect) {
      return (value, try PASSporT.read(bytes.rawSpan, value), nil)
    } catch {
      return (value, nil, error)
    }
  }

  private func encoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    Base64URL.append(text.utf8, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  private func value(
    header: String =
      #"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://c.example/p.pem"}"#,
    claims: String, parameters: String = ";info=<https://c.example/p.pem>;alg=ES256;ppt=shaken"
  ) -> String {
    encoded(header) + "." + encoded(claims) + ".c2lnbmF0dXJl" + parameters
  }

  private static let claims =
    #"{"attest":"A","dest":{"tn":["12155551213"]},"iat":1443208345,"orig":{"tn":"12155551212"},"origid":"123e4567-e89b-12d3-a456-426655440000"}"#

  /// RFC 8588 §4: its example, word by word.
  @Test func theExampleOfRFC8588() throws {
    let found = try #require(read(value(claims: Self.claims)))
    let token = try #require(found.1)
    #expect(token.type == .shaken && token.x5u == "https://c.example/p.pem")
    #expect(token.iat == 1_443_208_345 && token.attestation == .full)
    #expect(token.orig == .number("12155551212") && token.dest == [.number("12155551213")])
    #expect(token.origid == "123e4567-e89b-12d3-a456-426655440000")
    // What is written is the canonical form, byte for byte.
    #expect(String(decoding: token.canonicalClaims, as: UTF8.self) == Self.claims)
    #expect(
      String(decoding: PASSporT.header(.shaken, x5u: token.x5u), as: UTF8.self)
        == encoded(
          #"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://c.example/p.pem"}"#))
  }

  /// RFC 8946 §3, and RFC 8225 §A with a URI.
  @Test func otherKinds() throws {
    let div =
      "eyJhbGciOiJFUzI1NiIsInBwdCI6ImRpdiIsInR5cCI6InBhc3Nwb3J0IiwieDV1Ijo"
      + "iaHR0cHM6Ly93d3cuZXhhbXBsZS5jb20vY2VydC5jZXIifQ.eyJkZXN0Ijp7InRuIj"
      + "pbIjEyMTU1NTUxMjE0Il19LCJkaXYiOnsidG4iOiIxMjE1NTU1NTEyMTMifSwiaWF0"
      + "IjoxNDQzMjA4MzQ1LCJvcmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0.xBHWipDEEJ"
      + "8a6TsdX6xUXAnblsFiGUiAxwLiv0HLC9IICj6eG9jQd6WzeSSjHRBwxmChHhVIiMTS"
      + "qIlk3yCNkg; info=<https://www.example.com/cert.cer>;ppt=\"div\""
    let token = try #require(read(div)?.1)
    #expect(token.type == .div && token.div == .number("121555551213"))
    #expect(token.dest == [.number("12155551214")])
    #expect(
      token.signingInput(PASSporT.header(.div, x5u: token.x5u)).elementsEqual(
        div.prefix { $0 != ";" }.split(separator: ".").prefix(2).joined(separator: ".").utf8))
    let base = value(
      header: #"{"alg":"ES256","typ":"passport","x5u":"https://cert.example.org/passport.cer"}"#,
      claims:
        #"{"dest":{"uri":["sip:alice@example.com"]},"iat":1471375418,"orig":{"tn":"12155551212"}}"#,
      parameters: ";info=<https://cert.example.org/passport.cer>")
    let uri = try #require(read(base)?.1)
    #expect(uri.type == .base && uri.dest == [.uri("sip:alice@example.com")])
    #expect(
      uri.signingInput(PASSporT.header(.base, x5u: uri.x5u)).elementsEqual(
        ("eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9j"
          + "ZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9"
          + ".eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI"
          + "6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19").utf8))
  }

  @Test(arguments: [
    "", "a", "a.b", "a.b.c.d;info=<x>", "a.b.;info=<x>", "a.b.c info", "a.b.c;info=x",
    "a.b.c;info=<x",
    "a.b.c;info=<x>;info=<y>", "a.b.c;=1", "a.b.c;alg=\"ES256", "a.b.c;info=<x> y",
  ])
  func grammar(text: String) {
    #expect(read(text) == nil, "\(text)")
  }

  @Test func parametersInAnyOrderAndUnknownOnes() throws {
    let text = "a.b.c ; ppt=\"shaken\" ;canon=xyz;flag; info = <https://c.example/;x=1> ;ALG=es256"
    let bytes = Array(text.utf8)
    let parsed = IdentityValue.parse(bytes.rawSpan, ByteRange(0, bytes.count))
    let found = try #require(parsed)
    #expect(bytes.rawSpan.string(found.info) == "https://c.example/;x=1")
    #expect(
      bytes.rawSpan.string(found.ppt) == "shaken" && bytes.rawSpan.string(found.alg) == "es256")
    #expect(
      bytes.rawSpan.string(found.signed) == "a.b" && bytes.rawSpan.string(found.signature) == "c")
  }

  @Test func theCompactFormIsToldApart() {
    #expect(read("..c2ln;info=<https://c.example/p.pem>;alg=ES256")?.2 == .compact)
    #expect(read("..c2ln;info=<https://c.example/p.pem>;ppt=shaken")?.2 == .compact)
    // One of a kind that we do not know is ignored before that.
    let unknown = read("..c2ln;info=<https://c.example/p.pem>;ppt=rph")
    #expect(unknown != nil && unknown?.1 == nil && unknown?.2 == nil)
  }

  @Test(arguments: [
    // Each of these lacks something, has it twice, or has it wrongly.
    (#"{"dest":{"tn":["1"]},"iat":1,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"D","dest":{"tn":["1"]},"iat":1,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1,"orig":{"tn":"2"}}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1,"origid":"x"}"#),
    (#"{"attest":"A","iat":1,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{},"iat":1,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":[]},"iat":1,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":"1"},"iat":1,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":"1","orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1.5,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":-1,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":01,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":99999999999999999999,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1,"iat":2,"orig":{"tn":"2"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1,"orig":{"tn":"2","tn":"3"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1,"orig":{"tn":"2","uri":"sip:a@b"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1,"orig":{"tn":"alice"},"origid":"x"}"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1,"orig":{"tn":"2"},"origid":"x"} x"#),
    (#"{"attest":"A","dest":{"tn":["1"]},"iat":1,"orig":{"tn":"2"},"origid":"x""#),
    (#"["attest"]"#), ("{"), (#"{"a":[[[[[[[1]]]]]]]}"#),
  ])
  func brokenClaims(text: String) {
    #expect(read(value(claims: text))?.2 == .malformed, "\(text)")
  }

  @Test func brokenHeaders() {
    func defect(_ header: String, _ parameters: String? = nil) -> PASSporT.Defect? {
      guard let parameters else { return read(value(header: header, claims: Self.claims))?.2 }
      return read(value(header: header, claims: Self.claims, parameters: parameters))?.2
    }
    let good = #"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://c.example/p.pem"}"#
    #expect(defect(good) == nil)
    #expect(defect(good.replacing("ES256", with: "none")) == .algorithm)
    #expect(defect(good.replacing("ES256", with: "HS256")) == .algorithm)
    #expect(defect(good, ";info=<https://c.example/p.pem>;alg=RS256;ppt=shaken") == .algorithm)
    #expect(defect(good.replacing("passport", with: "JWT")) == .malformed)
    #expect(defect(good.replacing(#""ppt":"shaken","#, with: "")) == .contradictory)
    #expect(defect(good.replacing("shaken", with: "div")) == .contradictory)
    #expect(defect(good, ";info=<https://other.example/p.pem>;ppt=shaken") == .contradictory)
    #expect(defect(good.replacing(#","x5u":"https://c.example/p.pem""#, with: "")) == .malformed)
    #expect(defect(good.replacing("{", with: #"{"crit":["x"],"#)) == .malformed)
    #expect(defect(good.replacing("{", with: #"{"kid":{"a":[1,null,true,-2.5e3]},"#)) == nil)
    // Where nothing is named, base is meant, and the token must be of that kind too.
    #expect(defect(good, ";info=<https://c.example/p.pem>") == .contradictory)
  }

  /// White space and escapes read the same; what is signed are the bytes, whatever they mean.
  @Test func looseWritingReadsTheSame() throws {
    let loose =
      "\n{ \"orig\" : { \"tn\" : \"\\u0031215-555-1212\" } , \"attest\":\"A\","
      + "\"dest\":{\"tn\":[ \"+1 (215) 555.1213\" ]},\"iat\":1443208345,\"x\":{\"y\":[]},"
      + "\"origid\":\"123e4567-e89b-12d3-a456-426655440000\" }\t"
    let token = try #require(read(value(claims: loose))?.1)
    #expect(String(decoding: token.canonicalClaims, as: UTF8.self) == Self.claims)
  }

  /// Whatever is read, written and read again is the same, and written again is the same text.
  @Test func theCanonicalFormIsAFixPoint() throws {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<500 {
      func number() -> String { String(UInt64.random(in: 1...999_999_999_999_999, using: &random)) }
      func text() -> String {
        let all = ["a", "\"", "\\", "/", "\n", "é", "😀", "\u{1}", "7", " "]
        return (0..<Int.random(in: 1...12, using: &random)).map { _ in
          all.randomElement(using: &random) ?? ""
        }
        .joined()
      }
      var token = PASSporT(
        type: .shaken, iat: .random(in: 0...UInt64.max, using: &random),
        orig: Bool.random(using: &random) ? .number(number()) : .uri(text()),
        dest: (0..<Int.random(in: 1...3, using: &random)).map { _ in .number(number()) }
          + (0..<Int.random(in: 0...2, using: &random)).map { _ in .uri(text()) },
        attestation: Attestation.allCases.randomElement(using: &random), origid: text())
      if Bool.random(using: &random) { token.div = .number(number()) }
      let written = token.canonicalClaims
      let again = try #require(read(value(claims: String(decoding: written, as: UTF8.self)))?.1)
      #expect(again.canonicalClaims == written)
      token.x5u = again.x5u
      #expect(again == token)
    }
  }

  /// No text traps the readers.
  @Test func mutationsAreHarmless() {
    var random = SystemRandomNumberGenerator()
    let whole = Array(value(claims: Self.claims).utf8)
    let claims = Array(Self.claims.utf8)
    for _ in 0..<3_000 {
      var text = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        text[Int.random(in: text.indices, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      if let value = IdentityValue.parse(text.rawSpan, ByteRange(0, text.count)) {
        _ = try? PASSporT.read(text.rawSpan, value)
      }
      var json = claims
      json[Int.random(in: json.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      json.removeLast(Int.random(in: 0..<json.count, using: &random) / 8)
      _ = read(value(claims: String(decoding: json, as: UTF8.self)))
    }
  }

  @Test func canonicalNumbers() {
    #expect(CanonicalNumber.read("+49 (30) 123-45.6") == "4930123456")
    #expect(CanonicalNumber.read("911") == "911" && CanonicalNumber.read("*67") == "*67")
    for text in ["", "+", "alice", "1+2", "1;x=2", String(repeating: "1", count: 33)] {
      #expect(CanonicalNumber.read(text) == nil, "\(text)")
    }
    #expect(CanonicalNumber.ofGlobal("+4930123456") == "4930123456")
    for text in ["4930123456", "+", "+49x", "101", "+1234567890123456"] {
      #expect(CanonicalNumber.ofGlobal(text) == nil, "\(text)")
    }
  }

  @Test func attestationsAreOrdered() {
    #expect(Attestation.gateway < .partial && Attestation.partial < .full)
    #expect(min(Attestation.full, .gateway) == .gateway)
  }
}
