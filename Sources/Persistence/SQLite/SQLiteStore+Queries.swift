package import CallCore
internal import Foundation
internal import GRDB
internal import MediaControl
internal import Policy
internal import Synchronization

extension SQLiteStore {
  package func record(_ id: CallID) throws(StoreError) -> StoredRecord? {
    try reading { db in
      let started = Int64(truncatingIfNeeded: id.incarnation)
      guard
        let number = try Int64.fetchOne(
          db, sql: "SELECT number FROM incarnation WHERE started_ms = ?", arguments: [started])
      else { return nil }
      let row = WriterStatements.row(incarnation: number, serial: id.serial)
      let found = try Row.fetchOne(db, sql: "SELECT * FROM call WHERE row = ?", arguments: [row])
      return try found.flatMap { StoredRecord($0) }.map { try addDeletions(db, to: $0) }
    }
  }

  package func records(_ query: RecordQuery) throws(StoreError) -> RecordPage {
    let select = try RecordSelect(query)
    return try reading { db in
      let rows = try Row.fetchAll(db, sql: select.sql, arguments: select.arguments)
      let records = try rows.prefix(select.limit).compactMap { StoredRecord($0) }
        .map { try addDeletions(db, to: $0) }
      let last: Int64? = rows.count > select.limit ? rows[select.limit - 1]["row"] : nil
      return RecordPage(records: records, next: last.map { String($0) })
    }
  }

  package func purge(endedBefore milliseconds: Int64) throws(StoreError) -> Int {
    var purged = 0
    while true {
      // In pieces, so that the records of running calls get their turn in between. What ended before
      // was set up before, so the index on setup_ms finds it.
      let count = try writing { db in
        try db.execute(
          sql: """
            DELETE FROM call_record WHERE row IN (
              SELECT row FROM call_record WHERE setup_ms < ?1 AND end_ms < ?1 LIMIT 1000)
            """,
          arguments: [milliseconds])
        return db.changesCount
      }
      purged += count
      if count == 0 { return purged }
    }
  }

  package func sizes() throws(StoreError) -> StoreSizes {
    var sizes = try reading { db in
      var sizes = StoreSizes()
      sizes.openCalls = try Int.fetchOne(db, sql: "SELECT count(*) FROM open_call") ?? 0
      sizes.records = try Int.fetchOne(db, sql: "SELECT count(*) FROM call_record") ?? 0
      sizes.bindings = try Int.fetchOne(db, sql: "SELECT count(*) FROM binding") ?? 0
      return sizes
    }
    sizes.rowsWritten = rowsWritten.load(ordering: .relaxed)
    return sizes
  }

  package var bytes: Int64 {
    [path, path + "-wal"].reduce(0) { sum, file in
      let attributes = try? FileManager.default.attributesOfItem(atPath: file)
      return sum + ((attributes?[.size] as? NSNumber)?.int64Value ?? 0)
    }
  }
}

extension StoredRecord {
  /// Nil for a row that this program cannot have written.
  init?(_ row: Row) {
    guard let id = CallID(row["id"] as String), let state = CallState(rawValue: row["state"])
    else { return nil }
    self.init(id: id, tenant: row["tenant"], state: state, setup: row["setup_ms"])
    from = row["from_party"]
    to = row["to_party"]
    calledNumber = row["called_number"]
    callerNumber = row["caller_number"]
    source = row["source"]
    sipCallID = row["sip_call_id"]
    ringing = row["ringing_ms"]
    answer = row["answer_ms"]
    end = row["end_ms"]
    ringingAfter = row["ringing_after_ms"]
    answerAfter = row["answer_after_ms"]
    talk = row["talk_ms"]
    total = row["total_ms"]
    releasedBy = (row["released_by"] as String?).flatMap(ReleasedBy.init(rawValue:))
    status = row["status"]
    cause = (row["cause"] as String?).flatMap(Cause.init(name:))
    codec = row["codec"]
    fromCaller = StreamQuality(row, side: "caller")
    fromCallee = StreamQuality(row, side: "callee")
    attempts = AttemptText.read(row["attempts"])
    notes = NoteText.read(row["notes"])
    recordings = RecordingText.read(
      row["recordings"], isOver: state == .ended || state == .interrupted)
  }
}

extension StreamQuality {
  fileprivate init(_ row: Row, side: String) {
    self.init()
    func value(_ name: String) -> UInt64? {
      (row["\(side)_\(name)"] as Int64?).map { UInt64(clamping: $0) }
    }
    guard let packets = value("packets") else { return }
    self.packets = packets
    octets = value("octets") ?? 0
    lost = value("lost") ?? 0
    duplicates = value("duplicates") ?? 0
    reordered = value("reordered") ?? 0
    jitter = UInt32(clamping: value("jitter_us") ?? 0)
    maxJitter = UInt32(clamping: value("max_jitter_us") ?? 0)
    mos = UInt16(clamping: value("mos_x100") ?? 0)
    payloadType = UInt8(clamping: value("payload_type") ?? 255)
    ssrc = UInt32(clamping: value("ssrc") ?? 0)
    refused = value("refused") ?? 0
    malformed = value("malformed") ?? 0
    sent = value("sent") ?? 0
    rtcpPackets = value("rtcp_packets") ?? 0
    remoteFractionLost = UInt8(clamping: value("remote_lost_256") ?? 0)
    remoteJitter = UInt32(clamping: value("remote_jitter_us") ?? 0)
    roundTrip = UInt32(clamping: value("round_trip_us") ?? 0)
    unauthentic = value("unauthentic") ?? 0
    replayed = value("replayed") ?? 0
    remoteMOS = UInt16(clamping: value("remote_mos_x100") ?? 0)
  }
}
