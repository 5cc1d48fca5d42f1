import Base
import CryptoCore

/// What a token of ours stands for.
enum TokenKind: UInt8 {
  case branch = 1, tag, callID, reply, gruu, subscription, pickup, contact
}

/// Who owns a message, written into our branches, tags and Call-IDs: node, incarnation, shard, slot and
/// generation, sealed as one block of AES, 32 hexadecimal digits on the wire. A peer can neither read nor
/// forge it, and the owner is found without a table: by this shard, by another, by another node, or by the
/// process that took over.
struct OwnerToken: Equatable {
  var kind: TokenKind
  /// Which early dialog of the leg (RFC 3261 §13.2.2.4); 0 elsewhere.
  var fork: UInt8
  var owner: SlabHandle
}

struct TokenMint {
  /// Digits of a token on the wire.
  static let digits = 32

  private let seal: TokenSeal
  private let prefix: UInt64

  init?(settings: ShardSettings) {
    guard settings.secret.count >= 16, let seal = TokenSeal(key: Array(settings.secret.prefix(16)))
    else { return nil }
    self.seal = seal
    prefix =
      UInt64(settings.node) << 48 | UInt64(settings.shard & 0xff) << 40
      | UInt64(UInt32(truncatingIfNeeded: settings.incarnation))
  }

  func write(_ token: OwnerToken, into output: inout OutputBuffer) {
    let (high, low) = words(token)
    output.append(hex: high, digits: 16)
    output.append(hex: low, digits: 16)
  }

  func text(_ token: OwnerToken) -> String {
    let (high, low) = words(token)
    var digits: [UInt8] = []
    for word in [high, low] {
      for i in 0..<16 {
        digits.append(.hexDigit(UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * i)) & 15))
      }
    }
    return String(decoding: digits, as: UTF8.self)
  }

  private func words(_ token: OwnerToken) -> (UInt64, UInt64) {
    let head = prefix | UInt64(token.kind.rawValue) << 36 | UInt64(token.fork & 15) << 32
    let body = UInt64(token.owner.slot) << 32 | UInt64(token.owner.generation)
    return seal.seal(head, body)
  }

  /// Nil for whatever this incarnation of this shard did not write.
  func read(_ text: RawSpan) -> OwnerToken? {
    guard text.byteCount == Self.digits, let high = text.hexadecimal(0),
      let low = text.hexadecimal(16)
    else { return nil }
    let (head, body) = seal.open(high, low)
    guard head & ~(0xff << 32) == prefix,
      let kind = TokenKind(rawValue: UInt8(truncatingIfNeeded: head >> 36) & 15)
    else { return nil }
    return OwnerToken(
      kind: kind, fork: UInt8(truncatingIfNeeded: head >> 32) & 15,
      owner: SlabHandle(
        slot: UInt32(truncatingIfNeeded: body >> 32), generation: UInt32(truncatingIfNeeded: body)))
  }
}

extension RawSpan {
  /// The value of the 16 hexadecimal digits at `start`.
  fileprivate func hexadecimal(_ start: Int) -> UInt64? {
    guard let high = Hexadecimal.value(word(at: start)),
      let low = Hexadecimal.value(word(at: start + 8))
    else { return nil }
    return UInt64(high) << 32 | UInt64(low)
  }
}
