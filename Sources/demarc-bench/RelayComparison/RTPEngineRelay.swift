import Base
import CLinux
import Foundation

/// rtpengine in user space, told of calls by its ng protocol: bencoded dictionaries over UDP.
final class RTPEngineRelay: Relay {
  private let process: Subprocess

  private init(_ process: Subprocess, _ targets: [SocketAddress]) {
    self.process = process
    super.init(targets: targets)
  }

  static func start(
    _ streams: Int, farEnd: SocketAddress, _ codec: ComparedCodec? = nil
  ) -> RTPEngineRelay? {
    guard let path = Subprocess.find("rtpengine") else { return nil }
    guard
      let process = Subprocess(
        path,
        [
          "--config-file=none", "--foreground", "--table=-1", "--interface=127.0.0.1",
          "--listen-ng=127.0.0.1:2223",
          "--port-min=20000", "--port-max=29999", "--num-threads=1", "--log-level=2",
          "--log-stderr", "--timeout=600", "--silent-timeout=600",
        ])
    else { return nil }
    guard let control = Control(), control.waitUntilUp(),
      let targets = calls(streams, farEnd, control, codec)
    else {
      process.end()
      return nil
    }
    return RTPEngineRelay(process, targets)
  }

  /// Two streams a call: each side is given the port that the other's packets leave from.
  private static func calls(
    _ streams: Int, _ farEnd: SocketAddress, _ control: Control, _ codec: ComparedCodec?
  ) -> [SocketAddress]? {
    let mask = "PCMU"
    // The caller's own is hidden, and the other one made of it.
    let conversion = codec.map { codec in
      let name = codec.rtpengineName
      return [
        "codec":
          "d4:maskl\(mask.utf8.count):\(mask)e9:transcodel\(name.utf8.count):\(name)ee"
      ]
    }
    var targets: [SocketAddress] = []
    for call in 0..<(streams + 1) / 2 {
      let common = ["call-id": "call\(call)", "from-tag": "a\(call)"]
      let offer = common.merging(["command": "offer", "sdp": sdp(farEnd, nil)]) { $1 }
      let answer = common.merging(
        ["command": "answer", "to-tag": "b\(call)", "sdp": sdp(farEnd, codec)]
      ) { $1 }
      guard let callee = control.port(offer, encoded: conversion ?? [:]),
        let caller = control.port(answer)
      else { return nil }
      targets += [SocketAddress(farEnd.ip, caller), SocketAddress(farEnd.ip, callee)]
    }
    return Array(targets.prefix(streams))
  }

  private static func sdp(_ address: SocketAddress, _ codec: ComparedCodec?) -> String {
    let type = codec?.payloadType ?? 0
    let map = codec?.map ?? "PCMU/8000"
    return "v=0\r\no=- 1 1 IN IP4 \(address.ip)\r\ns=-\r\nc=IN IP4 \(address.ip)\r\nt=0 0\r\n"
      + "m=audio \(address.port) RTP/AVP \(type)\r\na=rtpmap:\(type) \(map)\r\na=sendrecv\r\n"
  }

  override var cpu: UInt64 {
    let folder = "/proc/\(process.identifier)/task"
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return threads.reduce(0) { $0 + scheduledTime("\(folder)/\($1)/schedstat") }
  }

  override func stop() { process.end() }
}

/// The ng protocol's client: `cookie dictionary` there, the same cookie and a dictionary back.
private final class Control {
  private let socket: Int32
  private var serial = 0
  private var target = clmedia_target_make(
    clmedia_address(high: 0, low: 0x7f00_0001, port: 2_223, family: 4))

  init?() {
    socket = clmedia_bind(clmedia_address(high: 0, low: 0x7f00_0001, port: 0, family: 4), 0)
    if socket < 0 { return nil }
  }

  deinit { clmedia_close(socket) }

  func waitUntilUp() -> Bool {
    for _ in 0..<50 where ask(["command": "ping"])?.contains("pong") != true {
      clinux_sleep(50_000_000)
    }
    return ask(["command": "ping"])?.contains("pong") == true
  }

  /// The port in the SDP of the answer.
  func port(_ words: [String: String], encoded: [String: String] = [:]) -> UInt16? {
    guard let answer = ask(words, encoded: encoded), let line = answer.range(of: "m=audio ") else {
      return nil
    }
    return UInt16(answer[line.upperBound...].prefix { $0.isNumber })
  }

  /// `encoded`: values that are no texts, bencoded.
  private func ask(_ words: [String: String], encoded: [String: String] = [:]) -> String? {
    serial += 1
    let cookie = "demarc\(serial)"
    let values = words.mapValues { Self.encoded($0) }.merging(encoded) { $1 }
    let text = values.keys.sorted().map { Self.encoded($0) + (values[$0] ?? "0:") }
    let message = Array("\(cookie) d\(text.joined())e".utf8)
    guard unsafe clmedia_send(socket, message, message.count, &target) == 0 else { return nil }
    var buffer = [UInt8](repeating: 0, count: 8_192)
    var info = clmedia_packet()
    for _ in 0..<500 {
      if unsafe clmedia_receive(socket, &buffer, buffer.count, &info) == 1 {
        let answer = String(decoding: buffer.prefix(Int(info.length)), as: UTF8.self)
        if answer.hasPrefix(cookie + " ") { return answer }
      }
      clinux_sleep(1_000_000)
    }
    return nil
  }

  private static func encoded(_ text: String) -> String { "\(text.utf8.count):\(text)" }
}
