import Base

/// The messages of recent calls for ladders: one ring of bytes and one of entries, both bounded; the oldest
/// make room. Nothing of it is kept in a call.
struct TraceRing: ~Copyable {
  private struct Entry {
    var serial: UInt64
    var at: Instant
    var local: UInt16
    var outgoing: Bool
    var leg: LegSide
    var remote: SocketAddress
    var offset: Int
    var count: Int
  }

  private var bytes: [UInt8] = []
  private var entries: [Entry] = []
  /// `entries` is itself a ring: index of the oldest, and how many live.
  private var first = 0
  private var live = 0
  private var writeOffset = 0
  private let byteLimit: Int
  private let entryLimit: Int
  private static let initialBytes = 1 << 20

  init(byteLimit: Int) {
    self.byteLimit = max(byteLimit, 1 << 17)
    // A SIP message is seldom shorter.
    entryLimit = max(self.byteLimit / 256, 512)
  }

  var usedBytes: Int { bytes.count }

  mutating func append(
    serial: UInt64, at: Instant, outgoing: Bool, leg: LegSide, listener: UInt16,
    remote: SocketAddress, message: RawSpan
  ) {
    let count = message.byteCount
    guard count > 0, count <= byteLimit / 4 else { return }
    let offset = makeRoom(for: count)
    bytes.overwrite(at: offset, with: message)
    let entry = Entry(
      serial: serial, at: at, local: listener, outgoing: outgoing, leg: leg, remote: remote,
      offset: offset, count: count)
    if live == entries.count, first != 0 || live == entryLimit { dropOldest() }
    if live == entries.count {
      entries.append(entry)
    } else {
      entries[(first + live) % entries.count] = entry
    }
    live += 1
    writeOffset = offset + count
  }

  /// What was kept under another number, among the latest entries, becomes the call's.
  mutating func adopt(_ prelude: UInt64, by serial: UInt64) {
    guard live > 0 else { return }
    for back in 1...min(live, Self.reach) {
      let at = (first + live - back) % entries.count
      if entries[at].serial == prelude { entries[at].serial = serial }
    }
  }

  /// How far back a call's challenge is looked for.
  private static let reach = 512

  /// The messages of one call, oldest first. The ring holds them as they were: what is secret in them is hidden
  /// here, where alone they leave it, and costs nothing for the calls that nobody looks at.
  func messages(serial: UInt64, listeners: [Listener]) -> [TracedMessage] {
    var found: [TracedMessage] = []
    for i in 0..<live {
      let entry = entries[(first + i) % entries.count]
      guard entry.serial == serial else { continue }
      let listener =
        Int(entry.local) < listeners.count
        ? listeners[Int(entry.local)] : Listener(name: "", bound: SocketAddress(.anyV4, 0))
      var copy = Array(bytes[entry.offset..<(entry.offset + entry.count)])
      Redaction.credentials(in: &copy, copy.indices)
      Redaction.keys(in: &copy, copy.indices)
      Redaction.digits(in: &copy)
      var message = TracedMessage(
        at: entry.at, outgoing: entry.outgoing, leg: entry.leg, local: listener.bound,
        remote: entry.remote, bytes: copy)
      message.transport = listener.transport
      found.append(message)
    }
    return found
  }

  private mutating func dropOldest() {
    guard live > 0 else { return }
    first = (first + 1) % entries.count
    live -= 1
    if live == 0 { first = 0 }
  }

  /// An offset with `count` free bytes behind it. The byte ring grows to its limit first, then the oldest
  /// entries whose bytes lie in the way are dropped.
  private mutating func makeRoom(for count: Int) -> Int {
    if writeOffset + count > bytes.count, bytes.count < byteLimit, !hasWrapped {
      let wanted = max(bytes.count * 2, Self.initialBytes, writeOffset + count)
      let size = min(wanted, byteLimit)
      bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
    }
    let offset: Int
    if writeOffset + count <= bytes.count {
      offset = writeOffset
    } else {
      // Entries between here and the end are older than everything at the start.
      while live > 0, entries[first].offset >= writeOffset { dropOldest() }
      offset = 0
    }
    while live > 0, entries[first].offset >= offset, entries[first].offset < offset + count {
      dropOldest()
    }
    return offset
  }

  private var hasWrapped: Bool {
    live > 0 && entries[first].offset >= writeOffset && writeOffset > 0
  }
}
