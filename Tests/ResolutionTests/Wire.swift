import Base
import Resolution

/// Replies as a name server writes them, for the tests.
struct ReplyWriter {
  private(set) var bytes: [UInt8]
  private var counts = (questions: 0, answers: 0, authority: 0)

  init(id: UInt16, flags: UInt16 = 0x8180, _ question: DNSQuestion? = nil) {
    bytes = [UInt8(id >> 8), UInt8(id & 255), UInt8(flags >> 8), UInt8(flags & 255)]
    bytes += [0, 0, 0, 0, 0, 0, 0, 0]
    if let question {
      bytes += question.name.wire
      append(question.type.rawValue)
      append(UInt16(1))
      counts.questions = 1
      bytes[5] = 1
    }
  }

  mutating func append(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(value & 255)] }
  mutating func append(_ value: UInt32) {
    append(UInt16(value >> 16))
    append(UInt16(value & 0xffff))
  }

  mutating func record(
    _ name: [UInt8], _ type: UInt16, ttl: UInt32, _ data: [UInt8], isAuthority: Bool = false
  ) {
    bytes += name
    append(type)
    append(UInt16(1))
    append(ttl)
    append(UInt16(data.count))
    bytes += data
    if isAuthority {
      counts.authority += 1
      bytes[9] = UInt8(counts.authority)
    } else {
      counts.answers += 1
      bytes[6] = UInt8(counts.answers >> 8)
      bytes[7] = UInt8(counts.answers & 255)
    }
  }

  mutating func add(_ record: DNSRecord, isAuthority: Bool = false) {
    self.record(
      record.name.wire, record.type.rawValue, ttl: record.ttl, Self.data(record.value),
      isAuthority: isAuthority)
  }

  static func data(_ value: DNSRecord.Value) -> [UInt8] {
    func two(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
    func string(_ text: [UInt8]) -> [UInt8] { [UInt8(text.count)] + text }
    switch value {
    case .address(let ip):
      if ip.family == .v4 { return (0..<4).map { UInt8(ip.v4 >> (24 - 8 * UInt32($0)) & 255) } }
      return (0..<16).map {
        UInt8(($0 < 8 ? ip.high : ip.low) >> (56 - 8 * UInt64($0 & 7)) & 255)
      }
    case .alias(let name): return name.wire
    case .service(let priority, let weight, let port, let target):
      return two(priority) + two(weight) + two(port) + target.wire
    case .pointer(let order, let preference, let flags, let services, let expression, let target):
      return two(order) + two(preference) + string(flags) + string(services)
        + string(expression ? Array("!x!y!".utf8) : []) + target.wire
    case .authority(let minimum):
      return [0, 0] + [UInt8](repeating: 0, count: 16)
        + two(UInt16(minimum >> 16)) + two(UInt16(minimum & 0xffff))
    }
  }
}

extension DNSName: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self = DNSName(value) ?? .root }
}

/// A zone: what a name server would say to a question.
struct Zone {
  var records: [DNSRecord] = []
  /// Of every negative answer; nil: none is sent.
  var minimum: UInt32? = 60

  mutating func a(_ name: String, _ address: String, ttl: UInt32 = 300) {
    guard let name = DNSName(name), let ip = IPAddress(address) else { return }
    records.append(DNSRecord(name, ttl: ttl, .address(ip)))
  }
  mutating func srv(
    _ name: String, _ priority: UInt16, _ weight: UInt16, _ port: UInt16, _ target: String,
    ttl: UInt32 = 300
  ) {
    guard let name = DNSName(name) else { return }
    let target = target == "." ? DNSName.root : DNSName(target) ?? .root
    records.append(
      DNSRecord(
        name, ttl: ttl, .service(priority: priority, weight: weight, port: port, target: target)))
  }
  mutating func naptr(
    _ name: String, _ order: UInt16, _ preference: UInt16, _ service: String, _ target: String,
    flags: String = "s", hasExpression: Bool = false, ttl: UInt32 = 300
  ) {
    guard let name = DNSName(name), let target = DNSName(target) else { return }
    records.append(
      DNSRecord(
        name, ttl: ttl,
        .pointer(
          order: order, preference: preference, flags: Array(flags.utf8),
          services: Array(service.utf8), hasExpression: hasExpression, replacement: target)))
  }
  mutating func alias(_ name: String, _ target: String, ttl: UInt32 = 300) {
    guard let name = DNSName(name), let target = DNSName(target) else { return }
    records.append(DNSRecord(name, ttl: ttl, .alias(target)))
  }

  func reply(id: UInt16, _ question: DNSQuestion) -> [UInt8] {
    var name = question.name
    var found: [DNSRecord] = []
    var steps = 0
    while steps < 20 {
      steps += 1
      let own = records.filter { $0.name == name && $0.type == question.type }
      found += own
      guard own.isEmpty, let alias = records.first(where: { $0.name == name && $0.type == .cname }),
        case .alias(let target) = alias.value
      else { break }
      found.append(alias)
      name = target
    }
    let exists = records.contains { $0.name == name }
    var writer = ReplyWriter(id: id, flags: exists ? 0x8180 : 0x8183, question)
    for record in found { writer.add(record) }
    if !found.contains(where: { $0.type == question.type }), let minimum {
      writer.add(
        DNSRecord(.root, ttl: minimum * 2, .authority(minimum: minimum)), isAuthority: true)
    }
    return writer.bytes
  }
}

extension Resolver.Effect {
  var ticket: Resolver.Ticket? {
    switch self {
    case .send(let ticket, _, _), .sendStream(let ticket, _, _), .close(let ticket): ticket
    case .settled: nil
    }
  }
}

/// The id and question of a query of ours.
func read(query bytes: [UInt8]) -> (id: UInt16, question: DNSQuestion)? {
  // A query is a reply but for one bit.
  var copy = bytes
  guard copy.count > 12 else { return nil }
  copy[2] |= 0x80
  guard let reply = try? DNSReply.parse(copy.rawSpan), let question = reply.question else {
    return nil
  }
  return (reply.id, question)
}
