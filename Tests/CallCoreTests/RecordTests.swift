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
    var state = SessionRecord.LegState(
      side: .b, isOurs: true, destination: SocketAddress(IPAddress(v4: 0x7f00_0001), 5070),
      source: SocketAddress(IPAddress(v6High: 1, low: 2), 5060))
    state.followsSource = true
    state.fork = 2
    state.localCSeq = 9
    state.remoteCSeq = 4
    state.abilities = 5
    state.timerSeconds = 1_800
    state.isRefreshedByUs = true
    state.sdpSession = 5
    state.sdpVersion = 6
    state.media = SocketAddress(IPAddress(v4: 1), 20_000)
    state.answered = SpeechFormats(SpeechFormats.Format(.pcma, 8))
    var leg = SessionRecord.LegRecord(state)
    leg.tag = [7]
    leg.callID = [1, 2, 3]
    leg.local = Array("<sip:a@b>".utf8)
    leg.remoteTag = [9]
    leg.target = [4]
    leg.listener = Array("inside".utf8)
    leg.description = Array("v=0".utf8)
    let seats = [
      SessionRecord.Seat(
        kind: SessionRecord.Seat.channel, isWayOut: true, tenant: "acme", name: "carrier"),
      SessionRecord.Seat(kind: 1, isWayOut: false, tenant: "acme", name: "alice"),
    ]
    return SessionRecord(
      call: CallID(incarnation: 10, serial: 11), seats: seats, legs: [leg, leg])
  }

  @Test("A session record reads back whole, and never from a part of itself")
  func roundTrip() {
    let bytes = sample.encoded
    #expect(SessionRecord(bytes) == sample)
    for count in 0..<bytes.count {
      let part = SessionRecord(Array(bytes.prefix(count)))
      // A leg less is a record of its own, which nobody takes for a call of two.
      #expect(part == nil || part?.legs.count ?? 2 < 2)
    }
    #expect(SessionRecord(bytes + [0]) == nil)
    for version in [UInt8(0), 1, 3] {
      #expect(SessionRecord([version] + bytes.dropFirst()) == nil)
    }
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
    #expect(record.seats.map(\.name) == ["north"])
    #expect(record.legs.map(\.state.side) == [.a, .b])
    #expect(record.legs.map(\.state.isOurs) == [false, true])
    for leg in record.legs {
      #expect(!leg.callID.isEmpty && !leg.remoteTag.isEmpty && !leg.target.isEmpty)
      #expect(leg.state.media != nil && !leg.description.isEmpty)
      #expect(leg.tag.count == 32 && !leg.listener.isEmpty && !leg.network.isEmpty)
    }
  }
}
