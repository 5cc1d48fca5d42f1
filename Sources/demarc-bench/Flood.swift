import Base
import CLinux

// What comes of a flood: INVITEs of strangers from many addresses, none of whom ever reads an answer. Each is whole and
// unlike the others, so nothing but who sends it, and how many of them come, gives it away.

/// Addresses of 127.8.0.0/16, each with a socket.
private struct FloodSources {
  private var sockets: [Int32] = []

  init(_ count: Int) {
    for number in 1...max(count, 1) {
      let ip = IPAddress(v4: 0x7f08_0000 + UInt32(number))
      let fd = clmedia_bind(clmedia_address(high: ip.high, low: ip.low, port: 5_060, family: 4), 0)
      guard fd >= 0 else { fail("no socket at \(ip): error \(-fd)") }
      sockets.append(fd)
    }
  }

  func send(_ bytes: [UInt8], number: Int, to target: inout clmedia_target) -> Bool {
    unsafe clmedia_send(sockets[number % sockets.count], bytes, bytes.count, &target) >= 0
  }

  /// What Demarc has answered is never read, only thrown away, or it would fill the sockets.
  func drain(_ number: Int) {
    var room = [UInt8](repeating: 0, count: 2_048)
    var packet = clmedia_packet()
    let fd = sockets[number % sockets.count]
    for _ in 0..<64 {
      guard unsafe clmedia_receive(fd, &room, room.count, &packet) == 1 else { return }
    }
  }

  func close() { for fd in sockets { clmedia_close(fd) } }
}

private struct StrangersInvite {
  private(set) var bytes: [UInt8]
  private let places: [Int]
  private static let digits = 9

  init(to host: String) {
    let mark = "#########"
    bytes = Array(
      ("INVITE sip:+4930\(mark)@\(host) SIP/2.0\r\nVia: SIP/2.0/UDP 127.8.0.1:5060;branch=z9hG4bK\(mark);rport\r\n"
        + "Max-Forwards: 70\r\nFrom: \"office\" <sip:+4940\(mark)@\(host)>;tag=\(mark)\r\n"
        + "To: <sip:+4930\(mark)@\(host)>\r\nCall-ID: \(mark)@flood\r\nCSeq: 1 INVITE\r\n"
        + "Contact: <sip:office@127.8.0.1:5060>\r\nContent-Length: 0\r\n\r\n").utf8)
    var found: [Int] = []
    for i in bytes.indices where bytes[i] == UInt8(ascii: "#") {
      if i == 0 || bytes[i - 1] != UInt8(ascii: "#") { found.append(i) }
    }
    places = found
  }

  mutating func number(_ number: Int) {
    for place in places {
      var rest = number
      for k in 0..<Self.digits {
        bytes[place + Self.digits - 1 - k] = UInt8(0x30 + rest % 10)
        rest /= 10
      }
    }
  }
}

/// "127.0.0.1:5060"; nil for anything that is not of this machine.
func floodTarget(_ text: String) -> SocketAddress? {
  let parts = text.split(separator: ":")
  guard parts.count == 2, let ip = IPAddress(parts[0]), ip.family == .v4, ip.isLoopback,
    let port = UInt16(parts[1])
  else { return nil }
  return SocketAddress(ip, port)
}

/// Sends `rate` a second for so long, and says how many have left.
func flood(to address: SocketAddress, rate: Int, seconds: Int, sources count: Int) {
  let sources = FloodSources(count)
  defer { sources.close() }
  var target = clmedia_target_make(
    clmedia_address(high: address.ip.high, low: address.ip.low, port: address.port, family: 4))
  var invite = StrangersInvite(to: "\(address)")
  let began = clmedia_monotonic()
  var due = began
  var (sent, owed, number) = (0, 0, 0)
  for _ in 0..<(seconds * 1_000) {
    owed += rate
    while owed >= 1_000 {
      owed -= 1_000
      number += 1
      invite.number(number)
      if sources.send(invite.bytes, number: number, to: &target) { sent += 1 }
      if number % 16 == 0 { sources.drain(number / 16) }
    }
    due += 1_000_000
    clmedia_sleep_until(due)
  }
  let took = Double(clmedia_monotonic() - began) / 1e9
  print("{\"sent\": \(sent), \"seconds\": \(took)}")
}
