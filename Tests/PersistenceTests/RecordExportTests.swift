import CallCore
import Foundation
import MediaControl
import Persistence
import Policy
import Testing

struct RecordExportTests {
  static func golden(_ name: String) throws -> String {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let url = tests.appending(path: "Golden/\(name)")
    return String(decoding: try Data(contentsOf: url), as: UTF8.self)
  }

  private func filled(_ store: any CallStore) throws {
    var make = FactMaker()
    let clock = TestClock().clock
    try store.write(
      [
        make.attempted(1, at: 1_234), make.ended(1, setup: 1_234, answer: 4_321, at: 64_321),
        make.attempted(2, at: 2_000), make.ended(2, setup: 2_000, answer: nil, at: 2_007),
        make.attempted(3, at: 90_061_001),
        make.answered(3, setup: 90_061_001, at: 90_063_002, session: [1]),
      ], clock: clock)
    var record = make.record(4, setup: 5)
    record.callerNumber = "=cmd|' /C calc'!A0"
    record.calledNumber = "say \"hi\", \r\nthere "
    record.from = "@SUM(1)"
    record.state = .ended
    record.end = at(6)
    try store.write([make.fact(.callEnded(record))], clock: clock)
  }

  @Test(arguments: RecordExport.Format.allCases)
  func goldenFiles(format: RecordExport.Format) throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    try filled(store)
    var out: [UInt8] = []
    try RecordExport.export(RecordQuery(), from: store, as: format) { out += $0 }
    let text = String(decoding: out, as: UTF8.self)
    #expect(text == (try Self.golden("records.\(format.rawValue)")), "\(text)")
  }

  @Test func jsonLinesAreJSON() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    try filled(store)
    var out: [UInt8] = []
    try RecordExport.export(RecordQuery(), from: store, as: .jsonl) { out += $0 }
    let lines = String(decoding: out, as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 4)
    for line in lines {
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      #expect(Set(object.keys).isSubset(of: Set(RecordExport.columns)))
      #expect(object["id"] is String && object["setup"] is String)
    }
  }

  @Test func everyLineHasEveryColumn() throws {
    let header = String(decoding: RecordExport.header(.csv), as: UTF8.self)
    #expect(header.hasSuffix("\r\n"))
    #expect(header.split(separator: ",").count == RecordExport.columns.count)
    #expect(Set(RecordExport.columns).count == RecordExport.columns.count)
    let bare = StoredRecord(
      id: CallID(incarnation: 1, serial: 1), tenant: "", state: .attempted, setup: 0)
    let line = String(decoding: RecordExport.line(bare, .csv), as: UTF8.self)
    #expect(
      line.split(separator: ",", omittingEmptySubsequences: false).count
        == RecordExport.columns.count)
  }

  @Test(
    "What a spreadsheet would run",
    arguments: [
      ("=1+1", "'=1+1"), ("@x", "'@x"), ("-1", "'-1"), ("+1", "+1"), ("+44163", "+44163"),
      ("+1*2", "'+1*2"), ("+", "+"), ("\t=1", "'\t=1"), ("\r=1", "\"'\r=1\""), ("a=1", "a=1"),
      ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), (" a", "\" a\""), ("a\nb", "\"a\nb\""),
    ])
  func formulas(text: String, field: String) {
    var record = StoredRecord(
      id: CallID(incarnation: 1, serial: 1), tenant: "t", state: .ended, setup: 0)
    record.callerNumber = text
    let line = String(decoding: RecordExport.line(record, .csv), as: UTF8.self)
    #expect(line.contains("ended,,,\(field),"), "\(line)")
  }

  @Test func aLongExportComesInPieces() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    var make = FactMaker()
    try store.write(
      (1...1_700).map { make.ended($0, setup: Int($0), answer: nil, at: Int($0) + 1) },
      clock: TestClock().clock)
    var pieces: [Int] = []
    try RecordExport.export(RecordQuery(), from: store, as: .csv) { bytes in
      pieces.append(bytes.count { $0 == 0x0a })
    }
    #expect(pieces == [501, 500, 500, 200])
    struct Stopped: Error {}
    #expect(throws: Stopped.self) {
      try RecordExport.export(RecordQuery(), from: store, as: .csv) { _ in throw Stopped() }
    }
  }
}
