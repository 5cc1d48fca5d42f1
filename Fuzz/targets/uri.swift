import Base

// A URI as it stands in a request line or between < and > (Tests/SIPWireTests/ValueExercise.swift says what must hold).

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
  if let problem = ValueExercise.uri(bytes) { fatalError(problem) }
  return 0
}
