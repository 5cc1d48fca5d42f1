import Base
import MediaControl
import MediaEngine
import RTPWire

/// What SRTP adds to a packet that is relayed from a leg with keys to one without, or back: 20 ms of G.711, opened
/// or protected in place. The mean of both directions, since a call has as many of one as of the other.
func srtpBench(into results: inout BenchResults) {
  for suite in SRTPSuite.allCases {
    guard let load = SRTPLoad(suite) else { return print("srtp: libcrypto has no \(suite)") }
    let cost = measure(iterations: 20_000) { load.run($0) }
    results.record("srtp_\(suite)_packet_us", cost.least / 2 / 1_000, "us")
    guard suite == .aesCM128HMAC80 else { continue }
    results.record("srtp_packet_extra_us", cost.least / 2 / 1_000, "us")
    if let mallocs = cost.mallocs { results.record("srtp_packet_mallocs", mallocs / 2, "1") }
  }
}

/// A sender, and the receiver of the same key.
private final class SRTPLoad {
  private var sender: SRTPSender
  private var receiver: SRTPReceiver
  private var buffer = [UInt8](repeating: 0x55, count: RTPHeader.size + 160 + 16)
  private var number = 0

  init?(_ suite: SRTPSuite) {
    let secret = (0..<suite.keySize + suite.saltSize).map { UInt8(truncatingIfNeeded: $0 * 11) }
    guard let key = SRTPKey(suite, secret: secret), let sender = SRTPSender(key),
      let receiver = SRTPReceiver(key)
    else { return nil }
    self.sender = sender
    self.receiver = receiver
  }

  func run(_ count: Int) {
    var elements = buffer.mutableSpan
    var packet = unsafe elements.mutableBytes
    for _ in 0..<count {
      number += 1
      RTPHeader(
        payloadType: 0, marker: false, sequence: UInt16(truncatingIfNeeded: number),
        timestamp: UInt32(truncatingIfNeeded: number * 160), ssrc: 1
      ).write(to: &packet)
      guard case .passed(let sealed) = sender.protect(&packet, length: RTPHeader.size + 160),
        case .passed = receiver.unprotect(&packet, length: sealed)
      else { return print("srtp: packet \(number) was refused") }
    }
  }
}
