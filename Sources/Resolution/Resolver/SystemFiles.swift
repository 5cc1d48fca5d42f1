package import Base

/// What the files of a Unix system say about names, as text that somebody else has read.
package enum SystemFiles {
  /// The `nameserver` lines of resolv.conf(5), at most three as the C library takes them. A zone index
  /// (`%eth0`) is not understood.
  package static func nameServers(_ text: String) -> [SocketAddress] {
    var servers: [SocketAddress] = []
    for line in text.split(whereSeparator: \.isNewline) where servers.count < 3 {
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      guard words.first == "nameserver", words.count > 1, let address = IPAddress(words[1]) else {
        continue
      }
      servers.append(SocketAddress(address, 53))
    }
    return servers
  }

  /// hosts(5): an address and the names that it has.
  package static func hosts(_ text: String) -> [DNSName: [IPAddress]] {
    var hosts: [DNSName: [IPAddress]] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let content = line.prefix { $0 != "#" }
      let words = content.split(whereSeparator: { $0 == " " || $0 == "\t" })
      guard let first = words.first, let address = IPAddress(first) else { continue }
      for word in words.dropFirst() {
        guard hosts.count < 10_000, let name = DNSName(word) else { continue }
        if hosts[name]?.contains(address) != true { hosts[name, default: []].append(address) }
      }
    }
    return hosts
  }
}
