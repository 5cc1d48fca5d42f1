import Base
import CLinux
import Foundation
import MediaControl
import MediaEngine

/// A relay that is set up for streams whose far ends are all one socket.
class Relay {
  /// Where to send the packets of each stream.
  let targets: [SocketAddress]

  init(targets: [SocketAddress]) { self.targets = targets }

  /// CPU time of its threads, in ns.
  var cpu: UInt64 { 0 }
  var kernelPackets: UInt64 { 0 }
  func stop() {}

  /// `codec`: of every odd stream, to be turned into the PCMU of every even one and back; nil: all have PCMU.
  static func make(
    _ path: RelayPath, _ streams: Int, farEnd: SocketAddress, codec: ComparedCodec? = nil
  ) -> Relay? {
    switch path {
    case .direct: Relay(targets: Array(repeating: farEnd, count: streams))
    case .fastpath: PlaneRelay(streams, farEnd: farEnd, .auto)
    case .userspace: PlaneRelay(streams, farEnd: farEnd, .off, codec)
    case .rtpengine: RTPEngineRelay.start(streams, farEnd: farEnd, codec)
    }
  }
}

/// The media plane of this program, in this process.
private final class PlaneRelay: Relay {
  private static let firstPort: UInt16 = 20_000
  private let plane: MediaPlane

  init?(
    _ streams: Int, farEnd: SocketAddress, _ mode: FastPathMode, _ codec: ComparedCodec? = nil
  ) {
    let ports = Self.firstPort...Self.firstPort + 2 * UInt16(streams) - 1
    var settings = MediaSettings()
    settings.fastPath = mode
    guard
      let plane = try? MediaPlane(
        addresses: [MediaAddress(name: "bench", bound: farEnd.ip, ports: ports)],
        announcements: [], settings: settings, sink: { _ in }), (try? plane.start()) != nil
    else { return nil }
    if mode != .off, case .on = plane.fastPath {
    } else if mode != .off {
      print("the kernel does not relay: \(plane.fastPath)")
      return nil
    }
    while plane.counters.portPairsBound + plane.counters.portPairsTaken < streams {
      clmedia_sleep_until(clmedia_monotonic() + 1_000_000)
    }
    self.plane = plane
    super.init(
      targets: (0..<streams).map { SocketAddress(farEnd.ip, Self.firstPort + 2 * UInt16($0)) })
    plane.submit(Self.commands(streams, farEnd, codec))
  }

  private static func commands(
    _ streams: Int, _ farEnd: SocketAddress, _ codec: ComparedCodec?
  ) -> [MediaCommand] {
    var remote = RemoteMedia(
      rtp: farEnd, rtcp: SocketAddress(farEnd.ip, farEnd.port + 1), signallingSource: farEnd.ip,
      latch: .signalled, weSend: true, weReceive: true, codec: .pcmu, payloadType: 0,
      clockRate: 8_000, packetTime: 20, telephoneEvent: 101)
    var other = remote
    if let codec {
      remote.speech = SpeechFormats(SpeechFormats.Format(.pcmu, 0))
      other.codec = codec.codec
      other.payloadType = codec.payloadType
      other.clockRate = codec.codec.clockRate
      other.speech = SpeechFormats(SpeechFormats.Format(codec.codec, codec.payloadType))
    }
    let remotes = [remote, other]
    return (0..<streams).flatMap { index -> [MediaCommand] in
      let id = MediaTransportID(raw: UInt64(index))
      let media = LocalMedia(address: 0, port: firstPort + 2 * UInt16(index))
      let bridge = [MediaCommand.bridge(id, MediaTransportID(raw: UInt64(index ^ 1)))]
      return [.open(id, media), .remote(id, remotes[index % 2])] + (index % 2 == 1 ? bridge : [])
    }
  }

  /// The process's but for the thread that asks, which is the generator's.
  override var cpu: UInt64 { clinux_process_time() &- clinux_thread_time() }
  override var kernelPackets: UInt64 { plane.counters.relayedByKernel }
  override func stop() { plane.stop() }
}
