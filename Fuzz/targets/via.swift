import Base

// A value of Via: where a response goes (Tests/SIPWireTests/ValueExercise.swift says what must hold).

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
  if let problem = ValueExercise.via(bytes) { fatalError(problem) }
  return 0
}
