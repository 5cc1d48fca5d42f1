import Base
import Resolution

// A name server's reply: read as it stands, and given to a locator that asked a question, with the id and the
// question that it asked, so that what follows them is believed.

private func check(_ name: DNSName) {
  guard name.wire.count <= DNSName.limit, name.wire.last == 0 else { fatalError("a name of \(name.wire.count)") }
}

private func read(_ bytes: RawSpan) {
  guard let reply = try? DNSReply.parse(bytes) else { return }
  guard reply.answers.count + reply.authority.count <= DNSReply.recordLimit else { fatalError("records") }
  for record in reply.answers + reply.authority {
    check(record.name)
    guard record.ttl < 0x8000_0000 else { fatalError("a TTL of \(record.ttl)") }
    switch record.value {
    case .alias(let name): check(name)
    case .service(_, _, _, let target): check(target)
    case .pointer(_, _, _, _, _, let target): check(target)
    case .address, .authority: break
    }
  }
}

private func locate(_ bytes: RawSpan) {
  var settings = ResolverSettings()
  settings.servers = [SocketAddress(.loopbackV4, 53)]
  settings.limits.cached = 8
  var locator = Locator(settings)
  var random = RandomSource(seed: 1)
  var now = Instant(nanoseconds: 1_000_000_000)
  var effects: [Locator.Effect] = []
  guard let host = DNSName("a") else { return }
  locator.watch(LocationRequest(host: host, transports: [.udp, .tcp]), at: now, random: &random, into: &effects)
  for _ in 0..<40 {
    guard let effect = effects.popLast() else {
      guard let next = locator.nextDeadline else { break }
      now = max(now, next)
      locator.advance(to: now, random: &random, into: &effects)
      continue
    }
    switch effect {
    case .send(let ticket, _, let query), .sendStream(let ticket, _, let query):
      // Id, flags and question are ours; counts and records are the input's.
      var reply = Array(query.prefix(12))
      reply[2] = 0x81
      reply[3] = 0x80 | (bytes.byte(at: 0) & 3)
      reply[6] = 0
      reply[7] = bytes.byte(at: 1)
      reply[8] = 0
      reply[9] = bytes.byte(at: 2) & 15
      reply[10] = 0
      reply[11] = 0
      reply += query[12..<max(12, query.count - 11)]
      for i in 3..<max(3, bytes.byteCount) { reply.append(bytes.byte(at: i)) }
      locator.received(reply.rawSpan, on: ticket, at: now, random: &random, into: &effects)
    case .located(_, let location):
      guard location.addresses.count <= 64 else { fatalError("\(location.addresses.count) addresses") }
      _ = location.ordered(random: &random)
    case .close: break
    }
  }
  guard locator.resolver.currentCounters.cached <= 8 else { fatalError("the cache has no bound") }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: data, count: count))
  read(bytes)
  locate(bytes)
  return 0
}
