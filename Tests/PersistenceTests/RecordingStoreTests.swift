import Base
import CallCore
import Foundation
import MediaControl
import Persistence
import Testing

/// What a call's record keeps of its recordings.
struct RecordingStoreTests {
  private func store(_ folder: Folder) throws -> SQLiteStore {
    try SQLiteStore(path: folder.store, listeners: ["udp"])
  }

  private func recording(_ id: CallID) -> CallRecording {
    var recording = CallRecording(
      name: "\(id)-1", format: .opus, origin: .api, by: "user:alice", hasNotice: true)
    recording.file = "20270115T080000Z_\(id)-1.opus"
    recording.announced = [at(2_000)]
    recording.started = at(2_500)
    recording.rate = 16_000
    recording.pauses = [CallRecording.Pause(from: at(3_000), to: at(4_000))]
    return recording
  }

  @Test func keptWithItsPausesAndItsEnd() throws {
    let folder = try Folder()
    let store = try store(folder)
    defer { store.close() }
    let clock = TestClock(at: 10_000).clock
    var facts = FactMaker()
    var record = facts.record(1)
    try store.write([facts.fact(.callAttempted(record), call: record.id)], clock: clock)
    record.recordings = [recording(record.id)]
    let changed = FactEvent.recordingChanged(record.recordings[0], record)
    try store.write([facts.fact(changed, at: 2_500, call: record.id)], clock: clock)
    var stored = try #require(try store.record(record.id)?.recordings.first)
    #expect(stored.line.end == nil && stored.line.file == record.recordings[0].file)
    #expect(stored.line.started == TestClock.epoch + 2_500)
    record.recordings[0].end = .released
    record.recordings[0].ended = at(9_000)
    record.recordings[0].bytes = 1_234
    record.recordings[0].milliseconds = 6_500
    record.end = at(9_000)
    record.state = .ended
    try store.write([facts.fact(.callEnded(record), at: 9_000, call: record.id)], clock: clock)
    stored = try #require(try store.record(record.id)?.recordings.first)
    let line = stored.line
    #expect(line.end == .released && line.bytes == 1_234 && stored.deletion == nil)
    #expect(line.pauses.count == 1 && line.pauses[0].to == TestClock.epoch + 4_000)
    #expect(line.rate == 16_000)
    let resource = RecordingResource(stored)
    #expect(resource.rate == 16_000)
    #expect(resource.state == "ended" && resource.seconds == 6.5)
    #expect(resource.consent == "announced at " + Timestamp.text(TestClock.epoch + 2_000))
    #expect(resource.origin == "api" && resource.by == "user:alice")
    let export = String(
      decoding: RecordExport.line(try #require(try store.record(record.id)), .jsonl), as: UTF8.self)
    #expect(export.contains("\"recordings\":[{"))
    let deletion = RecordingDeletion(at: TestClock.epoch + 20_000, reason: .requested)
    try store.noteDeleted(recording: line.name, deletion)
    try store.noteDeleted(recording: line.name, RecordingDeletion(at: 1, reason: .retention))
    #expect(try store.record(record.id)?.recordings.first?.deletion == deletion)
    #expect(try store.records(RecordQuery()).records.first?.recordings.first?.deletion == deletion)
  }

  /// The process ended in the middle.
  @Test func interrupted() throws {
    let folder = try Folder()
    let store = try store(folder)
    defer { store.close() }
    let clock = TestClock(at: 10_000).clock
    var facts = FactMaker()
    var record = facts.record(1)
    record.recordings = [recording(record.id)]
    let changed = FactEvent.recordingChanged(record.recordings[0], record)
    try store.write([facts.fact(changed, call: record.id)], clock: clock)
    _ = try store.recover(clock: clock)
    let stored = try #require(try store.record(record.id))
    #expect(stored.state == .interrupted && stored.recordings.first?.line.end == .interrupted)
    #expect(RecordingResource(try #require(stored.recordings.first)).state == "ended")
  }
}
