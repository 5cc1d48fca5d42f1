import Base
import SIPWire
import Testing

@Suite struct MethodTests {
  @Test(arguments: Method.allCases) func tokensAreRead(method: Method) {
    let token = Array(method.token.description.utf8)
    #expect(Method.parse(token.rawSpan) == method)
  }

  @Test(arguments: ["invite", "INVITE ", "INVITED", "ACKs", "", "ACK\0", "SUBSCRIBER", "SUBSCRIB"])
  func othersAreOther(text: String) {
    #expect(Method.parse(Array(text.utf8).rawSpan) == .other)
  }
}

@Suite struct HeaderNameTests {
  private func id(of name: String) throws -> HeaderID {
    try parsed(request("\(name): x\r\n")) { $0.header(2).id }
  }

  @Test(arguments: HeaderID.allCases.filter { $0 != .other })
  func namesInAnyCase(id: HeaderID) throws {
    let name = id.name.description
    let forms = [name, name.lowercased(), name.uppercased()]
    for form in forms {
      // Content-Length: x is refused before its id can be seen.
      if id == .contentLength { continue }
      let found = try self.id(of: form)
      #expect(found == id)
    }
    guard id.compact != 0, id != .contentLength else { return }
    let letter = String(UnicodeScalar(id.compact))
    for form in [letter, letter.uppercased()] {
      let found = try self.id(of: form)
      #expect(found == id)
    }
  }

  /// Names that differ from a known one in one octet, that folding of case might confuse among them.
  @Test(arguments: HeaderID.allCases.filter { $0 != .other })
  func neighboursAreOthers(id: HeaderID) throws {
    let name = Array(id.name.description.utf8)
    let known = Set(
      HeaderID.allCases.flatMap { id in
        [id.name.description.lowercased(), String(UnicodeScalar(id.compact))]
      })
    for i in name.indices {
      for change: UInt8 in [0x20, 0x01, 0x40] {
        var other = name
        other[i] ^= change
        let text = String(decoding: other, as: UTF8.self)
        guard !known.contains(text.lowercased()),
          other.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") })
        else { continue }
        let bytes = Array(request("\(text): 1\r\n").utf8)
        guard parseError(bytes: bytes) == nil else { continue }
        let found = try parsed(bytes: bytes) { $0.header(2).id }
        #expect(found == .other, "\(text)")
      }
    }
  }

  @Test func lengthOfContentLengthInCompactForm() throws {
    try parsed(request("l: 0\r\n") + "extra") { m in
      #expect(m.contentLength == 0)
      #expect(m.body.isEmpty)
    }
  }
}

@Suite struct ListTests {
  static let cases: [(String, [String])] = [
    ("a", ["a"]),
    ("a,b", ["a", "b"]),
    (" a , b ", ["a", "b"]),
    (",,a,,b,,", ["a", "b"]),
    ("", []),
    (" , ,", []),
    ("\"a,b\" <sip:a@b,c>;x=\"1,2\", <sip:d>", ["\"a,b\" <sip:a@b,c>;x=\"1,2\"", "<sip:d>"]),
    ("\"a\\\",b\" <sip:x>,c", ["\"a\\\",b\" <sip:x>", "c"]),
    ("\"never closed, b", ["\"never closed, b"]),
    ("<never closed, b", ["<never closed, b"]),
    ("a,\r\n b", ["a", "b"]),
    ("<sip:a>,<sip:b>", ["<sip:a>", "<sip:b>"]),
  ]

  @Test(arguments: cases) func elements(text: String, expected: [String]) {
    let bytes = Array(text.utf8)
    var list = CommaList(ByteRange(0, bytes.count))
    var found: [String] = []
    while let element = list.next(bytes.rawSpan) {
      found.append(String(decoding: bytes.rawSpan.array(element), as: UTF8.self))
    }
    #expect(found == expected)
  }

  @Test func fieldsOfOneNameMakeOneList() throws {
    let text = request("Route: <sip:a;lr>, <sip:b>\r\nX: 1\r\nROUTE: <sip:c>\r\n")
    try parsed(text) { m in
      #expect(m.list(.route) == ["<sip:a;lr>", "<sip:b>", "<sip:c>"])
      #expect(m.count(.route) == 2)
      #expect(m.next(.route, after: -1) == 2)
      #expect(m.next(.route, after: 2) == 4)
      #expect(m.next(.route, after: 4) == nil)
      #expect(m.list(.recordRoute).isEmpty)
    }
  }

  @Test func tokensInAnyCase() throws {
    try parsed(request("Supported: timer, 100REL\r\nk: path\r\n")) { m in
      #expect(m.lists("100rel", in: .supported) == true)
      #expect(m.lists("path", in: .supported) == true)
      #expect(m.lists("100", in: .supported) == false)
      #expect(m.lists("timer", in: .require) == false)
    }
  }
}

@Suite struct ParameterTests {
  private func pairs(_ text: String) -> (pairs: [String], malformed: Bool) {
    let bytes = Array(text.utf8)
    var walk = Parameters(ByteRange(0, bytes.count))
    var found: [String] = []
    while let parameter = walk.next(bytes.rawSpan) {
      let name = String(decoding: bytes.rawSpan.array(parameter.name), as: UTF8.self)
      let value = String(decoding: bytes.rawSpan.array(parameter.value), as: UTF8.self)
      found.append("\(name)=\(value)")
    }
    return (found, walk.isMalformed)
  }

  static let wellFormed: [(String, [String])] = [
    ("", []), (";a", ["a="]), (";a=1", ["a=1"]), (" ; a = 1 ; b ", ["a=1", "b="]),
    (";a=\"x;y=\\\"z\"", ["a=x;y=\\\"z"]), (";a=\"\"", ["a="]),
    (";received=[2001:db8::1];x=2001:db8::1", ["received=[2001:db8::1]", "x=2001:db8::1"]),
    (";a\r\n =\r\n 1", ["a=1"]),
  ]

  @Test(arguments: wellFormed) func valid(text: String, expected: [String]) {
    let result = pairs(text)
    #expect(result.pairs == expected)
    #expect(!result.malformed)
  }

  @Test(arguments: [";", ";;", ";a;;b", "a=1", ";a=", ";a=\"x", ";=1", ";a b", ";a=1,b", ";a=<"])
  func malformed(text: String) {
    #expect(pairs(text).malformed)
  }

  @Test func parametersOfURIsHaveNoSpace() {
    for text in [";a b", "; a", ";a =1", ";a=%4", ";a=%zz", ";", ";;a", ";a="] {
      let bytes = Array(text.utf8)
      var walk = URIParameters(ByteRange(0, bytes.count))
      while walk.next(bytes.rawSpan) != nil {}
      #expect(walk.isMalformed, "\(text)")
    }
  }
}

@Suite struct StatusTests {
  @Test func phrases() {
    #expect(Status.reason(100).description == "Trying")
    #expect(Status.reason(487).description == "Request Terminated")
    #expect(Status.reason(481).description == "Call/Transaction Does Not Exist")
    #expect(Status.reason(183).description == "Session Progress")
    for code in -1...1_000 { #expect(!Status.reason(code).description.isEmpty) }
  }
}
