/// A set of ASCII characters, one bit each: RFC 3261 §25.1's character classes. The comments name the
/// members; OctetSetTests holds the bits to them.
package struct OctetSet: Sendable {
  let low: UInt64
  let high: UInt64

  @inline(__always)
  package func contains(_ c: UInt8) -> Bool {
    let half = c < 64 ? low : high
    return c < 128 && half &>> UInt64(c) & 1 == 1
  }

  /// Letters, digits, `-.!%*_+``'~`
  package static let token = OctetSet(low: 0x03ff_6ca2_0000_0000, high: 0x47ff_ffff_87ff_fffe)
  /// Call-ID's `word`: token and `()<>:\"/[]?{}`
  package static let word = OctetSet(low: 0xd7ff_efa6_0000_0000, high: 0x6fff_ffff_bfff_fffe)
  /// unreserved, `&=+$,;?/` and the % of an escape
  package static let user = OctetSet(low: 0xabff_fff2_0000_0000, high: 0x47ff_fffe_87ff_fffe)
  /// unreserved, `&=+$,` and %
  package static let password = OctetSet(low: 0x23ff_7ff2_0000_0000, high: 0x47ff_fffe_87ff_fffe)
  /// Letters, digits, `-.` and `_`, which no grammar allows and many machines are called by
  package static let host = OctetSet(low: 0x03ff_6000_0000_0000, high: 0x07ff_fffe_87ff_fffe)
  /// Hexadecimal digits, `:` and `.`
  package static let ipv6 = OctetSet(low: 0x07ff_4000_0000_0000, high: 0x0000_007e_0000_007e)
  /// paramchar: unreserved, `[]/:&+$` and %
  package static let uriParameter = OctetSet(
    low: 0x07ff_eff2_0000_0000, high: 0x47ff_fffe_afff_fffe)
  /// hnv: unreserved, `[]/?:+$` and %
  package static let uriHeader = OctetSet(low: 0x87ff_efb2_0000_0000, high: 0x47ff_fffe_afff_fffe)
  /// What any URI may hold: reserved, unreserved, %, `[]` and `#`
  package static let uri = OctetSet(low: 0xafff_fffa_0000_0000, high: 0x47ff_fffe_afff_ffff)
  /// A parameter's value outside quotes: token, `[]:/` of hosts, and `@&?$=#`, which peers put there
  package static let parameterValue = OctetSet(
    low: 0xa7ff_ecfa_0000_0000, high: 0x47ff_ffff_afff_ffff)
  /// A URI's scheme behind its first letter
  package static let scheme = OctetSet(low: 0x03ff_6800_0000_0000, high: 0x07ff_fffe_07ff_fffe)
  /// A telephone number: hexadecimal digits, `+*#` and the separators `-.()`
  package static let telephone = OctetSet(low: 0x03ff_6f08_0000_0000, high: 0x0000_007e_0000_007e)
  /// SDP's token (RFC 8866 §9): letters, digits, ``!#$%&'*+-.^_`{|}~``
  package static let sdpToken = OctetSet(low: 0x03ff_6cfa_0000_0000, high: 0x7fff_ffff_c7ff_fffe)
  /// SDP's proto: tokens and slashes
  package static let sdpProtocol = OctetSet(low: 0x03ff_ecfa_0000_0000, high: 0x7fff_ffff_c7ff_fffe)
}
