import Base
import CryptoCore
import MediaControl

// DTLS on a media port: first what must be told of a stranger's datagram before anything is spent on it, then two
// associations of ours with somebody between them who passes, holds back, repeats, spoils and makes up datagrams. If
// both say that they are done with one another they have the same keys, and rubbish alone never gets anybody there.

private func check(_ holds: Bool, _ what: StaticString) { if !holds { fatalError("\(what)") } }

nonisolated(unsafe) private let cookies = DTLSCookies(secret: [UInt8](repeating: 7, count: 32))
private let here = SocketAddress(IPAddress(v4: 0x7f00_0001), 40_000)
private let there = SocketAddress(IPAddress(v4: 0x7f00_0002), 40_002)
private let now = Instant(nanoseconds: 1_000_000_000)
nonisolated(unsafe) private let ours = DTLSIdentity()
nonisolated(unsafe) private let theirs = DTLSIdentity()

private func demultiplex(_ datagram: RawSpan) {
  if DTLSHello.isHello(datagram) { check(DTLSHello.isDTLS(datagram), "a hello that is no DTLS") }
  _ = DTLSHello.isUnprotectedAlert(datagram)
  guard let hello = DTLSHello(datagram) else { return }
  check(hello.cookie.upperBound <= datagram.byteCount, "a cookie outside")
  check(unsafe !cookies.accepts(hello, in: datagram, from: here, at: 3, now: now), "a guessed cookie")
  var room = [UInt8](repeating: 0, count: 128)
  var bytes = room.mutableSpan
  var span = bytes.mutableBytes
  let length = unsafe cookies.request(hello, from: here, at: 3, now: now, into: &span)
  check(length == 48, "the size of a request for a cookie")
  // Whoever asks from a forged address makes us send no more than he has.
  check(length <= datagram.byteCount + 8, "an answer larger than its question")
}

private struct Wire {
  var toServer: [[UInt8]] = []
  var toClient: [[UInt8]] = []
}

private func drain(_ association: DTLSAssociation, into queue: inout [[UInt8]]) {
  var offset = 0
  var packet = [UInt8](repeating: 0, count: 2_048)
  for _ in 0..<32 {
    var bytes = packet.mutableSpan
    var span = bytes.mutableBytes
    let length = association.datagram(from: &offset, into: &span)
    guard length > 0 else { break }
    check(length <= DTLSAssociation.mtu, "a datagram over the limit")
    if queue.count < 64 { queue.append(Array(packet.prefix(length))) }
  }
  association.sent()
}

private func shakeHands(_ script: [UInt8]) {
  guard let ours = unsafe ours, let theirs = unsafe theirs,
    let client = DTLSAssociation(theirs, .client, with: here, at: now)
  else { return }
  var wire = Wire()
  _ = client.begin()
  drain(client, into: &wire.toServer)
  var server: DTLSAssociation?
  var done = (client: false, server: false)
  var isClean = true
  var at = 0
  for step in 0..<script.count + 24 {
    // After the script everything is passed on.
    let action = at < script.count ? script[at] : step & 1 == 0 ? 0 : 1
    at += 1
    let forServer = action & 1 == 0
    var queue = forServer ? wire.toServer : wire.toClient
    guard var datagram = queue.first ?? (action & 14 == 10 ? [] : nil) else { continue }
    if !queue.isEmpty { queue.removeFirst() }
    switch action & 14 {
    case 2:  // lost
      if forServer { wire.toServer = queue } else { wire.toClient = queue }
      continue
    case 4: queue.append(datagram)  // comes twice
    case 6:  // spoilt
      guard at + 1 < script.count, !datagram.isEmpty else { continue }
      datagram[Int(script[at]) * 5 % datagram.count] ^= script[at + 1]
      isClean = isClean && script[at + 1] == 0
      at += 2
    case 8: datagram = Array(datagram.prefix(at < script.count ? Int(script[at]) : 0))
    case 10:  // made up
      let end = min(at + 80, script.count)
      datagram = at < end ? Array(script[at..<end]) : []
      at = end
    default: break
    }
    if forServer { wire.toServer = queue } else { wire.toClient = queue }
    if forServer {
      takeIn(&server, ours, datagram, &wire, &done.server)
    } else {
      if case .done = client.receive(datagram.span.rawSpan) { done.client = true }
      drain(client, into: &wire.toServer)
    }
  }
  if done.client, done.server, let server, let a = client.keys, let b = server.keys {
    check(a.sending == b.receiving && a.receiving == b.sending, "two who are done with other keys")
  }
}

/// As a worker does it: a cookie first, then an association.
private func takeIn(
  _ server: inout DTLSAssociation?, _ identity: DTLSIdentity, _ datagram: [UInt8], _ wire: inout Wire,
  _ isDone: inout Bool
) {
  if server == nil {
    guard let hello = DTLSHello(datagram.span.rawSpan) else { return }
    if unsafe cookies.accepts(hello, in: datagram.span.rawSpan, from: there, at: 1, now: now) {
      guard let new = DTLSAssociation(identity, .server, with: there, hello: hello.random, at: now) else { return }
      if case .failed = new.accept(datagram.span.rawSpan) { return }
      server = new
      drain(new, into: &wire.toClient)
    } else {
      var packet = [UInt8](repeating: 0, count: 128)
      var bytes = packet.mutableSpan
      var span = bytes.mutableBytes
      let length = unsafe cookies.request(hello, from: there, at: 1, now: now, into: &span)
      if wire.toClient.count < 64 { wire.toClient.append(Array(packet.prefix(length))) }
    }
    return
  }
  guard let server else { return }
  if case .done = server.receive(datagram.span.rawSpan) { isDone = true }
  drain(server, into: &wire.toClient)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
  demultiplex(bytes.span.rawSpan)
  // A handshake takes a thousand times as long: only for what asks for it.
  if bytes.first == 0x54 { shakeHands(Array(bytes.dropFirst().prefix(256))) }
  return 0
}
