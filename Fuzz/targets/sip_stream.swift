import Base
import SIPWire

// A stream cut into messages: in pieces whose sizes the input's first byte chooses, and whole. Both ways must
// give the same messages and the same end.

private struct Outcome: Equatable {
  var ends: [Int] = []
  var pings = 0
  var problem: StreamProblem.Reason?
}

private func cut(_ bytes: [UInt8], pieces: Int) -> Outcome {
  var outcome = Outcome()
  var framer = StreamFramer()
  var buffer: [UInt8] = []
  var dropped = 0
  var start = 0
  while start < bytes.count {
    let end = min(start + pieces, bytes.count)
    buffer += bytes[start..<end]
    start = end
    do throws(StreamProblem) {
      reading: while true {
        switch try framer.next(buffer.rawSpan) {
        case .message(let range):
          guard range.end <= buffer.count, Int(range.count) <= SIPLimits.messageBytes else {
            fatalError("a range outside of the bytes")
          }
          outcome.ends.append(dropped + range.end)
        case .ping: outcome.pings += 1
        case .incomplete: break reading
        }
      }
    } catch {
      guard error.head.end <= buffer.count else { fatalError("a head outside of the bytes") }
      outcome.problem = error.reason
      return outcome
    }
    guard framer.consumed <= buffer.count else { fatalError("more consumed than there is") }
    buffer.removeFirst(framer.consumed)
    dropped += framer.consumed
    framer.drop()
  }
  return outcome
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let input = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
  guard let first = input.first else { return 0 }
  let bytes = Array(input.dropFirst())
  if cut(bytes, pieces: Int(first % 17) + 1) != cut(bytes, pieces: .max >> 1) {
    fatalError("it matters how the bytes arrive")
  }
  return 0
}
