import Base
import CallCore
import Foundation
import Operations
import Policy
import Synchronization
import Testing

@Suite struct LogLineTests {
  static let moment: Int64 = 1_795_230_091_963
  static let text = LogFormatter(format: .text)
  static let json = LogFormatter(format: .json)

  static func string(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  @Test func aLineSaysWhenHowBadAndWhat() {
    let line = LogLine(
      .warning, "authentication failed",
      [
        LogField("username", .personal("+493012345678")), LogField("source", "192.0.2.7:5060"),
        LogField("tries", 3), LogField("mos", .decimal(4.41)), LogField("reason", "wrong password"),
        LogField("empty", ""), LogField("late", .flag(true)),
      ])
    #expect(
      Self.string(Self.text.bytes(line, at: Self.moment)) == """
        2026-11-21T03:01:31.963Z warning authentication failed  username="…678" \
        source=192.0.2.7:5060 tries=3 mos=4.41 reason="wrong password" empty="" late=true

        """)
    #expect(
      Self.string(Self.json.bytes(line, at: Self.moment)) == """
        {"time":"2026-11-21T03:01:31.963Z","level":"warning","event":"authentication failed",\
        "username":"…678","source":"192.0.2.7:5060","tries":3,"mos":4.41,\
        "reason":"wrong password","empty":"","late":true}

        """)
  }

  @Test func peersCannotForgeALineOrDriveATerminal() throws {
    let attack =
      "x\n2026-01-01T00:00:00.000Z error  root\u{1b}[2J\u{7}\u{202e}\u{85}\u{2028}\"=\\\u{0}"
    let line = LogLine(.info, "request refused", [LogField("method", attack)])
    let text = Self.string(Self.text.bytes(line, at: 0))
    #expect(
      text.hasSuffix(
        #"method="x\n2026-01-01T00:00:00.000Z error  root\x1b[2J\x07\u{202e}\x85\u{2028}\"=\\\x00""#
          + "\n"))
    #expect(text.unicodeScalars.filter { $0 == "\n" }.count == 1)
    let json = Self.json.bytes(line, at: 0)
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(json)) as? [String: String])
    #expect(object["method"] == attack)
    #expect(!json.dropLast().contains { $0 < 0x20 || $0 == 0x7f })
  }

  @Test func aLongValueIsCut() {
    let line = LogLine(.info, "e", [LogField("v", String(repeating: "ä", count: 100_000))])
    #expect(Self.text.bytes(line, at: 0).count < 1_200)
  }

  @Test func personalValuesAreShownWhenAsked() {
    let line = LogLine(
      .info, "e", [LogField("a", .personal("12345")), LogField("b", .personal("1234567"))])
    #expect(Self.string(Self.text.bytes(line, at: 0)).hasSuffix("a=\"…\" b=\"…567\"\n"))
    let open = LogFormatter(format: .text, showsPersonal: true)
    #expect(Self.string(open.bytes(line, at: 0)).hasSuffix("a=12345 b=1234567\n"))
  }

  @Test func decimalsKnowNoLocale() {
    #expect(Decimals.text(0) == "0")
    #expect(Decimals.text(-0.0001) == "0")
    #expect(Decimals.text(1.5) == "1.5")
    #expect(Decimals.text(-12.3456) == "-12.346")
    #expect(Decimals.text(.infinity) == "inf")
    #expect(Decimals.text(1e300) == "1e+300")
  }
}

@Suite struct LogSinkTests {
  @Test func linesReachTheDescriptorInOrder() throws {
    let pipe = Pipe()
    let sink = LogSink(
      descriptor: pipe.fileHandleForWriting.fileDescriptor, level: .info,
      formatter: LogFormatter(format: .text), clock: { 0 })
    for index in 0..<100 { sink.write(LogLine(.info, "e", [LogField("n", index)])) }
    sink.write(LogLine(.debug, "not told"))
    sink.flush()
    try pipe.fileHandleForWriting.close()
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let lines = text.split(separator: "\n")
    #expect(lines.count == 100)
    #expect(lines.first?.hasSuffix("n=0") == true)
    #expect(lines.last?.hasSuffix("n=99") == true)
  }

  /// Nobody reads the pipe: the writer goes on, the bound holds, and the loss is told.
  @Test func aReaderThatStopsCostsLinesNotTime() throws {
    let pipe = Pipe()
    let sink = LogSink(
      descriptor: pipe.fileHandleForWriting.fileDescriptor, level: .info,
      formatter: LogFormatter(format: .text), limit: 100_000, clock: { 0 })
    let line = LogLine(.info, "e", [LogField("v", String(repeating: "x", count: 400))])
    for _ in 0..<5_000 { sink.write(line) }
    let counters = sink.counters
    #expect(counters.lines + counters.dropped == 5_000)
    #expect(counters.dropped > 3_000)
    let reader = pipe.fileHandleForReading
    let done = DispatchSemaphore(value: 0)
    let received = Mutex(Data())
    Thread.detachNewThread {
      let data = reader.readDataToEndOfFile()
      received.withLock { $0 = data }
      done.signal()
    }
    sink.write(LogLine(.info, "last"))
    sink.flush()
    sink.write(LogLine(.info, "after the flood"))
    sink.flush()
    try pipe.fileHandleForWriting.close()
    #expect(done.wait(timeout: .now() + 10) == .success)
    let text = String(decoding: received.withLock { $0 }, as: UTF8.self)
    #expect(text.contains("log lines dropped"))
    #expect(text.contains("after the flood"))
  }

  @Test func aDescriptorThatIsGoneEndsNothing() {
    let sink = LogSink(
      descriptor: -1, level: .debug, formatter: LogFormatter(format: .text), clock: { 0 })
    sink.write(LogLine(.error, "nobody hears"))
    sink.flush()
  }
}

@Suite struct LogThrottleTests {
  @Test func aFloodIsHeldToARateAndCounted() {
    var throttle = LogThrottle(perSecond: 10, burst: 5)
    var passed = 0
    for _ in 0..<1_000 where throttle.pass("flood", at: .zero) != nil { passed += 1 }
    #expect(passed == 5)
    #expect(throttle.pass("other", at: .zero) == 0)
    let later = Instant.zero + .milliseconds(100)
    #expect(throttle.pass("flood", at: later) == 995)
    #expect(throttle.pass("flood", at: later) == nil)
    #expect(throttle.pass("flood", at: later + .seconds(1)) == 1)
  }
}

@Suite struct FactLogTests {
  @Test func strangersAreHeldToARateAndCallsAreNot() {
    var log = FactLog()
    let source = Base.SocketAddress(.loopbackV4, 5060)
    let dropped = Fact(
      sequence: 1, at: .zero, event: .messageDropped(reason: .unparsable, source: source))
    let lines = (0..<1_000).compactMap { _ in log.line(for: dropped) }
    #expect(lines.count == 50)
    let id = CallID(incarnation: 1_795_230_091_963, serial: 7)
    var record = CallRecord(id: id, tenant: "t", setup: .zero)
    record.status = 486
    record.cause = .busy
    record.releasedBy = .callee
    let ended = Fact(sequence: 2, at: .zero, call: id, event: .callEnded(record))
    let told = (0..<1_000).compactMap { _ in log.line(for: ended) }
    #expect(told.count == 1_000)
    #expect(
      told.first
        == LogLine(
          .info, "call ended",
          [
            LogField("call", "\(id)"), LogField("status", 486), LogField("cause", "busy"),
            LogField("by", "callee"),
          ]))
  }
}
