import Base
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Formats that the two sides have named by two numbers, and that come by either.
@Suite(.serialized) struct PayloadNumberTests {
  private func remote(_ peer: Peer, _ format: SpeechFormats.Format, events: UInt8) -> RemoteMedia {
    var remote = RemoteMedia(peer.address, codec: format.codec)
    remote.payloadType = format.payloadType
    remote.clockRate = format.codec.clockRate
    remote.speech = SpeechFormats(format)
    remote.events = EventFormats(EventFormats.Format(events))
    remote.digits = .events
    return remote
  }

  private func numbers(_ entries: PayloadNumbers.Entry...) -> PayloadNumbers {
    var numbers = PayloadNumbers()
    for entry in entries { numbers.append(entry) }
    return numbers
  }

  /// By the number of either description it arrives by that which the receiver has named, and the rest is as it was.
  @Test func eitherNumberArrives() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(
      remote(alice, .init(.opus, 107), events: 101), remote(bob, .init(.opus, 120), events: 96))
    rig.plane.submit([
      .number(
        a.id,
        numbers(
          .init(heard: 120, own: 107, leaving: 120), .init(heard: 96, own: 101, leaving: 96),
          .init(heard: 107, own: 107, leaving: 120), .init(heard: 101, own: 101, leaving: 96))),
      .number(
        b.id,
        numbers(
          .init(heard: 107, own: 120, leaving: 107), .init(heard: 120, own: 120, leaving: 107))),
    ])
    rig.measure(b)
    for (number, type, arrives) in [
      (1, 120, 120), (2, 107, 120), (3, 96, 96), (4, 101, 96), (5, 0, 0), (6, 107, 120),
    ] {
      alice.send(rtp(number, payloadType: UInt8(type), marker: number == 2), to: a.media)
      let bytes = try #require(bob.receive()?.bytes)
      #expect(
        bytes == rtp(number, payloadType: UInt8(arrives), marker: number == 2), "\(number)")
    }
    for (number, type) in [(1, 107), (2, 120)] {
      bob.send(rtp(number, ssrc: 9, payloadType: UInt8(type)), to: b.media)
      #expect(alice.receive()?.bytes == rtp(number, ssrc: 9, payloadType: 107))
    }
    // What is heard is counted by the number that its sender has named.
    #expect(rig.measure(b)?.payloadType == 120)
    // And without them everything goes as it comes.
    rig.plane.submit([.number(a.id, PayloadNumbers())])
    rig.measure(a)
    alice.send(rtp(7, payloadType: 107), to: a.media)
    #expect(bob.receive()?.bytes == rtp(7, payloadType: 107))
  }

  /// A number that means one thing to each: it goes by what the sender was told.
  @Test func swappedNumbers() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(
      remote(alice, .init(.opus, 96), events: 97), remote(bob, .init(.opus, 97), events: 96))
    rig.plane.submit([
      .number(
        a.id,
        numbers(
          .init(heard: 97, own: 96, leaving: 97), .init(heard: 96, own: 97, leaving: 96)))
    ])
    rig.measure(a)
    for type in [UInt8(96), 97] {
      alice.send(rtp(Int(type), payloadType: type), to: a.media)
      #expect(bob.receive()?.bytes == rtp(Int(type), payloadType: type))
    }
  }

  /// Speech by the wrong number is converted all the same, and digits beside it leave by the right one.
  @Test func conversionByEitherNumber() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(
      remote(alice, .init(.l16, 107), events: 101), remote(bob, .init(.pcmu, 0), events: 96))
    rig.plane.submit([
      .number(
        a.id,
        numbers(
          .init(heard: 127, own: 107, leaving: 107), .init(heard: 96, own: 101, leaving: 96),
          .init(heard: 101, own: 101, leaving: 96)))
    ])
    rig.measure(a)
    for number in 1...4 {
      let payload = [UInt8](repeating: 0, count: 320)
      let packet = rtp(number, payloadType: number < 3 ? 127 : 107).prefix(12) + payload
      alice.send(Array(packet), to: a.media)
      #expect(bob.packet()?.header.payloadType == 0)
    }
    alice.send(rtp(5, payloadType: 101).prefix(12) + [5, 0x0a, 0, 160], to: a.media)
    #expect(bob.packet()?.header.payloadType == 96)
    #expect(rig.counters.converted == 4 && rig.counters.unconvertible == 0)
  }
}
