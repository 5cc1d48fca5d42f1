import Base

// A shard under a script: datagrams, answers that fit what it said, time, and what else reaches it.

private func run(_ bytes: RawSpan) {
  if let problem = ShardExercise.run(bytes) { fatalError(problem) }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  unsafe run(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: data, count: count)))
  return 0
}
