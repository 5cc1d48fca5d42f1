import Base
import SIPWire
import Testing

@Suite("STUN keep-alives (RFC 5626 3.5.2)")
struct STUNTests {
  /// RFC 5769 §2.2 and §2.3 have 192.0.2.1:32853 and [2001:db8:1234:5678:11:2233:4455:6677]:32853 under this
  /// transaction.
  private static let transaction: [UInt8] = [
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
  ]
  private static let request: [UInt8] =
    [0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42] + transaction

  private func answer(_ source: String) -> [UInt8] {
    var output = OutputBuffer(byteLimit: 512, recordLimit: 1)
    output.begin()
    guard let address = SocketAddress(source) else { return [] }
    STUN.writeResponse(to: Self.request.rawSpan, from: address, into: &output)
    let bytes = output.openBytes
    return bytes.array(ByteRange(0, bytes.byteCount))
  }

  @Test func mappedAddresses() {
    #expect(
      answer("192.0.2.1:32853")
        == [0x01, 0x01, 0x00, 0x0c, 0x21, 0x12, 0xa4, 0x42] + Self.transaction
        + [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43])
    #expect(
      answer("[2001:db8:1234:5678:11:2233:4455:6677]:32853").suffix(20)
        == [
          0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4,
          0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ])
  }

  private func isRequest(_ bytes: [UInt8]) -> Bool { STUN.isBindingRequest(bytes.rawSpan) }

  @Test func whatIsNone() {
    #expect(isRequest(Self.request))
    for (at, octet) in [(0, 0x01), (1, 0x11), (3, 0x04), (4, 0x22)] as [(Int, UInt8)] {
      var other = Self.request
      other[at] = octet
      #expect(!isRequest(other))
    }
    #expect(!isRequest(Array(Self.request.dropLast())))
    #expect(!isRequest(Array("OPTIONS sip:x SIP/2.0\r\n".utf8)))
  }
}
