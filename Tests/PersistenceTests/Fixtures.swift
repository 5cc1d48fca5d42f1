import Base
import CallCore
import Foundation
import MediaControl
import Persistence
import Policy
import Synchronization

/// A folder that goes away with the test.
final class Folder: Sendable {
  let url: URL
  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "demarc-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(at: url) }

  var store: String { url.appending(path: "store.db").path }
}

/// Both clocks under the test's control: the monotonic one starts at 0 with `epoch` on the wall.
final class TestClock: Sendable {
  static let epoch: Int64 = 1_800_000_000_000
  private let time: Mutex<(now: Instant, step: Int64)>

  init(at milliseconds: Int = 0) {
    time = Mutex((now: .zero + .milliseconds(milliseconds), step: 0))
  }

  func advance(_ milliseconds: Int) {
    time.withLock { $0.now = $0.now + .milliseconds(milliseconds) }
  }

  /// What an administrator or NTP does to the wall clock.
  func stepWall(_ milliseconds: Int64) { time.withLock { $0.step += milliseconds } }

  var clock: StoreClock {
    StoreClock(
      now: { self.time.withLock { $0.now } },
      wall: { instant in
        Self.epoch + self.time.withLock { $0.step } + Int64(instant.nanoseconds / 1_000_000)
      })
  }
}

func at(_ milliseconds: Int) -> Instant { .zero + .milliseconds(milliseconds) }

/// Facts of calls, numbered as a shard numbers them.
struct FactMaker {
  var incarnation: UInt64 = 1_800_000_000_000
  var sequence: UInt64 = 0

  func id(_ serial: UInt64) -> CallID { CallID(incarnation: incarnation, serial: serial) }

  func record(_ serial: UInt64, setup: Int = 0) -> CallRecord {
    CallRecord(
      id: id(serial), tenant: "acme", from: "trunk:office", to: "",
      calledNumber: "+441632960\(100 + serial % 900)", callerNumber: "1001",
      source: SocketAddress(IPAddress(v4: 0xc000_0201), 5060), sipCallID: "a84b4c76e6-\(serial)",
      setup: at(setup))
  }

  mutating func fact(_ event: FactEvent, at milliseconds: Int = 0, call: CallID? = nil) -> Fact {
    sequence += 1
    return Fact(sequence: sequence, at: at(milliseconds), call: call, event: event)
  }

  mutating func attempted(_ serial: UInt64, at milliseconds: Int = 0) -> Fact {
    fact(
      .callAttempted(record(serial, setup: milliseconds)), at: milliseconds, call: id(serial))
  }

  func answeredRecord(_ serial: UInt64, setup: Int, answer: Int) -> CallRecord {
    var record = record(serial, setup: setup)
    record.state = .answered
    record.to = "trunk:alpha"
    record.ringing = at(setup + (answer - setup) / 2)
    record.answer = at(answer)
    record.status = 200
    record.codec = "PCMA/8000"
    record.attempts = [
      CallAttempt(
        target: "trunk:alpha", address: SocketAddress(IPAddress(v4: 0xc633_6401), 5060),
        started: at(setup + 5), ended: at(answer), status: 200)
    ]
    return record
  }

  mutating func answered(_ serial: UInt64, setup: Int, at milliseconds: Int, session: [UInt8])
    -> Fact
  {
    let record = answeredRecord(serial, setup: setup, answer: milliseconds)
    return fact(
      .callAnswered(record, session: session), at: milliseconds, call: id(serial))
  }

  mutating func ended(_ serial: UInt64, setup: Int, answer: Int?, at milliseconds: Int) -> Fact {
    var record = self.record(serial, setup: setup)
    if let answer { record = answeredRecord(serial, setup: setup, answer: answer) }
    record.state = .ended
    record.end = at(milliseconds)
    record.releasedBy = answer == nil ? .system : .caller
    record.cause = answer == nil ? .noRoute : .normalClearing
    record.status = answer == nil ? 404 : 200
    if answer != nil {
      record.fromCaller = Self.quality(packets: 500, lost: 3)
      record.fromCallee = Self.quality(packets: 498, lost: 0)
    }
    return fact(.callEnded(record), at: milliseconds, call: id(serial))
  }

  static func quality(packets: UInt64, lost: UInt64) -> StreamQuality {
    var quality = StreamQuality()
    quality.packets = packets
    quality.octets = packets * 172
    quality.lost = lost
    quality.duplicates = 1
    quality.reordered = 2
    quality.jitter = 1_250
    quality.maxJitter = 20_005
    quality.mos = 438
    quality.payloadType = 8
    quality.ssrc = 0xdead_beef
    quality.refused = 4
    quality.malformed = 5
    quality.sent = packets + 1
    quality.rtcpPackets = 6
    quality.remoteFractionLost = 7
    quality.remoteJitter = 8
    quality.roundTrip = 42_000
    quality.unauthentic = 6
    quality.replayed = 7
    quality.remoteMOS = 410
    return quality
  }

  func binding(_ user: String, contact: String = "sip:x@192.0.2.9:5060", expires: Int) -> Binding {
    Binding(
      tenant: "acme", user: user, contact: contact,
      source: SocketAddress(IPAddress(v4: 0xc000_0209), 40_000), listener: 1, callID: "reg-\(user)",
      cseq: 7, expires: at(expires), userAgent: "baresip")
  }
}
