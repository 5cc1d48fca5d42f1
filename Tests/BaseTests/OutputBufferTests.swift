import Base
import Testing

@Suite struct OutputBufferTests {
  let peer = SocketAddress(.loopbackV4, 5060)

  @Test func records() {
    var output = OutputBuffer(byteLimit: 65_536, recordLimit: 10)
    output.begin()
    output.append("SIP/2.0 " as StaticString)
    output.append(decimal: 200)
    output.append(" OK\r\n" as String)
    let first = output.commit(to: peer, listener: 3)
    output.begin()
    output.append("gone" as StaticString)
    output.abandon()
    output.begin()
    output.append([0x61, 0x62, 0x63, 0x64].rawSpan, ByteRange(1, 2))
    output.append([0x21])
    let open = output.openBytes.displayText
    check(open == "bc!" && output.position == 3)
    let second = output.commit(to: SocketAddress(.loopbackV6, 1), listener: 4)
    check(first && second && output.count == 2)
    let texts = [output.bytes(of: 0).displayText, output.bytes(of: 1).displayText]
    check(texts == ["SIP/2.0 200 OK\u{FFFD}\u{FFFD}", "bc!"])
    check(output.destination(of: 0) == peer && output.listener(of: 1) == 4)
    check(output.byteCount == 19)
    output.removeAll()
    check(output.count == 0 && output.byteCount == 0 && output.overflowed == 0)
  }

  @Test func numbers() {
    func written(_ body: (inout OutputBuffer) -> Void) -> String {
      var output = OutputBuffer(byteLimit: 4_096, recordLimit: 1)
      output.begin()
      body(&output)
      return output.openBytes.displayText
    }
    for value in [0, 7, 10, 99, 100, 65_535, -1, -10, Int.max, Int.min] {
      check(written { $0.append(decimal: value) } == String(value))
    }
    check(written { $0.append(decimal: UInt.max) } == String(UInt.max))
    check(written { $0.append(hex: 0xabc, digits: 6) } == "000abc")
    check(written { $0.append(hex: .max, digits: 99) } == "ffffffffffffffff")
    check(written { $0.append(hex: 0xabc, digits: 2) } == "bc")
    check(written { $0.append(hex: 1, digits: -1) } == "")
    check(written { $0.append(hexBytes: [0x00, 0x9f, 0xf0].rawSpan) } == "009ff0")
  }

  @Test func overflowDropsTheRecordAndNothingElse() {
    var output = OutputBuffer(byteLimit: 1_000, recordLimit: 100)
    let block = [UInt8](repeating: 0x61, count: 400)
    func send(_ times: Int) -> Bool {
      output.begin()
      for _ in 0..<times { output.append(block) }
      return output.commit(to: peer, listener: 0)
    }
    check(send(1) && send(1))
    check(!send(1) && !send(3))
    check(output.overflowed == 2 && output.count == 2 && output.byteCount == 800)
    output.begin()
    for _ in 0..<300 { output.append(byte: 1) }
    check(output.isOverflowing)
    output.append(decimal: 5)
    let late = output.commit(to: peer, listener: 0)
    check(!late)
    output.begin()
    output.append("fits" as StaticString)
    let small = output.commit(to: peer, listener: 0)
    check(small)
    let last = output.bytes(of: 2).displayText
    check(last == "fits")
  }

  @Test func recordAndDatagramLimits() {
    var output = OutputBuffer(byteLimit: 1 << 20, recordLimit: 2)
    func send(_ bytes: Int) -> Bool {
      output.begin()
      output.append([UInt8](repeating: 0, count: bytes))
      return output.commit(to: peer, listener: 0)
    }
    check(!send(65_508))
    check(send(65_507) && send(0))
    check(!send(1))
    check(output.overflowed == 2)
    output.removeAll()
    check(send(1))
  }

  @Test func outOfOrderUse() {
    var output = OutputBuffer(byteLimit: 1, recordLimit: 0)
    output.append("ignored" as StaticString)
    let none = output.commit(to: peer, listener: 0)
    check(!none && output.overflowed == 0)
    output.abandon()
    output.begin()
    output.append("a" as StaticString)
    output.begin()
    output.append("b" as StaticString)
    let sent = output.commit(to: peer, listener: 0)
    let again = output.commit(to: peer, listener: 0)
    check(sent && !again)
    let text = output.bytes(of: 0).displayText
    check(text == "b")
  }
}
