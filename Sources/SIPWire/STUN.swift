package import Base

/// The one STUN exchange that SIP needs: a phone's keep-alive on the port of SIP itself (RFC 5626 §3.5.2, §8;
/// RFC 8489 §5). Its answer says which address the phone's NAT shows, so the phone notices when that changes.
package enum STUN {
  private static let cookie: UInt32 = 0x2112_a442
  private static let headerBytes = 20
  private static let bindingRequest: UInt16 = 0x0001

  /// Whether a datagram is a Binding request. Nothing of SIP begins with a zero octet.
  package static func isBindingRequest(_ bytes: RawSpan) -> Bool {
    bytes.byteCount >= headerBytes && bytes.bigEndian16(at: 0) == bindingRequest
      && bytes.bigEndian32(at: 4) == cookie
      && Int(bytes.bigEndian16(at: 2)) == bytes.byteCount - headerBytes
      && bytes.byteCount % 4 == 0
  }

  /// Success with XOR-MAPPED-ADDRESS; what else the request had is not looked at, and the answer is hardly
  /// larger than the smallest question.
  package static func writeResponse(
    to request: RawSpan, from source: SocketAddress, into output: inout OutputBuffer
  ) {
    let isV4 = source.ip.family == .v4
    output.append(byte: 0x01)
    output.append(byte: 0x01)
    append16(isV4 ? 12 : 24, &output)
    output.append(request.slice(4, headerBytes))
    append16(0x0020, &output)
    append16(isV4 ? 8 : 20, &output)
    output.append(byte: 0)
    output.append(byte: isV4 ? 1 : 2)
    append16(source.port ^ UInt16(truncatingIfNeeded: cookie >> 16), &output)
    let octets = isV4 ? 4 : 16
    for i in 0..<octets {
      let word = octets == 16 && i < 8 ? source.ip.high : source.ip.low
      let octet = UInt8(truncatingIfNeeded: word >> UInt64(8 * ((octets - 1 - i) & 7)))
      output.append(byte: octet ^ request.byte(at: 4 + i))
    }
  }

  private static func append16(_ value: UInt16, _ output: inout OutputBuffer) {
    output.append(byte: UInt8(truncatingIfNeeded: value >> 8))
    output.append(byte: UInt8(truncatingIfNeeded: value))
  }
}
