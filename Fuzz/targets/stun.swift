import Base
import SIPWire

// What a phone's keep-alive on the port of SIP may be: whoever sends one gets hardly more than the smallest question,
// never something that is itself a question, and the address that his datagram came from.

private func check(_ holds: Bool, _ what: StaticString) { if !holds { fatalError("\(what)") } }

nonisolated(unsafe) private var out = OutputBuffer(byteLimit: 1 << 12, recordLimit: 4)

private func answer(_ bytes: RawSpan, _ source: SocketAddress) {
  guard STUN.isBindingRequest(bytes) else { return }
  unsafe out.removeAll()
  unsafe out.begin()
  unsafe STUN.writeResponse(to: bytes, from: source, into: &out)
  let answer = unsafe out.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) }
  unsafe out.abandon()
  let text = answer.rawSpan
  let isV4 = source.ip.family == .v4
  check(text.byteCount == (isV4 ? 32 : 44), "the size of an answer")
  check(!STUN.isBindingRequest(text), "an answer that asks")
  check(text.slice(4, 20).equals(bytes.slice(4, 20)), "the transaction")
  check(text.bigEndian16(at: 26) ^ 0x2112 == source.port, "the port")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: data, count: count))
  answer(bytes, SocketAddress(IPAddress(v4: bytes.bigEndian32(at: 8)), bytes.bigEndian16(at: 12)))
  answer(
    bytes,
    SocketAddress(IPAddress(v6High: bytes.word(at: 8), low: bytes.word(at: 12)), bytes.bigEndian16(at: 4)))
  return 0
}
