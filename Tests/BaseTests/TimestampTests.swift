import Base
import Testing

@Suite struct TimestampTests {
  @Test(arguments: [
    (Int64(0), "1970-01-01T00:00:00.000Z"),
    (-1, "1969-12-31T23:59:59.999Z"),
    (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    (1_795_230_091_963, "2026-11-21T03:01:31.963Z"),
    (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
  ])
  func textAndBack(milliseconds: Int64, text: String) {
    #expect(Timestamp.text(milliseconds) == text)
    #expect(Timestamp.milliseconds(text) == milliseconds)
  }

  @Test func everyDayOfTwoCenturiesComesBack() {
    for day in stride(from: Int64(-36_525), to: 36_525, by: 1) {
      #expect(Timestamp.milliseconds(Timestamp.text(day * 86_400_000)) == day * 86_400_000)
    }
  }

  @Test func shorterSpellings() {
    #expect(Timestamp.milliseconds("1970-01-02") == 86_400_000)
    #expect(Timestamp.milliseconds("1970-01-01T01:00") == 3_600_000)
    #expect(Timestamp.milliseconds("1970-01-01 01:00:01.5+01:00") == 1_500)
    #expect(Timestamp.milliseconds("1970-01-01T00:00:00-0130") == 5_400_000)
  }

  @Test(arguments: [
    "", "1970", "1970-13-01", "1970-02-29", "1970-01-01T", "1970-01-01T24:00",
    "1970-01-01T00:00:60",
    "1970-01-01T00:00:00.", "1970-01-01T00:00:00Zx", "1970-01-01T00:00+1", "yesterday", "1970-1-1",
  ])
  func whatNoCalendarHas(text: String) {
    #expect(Timestamp.milliseconds(text) == nil)
  }
}
