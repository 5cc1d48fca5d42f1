internal import Base

// The table of nftables that bans are mirrored into, as messages (linux/netfilter/nf_tables.h). As nft shows it:
//
//     table inet demarc {
//       flags owner
//       counter dropped { … }
//       set listeners4 { type ipv4_addr . inet_proto . inet_service; elements = { 192.0.2.1 . udp . 5060 } }
//       set ipv4 { type ipv4_addr; size 20000; flags timeout; elements = { 198.51.100.44 timeout 9m expires … } }
//       chain banned4 { ip saddr @ipv4 counter name "dropped" drop }
//       chain incoming {
//         type filter hook prerouting priority raw; policy accept;
//         ip daddr . meta l4proto . th dport @listeners4 jump banned4
//       }
//     }
//
// and likewise for IPv6. A set has blocks of one length, so that one that lies within another needs nothing of its own,
// and each length is one look-up: ipv4 of addresses, ipv6 of /64, others by their length (ipv4-24).

/// Where a program listens, as rules see it.
struct GuardedPort: Hashable {
  var address: SocketAddress
  var isStream: Bool
}

struct BanTable {
  /// Also the table's name.
  let name: String
  /// Of each set.
  let size: Int
  /// The table belongs to the socket that made it: it goes with that, nobody else can change it, and `nft flush ruleset`
  /// leaves it (NFT_TABLE_F_OWNER, Linux 5.12).
  var isOwned = true

  struct Element {
    var network: IPNetwork
    var time: Interval
  }

  // MARK: Batches

  /// Everything anew, in place of what there is under the name.
  func whole(
    _ shapes: [IPNetwork.Shape], ports: [GuardedPort], elements: [Element],
    after sequence: UInt32
  ) -> NetfilterMessages {
    batch(after: sequence) { batch in
      // That there is one to be deleted.
      table(&batch, Command.newTable, [.create])
      table(&batch, Command.deleteTable)
      table(&batch, Command.newTable, [.create])
      batch.message(Command.newObject, [.create], family: Family.inet) {
        $0.attribute(1, text: name)
        $0.attribute(2, text: Self.counter)
        $0.attribute(3, Self.counterType)
        $0.nested(4) { _ in }
      }
      for family in [IPAddress.Family.v4, .v6] {
        listeners(&batch, family, ports.filter { $0.address.ip.family == family })
        chain(&batch, Self.verdicts(family))
      }
      incoming(&batch)
      for shape in shapes { add(shape, to: &batch) }
      add(elements, to: &batch)
    }
  }

  func change(
    removing: [IPNetwork], shapes: [IPNetwork.Shape], adding: [Element], after sequence: UInt32
  ) -> NetfilterMessages {
    batch(after: sequence) { batch in
      for shape in shapes { add(shape, to: &batch) }
      Self.eachSet(removing) {
        $0.shape
      } _: { set, networks in
        elements(&batch, Command.deleteElement, [], set, networks.map { ($0, nil) })
      }
      add(adding, to: &batch)
    }
  }

  func removal(after sequence: UInt32) -> NetfilterMessages {
    batch(after: sequence, last: Command.deleteTable) { _ in }
  }

  /// A question, and no batch.
  func question(after sequence: UInt32) -> NetfilterMessages {
    var message = NetfilterMessages(after: sequence)
    message.message(Command.getObject, [.acknowledge], family: Family.inet) {
      $0.attribute(1, text: name)
      $0.attribute(2, text: Self.counter)
      $0.attribute(3, Self.counterType)
    }
    return message
  }

  /// Packets that were dropped; nil: the kernel has not said it.
  static func dropped(_ answer: NetfilterAnswer) -> UInt64? {
    answer.attributes.attribute(4)?.attribute(2)?.bigEndian()
  }

  /// Whether there is the table; it is the answer that matters, to whoever asks what he may.
  func probe(after sequence: UInt32) -> NetfilterMessages {
    var message = NetfilterMessages(after: sequence)
    table(&message, Command.getTable, [.acknowledge])
    return message
  }

  // MARK: Parts

  private static let counter = "dropped"
  private static let counterType = UInt32(1)
  private static let incoming = "incoming"

  private enum Command {
    private static let subsystem = UInt16(10) << 8
    static let newTable = subsystem | 0
    static let getTable = subsystem | 1
    static let deleteTable = subsystem | 2
    static let newChain = subsystem | 3
    static let newRule = subsystem | 6
    static let newSet = subsystem | 9
    static let newElement = subsystem | 12
    static let deleteElement = subsystem | 14
    static let newObject = subsystem | 18
    static let getObject = subsystem | 19
  }

  private enum Family {
    static let inet: UInt8 = 1
    static let v4: UInt8 = 2
    static let v6: UInt8 = 10
  }

  private static func verdicts(_ family: IPAddress.Family) -> String {
    family == .v4 ? "banned4" : "banned6"
  }

  private static func ports(_ family: IPAddress.Family) -> String {
    family == .v4 ? "listeners4" : "listeners6"
  }

  static func setName(_ shape: IPNetwork.Shape) -> String {
    switch (shape.family, shape.prefixLength) {
    case (.v4, 32): "ipv4"
    case (.v6, 64): "ipv6"
    case (.v4, let length): "ipv4-\(length)"
    case (.v6, let length): "ipv6-\(length)"
    }
  }

  /// All of it or nothing. The last command is acknowledged; by itself it makes sure of what is there.
  private func batch(
    after sequence: UInt32, last: UInt16 = Command.newTable,
    _ body: (inout NetfilterMessages) -> Void
  ) -> NetfilterMessages {
    var batch = NetfilterMessages(after: sequence)
    batch.message(0x10, resource: 10)
    body(&batch)
    table(&batch, last, last == Command.newTable ? [.create, .acknowledge] : [.acknowledge])
    batch.message(0x11, resource: 10)
    return batch
  }

  private func table(
    _ batch: inout NetfilterMessages, _ command: UInt16, _ flags: NetfilterMessages.Flags = []
  ) {
    batch.message(command, flags, family: Family.inet) {
      $0.attribute(1, text: name)
      if command == Command.newTable, isOwned { $0.attribute(2, UInt32(2)) }
    }
  }

  private func chain(
    _ batch: inout NetfilterMessages, _ chain: String,
    _ further: (inout NetfilterMessages) -> Void = { _ in }
  ) {
    batch.message(Command.newChain, [.create], family: Family.inet) {
      $0.attribute(1, text: name)
      $0.attribute(3, text: chain)
      further(&$0)
    }
  }

  /// At prerouting, before connections are tracked (priority raw): a flood makes no entries there.
  private func incoming(_ batch: inout NetfilterMessages) {
    chain(&batch, Self.incoming) {
      $0.nested(4) {
        $0.attribute(1, UInt32(0))
        $0.attribute(2, Int32(-300))
      }
      $0.attribute(5, UInt32(1))
      $0.attribute(7, text: "filter")
    }
    for family in [IPAddress.Family.v4, .v6] {
      let addressSize = family == .v4 ? 4 : 16
      let registers = NetfilterExpressions.firstRegister
      rule(&batch, Self.incoming) { rule in
        rule.family(family == .v4 ? Family.v4 : Family.v6)
        rule.network(offset: family == .v4 ? 16 : 24, size: addressSize, to: registers)
        rule.protocolNumber(to: registers + UInt32(addressSize / 4))
        rule.destinationPort(to: registers + UInt32(addressSize / 4) + 1)
        rule.lookUp(registers, in: Self.ports(family))
        rule.jump(Self.verdicts(family))
      }
    }
  }

  private func rule(
    _ batch: inout NetfilterMessages, _ chain: String,
    _ body: (inout NetfilterExpressions) -> Void
  ) {
    batch.message(Command.newRule, [.create, .append], family: Family.inet) {
      $0.attribute(1, text: name)
      $0.attribute(2, text: chain)
      $0.nested(4) {
        var expressions = NetfilterExpressions($0)
        body(&expressions)
        $0 = expressions.messages
      }
    }
  }

  private func set(
    _ batch: inout NetfilterMessages, _ set: String, flags: UInt32, type: UInt32, keySize: Int,
    _ further: (inout NetfilterMessages) -> Void
  ) {
    batch.message(Command.newSet, [.create], family: Family.inet) {
      $0.attribute(1, text: name)
      $0.attribute(2, text: set)
      $0.attribute(3, flags)
      $0.attribute(4, type)
      $0.attribute(5, UInt32(clamping: keySize))
      // Needed of each set, though it is only for those that have no name yet.
      $0.attribute(10, UInt32(0))
      further(&$0)
    }
  }

  private func listeners(
    _ batch: inout NetfilterMessages, _ family: IPAddress.Family, _ ports: [GuardedPort]
  ) {
    let addressSize = family == .v4 ? 4 : 16
    // ipv4_addr or ipv6_addr, inet_proto, inet_service, as nft numbers them.
    let type: UInt32 = (family == .v4 ? 7 : 8) << 12 | 12 << 6 | 13
    set(&batch, Self.ports(family), flags: 0, type: type, keySize: addressSize + 8) { _ in }
    let keys = ports.map { port in
      port.address.ip.bytes + [port.isStream ? 6 : 17, 0, 0, 0]
        + NetfilterMessages.bigEndian(port.address.port) + [0, 0]
    }
    elements(&batch, Command.newElement, [.create], Self.ports(family), keys.map { ($0, nil) })
  }

  /// A set, and the rule that looks into it.
  private func add(_ shape: IPNetwork.Shape, to batch: inout NetfilterMessages) {
    let isV4 = shape.family == .v4
    let keySize = isV4 ? 4 : 16
    let name = Self.setName(shape)
    set(&batch, name, flags: 0x10, type: isV4 ? 7 : 8, keySize: keySize) {
      $0.nested(9) { $0.attribute(1, UInt32(clamping: size)) }
    }
    rule(&batch, Self.verdicts(shape.family)) { rule in
      let register = NetfilterExpressions.firstRegister
      rule.network(offset: isV4 ? 12 : 8, size: keySize, to: register)
      if shape.prefixLength < keySize * 8 {
        rule.mask(register, Self.mask(shape.prefixLength, size: keySize))
      }
      rule.lookUp(register, in: name)
      rule.count(Self.counter)
      rule.drop()
    }
  }

  private static func mask(_ length: Int, size: Int) -> [UInt8] {
    (0..<size).map { i in
      let ones = min(max(length - i * 8, 0), 8)
      return UInt8(truncatingIfNeeded: 0xff00 >> ones)
    }
  }

  private func add(_ elements: [Element], to batch: inout NetfilterMessages) {
    Self.eachSet(elements) {
      $0.network.shape
    } _: { set, elements in
      self.elements(
        &batch, Command.newElement, [.create], set, elements.map { ($0.network, $0.time) })
    }
  }

  private static func eachSet<Value>(
    _ values: [Value], by shape: (Value) -> IPNetwork.Shape, _ body: (String, [Value]) -> Void
  ) {
    for (shape, values) in Dictionary(grouping: values, by: shape) {
      body(setName(shape), values)
    }
  }

  private func elements(
    _ batch: inout NetfilterMessages, _ command: UInt16, _ flags: NetfilterMessages.Flags,
    _ set: String, _ networks: [(IPNetwork, Interval?)]
  ) {
    elements(&batch, command, flags, set, networks.map { ($0.0.address.bytes, $0.1) })
  }

  /// As many messages as it takes: what is nested has at most 64 KiB.
  private func elements(
    _ batch: inout NetfilterMessages, _ command: UInt16, _ flags: NetfilterMessages.Flags,
    _ set: String, _ elements: [(key: [UInt8], time: Interval?)]
  ) {
    for start in stride(from: 0, to: elements.count, by: 1_000) {
      batch.message(command, flags, family: Family.inet) {
        $0.attribute(1, text: name)
        $0.attribute(2, text: set)
        $0.nested(3) {
          for element in elements[start...].prefix(1_000) {
            $0.nested(1) {
              $0.nested(1) { $0.attribute(1, element.key) }
              if let time = element.time { $0.attribute(4, UInt64(max(time.milliseconds, 1))) }
            }
          }
        }
      }
    }
  }
}

extension IPAddress {
  /// As they stand in a packet.
  fileprivate var bytes: [UInt8] {
    family == .v4
      ? NetfilterMessages.bigEndian(v4)
      : NetfilterMessages.bigEndian(high) + NetfilterMessages.bigEndian(low)
  }
}
