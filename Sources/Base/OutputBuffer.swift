/// What a shard wants sent, as records in one bounded buffer: a message is written straight to where
/// `sendmmsg` will read it.
///
/// `begin`, any number of `append`, then `commit` or `abandon`. Nothing here traps or throws while a
/// message is written: when it doesn't fit, the record is marked and `commit` drops and counts it. So an
/// edge that can't send for a while costs messages (which the protocol repeats), never the process.
@safe @frozen @usableFromInline
package struct OutputBuffer: ~Copyable {
  @frozen @usableFromInline
  struct Record {
    @usableFromInline var offset: UInt32
    @usableFromInline var count: UInt32
    @usableFromInline var destination: SocketAddress
    @usableFromInline var listener: UInt16
    @usableFromInline var connectPort: UInt16
    @inlinable init(
      offset: UInt32, count: UInt32, destination: SocketAddress, listener: UInt16,
      connectPort: UInt16
    ) {
      self.offset = offset
      self.count = count
      self.destination = destination
      self.listener = listener
      self.connectPort = connectPort
    }
  }

  /// The most that one UDP datagram carries over IPv4; a longer record is never committed.
  @inlinable package static var datagramLimit: Int { 65_507 }

  @usableFromInline var base: UnsafeMutableRawPointer
  @usableFromInline var capacity: Int
  @usableFromInline var used = 0
  @usableFromInline var openStart = 0
  @usableFromInline var isOpen = false
  @usableFromInline var failed = false
  @usableFromInline var records: [Record] = []
  @usableFromInline let byteLimit: Int
  @usableFromInline let recordLimit: Int

  /// Records that were dropped because they or the buffer were full.
  @usableFromInline package private(set) var overflowed: UInt64 = 0

  /// Limits below one small message, or beyond 32-bit offsets, are brought into that range. Memory grows
  /// as it is needed, by doubling, up to the limit.
  package init(byteLimit: Int, recordLimit: Int) {
    self.byteLimit = min(max(byteLimit, 512), Int(UInt32.max))
    self.recordLimit = min(max(recordLimit, 1), 1 << 24)
    capacity = min(self.byteLimit, 16_384)
    unsafe base = .allocate(byteCount: capacity, alignment: 64)
  }

  deinit { unsafe base.deallocate() }

  // MARK: Writing one record

  /// Opens a record; one that is still open is abandoned.
  @inlinable
  package mutating func begin() {
    if isOpen { used = openStart }
    openStart = used
    isOpen = true
    failed = records.count >= recordLimit
  }

  /// Forgets the open record.
  @inlinable
  package mutating func abandon() {
    used = openStart
    isOpen = false
    failed = false
  }

  /// Closes the open record. False, and the record dropped and counted in `overflowed`, when it didn't
  /// fit; false when none was open.
  ///
  /// - Parameter connectPort: of a stream: the port at the destination's address to which a connection may
  ///   be made when there is none to the destination; 0: the one there is, or none.
  @inlinable
  package mutating func commit(
    to destination: SocketAddress, listener: UInt16, connectPort: UInt16 = 0
  ) -> Bool {
    guard isOpen else { return false }
    let count = used &- openStart
    guard !failed, count <= Self.datagramLimit else {
      countOverflow()
      abandon()
      return false
    }
    records.append(
      Record(
        offset: UInt32(truncatingIfNeeded: openStart), count: UInt32(truncatingIfNeeded: count),
        destination: destination, listener: listener, connectPort: connectPort))
    openStart = used
    isOpen = false
    return true
  }

  @usableFromInline mutating func countOverflow() { overflowed &+= 1 }

  /// Bytes in the open record so far.
  @inlinable package var position: Int { used &- openStart }

  /// Whether the open record already doesn't fit: a caller may stop writing early, but needn't.
  @inlinable package var isOverflowing: Bool { failed }

  /// What was appended since `begin`.
  @inlinable
  package var openBytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = unsafe RawSpan(_unsafeStart: base + openStart, byteCount: used &- openStart)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Makes room for `n` more bytes; false, and the record marked, when the limit forbids.
  @inlinable @inline(__always)
  mutating func reserve(_ n: Int) -> Bool {
    if isOpen, !failed, n <= capacity &- used { return true }
    return grow(n)
  }

  @usableFromInline
  mutating func grow(_ n: Int) -> Bool {
    guard isOpen, !failed, n <= byteLimit &- used else {
      failed = true
      return false
    }
    let wanted = min(max(capacity &* 2, used &+ n), byteLimit)
    let larger = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 64)
    unsafe larger.copyMemory(from: base, byteCount: used)
    unsafe base.deallocate()
    unsafe base = larger
    capacity = wanted
    return true
  }

  @inlinable @inline(__always)
  package mutating func append(byte: UInt8) {
    guard reserve(1) else { return }
    unsafe base.storeBytes(of: byte, toByteOffset: used, as: UInt8.self)
    used &+= 1
  }

  @inlinable
  package mutating func append(_ bytes: RawSpan) {
    let n = bytes.byteCount
    guard n > 0, reserve(n) else { return }
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe (base + used).copyMemory(from: start, byteCount: n)
    }
    used &+= n
  }

  @inlinable
  package mutating func append(_ bytes: RawSpan, _ range: ByteRange) {
    append(bytes.extracting(range))
  }

  @inlinable @inline(__always)
  package mutating func append(_ text: StaticString) {
    guard text.hasPointerRepresentation else {
      append(scalar: text)
      return
    }
    let n = text.utf8CodeUnitCount
    guard reserve(n) else { return }
    unsafe (base + used).copyMemory(from: text.utf8Start, byteCount: n)
    used &+= n
  }

  @usableFromInline
  mutating func append(scalar text: StaticString) {
    append(text.description)
  }

  /// Second choice, so that a literal is a `StaticString`: bytes of the program, copied without a call.
  @_disfavoredOverload
  package mutating func append(_ text: String) {
    append(text.utf8Span.span.rawSpan)
  }

  /// The eight bytes of a word, most significant first.
  @inlinable
  package mutating func append(bigEndian word: UInt64) {
    guard reserve(8) else { return }
    unsafe base.storeBytes(of: word.bigEndian, toByteOffset: used, as: UInt64.self)
    used &+= 8
  }

  @inlinable
  package mutating func append(_ bytes: [UInt8]) {
    append(bytes.rawSpan)
  }

  // MARK: Reading the records

  @inlinable package var count: Int { records.count }
  @inlinable package var isEmpty: Bool { records.isEmpty }
  /// Bytes held by committed records.
  @inlinable package var byteCount: Int { isOpen ? openStart : used }

  /// Of record `i`, which must lie in 0..<count.
  @inlinable package func destination(of i: Int) -> SocketAddress { records[i].destination }
  @inlinable package func listener(of i: Int) -> UInt16 { records[i].listener }
  @inlinable package func connectPort(of i: Int) -> UInt16 { records[i].connectPort }
  @inlinable @_lifetime(borrow self)
  package func bytes(of i: Int) -> RawSpan {
    let record = records[i]
    let span = unsafe RawSpan(
      _unsafeStart: base + Int(record.offset), byteCount: Int(record.count))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// Forgets every record, the open one too, and keeps the memory.
  @inlinable
  package mutating func removeAll() {
    if !records.isEmpty { records.removeAll(keepingCapacity: true) }
    used = 0
    openStart = 0
    isOpen = false
    failed = false
  }

  /// The memory for the edge's system call; valid until the buffer is changed or gone.
  @unsafe @inlinable
  package var unsafeBase: UnsafeRawPointer { unsafe UnsafeRawPointer(base) }
  /// Where record `i` lies from `unsafeBase`.
  @inlinable package func range(of i: Int) -> ByteRange {
    ByteRange(Int(records[i].offset), Int(records[i].count))
  }
}
