import Base
import CallCore
import Foundation
import Glibc
import Persistence
import Policy
import Synchronization
import Testing

/// A process that writes calls is killed at any moment, again and again on one store. Whatever it had
/// acknowledged is there afterwards: each attempt has its one record, each end the state it ended with.
///
/// The process is this test's own binary, told by an environment variable to be the one that dies.
struct KillTests {
  private static let variable = "DEMARC_KILL_TEST_STORE"
  private static let kills = 50

  @Test(.enabled(if: ProcessInfo.processInfo.environment[variable] == nil))
  func everyAcknowledgedCallHasOneRecord() throws {
    let folder = try Folder()
    var random = RandomSource(seed: UInt64(getpid()))
    var acknowledged: [CallID: String] = [:]
    for _ in 0..<Self.kills {
      let lines = try runUntilKilled(folder.store, delay: random.next(below: 25_000))
      for line in lines {
        let parts = line.split(separator: " ")
        guard parts.count == 2, let id = CallID(parts[1]) else { continue }
        // "a" attempted, "e" ended; an end comes after its attempt.
        acknowledged[id] = String(parts[0])
      }
    }
    #expect(acknowledged.count > Self.kills, "the calls never got going")

    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    _ = try store.recover(clock: TestClock().clock)
    var states: [CallID: [CallState]] = [:]
    var query = RecordQuery()
    query.limit = RecordQuery.maximumLimit
    repeat {
      let page = try store.records(query)
      for record in page.records { states[record.id, default: []].append(record.state) }
      query.cursor = page.next
    } while query.cursor != nil
    for (id, phase) in acknowledged {
      let found = states[id] ?? []
      #expect(found.count == 1, "\(id) has \(found.count) records")
      if phase == "e" { #expect(found == [.ended]) }
    }
    #expect(states.values.allSatisfy { $0 == [.ended] || $0 == [.interrupted] })
    #expect(states.values.contains([.interrupted]) && states.values.contains([.ended]))
    #expect(try store.sizes().openCalls == 0)
  }

  /// What the child acknowledged before it was killed, `delay` µs after its first acknowledgement.
  private func runUntilKilled(_ path: String, delay: Int) throws -> [String] {
    let child = Process()
    child.executableURL = URL(filePath: "/proc/self/exe")
    child.arguments = Self.childArguments()
    child.environment = ProcessInfo.processInfo.environment.merging([Self.variable: path]) { $1 }
    let output = Pipe()
    child.standardOutput = output
    child.standardError = FileHandle.nullDevice
    try child.run()
    let handle = output.fileHandleForReading
    var text = Data()
    // Swift Testing prints too; the first acknowledgement says that calls are being written.
    while !text.contains(Data("\na ".utf8)) {
      let chunk = handle.availableData
      if chunk.isEmpty { break }
      text.append(chunk)
    }
    usleep(UInt32(clamping: delay))
    kill(child.processIdentifier, SIGKILL)
    text.append(try handle.readToEnd() ?? Data())
    child.waitUntilExit()
    // A last line without its end was never whole.
    let lines = String(decoding: text, as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    return lines.dropLast().map(String.init)
  }

  /// The runner's own arguments, with a filter for `theProcessThatDies`.
  private static func childArguments() -> [String] {
    var arguments: [String] = []
    var skipsNext = false
    for argument in CommandLine.arguments.dropFirst() {
      if skipsNext {
        skipsNext = false
      } else if argument == "--filter" || argument == "--xunit-output" {
        skipsNext = true
      } else {
        arguments.append(argument)
      }
    }
    if !arguments.contains("--testing-library") {
      arguments += ["--testing-library", "swift-testing"]
    }
    return arguments + ["--filter", "theProcessThatDies"]
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment[variable] != nil))
  func theProcessThatDies() throws {
    let path = ProcessInfo.processInfo.environment[Self.variable] ?? ""
    let store = try SQLiteStore(path: path)
    let start = ContinuousClock.now
    let clock = StoreClock(
      now: {
        Instant(
          nanoseconds: UInt64((ContinuousClock.now - start).components.attoseconds / 1_000_000_000))
      },
      wall: { 1_800_000_000_000 + Int64($0.nanoseconds / 1_000_000) })
    _ = try store.recover(clock: clock)
    // Sequence of a fact → what its acknowledgement says.
    let pending = Mutex<[(sequence: UInt64, line: String)]>([])
    var options = RecordWriter.Options()
    options.linger = .milliseconds(1)
    let writer = RecordWriter(store: store, clock: clock, options: options) { sequence in
      let lines = pending.withLock { pending in
        let count = pending.firstIndex { $0.sequence > sequence } ?? pending.count
        defer { pending.removeFirst(count) }
        return pending.prefix(count).map(\.line)
      }
      let text = Array(lines.joined().utf8)
      _ = unsafe text.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
    }
    var make = FactMaker()
    make.incarnation = UInt64(Date().timeIntervalSince1970 * 1_000_000)
    _ = unsafe "\n".withCString { unsafe write(1, $0, 1) }
    func submit(_ fact: Fact, _ phase: String?, _ serial: UInt64) {
      if let phase {
        pending.withLock { $0.append((fact.sequence, "\(phase) \(make.id(serial))\n")) }
      }
      writer.submit([fact])
    }
    for serial in UInt64(1)...UInt64(100_000) {
      submit(make.attempted(serial, at: Int(serial)), "a", serial)
      if serial > 3 {
        let setup = Int(serial) - 3
        submit(
          make.answered(serial - 3, setup: setup, at: setup + 1, session: [1, 2, 3]), nil, serial)
      }
      if serial > 6, serial % 4 != 0 {
        let setup = Int(serial) - 6
        submit(
          make.ended(serial - 6, setup: setup, answer: setup + 1, at: setup + 6), "e", serial - 6)
      }
      usleep(200)
    }
  }
}
