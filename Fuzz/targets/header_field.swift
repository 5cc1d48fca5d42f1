import Base
import SIPWire

// One header field of any kind that has a name here, in a message that is otherwise right; the first byte chooses it.

nonisolated(unsafe) private var exercise = Exercise()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
  if let problem = unsafe ValueExercise.field(bytes, &exercise) { fatalError(problem) }
  return 0
}
