import Base
import CallCore
import MediaControl
import Simulation
import Testing

@Suite("Call names and session records")
struct RecordTests {
  @Test("A call's name reads back, whatever its numbers")
  func names() {
    var random = RandomSource(seed: 3)
    for _ in 0..<1_000 {
      let id = CallID(incarnation: random.next(), serial: random.next() >> 20)
      #expect(CallID(id.description) == id)
    }
    #expect(CallID(CallID(incarnation: 1, serial: 2).description.uppercased()) != nil)
    for text in ["", "-", "abc", "a-b-c", "a-", "u-1", "0000000000000000000000-1"] {
      #expect(CallID(text) == nil)
    }
  }

  private var sample: SessionRecord {
    let leg = SessionRecord.LegRecord(
      side: .b, isOurs: true, tagOwner: 7 << 32 | 3, fork: 2, localCSeq: 9, remoteCSeq: 4,
      destination: SocketAddress(IPAddress(v4: 0x7f00_0001), 5070),
      source: SocketAddress(IPAddress(v6High: 1, low: 2), 5060), listener: 1, network: 2,
      callID: [1, 2, 3], local: Array("<sip:a@b>".utf8), remote: [], remoteTag: [9],
      target: [4], routes: [], sdpSession: 5, sdpVersion: 6,
      media: LocalMedia(address: 0, port: 20_000),
      remoteRTP: SocketAddress(IPAddress(v4: 1), 2), remoteRTCP: nil)
    return SessionRecord(
      call: CallID(incarnation: 10, serial: 11), tenant: "acme", from: "user:alice",
      to: "trunk:carrier", legs: [leg, leg])
  }

  @Test("A session record reads back whole, and never from a part of itself")
  func roundTrip() {
    let bytes = sample.encoded
    #expect(SessionRecord(bytes) == sample)
    for count in 0..<bytes.count { #expect(SessionRecord(Array(bytes.prefix(count))) == nil) }
    #expect(SessionRecord(bytes + [0]) == nil)
    #expect(SessionRecord([2] + bytes.dropFirst()) == nil)
  }

  @Test("The record of an answered call reads back, and its legs are the call's")
  func established() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    let encoded = scene.world.facts.compactMap { fact -> [UInt8]? in
      if case .callAnswered(_, let session) = fact.event { session } else { nil }
    }
    let bytes = try #require(encoded.first)
    let record = try #require(SessionRecord(bytes))
    #expect(record.encoded == bytes)
    #expect(record.from.hasPrefix("trunk:") && record.to == "user:alice")
    #expect(record.legs.map(\.state.side) == [.a, .b])
    #expect(record.legs.map(\.state.isOurs) == [false, true])
    for leg in record.legs {
      #expect(!leg.callID.isEmpty && !leg.remoteTag.isEmpty && !leg.target.isEmpty)
      #expect(leg.state.media != nil && leg.state.remoteRTP != nil)
    }
  }
}
