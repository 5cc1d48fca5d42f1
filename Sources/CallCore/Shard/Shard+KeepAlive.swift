import Base
import Policy
import SIPCore
import SIPWire

// What keeps a NAT's mapping alive, in both directions (RFC 5626 §3.5, §4.4).

extension Shard {
  /// A phone asks by STUN which address its NAT shows. Stateless, and no larger than a message's first line.
  func answerKeepAlive(_ bytes: RawSpan, _ arrival: Arrival) {
    guard keepAlives.take(at: now) else { return }
    outbox.datagrams.begin()
    STUN.writeResponse(to: bytes, from: arrival.source, into: &outbox.datagrams)
    // Somebody else's address must not get more than half as much again as was sent in its name.
    guard outbox.datagrams.position <= bytes.byteCount * 3 / 2 || isKnown(arrival) else {
      return outbox.datagrams.abandon()
    }
    if send(to: arrival.source, arrival.listener, serial: 0, side: .a) { counters.keepAlives &+= 1 }
  }

  /// Behind a NAT of our own the provider's calls find us only while the mapping lives: an empty line now and
  /// then, which every SIP element passes over (RFC 3261 §7.5). By a connection that is the ping of RFC 5626 §3.5.1;
  /// one that is gone is told of by the edge, and registered anew.
  func keepAliveDue(_ serial: UInt64) {
    guard let upstream = upstreams[serial] else { return }
    upstream.keepAlive = .none
    guard upstream.machine.isRegistered(at: now), let flow = upstream.flow else { return }
    outbox.datagrams.begin()
    outbox.datagrams.append("\r\n\r\n")
    send(to: flow.address, flow.listener, serial: 0, side: .b)
    scheduleKeepAlive(upstream)
  }

  func scheduleKeepAlive(_ upstream: UpstreamRegistration) {
    wheel.cancel(&upstream.keepAlive)
    guard let interval = keepAliveInterval(upstream) else { return }
    upstream.keepAlive = wheel.schedule(
      at: now + interval, kind: ShardTimer.keepAlive.rawValue, owner: upstream.serial)
  }

  /// As configured; else, by a connection, 80 to 100 % of what the registrar wants, or of two minutes (RFC 5626
  /// §4.4.1).
  private func keepAliveInterval(_ upstream: UpstreamRegistration) -> Interval? {
    if let configured = upstream.register.keepAlive { return configured }
    guard let flow = upstream.flow, isReliable(flow.listener) else { return nil }
    let most = min(upstream.flowTimer ?? .seconds(120), .seconds(3_600)).milliseconds
    return .milliseconds(most - random.next(below: max(most / 5, 1)))
  }
}
