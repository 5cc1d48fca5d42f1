import Base
import CallCore
import Policy
import Simulation

// What a stranger's REGISTER costs that is dropped by the access list, because its sender is banned, or because it comes
// too fast; and what it costs to challenge it.

private struct BorderBed {
  let shard: Shard
  private let request: [UInt8]
  private let source = SocketAddress(IPAddress(v4: 0xc000_0242), 5060)
  private(set) var answered = 0

  init(_ change: (inout AdmissionLimits, inout Resources) -> Void) {
    var resources = Scene.resources()
    var settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: (0..<32).map { UInt8($0 * 7 + 3) },
      listeners: Scene.settings().listeners, mediaAddresses: Scene.settings().mediaAddresses)
    settings.limits.traceBytes = 1 << 10
    change(&settings.limits.admission, &resources)
    do {
      let configuration = try Configuration(
        resources: resources, revision: 1,
        listeners: Scene.settings().listeners.map { ($0.name, $0.bound) },
        media: [("inside", Scene.inside.ip), ("outside", Scene.outside.ip)])
      guard
        let shard = Shard(settings: settings, configuration: configuration, now: EngineBed.start)
      else { fail("the engine does not start") }
      self.shard = shard
    } catch {
      fail("the configuration of the admission bench: \(error)")
    }
    shard.outbox.removeAll()
    request = Array(
      """
      REGISTER sip:trunk.example SIP/2.0\r
      Via: SIP/2.0/UDP \(source);branch=z9hG4bK-524287-1---a;rport\r
      Max-Forwards: 70\r
      From: <sip:alice@trunk.example>;tag=8f2b\r
      To: <sip:alice@trunk.example>\r
      Call-ID: 9d3c2e1b@\(source.ip)\r
      CSeq: 1 REGISTER\r
      Contact: <sip:alice@\(source)>\r
      User-Agent: ExamplePhone/2.1\r
      Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO\r
      Expires: 3600\r
      Content-Length: 0\r
      \r

      """.utf8)
  }

  func ban() {
    let network = IPNetwork(source.ip, prefixLength: 32)
    shard.handle(
      .query(.ban(network, reason: "", for: .seconds(3_600)), token: 1), at: EngineBed.start)
    shard.outbox.removeAll()
  }

  mutating func feed(_ count: Int) {
    for _ in 0..<count {
      shard.receive(request.rawSpan, from: source, on: 0, at: EngineBed.start)
      answered += shard.outbox.datagrams.count
      shard.outbox.removeAll()
    }
  }
}

func admissionBench(into results: inout BenchResults) {
  let denied = BorderBed { _, resources in
    resources.networks[0].access.deny = [IPNetwork(IPAddress(v4: 0xc000_0200), prefixLength: 24)]
  }
  let banned = BorderBed { _, _ in }
  banned.ban()
  let tooFast = BorderBed { limits, _ in limits.sourceRate = 1 }
  let challenged = BorderBed { limits, _ in
    limits.sourceRate = 1_000_000
    limits.blockRate = 1_000_000
    limits.networkRate = 1_000_000
  }
  for (name, bed, isAnswered) in [
    ("denied", denied, false), ("banned", banned, false), ("too_fast", tooFast, false),
    ("challenged", challenged, true),
  ] {
    var bed = bed
    // What the rate lets through at once is over after this.
    bed.feed(10)
    let before = bed.answered
    let cost = measure(iterations: 20_000) { bed.feed($0) }
    guard (bed.answered > before) == isAnswered else { fail("\(name): \(bed.answered) answers") }
    results.record("admission_\(name)_ns", cost.least, "ns")
    if let mallocs = cost.mallocs { results.record("admission_\(name)_mallocs", mallocs, "") }
  }
}
