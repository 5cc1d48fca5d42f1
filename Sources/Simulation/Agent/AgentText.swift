package import Base

/// How agents write addresses and lists; nothing of the trunk's own writers is used.
package enum AgentText {
  package static func host(_ ip: IPAddress) -> String {
    if ip.family == .v4 {
      let v = ip.v4
      return "\(v >> 24).\(v >> 16 & 255).\(v >> 8 & 255).\(v & 255)"
    }
    let words = [ip.high, ip.low].flatMap { half in
      [48, 32, 16, 0].map { String(half >> UInt64($0) & 0xffff, radix: 16) }
    }
    return words.joined(separator: ":")
  }

  /// As in a URI or Via: IPv6 in brackets.
  package static func hostPort(_ address: SocketAddress) -> String {
    let host = host(address.ip)
    return address.ip.family == .v4 ? "\(host):\(address.port)" : "[\(host)]:\(address.port)"
  }

  package static func address(host: Substring, port: UInt16) -> SocketAddress? {
    ip(host).map { SocketAddress($0, port) }
  }

  package static func ip(_ text: Substring) -> IPAddress? {
    if text.contains(":") { return v6(text) }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).compactMap {
      UInt8($0)
    }
    guard parts.count == 4 else { return nil }
    return IPAddress(v4: parts.reduce(0) { $0 << 8 | UInt32($1) })
  }

  private static func v6(_ text: Substring) -> IPAddress? {
    let halves = text.split(separator: "::", omittingEmptySubsequences: false)
    func words(_ part: Substring) -> [UInt16]? {
      let all = part.split(separator: ":")
      let parsed = all.compactMap { UInt16($0, radix: 16) }
      return parsed.count == all.count ? parsed : nil
    }
    guard let first = halves.first, let head = words(first),
      let tail = words(halves.count > 1 ? halves[1] : ""),
      halves.count <= 2, halves.count == 2 ? head.count + tail.count < 8 : head.count == 8
    else { return nil }
    let middle = [UInt16](repeating: 0, count: max(0, 8 - head.count - tail.count))
    let all = head + middle + tail
    let value = { (words: ArraySlice<UInt16>) in words.reduce(UInt64(0)) { $0 << 16 | UInt64($1) } }
    return IPAddress(v6High: value(all[0..<4]), low: value(all[4..<8]))
  }

  /// The address in a SIP URI: `sip:user@host:port;params`.
  package static func address(inURI uri: String) -> SocketAddress? {
    guard let scheme = uri.firstRange(of: "sip:") else { return nil }
    var rest = uri[scheme.upperBound...]
    if let at = rest.firstIndex(of: "@") { rest = rest[rest.index(after: at)...] }
    if let end = rest.firstIndex(where: { $0 == ";" || $0 == ">" || $0 == "?" }) {
      rest = rest[..<end]
    }
    if rest.first == "[" {
      guard let close = rest.firstIndex(of: "]") else { return nil }
      let host = rest[rest.index(after: rest.startIndex)..<close]
      let after = rest[rest.index(after: close)...]
      return address(
        host: host, port: after.first == ":" ? UInt16(after.dropFirst()) ?? 5060 : 5060)
    }
    let parts = rest.split(separator: ":", maxSplits: 1)
    guard let host = parts.first else { return nil }
    return address(host: host, port: parts.count == 2 ? UInt16(parts[1]) ?? 5060 : 5060)
  }
}
