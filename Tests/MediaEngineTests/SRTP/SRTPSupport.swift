import Base
import CryptoCore
import MediaControl
import MediaEngine

/// Contexts as objects, and packets as arrays: what a test compares must be copied.
final class Sender {
  private var context: SRTPSender

  init?(_ key: SRTPKey?) {
    guard let key, let context = SRTPSender(key) else { return nil }
    self.context = context
  }

  func protect(_ packet: [UInt8]) -> Result<[UInt8], Refusal> {
    run(packet) { bytes, count in context.protect(&bytes, length: count) }
  }
  func protectControl(_ packet: [UInt8]) -> Result<[UInt8], Refusal> {
    run(packet) { bytes, count in context.protectControl(&bytes, length: count) }
  }
}

final class Receiver {
  private var context: SRTPReceiver

  init?(_ key: SRTPKey?) {
    guard let key, let context = SRTPReceiver(key) else { return nil }
    self.context = context
  }

  func unprotect(_ packet: [UInt8]) -> Result<[UInt8], Refusal> {
    run(packet) { bytes, count in context.unprotect(&bytes, length: count) }
  }
  func unprotectControl(_ packet: [UInt8]) -> Result<[UInt8], Refusal> {
    run(packet) { bytes, count in context.unprotectControl(&bytes, length: count) }
  }
}

struct Refusal: Error, Equatable {
  var outcome: SRTPOutcome
  static let replayed = Refusal(outcome: .replayed)
  static let unauthentic = Refusal(outcome: .unauthentic)
  static let malformed = Refusal(outcome: .malformed)
  static let exhausted = Refusal(outcome: .exhausted)
}

/// With room for a tag behind the packet, which nothing may be written beyond.
private func run(
  _ packet: [UInt8], _ change: (inout MutableRawSpan, Int) -> SRTPOutcome
) -> Result<[UInt8], Refusal> {
  var buffer = packet + [UInt8](repeating: 0xee, count: 24)
  var span = buffer.mutableSpan
  var bytes = unsafe span.mutableBytes
  switch change(&bytes, packet.count) {
  case .passed(let length): return .success(Array(buffer[..<length]))
  case let outcome: return .failure(Refusal(outcome: outcome))
  }
}

/// A key of which each byte says where it stands.
func testKey(
  _ suite: SRTPSuite, _ salt: UInt8 = 1, identifier: UInt32 = 0, identifierSize: UInt8 = 0
) -> SRTPKey? {
  let count = suite.keySize + suite.saltSize
  return SRTPKey(
    suite, secret: (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) &+ salt },
    identifier: identifier, identifierSize: identifierSize)
}

func speech(_ sequence: UInt16, ssrc: UInt32 = 0xcafe_0001, payload: Int = 160) -> [UInt8] {
  var packet: [UInt8] = [0x80, 0, UInt8(sequence >> 8), UInt8(sequence & 0xff)]
  packet += [0, 0, UInt8(sequence >> 8), UInt8(sequence & 0xff)]
  packet += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: ssrc >> $0) }
  packet += (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 3 &+ Int(sequence)) }
  return packet
}

/// A receiver report without blocks, and an SDES with a name.
func report(ssrc: UInt32 = 0xcafe_0001) -> [UInt8] {
  let source = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: ssrc >> $0) }
  return [0x80, 201, 0, 1] + source + [0x81, 202, 0, 3] + source + [1, 4, 110, 97, 109, 101, 0, 0]
}

func octets(_ text: String) -> [UInt8] {
  let digits = text.compactMap(\.hexDigitValue)
  return stride(from: 0, to: digits.count - 1, by: 2).map {
    UInt8(digits[$0] * 16 + digits[$0 + 1])
  }
}

/// Of a long flow, in a debug build every eighth packet: as if the others were lost.
#if DEBUG
  let flowStep = 8
#else
  let flowStep = 1
#endif
