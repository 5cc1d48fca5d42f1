import Base

extension FrameWriter {
  mutating func put(_ order: RecordingOrder) {
    put(order.id.raw)
    put(order.format.rawValue)
    put(order.channel.rawValue)
    put(UInt8(order.notice == nil ? 0 : 1))
    put(order.notice ?? 0)
    let name = order.name.utf8.prefix(RecordingOrder.nameLimit)
    put(UInt8(name.count))
    for byte in name { put(byte) }
  }

  mutating func put(_ event: RecordingEvent) {
    switch event {
    case .announced: put(UInt8(0))
    case .started(let wall, let rate):
      put(UInt8(1))
      put(UInt64(bitPattern: wall))
      put(rate)
    case .ended(let result):
      put(UInt8(2))
      put(result.end.rawValue)
      put(result.bytes)
      put(result.milliseconds)
      put(result.lostMilliseconds)
      put(result.unreadPackets)
    }
  }
}

extension FrameReader {
  mutating func channel(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> RecordingChannel {
    try valid(RecordingChannel(rawValue: u8(bytes)))
  }

  mutating func recordingEnd(_ bytes: borrowing RawSpan) throws(MediaCodingError) -> RecordingEnd {
    try valid(RecordingEnd(rawValue: u8(bytes)))
  }

  mutating func recordingOrder(
    _ bytes: borrowing RawSpan
  ) throws(MediaCodingError) -> RecordingOrder {
    let id = RecordingID(raw: u64(bytes))
    let format = try valid(RecordingFormat(rawValue: u8(bytes)))
    let channel = try channel(bytes)
    let hasNotice = try flag(bytes)
    let notice = u32(bytes)
    let count = Int(u8(bytes))
    guard count <= RecordingOrder.nameLimit, hasNotice || notice == 0 else {
      throw error(.badValue)
    }
    var name: [UInt8] = []
    for _ in 0..<count { name.append(u8(bytes)) }
    let text = String(decoding: name, as: UTF8.self)
    guard RecordingFileName.isName(text) else { throw error(.badValue) }
    return RecordingOrder(
      id: id, format: format, channel: channel, notice: hasNotice ? notice : nil, name: text)
  }

  mutating func recordingEvent(
    _ bytes: borrowing RawSpan
  ) throws(MediaCodingError) -> RecordingEvent {
    switch u8(bytes) {
    case 0: return .announced
    case 1: return .started(wall: Int64(bitPattern: u64(bytes)), rate: u16(bytes))
    case 2:
      var result = RecordingResult(try recordingEnd(bytes))
      result.bytes = u64(bytes)
      result.milliseconds = u64(bytes)
      result.lostMilliseconds = u64(bytes)
      result.unreadPackets = u64(bytes)
      return .ended(result)
    default: throw error(.badValue)
    }
  }
}
