/// The steps of a rule (linux/netfilter/nf_tables.h): they load what stands in a packet into registers, and go on to the
/// next one as long as it holds.
struct NetfilterExpressions {
  /// The first of the registers of four bytes (NFT_REG32_00).
  static let firstRegister = UInt32(8)
  private static let verdictRegister = UInt32(0)

  private(set) var messages: NetfilterMessages

  init(_ messages: NetfilterMessages) { self.messages = messages }

  private mutating func step(_ name: String, _ body: (inout NetfilterMessages) -> Void) {
    messages.nested(1) {
      $0.attribute(1, text: name)
      $0.nested(2, body)
    }
  }

  /// That the packet is of IPv4 or IPv6 (NFPROTO_…).
  mutating func family(_ number: UInt8) {
    load(meta: 15, to: Self.firstRegister)
    step("cmp") {
      $0.attribute(1, Self.firstRegister)
      $0.attribute(2, UInt32(0))
      $0.nested(3) { $0.attribute(1, [number]) }
    }
  }

  mutating func protocolNumber(to register: UInt32) { load(meta: 16, to: register) }

  private mutating func load(meta key: UInt32, to register: UInt32) {
    step("meta") {
      $0.attribute(1, register)
      $0.attribute(2, key)
    }
  }

  /// Of the header of IP.
  mutating func network(offset: Int, size: Int, to register: UInt32) {
    load(base: 1, offset: offset, size: size, to: register)
  }

  /// Of UDP and TCP; in the further pieces of a packet that came in pieces there is none, and the rule ends.
  mutating func destinationPort(to register: UInt32) {
    load(base: 2, offset: 2, size: 2, to: register)
  }

  private mutating func load(base: UInt32, offset: Int, size: Int, to register: UInt32) {
    step("payload") {
      $0.attribute(1, register)
      $0.attribute(2, base)
      $0.attribute(3, UInt32(clamping: offset))
      $0.attribute(4, UInt32(clamping: size))
    }
  }

  mutating func mask(_ register: UInt32, _ mask: [UInt8]) {
    step("bitwise") {
      $0.attribute(1, register)
      $0.attribute(2, register)
      $0.attribute(3, UInt32(clamping: mask.count))
      $0.nested(4) { $0.attribute(1, mask) }
      $0.nested(5) { $0.attribute(1, [UInt8](repeating: 0, count: mask.count)) }
    }
  }

  mutating func lookUp(_ register: UInt32, in set: String) {
    step("lookup") {
      $0.attribute(1, text: set)
      $0.attribute(2, register)
    }
  }

  mutating func count(_ counter: String) {
    step("objref") {
      $0.attribute(1, UInt32(1))
      $0.attribute(2, text: counter)
    }
  }

  mutating func drop() { verdict { $0.attribute(1, Int32(0)) } }

  mutating func jump(_ chain: String) {
    verdict {
      $0.attribute(1, Int32(-3))
      $0.attribute(2, text: chain)
    }
  }

  private mutating func verdict(_ body: (inout NetfilterMessages) -> Void) {
    step("immediate") {
      $0.attribute(1, Self.verdictRegister)
      $0.nested(2) { $0.nested(2, body) }
    }
  }
}
