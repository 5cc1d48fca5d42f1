package import Base
import Foundation
import Resolution

/// Where names are looked up: `dns` of demarc.yaml, else what the system's files say, read again while
/// the process runs.
package struct NameSettings: Hashable, Sendable {
  /// Empty: the servers of /etc/resolv.conf, or 127.0.0.1 where it names none.
  package var servers: [SocketAddress] = []
  package var timeout = Interval.seconds(1)
  package var hostsFile = "/etc/hosts"

  package init() {}

  /// At this moment.
  var current: ResolverSettings {
    var settings = ResolverSettings()
    settings.servers = servers
    settings.timeout = timeout
    if servers.isEmpty {
      settings.servers = SystemFiles.nameServers(Self.text(of: "/etc/resolv.conf"))
      if settings.servers.isEmpty { settings.servers = [SocketAddress(.loopbackV4, 53)] }
    }
    settings.hosts = SystemFiles.hosts(Self.text(of: hostsFile))
    return settings
  }

  private static func text(of path: String) -> String {
    (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
  }
}
