/// SRTP by a=crypto (RFC 4568) as an agent has it: what stands in its offers, and which suites it takes.
package struct AgentSRTP: Hashable, Sendable {
  /// Of its own offers.
  package var profile = "RTP/SAVP"
  /// The a=crypto lines of its own offers, without `a=crypto:`.
  package var offers = ["1 AES_CM_128_HMAC_SHA1_80 inline:" + AgentSRTP.offered]
  package var takes = [
    "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80",
  ]
  /// Its pictures have keys as well; without, it answers them as if it had not seen any.
  package var protectsVideo = true
  /// It answers as if it had not seen the keys.
  package var answersPlain = false

  package init() {}

  /// Keys that tell in a test where they come from: 30 bytes each.
  package static let offered = "T2ZmZXJlZGtleUNBTkFSWW9mZmVyZWRrZXlDQU5B"
  package static let pictures = "UGljdHVyZUtleUNBTkFSWVBpY3R1cmVLZXlDQU5B"
  package static let answered = "QW5zd2VyS2V5Q0FOQVJZQW5zd2VyS2V5Q0FOQVJZ"

  /// Of its pictures, where those have keys.
  var videoOffers: [String] {
    guard protectsVideo else { return [] }
    return offers.map { offer in
      offer.split(separator: " ").map { word in
        word.hasPrefix("inline:" + AgentSRTP.offered) ? "inline:" + AgentSRTP.pictures : "\(word)"
      }.joined(separator: " ")
    }
  }

  static func key(_ suite: Substring) -> String {
    switch suite {
    case "AEAD_AES_128_GCM": String(answered.prefix(36)) + "QQ=="
    case "AEAD_AES_256_GCM": String(answered.prefix(36)) + String(answered.prefix(20)) + "QUE="
    case "AES_256_CM_HMAC_SHA1_80":
      String(answered.prefix(36)) + String(answered.prefix(24)) + "QQ=="
    default: answered
    }
  }

  /// The answer to lines of an offer: the first one whose suite it takes.
  func answer(to lines: [String]) -> String? {
    for line in lines {
      let words = line.split(separator: " ")
      guard words.count >= 3, takes.contains(String(words[1])) else { continue }
      return "\(words[0]) \(words[1]) inline:\(AgentSRTP.key(words[1]))"
    }
    return nil
  }
}
