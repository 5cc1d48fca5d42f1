package import Persistence

/// A call as the API and the command tell it: times in RFC 3339, durations in seconds, names as in YAML.
package struct CallResource: Codable, Hashable, Sendable {
  package var id: String
  package var tenant: String
  package var state: String
  /// "trunk:NAME", "user:NAME", "application:NAME", or empty while unknown.
  package var from: String
  package var to: String
  package var callerNumber: String
  package var calledNumber: String
  package var source: String?
  package var sipCallId: String
  package var setup: String
  package var ringing: String?
  package var answer: String?
  package var end: String?
  /// From the answer to the end, or to now; by the monotonic clock.
  package var seconds: Double?
  package var releasedBy: String?
  package var status: Int?
  package var cause: String?
  package var codec: String?
  package var quality: CallQualityResource?
  package var attempts: [CallAttemptResource]
  /// What was decided on its way, a line each.
  package var notes: [String]?
  package var recordings: [RecordingResource]?

  package init(id: String, tenant: String, state: String, setup: String) {
    self.id = id
    self.tenant = tenant
    self.state = state
    self.setup = setup
    from = ""
    to = ""
    callerNumber = ""
    calledNumber = ""
    sipCallId = ""
    attempts = []
  }
}

package struct CallAttemptResource: Codable, Hashable, Sendable {
  package var target: String
  package var address: String?
  package var started: String
  package var ended: String?
  package var status: Int?
  package var cause: String?
  package var forwardedBy: String?

  package init(target: String, started: String) {
    self.target = target
    self.started = started
  }
}

/// What we received from each side.
package struct CallQualityResource: Codable, Hashable, Sendable {
  package var fromCaller: StreamQualityResource?
  package var fromCallee: StreamQualityResource?

  package init(fromCaller: StreamQualityResource?, fromCallee: StreamQualityResource?) {
    self.fromCaller = fromCaller
    self.fromCallee = fromCallee
  }
}

package struct StreamQualityResource: Codable, Hashable, Sendable {
  package var packets: UInt64
  package var octets: UInt64
  package var lost: UInt64
  package var lossPercent: Double
  package var duplicates: UInt64
  package var reordered: UInt64
  package var jitterMilliseconds: Double
  package var maxJitterMilliseconds: Double
  /// 1.0 to 4.5 by G.107; missing where the codec has no published model.
  package var mos: Double?
  package var refused: UInt64
  /// Refused by SRTP: not under the far end's key, and repeated.
  package var unauthentic: UInt64
  package var replayed: UInt64
  /// What the far end says of the speech that it hears, by RTCP XR.
  package var remoteMOS: Double?
  package var sent: UInt64
  package var roundTripMilliseconds: Double?
}

/// A list that may go on: ask again with `cursor=nextCursor`.
package struct PageResource<Item: Codable & Hashable & Sendable>: Codable, Hashable, Sendable {
  package var items: [Item]
  package var nextCursor: String?

  package init(items: [Item], nextCursor: String? = nil) {
    self.items = items
    self.nextCursor = nextCursor
  }
}
