import Base
import SIPWire

// A datagram as a SIP message, every header and value of it, and its body as a session description.

nonisolated(unsafe) private var exercise = Exercise()

private func run(_ bytes: RawSpan) {
  if let problem = unsafe exercise.datagram(bytes) { fatalError(problem) }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  unsafe run(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: data, count: count)))
  return 0
}
