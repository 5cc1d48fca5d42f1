package import Base
package import CallCore
package import Edge
package import MediaControl
package import MediaEngine
package import SIPWire

/// What one process needs to start, from `demarc.yaml`, the environment and the command line: where it
/// listens, where it keeps things, how it tells of itself. Everything telephonic is a resource.
package struct ProcessSettings: Hashable, Sendable {
  package var listeners = [
    ListenerSettings(name: "udp", address: .loopbackV4, port: 5060)
  ]
  package var media = [
    MediaAddress(name: "media", bound: .loopbackV4, ports: 20_000...20_499)
  ]
  /// Whether the kernel relays what needs nothing else.
  package var mediaFastPath = FastPathMode.auto
  package var store = StoreSettings()
  package var api = APISettings()
  /// Nil: no metrics over TCP; the API's socket has them always.
  package var metrics: MetricsSettings?
  package var log = LogSettings()
  package var limits = LimitSettings()
  package var admission = AdmissionLimits()
  /// The table of nftables that bans are mirrored into; nil: the kernel is told of none.
  package var kernelTable: String?
  package var dns = NameSettings()
  package var recordings = RecordingFileSettings()
  package var dscp = DSCPSettings()
  package var stir = STIRSettings()

  package init() {}
}

/// How packets are marked (RFC 2474), 0 to 63.
package struct DSCPSettings: Hashable, Sendable {
  /// EF.
  package var media = 46
  /// CS3.
  package var signalling = 24

  package init() {}
}

package enum ListenerTransport: String, Sendable, CaseIterable {
  case udp, tcp, tls, ws, wss

  package var wire: Transport {
    switch self {
    case .udp: .udp
    case .tcp: .tcp
    case .tls: .tls
    case .ws: .ws
    case .wss: .wss
    }
  }
}

package struct ListenerSettings: Hashable, Sendable {
  package var name: String
  package var transport: ListenerTransport
  package var address: IPAddress
  package var port: UInt16
  /// Of TLS and WSS: what it shows, and of whom it wants to see something.
  package var tls: TLSListenerSettings?
  /// Of WS and WSS: the origins of pages that may connect; empty: any.
  package var origins: [String] = []

  package init(
    name: String, transport: ListenerTransport = .udp, address: IPAddress, port: UInt16 = 5060
  ) {
    self.name = name
    self.transport = transport
    self.address = address
    self.port = port
  }
}

package struct StoreSettings: Hashable, Sendable {
  /// The database's file; its folder must exist.
  package var path = "run/demarc.db"
  /// Records of calls that ended longer ago are removed; 0: never.
  package var retentionDays = 400

  package init() {}
}

package struct APISettings: Hashable, Sendable {
  package var socket = "run/demarc.sock"
  package init() {}
}

package struct MetricsSettings: Hashable, Sendable {
  package var address = IPAddress.loopbackV4
  package var port: UInt16 = 9_090
  package init() {}
}

package struct LogSettings: Hashable, Sendable {
  package var level = LogLevel.info
  package var format = LogFormat.text
  /// Numbers and names of people are written whole; otherwise as their last characters.
  package var personal = false
  package init() {}
}

/// The bounds of a shard that are worth setting; the rest is `ShardLimits`.
package struct LimitSettings: Hashable, Sendable {
  package var calls: Int
  package var transactions: Int
  package var registrations: Int
  /// Bytes of messages that transactions and dialogs keep, and that ladders keep.
  package var messageMemory: Int
  package var ladderMemory: Int
  /// Facts that the store has not confirmed; above it new calls get 503.
  package var unconfirmedFacts: Int
  /// Of the listeners of TCP, TLS, WS and WSS together.
  package var streams = StreamLimits()
  /// How long calls may go on after the order to end; what is left then is hung up.
  package var drainTime = Interval.seconds(30)

  package init() {
    let limits = ShardLimits()
    calls = limits.sessions
    transactions = limits.transactions
    registrations = limits.bindings
    messageMemory = limits.blockBytes
    ladderMemory = limits.traceBytes
    unconfirmedFacts = limits.unconfirmedFacts
  }

  package var shard: ShardLimits {
    var limits = ShardLimits()
    limits.sessions = calls
    limits.transactions = transactions
    limits.bindings = registrations
    limits.blockBytes = messageMemory
    limits.traceBytes = ladderMemory
    limits.unconfirmedFacts = unconfirmedFacts
    return limits
  }
}
