import Base
import MediaEngine
import RTPWire
import Testing

/// Telephone-events in and digits out, without sockets or time.
@Suite struct DigitMachineTests {
  struct Report {
    var header: RTPHeader
    var event: TelephoneEvent
  }

  /// As a phone says them: a report every 20 ms, the end three times, then a pause.
  static func reports(
    _ events: [UInt8], milliseconds: Int = 100, pause: Int = 60, ssrc: UInt32 = 7,
    first: UInt32 = 0xffff_ff00
  ) -> [Report] {
    var reports: [Report] = []
    var (timestamp, sequence) = (first, UInt16(65_500))
    func add(_ event: UInt8, _ duration: Int, _ end: Bool, _ marker: Bool) {
      let header = RTPHeader(
        payloadType: 101, marker: marker, sequence: sequence, timestamp: timestamp, ssrc: ssrc)
      reports.append(
        Report(
          header: header,
          event: TelephoneEvent(
            event: event, end: end, volume: 10, duration: UInt16(duration * 8))))
      sequence &+= 1
    }
    for event in events {
      for at in stride(from: 20, to: milliseconds, by: 20) { add(event, at, false, at == 20) }
      for _ in 0..<3 { add(event, milliseconds, true, false) }
      timestamp &+= UInt32((milliseconds + pause) * 8)
    }
    return reports
  }

  private func read(_ reports: [Report]) -> (began: [UInt8], ended: [HeardDigit]) {
    var receiver = EventReceiver()
    var (began, ended): ([UInt8], [HeardDigit]) = ([], [])
    for report in reports {
      let steps = receiver.take(report.header, report.event)
      if let digit = steps.ended { ended.append(digit) }
      if let event = steps.began { began.append(event) }
      if let digit = steps.endedAtOnce { ended.append(digit) }
    }
    if let digit = receiver.end() { ended.append(digit) }
    return (began, ended)
  }

  private let typed: [UInt8] = [5, 5, 5, 0, 1, 11, 11, 10, 15, 15, 9, 9]

  @Test func eachBeginsAndEndsOnce() {
    let (began, ended) = read(Self.reports(typed))
    #expect(began == typed)
    #expect(ended == typed.map { HeardDigit(event: $0, duration: 800) })
  }

  /// 5 % lost, others twice and out of order: the same digits in the same order, over hundreds of seeds. A digit of 100 ms
  /// is said in seven packets, so none is ever lost whole.
  @Test func lossRepetitionAndOrder() {
    for seed in UInt64(1)...500 {
      var link = LossyLink(seed: seed)
      let (began, ended) = read(link.carry(Self.reports(typed)))
      #expect(began == typed && ended.map(\.event) == typed, "seed \(seed)")
    }
  }

  /// What a burst takes away whole is missing; nothing comes twice, and nothing out of order.
  @Test func heavyLossMakesNoDoubles() {
    for seed in UInt64(1)...300 {
      var link = LossyLink(seed: seed, loss: 0.5, repetition: 0.2, delay: 0.2)
      let (began, ended) = read(link.carry(Self.reports(typed)))
      #expect(compared(typed, began).extra == 0, "seed \(seed)")
      #expect(ended.map(\.event) == began)
    }
  }

  /// RFC 4733 §2.5.1.3: a key that is held goes on in the next segment; and a flow that begins anew is heard.
  @Test func longOnesAndNewFlows() {
    var receiver = EventReceiver()
    func take(_ timestamp: UInt32, _ duration: UInt16, end: Bool, ssrc: UInt32 = 1) -> DigitSteps {
      receiver.take(
        RTPHeader(payloadType: 101, marker: false, sequence: 1, timestamp: timestamp, ssrc: ssrc),
        TelephoneEvent(event: 3, end: end, volume: 0, duration: duration))
    }
    #expect(take(1_000, 160, end: false).began == 3)
    #expect(take(1_000, 0xffff, end: false) == .nothing)
    #expect(take(1_000 + 0xffff, 160, end: false) == .nothing)
    #expect(take(1_000, 0xffff, end: false) == .nothing)
    #expect(
      take(1_000 + 0xffff, 320, end: true).ended == HeardDigit(event: 3, duration: 0xffff + 320))
    #expect(take(1_000 + 0xffff, 320, end: true) == .nothing)
    #expect(take(5, 160, end: true, ssrc: 2).began == 3)
    #expect(take(4_294_917_301, 160, end: false, ssrc: 2) == .nothing)
    // The same source, seconds back: it has begun anew.
    #expect(take(3_000_000_000, 160, end: false, ssrc: 2).began == 3)
  }

  @Test func whatIsNoDigit() {
    let (began, ended) = read(Self.reports([32, 36, 255, 17]))
    #expect(began.isEmpty && ended.isEmpty)
    #expect(read(Self.reports([16])).began == [16])
  }

  // MARK: Out

  private func say(_ form: DigitSender.Form, _ sender: inout DigitSender, _ period: Int = 20)
    -> [DigitSender.Step]
  {
    var steps: [DigitSender.Step] = []
    while let step = sender.next(form, packetMilliseconds: period), steps.count < 2_000 {
      steps.append(step)
    }
    return steps
  }

  /// RFC 4733 §2.5.1.2 and §2.5.1.4: durations grow, the end comes three times, and it is the last one's.
  @Test func asEvents() {
    var sender = DigitSender()
    #expect(sender.isIdle)
    let isTaken = (sender.add(5, milliseconds: 110), sender.add(6, milliseconds: 10))
    #expect(isTaken == (true, true))
    let steps = say(.events, &sender)
    func event(_ event: UInt8, _ duration: Int, first: Bool = false, end: Bool = false)
      -> DigitSender.Step
    {
      .event(event, duration: duration, isFirst: first, isEnd: end)
    }
    #expect(
      steps == [
        event(5, 20, first: true), event(5, 40), event(5, 60), event(5, 80), event(5, 100),
        event(5, 110, end: true), event(5, 110, end: true), event(5, 110, end: true), .pause,
        event(6, 20, first: true), event(6, 40), event(6, 50, end: true), event(6, 50, end: true),
        event(6, 50, end: true), .pause,
      ])
    #expect(sender.isIdle)
  }

  /// 50 ms at least of tone, and of silence behind it, whatever the packet time.
  @Test(arguments: [10, 20, 30, 40, 60]) func asTones(period: Int) {
    var sender = DigitSender()
    for _ in 0..<3 {
      let isTaken = sender.add(7, milliseconds: 1)
      #expect(isTaken)
    }
    let steps = say(.tones, &sender, period)
    var runs: [(isTone: Bool, length: Int)] = []
    for step in steps {
      let isTone = if case .tone(7, _) = step { true } else { false }
      if runs.last?.isTone == isTone {
        runs[runs.count - 1].length += period
      } else {
        runs.append((isTone, period))
      }
    }
    #expect(runs.map(\.isTone) == [true, false, true, false, true, false])
    #expect(runs.allSatisfy { (50..<50 + period).contains($0.length) })
  }

  /// As long as the key is held, then no longer; what is never ended is let go.
  @Test func openDigits() {
    var sender = DigitSender()
    let isTaken = sender.begin(1)
    #expect(isTaken)
    for _ in 0..<20 {
      let step = sender.next(.tones, packetMilliseconds: 20)
      #expect(step != .silence)
    }
    sender.end(milliseconds: 400)
    let after = sender.next(.tones, packetMilliseconds: 20)
    #expect(after == .silence)
    _ = say(.tones, &sender)
    let isNextTaken = sender.begin(2)
    #expect(isNextTaken)
    let held = say(.events, &sender)
    #expect(held.count < 8_100 / 20 && sender.isIdle)
    sender.end(milliseconds: 1)
    #expect(sender.isIdle)
  }

  @Test func tooManyWait() {
    var sender = DigitSender()
    for i in 0..<40 {
      let isTaken = sender.add(UInt8(i % 10), milliseconds: 50)
      #expect(isTaken == (i < 16))
    }
    let said = say(.events, &sender).compactMap { step -> UInt8? in
      if case .event(let event, _, true, _) = step { event } else { nil }
    }
    #expect(said == (0..<16).map { UInt8($0 % 10) })
  }
}
