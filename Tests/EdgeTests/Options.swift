/// An OPTIONS as a peer at `port` writes it.
func options(_ number: Int, by transport: String, port: UInt16 = 5_999) -> [UInt8] {
  Array(
    """
    OPTIONS sip:demarc SIP/2.0\r
    Via: SIP/2.0/\(transport) 127.0.0.1:\(port);branch=z9hG4bK\(number)\r
    Max-Forwards: 70\r
    From: <sip:test@localhost>;tag=a\(number)\r
    To: <sip:demarc>\r
    Call-ID: \(number)@test\r
    CSeq: \(number) OPTIONS\r
    Content-Length: 0\r
    \r\n
    """.utf8)
}
