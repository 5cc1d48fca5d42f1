import Base
import CLinux
import Foundation
import RTPWire

/// A generator and sink of RTP in one socket: flows with an SSRC and fresh sequence numbers each, one packet at a time in
/// turn, and how long each packet took to come back.
final class RTPFlows {
  var targets: [SocketAddress] = [] {
    didSet {
      prepared = targets.map {
        clmedia_target_make(
          clmedia_address(high: 0, low: UInt64($0.ip.v4), port: $0.port, family: 4))
      }
    }
  }
  /// What is said in the flows, the first in every even one and the second in every odd one; none: packets that tell how
  /// long they were under way.
  var speech: [FlowSpeech] = []
  private(set) var sent = 0
  private(set) var arrived = 0
  private let socket: Int32
  private var prepared: [clmedia_target] = []
  private var packet = [UInt8](repeating: 0xff, count: RTPHeader.size + 160)
  private var buffer = [UInt8](repeating: 0, count: 2_048)
  private var round = 0
  private var delays: [Double] = []

  /// Nil where the address is not free. `expecting`: packets that will be measured, so that nothing grows meanwhile.
  init?(_ address: SocketAddress, expecting: Int) {
    socket = clmedia_bind(
      clmedia_address(high: 0, low: UInt64(address.ip.v4), port: address.port, family: 4), 0)
    guard socket >= 0 else { return nil }
    var size: Int32 = 16 << 20
    unsafe setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, socklen_t(4))
    delays.reserveCapacity(expecting)
  }

  deinit { if socket >= 0 { clmedia_close(socket) } }

  func reset() {
    (sent, arrived) = (0, 0)
    delays.removeAll(keepingCapacity: true)
  }

  /// In microseconds, from the send to the kernel's stamp here.
  func delay(_ quantile: Double) -> Double {
    delays.sort()
    return delays.isEmpty
      ? .nan : delays[min(Int(Double(delays.count) * quantile), delays.count - 1)]
  }

  func sendNext() {
    let flow = round % prepared.count
    let number = round / prepared.count
    round += 1
    if !speech.isEmpty { return say(speech[flow % speech.count], number, flow) }
    var elements = packet.mutableSpan
    var bytes = unsafe elements.mutableBytes
    RTPHeader(
      payloadType: 0, marker: false, sequence: UInt16(truncatingIfNeeded: number),
      timestamp: UInt32(truncatingIfNeeded: number * 160), ssrc: 0x1000 + UInt32(flow)
    ).write(to: &bytes)
    bytes.storeBytes(of: clmedia_wall_clock(), toByteOffset: RTPHeader.size, as: UInt64.self)
    if unsafe clmedia_send(socket, packet, packet.count, &prepared[flow]) == 0 { sent += 1 }
  }

  private func say(_ speech: FlowSpeech, _ number: Int, _ flow: Int) {
    let frame = speech.frames[number % speech.frames.count]
    var bytes = [UInt8](repeating: 0, count: RTPHeader.size + frame.count)
    bytes.replaceSubrange(RTPHeader.size..., with: frame)
    var elements = bytes.mutableSpan
    var raw = unsafe elements.mutableBytes
    RTPHeader(
      payloadType: speech.payloadType, marker: number == 0,
      sequence: UInt16(truncatingIfNeeded: number),
      timestamp: UInt32(truncatingIfNeeded: number * speech.ticks), ssrc: 0x1000 + UInt32(flow)
    ).write(to: &raw)
    if unsafe clmedia_send(socket, bytes, bytes.count, &prepared[flow]) == 0 { sent += 1 }
  }

  func drain() {
    var info = clmedia_packet()
    while unsafe clmedia_receive(socket, &buffer, buffer.count, &info) == 1 {
      arrived += 1
      guard speech.isEmpty else { continue }
      let sentAt = unsafe buffer.withUnsafeBytes {
        unsafe $0.loadUnaligned(fromByteOffset: RTPHeader.size, as: UInt64.self)
      }
      delays.append(Double(Int64(bitPattern: info.stamp &- sentAt)) / 1_000)
    }
  }

  /// Takes in what is under way.
  func settle(times: Int, every nanoseconds: UInt64) {
    for _ in 0..<times {
      clmedia_sleep_until(clmedia_monotonic() + nanoseconds)
      drain()
    }
  }
}

/// Speech in one codec, packet by packet, over and over.
struct FlowSpeech {
  var payloadType: UInt8
  /// Of a packet, on the clock of its RTP.
  var ticks: Int
  var frames: [[UInt8]]
}
