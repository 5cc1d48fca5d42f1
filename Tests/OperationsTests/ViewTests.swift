import Base
import CallCore
import Foundation
import Operations
import Testing

@Suite struct ViewTests {
  static let utc = TimeZone(secondsFromGMT: 0) ?? .current

  static var call: CallResource {
    var call = CallResource(
      id: "1p8x2k7ab-4", tenant: "acme", state: "ended", setup: "2026-11-21T03:01:31.963Z")
    call.from = "user:alice"
    call.to = "trunk:carrier-b"
    call.callerNumber = "+441632960999"
    call.calledNumber = "+4930123456"
    call.source = "192.0.2.7:5060"
    call.sipCallId = "a84b4c76e66710"
    call.ringing = "2026-11-21T03:01:33.000Z"
    call.answer = "2026-11-21T03:01:36.963Z"
    call.end = "2026-11-21T03:04:57.463Z"
    call.seconds = 200.5
    call.releasedBy = "caller"
    call.status = 200
    call.cause = "normal-clearing"
    call.codec = "PCMA/8000"
    var first = CallAttemptResource(target: "trunk:carrier-a", started: "2026-11-21T03:01:31.983Z")
    first.address = "198.51.100.1:5060"
    first.ended = "2026-11-21T03:01:32.483Z"
    first.status = 503
    first.cause = "carrier-unavailable"
    var second = CallAttemptResource(target: "trunk:carrier-b", started: "2026-11-21T03:01:32.484Z")
    second.address = "198.51.100.2:5060"
    second.status = 200
    call.attempts = [first, second]
    return call
  }

  @Test func recordsAreOneLineEach() {
    var busy = Self.call
    busy.seconds = nil
    busy.status = 486
    busy.cause = "busy"
    #expect(
      CallViews.records([Self.call, busy], zone: Self.utc).render(on: Terminal()) == """
        SETUP                CALL         FROM        TO               CALLER         CALLED         TALKED  STATUS  CAUSE            BY      MOS
        2026-11-21 03:01:31  1p8x2k7ab-4  user:alice  trunk:carrier-b  +441632960999  +4930123456  3 m 20 s     200  normal-clearing  caller    –
        2026-11-21 03:01:31  1p8x2k7ab-4  user:alice  trunk:carrier-b  +441632960999  +4930123456         –     486  busy             caller    –

        """)
  }

  @Test func statusTellsOfOverload() {
    var status = StatusResource(
      version: "1", state: "running", started: "2026-11-21T03:01:31.963Z", uptimeSeconds: 5,
      processId: 7, revision: 1, listeners: [], media: [], socket: "s", store: "d", metrics: nil)
    func text() -> String {
      StateViews.status(status, zone: Self.utc).render(on: Terminal())
    }
    #expect(!text().contains("overload"))
    status.overload = OverloadResource(
      waitMilliseconds: 41.6, refusedStrangersPercent: 100, refusedKnownPercent: 12.5)
    #expect(
      text().contains(
        "messages wait 42 ms; 100 % of strangers' new calls are refused, 13 % of users' and trunks'"
      ))
  }

  @Test func aCallIsAPage() {
    #expect(
      CallViews.page(Self.call, on: Terminal(), zone: Self.utc) == """
        call         1p8x2k7ab-4
        state        ended
        tenant       acme
        from         user:alice
        to           trunk:carrier-b
        caller       +441632960999
        called       +4930123456
        source       192.0.2.7:5060
        SIP Call-ID  a84b4c76e66710
        setup        2026-11-21 03:01:31
        ringing      2026-11-21 03:01:33
        answer       2026-11-21 03:01:36
        end          2026-11-21 03:04:57
        talked       200.5 s
        released by  caller
        status       200
        cause        normal-clearing
        codec        PCMA/8000

        TRIED            ADDRESS              FROM   UNTIL  STATUS  CAUSE
        trunk:carrier-a  198.51.100.1:5060  +0.020  +0.520     503  carrier-unavailable
        trunk:carrier-b  198.51.100.2:5060  +0.521             200

        """)
  }

  @Test func trunksAndRegistrationsFitATerminal() {
    var trunk = TrunkStateResource(
      name: "carrier-a", tenant: "acme", kind: "carrier", network: "out")
    trunk.targets = ["198.51.100.1:5060", "198.51.100.2:5060", "198.51.100.3:5060"]
    trunk.usable = false
    let table = StateViews.trunks([trunk]).render(on: Terminal(width: 100))
    #expect(table.split(separator: "\n").allSatisfy { $0.count <= 100 })
    #expect(table.contains("unusable") && table.contains("…"))
    let binding = RegistrationResource(
      tenant: "acme", user: "alice", contact: "sip:alice@192.0.2.9:5062;transport=udp",
      source: "192.0.2.9:5062", listener: "udp", expires: "2026-11-21T03:01:31.963Z",
      expiresInSeconds: 3_599, userAgent: "phone\u{1b}[31m 1.0")
    let phones = StateViews.registrations([binding]).render(on: Terminal(width: 80))
    #expect(phones.split(separator: "\n").allSatisfy { $0.count <= 80 })
    #expect(phones.contains("59 m 59 s") && !phones.contains("\u{1b}"))
  }

  @Test func aMistakeIsShownAsCompilersDo() {
    let failure = APIFailure(
      .invalidResources, "there is 1 problem", remedy: "Nothing was changed.",
      problems: [
        APIFailure.Problem(
          path: "trunks[0].knd", line: 3, column: 5, message: "unknown key `knd`",
          suggestion: "kind", remedy: "Known keys: name, kind.")
      ])
    #expect(
      FailureView.text(failure, file: "acme.yaml", on: Terminal()) == """
        acme.yaml:3:5: unknown key `knd`; did you mean `kind`?
            Known keys: name, kind.
        error: there is 1 problem. Nothing was changed.

        """)
  }

  @Test func aLadderShowsMessagesWhenItHasThem() throws {
    let id = CallID(incarnation: 1, serial: 1)
    let message = TracedMessage(
      at: .zero, outgoing: true, leg: .b, local: Base.SocketAddress(.loopbackV4, 5060),
      remote: Base.SocketAddress(.loopbackV4, 5070),
      bytes: Array("BYE sip:x SIP/2.0\r\nX: \u{1b}[2J\r\n\r\n".utf8))
    let ladder = LadderResource(
      call: id, traced: [message], record: nil, includesText: true, wall: WallTime { _ in 0 })
    #expect(
      ladder.text(ascii: true) == """
         demarc            127.0.0.1:5070
            | -- BYE -----------> |       0.000

        1970-01-01T00:00:00.000Z  demarc -> 127.0.0.1:5070
          BYE sip:x SIP/2.0
          X: ?[2J



        """)
  }

  @Test func resourcesAreTablesByKind() throws {
    let document = """
      {"numbers":[{"number":"+4930","tenant":"acme","destinations":[{"user":"alice","timeout":"20s"},\
      {"application":"tone","continueOn":[]}]}],"routes":[{"name":"all","prefix":"+","strip":0,\
      "carriers":[{"trunk":"a","priority":1}]}],"users":[]}
      """
    #expect(
      try ResourceViews.tables(Array(document.utf8), on: Terminal()) == """
        No users.

        NUMBER  TENANT  STATE  DESTINATIONS
        +4930   acme           user:alice, application:tone

        ROUTE  TENANT  PREFIX  STRIP  PREPEND  CARRIERS  TIMEOUT
        all            +       0               a

        """)
    #expect(ResourceViews.summary(["users": 1, "trunks": 2, "routes": 0]) == "2 trunks, 1 user")
  }
}

@Suite struct HumanTimeTests {
  @Test func spansAreReadAndWritten() {
    #expect(HumanTime.span(7.9) == "7 s")
    #expect(HumanTime.span(200) == "3 m 20 s")
    #expect(HumanTime.span(7_500) == "2 h 5 m")
    #expect(HumanTime.span(356_400) == "4 d 3 h")
    #expect(HumanTime.span(.nan) == "?")
    #expect(HumanTime.milliseconds(span: "90d") == 7_776_000_000)
    #expect(HumanTime.milliseconds(span: "0s") == 0)
    for text in ["", "d", "-1d", "9", "9y", "99999999999999999999d", "9999999d", "1.5h"] {
      #expect(HumanTime.milliseconds(span: text) == nil, "\(text)")
    }
    #expect(HumanTime.moment("1h", now: 3_600_001) == 1)
    #expect(HumanTime.moment("1970-01-02", now: 0) == 86_400_000)
    #expect(HumanTime.moment("soon", now: 0) == nil)
  }

  @Test func timesStandWhereTheReadersClockStands() throws {
    let zone = try #require(TimeZone(secondsFromGMT: 3_600))
    #expect(HumanTime.local("2026-12-31T23:30:00.000Z", zone: zone) == "2027-01-01 00:30:00")
    #expect(HumanTime.local("never", zone: zone) == "never")
  }
}
