import Base
import CallCore
import Policy
import Simulation
import Testing

/// RFC 4028 on each leg for itself. RELIABILITY C7: whoever vanishes is missed, on hold too.
@Suite struct SessionTimerCallTests {
  private func scene(_ change: (inout Trunk) -> Void = { _ in }) throws -> Scene {
    var resources = Scene.resources()
    resources.trunks[0].sessionExpires = .seconds(120)
    change(&resources.trunks[0])
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    return scene
  }

  struct Mix: CustomTestStringConvertible {
    var timer: TimerHabit?
    var updates: Bool
    var isUs: Bool
    var testDescription: String {
      "\(timer.map { "\($0)" } ?? "no support")\(updates ? ", UPDATE" : "")"
    }
  }

  static let mixes = [
    Mix(timer: nil, updates: false, isUs: true), Mix(timer: nil, updates: true, isUs: true),
    Mix(timer: TimerHabit(seconds: 100, refreshes: false), updates: true, isUs: true),
    Mix(timer: TimerHabit(seconds: 100, refreshes: false), updates: false, isUs: true),
    Mix(timer: TimerHabit(seconds: 100, refreshes: true), updates: true, isUs: false),
    Mix(timer: TimerHabit(seconds: 100, refreshes: true), updates: false, isUs: false),
  ]

  /// Ten minutes with a callee of each kind: the session is kept alive, by whoever was to do it.
  @Test(arguments: mixes) func calleeIsKept(_ mix: Mix) throws {
    let scene = try scene()
    scene.north.onInvite = { _ in
      .answering().with {
        $0.timer = mix.timer
        $0.updates = mix.updates
      }
    }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(600)))
    scene.world.run(for: .seconds(700))
    #expect(call.ending == .hungUpHere)
    let callee = try #require(scene.north.calls.first)
    #expect(callee.ending == .hungUpThere)
    let refreshes = scene.world.trace.entries.filter { entry in
      let isToThem = entry.to == scene.north.address
      let text = String(decoding: entry.bytes.prefix(2_000), as: UTF8.self)
      return isToThem && (text.hasPrefix("UPDATE") || text.hasPrefix("INVITE"))
        && text.contains("To: ") && text.contains("Session-Expires") && text.contains("refresher=")
    }
    if mix.isUs { #expect(refreshes.count >= 8) } else { #expect(refreshes.isEmpty) }
    if mix.isUs, mix.updates { #expect(callee.refreshesReceived >= 8) }
    scene.expectRest()
  }

  /// The other way round: the caller is a carrier.
  @Test(arguments: mixes) func callerIsKept(_ mix: Mix) throws {
    let scene = try scene()
    scene.alice.onInvite = { _ in .answering() }
    let call = scene.north.call(
      "+493010",
      CallerScript().hangingUp(after: .seconds(600)).with {
        $0.timer = mix.timer.map {
          TimerHabit(seconds: $0.seconds, refreshes: $0.refreshes)
        }
        $0.updates = mix.updates
      })
    scene.world.run(for: .seconds(700))
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// The callee vanishes, in the talk or on hold, whatever it supports: BYE in time, the record says why.
  @Test(arguments: mixes, [false, true]) func calleeVanishes(_ mix: Mix, onHold: Bool) throws {
    let scene = try scene { $0.mediaTimeout = .seconds(3_000) }
    scene.north.onInvite = { _ in
      .answering().with {
        $0.timer = mix.timer
        $0.updates = mix.updates
        $0.dieAfter = .seconds(20)
        if onHold { $0.reoffers = [Reoffer(after: .seconds(3), direction: .sendonly)] }
      }
    }
    let call = scene.alice.call(
      "+441234", CallerScript().with { if onHold { $0.timer = nil } })
    let start = scene.world.now
    scene.world.run(for: .seconds(500))
    let record = try #require(scene.records.first)
    if onHold {
      // SE and 32 s at most (RELIABILITY C7).
      #expect(record.cause == .sessionExpired)
      let end = try #require(record.end)
      #expect(end - start <= .seconds(2 + 120 + 32))
    } else {
      #expect(record.cause == .sessionExpired || record.cause == .mediaTimeout)
    }
    #expect(call.ending == .hungUpThere)
    scene.expectRest(policy: .seconds(300))
  }

  /// 422 from the callee, once and for ever (RELIABILITY C6).
  @Test func calleeWantsLonger() throws {
    let scene = try scene { $0.sessionExpires = .seconds(90) }
    var asked: [String] = []
    scene.north.onInvite = { invite in
      asked.append(invite.value(.sessionExpires) ?? "")
      return asked.count == 1
        ? CalleeScript.refusing(422).with { $0.extraHeaders = ["Min-SE: 300"] } : .answering()
    }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(2)))
    scene.finish()
    #expect(asked.count == 2 && asked[0].hasPrefix("90") && asked[1].hasPrefix("300"))
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  @Test func calleeWantsEverLonger() throws {
    var resources = Scene.resources()
    resources.routes[0].carriers.removeLast()
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    var asked = 0
    scene.north.onInvite = { _ in
      asked += 1
      return CalleeScript.refusing(422).with { [asked] in
        $0.extraHeaders = ["Min-SE: \(asked * 5_000)"]
      }
    }
    let call = scene.alice.call("+441234")
    scene.finish()
    #expect(asked == 3)
    #expect(call.state == .ended)
    scene.expectRest()
  }

  /// Ours: an interval that is too short for us gets 422 with our Min-SE.
  @Test func callerWantsShorter() throws {
    let scene = try scene {
      $0.sessionExpires = .seconds(300)
      $0.minSessionExpires = .seconds(200)
    }
    scene.north.request(
      "x", method: "INVITE", uri: "sip:+493010@203.0.113.1",
      headers: ["Supported: timer", "Session-Expires: 100"])
    scene.world.run(for: .seconds(2))
    #expect(scene.north.answers["x"] == 422)
    #expect(scene.north.answered["x"]?.value(.minSE) == "200")
    #expect(scene.refusals.contains { $0.cause == .sessionIntervalTooSmall })
  }

  /// `sessionTimers: off`: nothing is asked for, and nothing granted.
  @Test func switchedOff() throws {
    let scene = try scene { $0.sessionTimers = false }
    var invites: [AgentMessage] = []
    scene.north.onInvite = {
      invites.append($0)
      return .answering()
    }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(300)))
    scene.world.run(for: .seconds(400))
    #expect(invites.first?.has(.sessionExpires) == false)
    #expect(invites.first?.lists("timer", .supported) == false)
    #expect(scene.north.calls.first?.refreshesReceived == 0)
    scene.expectRest()
  }
}
