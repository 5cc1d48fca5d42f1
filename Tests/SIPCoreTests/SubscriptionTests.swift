import Base
import SIPCore
import Testing

/// RFC 6665 §4.1.2 and §4.2, event by event.
@Suite struct SubscriptionTests {
  typealias Notifier = NotifierSubscription
  typealias Subscriber = SubscriberSubscription

  private func run(
    _ events: [Notifier.Event]
  ) -> (state: Notifier.State, effects: [[Notifier.Effect]]) {
    var effects: [Notifier.Effect] = []
    var machine = Notifier(for: .seconds(60), at: .zero, into: &effects)
    var all = [effects]
    for event in events {
      effects = []
      machine.handle(event, at: .zero + .seconds(10), into: &effects)
      all.append(effects)
    }
    return (machine.state, all)
  }

  @Test func theFirstNotifyComesAtOnce() {
    let (state, effects) = run([])
    #expect(state == .active && effects == [[.start(.seconds(60)), .notify]])
  }

  /// Changes while a NOTIFY is under way are told by one further NOTIFY.
  @Test func oneNotifyAtATime() {
    let (state, effects) = run([.changed, .changed, .answered(true), .answered(true), .changed])
    #expect(state == .active)
    #expect(Array(effects.dropFirst()) == [[], [], [.notify], [], [.notify]])
  }

  @Test func endsWithALastNotify() {
    let (state, effects) = run([
      .answered(true), .ended(.noresource), .changed, .answered(true), .answered(true),
    ])
    #expect(state == .gone)
    #expect(Array(effects.dropFirst()) == [[], [.stop, .notify], [], [.gone], []])
  }

  /// The end is told after what was being told.
  @Test func endsWhileNotifying() {
    let (state, effects) = run([.ended(.noresource), .answered(true), .answered(true)])
    #expect(state == .gone)
    #expect(Array(effects.dropFirst()) == [[.stop], [.notify], [.gone]])
  }

  @Test(arguments: [Notifier.Event.expired, .refreshed(.zero)])
  func timeIsUp(event: Notifier.Event) {
    let (state, effects) = run([.answered(true), event])
    #expect(state == .ending && effects.last == [.stop, .notify])
  }

  @Test func refreshed() {
    let (state, effects) = run([.answered(true), .refreshed(.seconds(30))])
    #expect(state == .active && effects.last == [.start(.seconds(30)), .notify])
  }

  @Test func aRefusedNotifyEndsIt() {
    let (state, effects) = run([.answered(false), .changed])
    #expect(state == .gone && Array(effects.dropFirst()) == [[.stop, .gone], []])
  }

  /// With a pace: what changes too soon waits, and is told once; a SUBSCRIBE is answered at once all the same.
  @Test func paced() {
    var effects: [Notifier.Effect] = []
    var machine = Notifier(for: .seconds(60), pace: .seconds(5), at: .zero, into: &effects)
    func after(_ seconds: Int, _ event: Notifier.Event) -> [Notifier.Effect] {
      effects = []
      machine.handle(event, at: .zero + .seconds(seconds), into: &effects)
      return effects
    }
    #expect(after(1, .answered(true)) == [])
    #expect(after(2, .changed) == [.pause(.seconds(3))])
    #expect(after(3, .changed) == [])
    #expect(after(5, .paced) == [.notify])
    #expect(after(6, .changed) == [])
    #expect(after(6, .answered(true)) == [.pause(.seconds(4))])
    #expect(after(7, .refreshed(.seconds(60))) == [.start(.seconds(60)), .notify])
    #expect(after(7, .answered(true)) == [])
    #expect(after(10, .paced) == [])
    #expect(after(11, .changed) == [.pause(.seconds(1))])
    #expect(after(11, .ended(.rejected)) == [.stop, .notify])
    #expect(after(12, .paced) == [] && after(12, .answered(true)) == [.gone])
  }

  /// RFC 6665 §4.4.3.
  @Test func fetched() {
    var effects: [Notifier.Effect] = []
    var machine = Notifier(for: .zero, at: .zero, into: &effects)
    #expect(effects == [.notify] && machine.end == .timeout)
    effects = []
    machine.handle(.answered(true), at: .zero, into: &effects)
    #expect(effects == [.gone])
  }

  @Test func whatIsWritten() {
    var effects: [Notifier.Effect] = []
    var machine = Notifier(for: .seconds(60), at: .zero, into: &effects)
    func text(_ seconds: Int) -> String {
      var output = OutputBuffer(byteLimit: 256, recordLimit: 1)
      output.begin()
      machine.write(at: .zero + .seconds(seconds), into: &output)
      return output.withOpenBytes { $0.string(ByteRange(0, $0.byteCount)) }
    }
    #expect(text(18) == "active;expires=42")
    machine.handle(.ended(.noresource), at: .zero, into: &effects)
    #expect(text(18) == "terminated;reason=noresource")
  }

  // MARK: Subscriber

  private func subscribe(
    _ events: [Subscriber.Event]
  ) -> (state: Subscriber.State, last: [Subscriber.Effect]) {
    var effects: [Subscriber.Effect] = []
    var machine = Subscriber(for: .seconds(600), into: &effects)
    for event in events {
      effects = []
      machine.handle(event, into: &effects)
    }
    return (machine.state, effects)
  }

  @Test func subscriberTable() {
    let granted: [Subscriber.Effect] = [
      .startExpiry(.seconds(100)), .startRefresh(.seconds(90)),
    ]
    let over: [Subscriber.Effect] = [.stop, .over(nil, retryAfter: nil)]
    let rows: [([Subscriber.Event], Subscriber.State, [Subscriber.Effect])] = [
      ([], .waiting, [.subscribe(.seconds(600)), .startExpiry(.seconds(32))]),
      ([.accepted(.seconds(100))], .waiting, granted),
      ([.notified(.active(expires: .seconds(100)))], .active, granted),
      ([.notified(.pending(expires: nil))], .pending, []),
      ([.notified(.pending(expires: nil)), .notified(.active(expires: nil))], .active, []),
      ([.refused(489)], .over, over),
      ([.expired], .over, [.stop, .over(.timeout, retryAfter: nil)]),
      ([.notified(.active(expires: nil)), .refused(500)], .active, []),
      (
        [.notified(.active(expires: nil)), .refused(481)], .over,
        [.stop, .over(.noresource, retryAfter: nil)]
      ),
      ([.notified(.active(expires: nil)), .refreshDue], .active, [.subscribe(.seconds(600))]),
      (
        [.notified(.terminated(.probation, retryAfter: .seconds(9)))], .over,
        [.stop, .over(.probation, retryAfter: .seconds(9))]
      ),
      ([.notified(.active(expires: nil)), .unsubscribe], .over, [.subscribe(.zero)] + over),
      ([.unsubscribe, .accepted(.seconds(9)), .notified(.active(expires: nil))], .over, []),
    ]
    for (events, state, last) in rows {
      let outcome = subscribe(events)
      #expect(outcome.state == state && outcome.last == last, "\(events)")
    }
  }
}
