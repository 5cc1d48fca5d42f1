import Base
import SIPWire

// A session description: read, written again as ours, and answered.

nonisolated(unsafe) private var exercise = Exercise()

private func run(_ bytes: RawSpan) {
  if let problem = unsafe exercise.sessionDescription(bytes, ByteRange(0, bytes.byteCount)) { fatalError(problem) }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  unsafe run(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: data, count: count)))
  return 0
}
