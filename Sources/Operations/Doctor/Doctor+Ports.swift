import Base
import Edge
import SIPWire

// What of us strangers can reach, and what they see there.

extension DoctorFacts {
  var portFindings: [DoctorFinding] {
    listeners.map(listener) + [plainOnly, kernelBans, pages].compactMap { $0 }
  }

  private func listener(_ own: ListenerSettings) -> DoctorFinding {
    let place = "\(own.transport.rawValue) \(SocketAddress(own.address, own.port))"
    let check = "port \(own.name)"
    let reach = own.address.reach
    if own.transport.wire.isWebSocket, own.origins.isEmpty, reach == .everybody {
      return DoctorFinding(
        .ports, check, .advice, "\(place) is open to \(reach.rawValue), and to any web page",
        remedy: "name the pages that may connect: `origins: [https://phone.example.com]`")
    }
    return DoctorFinding(.ports, check, .good, "\(place) is open to \(reach.rawValue)")
  }

  /// Where the internet comes in, and nothing that comes is encrypted.
  private var plainOnly: DoctorFinding? {
    let open = listeners.filter { $0.address.reach == .everybody }
    guard let first = open.first, !open.contains(where: { $0.transport.wire.isSecure }) else {
      return nil
    }
    return DoctorFinding(
      .ports, "signalling in the clear", .advice,
      "\(first.name) is open to everybody, and no listener beside it has TLS: who calls whom "
        + "can be read on the way, and the keys of SRTP with it",
      remedy: "add a listener with `transport: tls` and a certificate, and set the phones to it")
  }

  private var kernelBans: DoctorFinding? {
    guard let kernelTable else { return nil }
    let check = "bans in the kernel"
    guard let obstacle = kernelTableObstacle else {
      return DoctorFinding(
        .ports, check, .good, "this process may keep them in the table `inet \(kernelTable)`")
    }
    return DoctorFinding(
      .ports, check, .advice, "bans hold in user space alone: \(obstacle)",
      remedy: obstacle.remedy)
  }

  private var pages: DoctorFinding? {
    guard let metrics else { return nil }
    let place = "tcp \(SocketAddress(metrics.address, metrics.port))"
    guard metrics.address.reach != .thisMachine else {
      return DoctorFinding(
        .ports, "metrics", .good, "\(place) is open to \(Reach.thisMachine.rawValue)")
    }
    return DoctorFinding(
      .ports, "metrics", metrics.address.reach == .everybody ? .bad : .advice,
      "\(place) tells \(metrics.address.reach.rawValue) of trunks and calls, without a password",
      remedy: "bind `metrics` to 127.0.0.1, or to an address that only the scraper reaches")
  }
}

/// Who an address can be reached by, as far as it says that itself.
enum Reach: String, Sendable {
  case thisMachine = "this machine"
  case ownNetwork = "the own network"
  case everybody = "everybody"
}

extension IPAddress {
  /// Of an address that is bound to: all addresses at once are taken for the widest of them.
  var reach: Reach {
    isLoopback ? .thisMachine : isPrivate ? .ownNetwork : .everybody
  }
}
