import Base
import CLinux
import Foundation
import RTPWire

/// Sends `streams` flows of 50 packets a second from one socket, spread over the ticks, each with its own SSRC and
/// fresh sequence numbers, and takes in what comes back there.
final class RelayGenerator {
  private static let tick: UInt64 = 1_000_000

  let address: SocketAddress
  var targets: [SocketAddress] = [] {
    didSet {
      prepared = targets.map {
        clmedia_target_make(
          clmedia_address(high: 0, low: UInt64($0.ip.v4), port: $0.port, family: 4))
      }
    }
  }
  private(set) var sent = 0
  private(set) var arrived = 0
  private let streams: Int
  private let socket: Int32
  private var prepared: [clmedia_target] = []
  private var packet = [UInt8](repeating: 0xff, count: RTPHeader.size + 160)
  private var buffer = [UInt8](repeating: 0, count: 2_048)
  private var round = 0
  private var delays: [Double] = []

  init?(streams: Int) {
    self.streams = streams
    address = SocketAddress(.loopbackV4, 9_998)
    socket = clmedia_bind(
      clmedia_address(high: 0, low: UInt64(address.ip.v4), port: address.port, family: 4))
    guard socket >= 0 else { return nil }
    var size: Int32 = 16 << 20
    unsafe setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, socklen_t(4))
    delays.reserveCapacity(streams * 50 * 3)
  }

  deinit { if socket >= 0 { clmedia_close(socket) } }

  func reset() {
    (sent, arrived) = (0, 0)
    delays.removeAll(keepingCapacity: true)
  }

  func delay(_ quantile: Double) -> Double {
    delays.sort()
    return delays.isEmpty
      ? .nan : delays[min(Int(Double(delays.count) * quantile), delays.count - 1)]
  }

  /// Sends for so long, and waits for what is under way.
  func run(milliseconds: Int) {
    var due = clmedia_monotonic()
    var owed = 0
    for _ in 0..<milliseconds {
      owed += streams * 50
      while owed >= 1_000 {
        sendNext()
        owed -= 1_000
      }
      drain()
      due += Self.tick
      clmedia_sleep_until(due)
    }
    for _ in 0..<20 {
      clmedia_sleep_until(clmedia_monotonic() + 2_000_000)
      drain()
    }
  }

  private func sendNext() {
    let stream = round % prepared.count
    let number = round / prepared.count
    round += 1
    var elements = packet.mutableSpan
    var bytes = unsafe elements.mutableBytes
    RTPHeader(
      payloadType: 0, marker: false, sequence: UInt16(truncatingIfNeeded: number),
      timestamp: UInt32(truncatingIfNeeded: number * 160), ssrc: 0x1000 + UInt32(stream)
    ).write(to: &bytes)
    bytes.storeBytes(of: clmedia_wall_clock(), toByteOffset: RTPHeader.size, as: UInt64.self)
    if unsafe clmedia_send(socket, packet, packet.count, &prepared[stream]) == 0 { sent += 1 }
  }

  private func drain() {
    var info = clmedia_packet()
    while unsafe clmedia_receive(socket, &buffer, buffer.count, &info) == 1 {
      arrived += 1
      let sentAt = unsafe buffer.withUnsafeBytes {
        unsafe $0.loadUnaligned(fromByteOffset: RTPHeader.size, as: UInt64.self)
      }
      delays.append(Double(Int64(bitPattern: info.stamp &- sentAt)) / 1_000)
    }
  }
}
