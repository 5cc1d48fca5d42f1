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
  guard let fragment = HelloFragment(datagram) else { return }
  check(fragment.place.upperBound <= fragment.end && fragment.end <= datagram.byteCount, "a fragment outside")
  check(fragment.part.count == fragment.place.count, "a fragment of two lengths")
  var assembly = HelloAssembly(fragment, from: there, .stranger, at: now)
  let first = DTLSHello(datagram, fragment)
  assembly?.take(fragment, datagram, first)
  if let whole = assembly?.whole {
    check(fragment.isWhole, "whole of a part")
    check(HelloFragment(whole.datagram.span.rawSpan)?.isWhole == true, "a whole that is none")
  }
  guard let hello = first else { return }
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
    guard let fragment = HelloFragment(datagram.span.rawSpan), fragment.isWhole,
      let hello = DTLSHello(datagram.span.rawSpan, fragment)
    else { return }
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

/// A hello of 1 500 bytes, cut as the script says, and then evenly from the end on: what comes of it is what was cut.
private func assemble(_ script: [UInt8]) {
  var body = (0..<1_500).map { UInt8(truncatingIfNeeded: $0 * 7) }
  body[34] = 0
  body[35] = 0
  func datagram(_ offset: Int, _ count: Int) -> [UInt8] {
    func word(_ value: Int, _ bytes: Int) -> [UInt8] {
      (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * (bytes - 1 - $0))) }
    }
    let count = max(min(count, body.count - offset), 0)
    let head: [UInt8] = [22, 0xfe, 0xfd, 0, 0] + word(offset, 6) + word(12 + count, 2)
    return head + [1] + word(body.count, 3) + word(1, 2) + word(offset, 3) + word(count, 3)
      + body[offset..<offset + count]
  }
  var cuts = stride(from: 0, to: script.count - 1, by: 2).map { (Int(script[$0]) * 6 % 1_500, Int(script[$0 + 1]) * 3) }
  cuts += stride(from: 1_200, through: 0, by: -300).map { ($0, 300) }
  var assembly: HelloAssembly?
  var isWhole = false
  for (offset, count) in cuts {
    let bytes = datagram(offset, count)
    guard let fragment = HelloFragment(bytes.span.rawSpan) else { fatalError("a fragment that is none") }
    assembly = assembly ?? HelloAssembly(fragment, from: there, .address, at: now)
    assembly?.take(fragment, bytes.span.rawSpan, DTLSHello(bytes.span.rawSpan, fragment))
    guard let whole = assembly?.whole else { continue }
    isWhole = true
    check(Array(whole.datagram.dropFirst(HelloFragment.bodyStart)) == body, "another hello than was cut")
  }
  check(isWhole, "all of it is there, and it is not whole")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
  demultiplex(bytes.span.rawSpan)
  if bytes.first == 0x55 { assemble(Array(bytes.dropFirst().prefix(64))) }
  // A handshake takes a thousand times as long: only for what asks for it.
  if bytes.first == 0x54 { shakeHands(Array(bytes.dropFirst().prefix(256))) }
  return 0
}
