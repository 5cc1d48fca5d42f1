import Base
import CryptoCore
import MediaControl

// SRTP and SRTCP between somebody who has the key and somebody in the middle who has not: what is let in is what was
// sent, each packet once; whatever was touched, made up or sent again is refused.
//
//     0  suite, whether there is an MKI     then steps: what to do | length | that many bytes

private func check(_ holds: Bool, _ what: StaticString) { if !holds { fatalError("\(what)") } }

private let room = 32

private struct Steps {
  let bytes: [UInt8]
  var at = 1

  mutating func byte() -> Int? {
    guard at < bytes.count else { return nil }
    at += 1
    return Int(bytes[at - 1])
  }

  mutating func take(_ count: Int) -> [UInt8] {
    let end = min(at + count, bytes.count)
    defer { at = end }
    return Array(bytes[at..<end])
  }
}

private func key(_ choice: UInt8, identifier: Bool) -> SRTPKey? {
  let suite = SRTPSuite.allCases[Int(choice & 0x3f) % SRTPSuite.allCases.count]
  let secret = (0..<suite.keySize + suite.saltSize).map { UInt8(truncatingIfNeeded: 7 * $0 + 3) }
  return SRTPKey(
    suite, secret: secret, identifier: identifier ? 0x0102 : 0, identifierSize: identifier ? 2 : 0)
}

private func run(_ bytes: [UInt8]) {
  guard let first = bytes.first, let key = key(first, identifier: false),
    var sender = SRTPSender(key), var receiver = SRTPReceiver(key)
  else { return }
  var steps = Steps(bytes: bytes)
  // What was sent and not yet let in, and what was let in.
  var sent: [(control: Bool, clear: [UInt8], sealed: [UInt8])] = []
  var heard: Set<[UInt8]> = []
  for _ in 0..<64 {
    guard let action = steps.byte(), let length = steps.byte() else { return }
    let control = action & 0x80 != 0
    switch action & 3 {
    case 0:
      let clear = steps.take(length)
      var packet = clear + [UInt8](repeating: 0xee, count: room)
      var bytes = packet.mutableSpan
      var span = bytes.mutableBytes
      let outcome = control ? sender.protectControl(&span, length: clear.count)
        : sender.protect(&span, length: clear.count)
      guard case .passed(let sealed) = outcome else { continue }
      check(sealed > clear.count && sealed <= clear.count + room, "how long a sealed packet is")
      sent.append((control, clear, Array(packet.prefix(sealed))))
    case 1:
      // As it was sent.
      guard !sent.isEmpty else { continue }
      let (control, clear, sealed) = sent[length % sent.count]
      let opened = open(sealed, control, &receiver)
      if let opened {
        check(opened == clear, "what is let in is not what was sent")
        check(heard.insert(sealed).inserted, "the same packet was let in twice")
      }
    case 2:
      // Touched on the way.
      guard !sent.isEmpty, let place = steps.byte(), let flip = steps.byte(), flip != 0 else { continue }
      var (control, _, sealed) = sent[length % sent.count]
      sealed[place % sealed.count] ^= UInt8(truncatingIfNeeded: flip)
      check(open(sealed, control, &receiver) == nil || heard.contains(sealed), "a touched packet was let in")
    default:
      // Made up.
      let forged = steps.take(length)
      let opened = open(forged, control, &receiver)
      check(opened == nil || sent.contains { $0.sealed == forged }, "a forged packet was let in")
    }
  }
}

private func open(_ sealed: [UInt8], _ control: Bool, _ receiver: inout SRTPReceiver) -> [UInt8]? {
  var packet = sealed
  var bytes = packet.mutableSpan
  var span = bytes.mutableBytes
  let outcome = control ? receiver.unprotectControl(&span, length: sealed.count)
    : receiver.unprotect(&span, length: sealed.count)
  guard case .passed(let length) = outcome else { return nil }
  check(length <= sealed.count, "longer than it came")
  return Array(packet.prefix(length))
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  run(unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count)))
  return 0
}
