import Base
import CryptoCore
import Foundation
import SIPWire

// A signed call's token, from somebody who may sign whatever he likes: header and claims as JSON, in an Identity field
// that is otherwise right; the input as an Identity value of its own; and as the list of numbers of a certificate.
//
//     header | 0xff | claims
//
// What is read is JSON for another reader too, and written canonically it is read as the same and written the same.

private func check(_ holds: Bool, _ what: @autoclosure () -> String) { if !holds { fatalError(what()) } }

private func inside(_ range: ByteRange, _ count: Int) {
  check(range.isEmpty || range.end <= count, "a place outside")
}

private func token(_ text: [UInt8]) -> PASSporT? {
  guard let value = IdentityValue.parse(text.rawSpan, ByteRange(0, text.count)) else { return nil }
  for range in [value.header, value.payload, value.signature, value.signed, value.info, value.alg, value.ppt] {
    inside(range, text.count)
  }
  return (try? PASSporT.read(text.rawSpan, value)) ?? nil
}

private func field(_ header: [UInt8], _ claims: [UInt8], _ ppt: String) -> [UInt8] {
  var text: [UInt8] = []
  Base64URL.append(header, to: &text)
  text.append(UInt8(ascii: "."))
  Base64URL.append(claims, to: &text)
  return text + Array(".c2ln;alg=ES256\(ppt.isEmpty ? "" : ";ppt=\(ppt)")".utf8)
}

private func tokens(_ bytes: [UInt8]) {
  let parts = bytes.split(separator: 0xff, maxSplits: 1, omittingEmptySubsequences: false)
  let header = Array(parts[0])
  let claims = parts.count > 1 ? Array(parts[1]) : header
  for type in PASSporTType.allCases {
    let plain = Array("{\"alg\":\"ES256\",\"ppt\":\"\(type.rawValue)\",\"typ\":\"passport\",\"x5u\":\"https://x/c\"}".utf8)
    for header in [header, plain] {
      guard let read = token(field(header, claims, type.rawValue)) else { continue }
      check((try? JSONSerialization.jsonObject(with: Data(claims))) != nil, "claims that are no JSON")
      check((try? JSONSerialization.jsonObject(with: Data(header))) != nil, "a header that is no JSON")
      check(!read.dest.isEmpty && read.dest.count <= 64, "destinations")
      let canonical = read.canonicalClaims
      guard let again = token(field(plain, canonical, type.rawValue)) else {
        fatalError("canonical claims are refused: \(String(decoding: canonical, as: UTF8.self))")
      }
      var expected = read
      expected.x5u = again.x5u
      // Numbers stand before URIs then.
      check(Set(expected.dest) == Set(again.dest), "canonical claims are of others")
      expected.dest = again.dest
      check(expected == again, "canonical claims say something else")
      check(again.canonicalClaims == canonical, "canonical claims are written otherwise the second time")
    }
  }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
  _ = token(bytes)
  tokens(bytes)
  if let authority = NumberAuthority(der: bytes) {
    // A provider's certificate lists no numbers: it speaks for all that are his, and nobody can tell here.
    check(authority.covers("") == !authority.providerCodes.isEmpty, "a number that is none")
  }
  return 0
}
