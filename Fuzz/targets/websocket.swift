import Base
import SIPWire

// An upgrade request, and the frames behind it in pieces whose sizes the input's first byte chooses.

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let input = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
  guard let first = input.first else { return 0 }
  var bytes = Array(input.dropFirst())
  if let upgrade = try? WebSocketUpgrade.parse(bytes.rawSpan) {
    guard upgrade.end <= bytes.count, upgrade.key.end <= upgrade.end else {
      fatalError("a range outside of the request")
    }
    bytes.removeFirst(upgrade.end)
  }
  var reader = WebSocketReader()
  let size = Int(first % 31) + 1
  var start = 0
  while start < bytes.count {
    let piece = Array(bytes[start..<min(start + size, bytes.count)])
    start += piece.count
    var at = 0
    do throws(WebSocketProblem) {
      reading: while true {
        let event = try reader.next(piece.rawSpan, at: &at)
        guard at <= piece.count, reader.message.count <= SIPLimits.messageBytes,
          reader.control.count <= 125
        else { fatalError("more than there is, or may be") }
        if event == .more { break reading }
      }
    } catch {
      return 0
    }
  }
  return 0
}
