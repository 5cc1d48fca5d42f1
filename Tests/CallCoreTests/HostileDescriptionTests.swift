import Base
import CallCore
import Policy
import Simulation
import Testing

/// RELIABILITY A8 and C3: descriptions that have felled others, in each message that may carry one; requests that
/// come when everything is over. The call ends in order or goes on as it was, and nothing is left.
@Suite struct HostileDescriptionTests {
  private static func audio(_ formats: String, _ attributes: String = "") -> String {
    "v=0\r\no=- 1 1 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n"
      + "m=audio 40000 RTP/AVP \(formats)\r\n\(attributes)"
  }

  struct Killer {
    var name: String
    var sdp: String
  }

  static let killers: [Killer] = {
    let plain = audio("0")
    var list: [Killer] = []
    func add(_ name: String, _ sdp: String) { list.append(Killer(name: name, sdp: sdp)) }
    add("payload type 65535", audio("65535"))
    var crypto = ""
    for tag in 1...100 {
      crypto +=
        "a=crypto:\(tag) AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9\r\n"
    }
    add("100 crypto lines", audio("0", crypto))
    let line = "m=audio 40000 RTP/AVP 0\r\n"
    add("1000 m-lines", audio("0", String(repeating: line, count: 1_000)))
    add("ptime 0", audio("0", "a=ptime:0\r\n"))
    add("ptime beyond", audio("0", "a=ptime:99999999999\r\na=maxptime:-1\r\n"))
    add("red and static", audio("121 0", "a=rtpmap:121 red/8000\r\na=fmtp:121 0/0/0\r\n"))
    add("a format that is no token", audio("@@@ \u{7f} 0"))
    add("no format", plain.replacing("RTP/AVP 0", with: "RTP/AVP"))
    add("port 65535", plain.replacing("40000", with: "65535"))
    add("port 99999", plain.replacing("40000", with: "99999"))
    add("our own address", plain.replacing("198.51.100.10", with: "203.0.113.1"))
    add("everybody", plain.replacing("198.51.100.10", with: "224.0.0.1"))
    add("fax alone", plain.replacing("audio 40000 RTP/AVP 0", with: "image 40000 udptl t38"))
    add("nothing but a version", "v=0\r\n")
    add("empty lines", String(repeating: "\r\n", count: 500))
    add("no end", audio("0", "a=rtpmap:"))
    add("clock rate 0", audio("96", "a=rtpmap:96 opus/0/99\r\n"))
    add("rejected", plain.replacing("40000", with: "0"))
    return list
  }()

  enum Place: CaseIterable { case invite, reliable, success, reInvite, update, ack }

  @Test(arguments: Place.allCases) func each(place: Place) throws {
    for killer in Self.killers { try run(killer.sdp, place, killer.name) }
  }

  private func run(_ sdp: String, _ place: Place, _ name: String) throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript.answering(after: .seconds(1)).with {
        $0.updates = true
        if place == .success || place == .reliable { $0.sdp = sdp }
        if place == .reliable {
          $0.steps[0] = CalleeStep(
            after: .milliseconds(200), status: 183, sdp: true, reliable: true)
        }
      }
    }
    var reoffer = Reoffer(after: .seconds(1), update: place == .update)
    reoffer.sdp = sdp
    let call = scene.alice.call(
      "+441234",
      CallerScript().hangingUp(after: .seconds(4)).with {
        if place == .invite || place == .ack { $0.sdp = sdp }
        $0.delayedOffer = place == .ack
        if place == .reInvite || place == .update { $0.reoffers = [reoffer] }
      })
    scene.world.run(for: .seconds(200))
    #expect(call.state == .ended, "\(name) in \(place)")
    #expect(scene.records.count == 1, "\(name) in \(place)")
    #expect(scene.north.calls.allSatisfy { $0.state == .ended }, "\(name) in \(place)")
    if place == .reInvite || place == .update {
      // Refused or not, the call goes on until it is hung up.
      #expect(call.ending == .hungUpHere && call.reoffersAnswered.count == 1, "\(name) in \(place)")
    }
    // The next call is as good as ever.
    scene.north.onInvite = { _ in .answering(after: .milliseconds(500)) }
    let next = scene.alice.call("+441235", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(60))
    #expect(next.ending == .hungUpHere, "after \(name) in \(place)")
    scene.world.settle()
    scene.world.auditor.checkAtRest(policy: .seconds(181))
    // What these descriptions name is no address of an agent's.
    let violations = scene.world.violations.filter { $0.rule != .destination }
    #expect(violations == [], "\(name) in \(place)")
  }

  /// CVE-2021-31878: whatever still comes in a dialog that is over gets 481.
  @Test(arguments: ["INVITE", "UPDATE", "PRACK", "INFO", "BYE", "OPTIONS"])
  func afterTheEnd(method: String) throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering() }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(20))
    #expect(call.ending == .hungUpHere)
    let callee = try #require(scene.north.calls.first)
    scene.north.request(
      "late", method: method, headers: ["RAck: 1 1 INVITE"], toTag: callee.remoteTag,
      callID: callee.callID, cseq: 900)
    scene.world.run(for: .seconds(40))
    #expect(scene.north.answers["late"] == 481)
    scene.expectRest()
  }
}
