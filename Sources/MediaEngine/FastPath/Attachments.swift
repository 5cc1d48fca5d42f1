/// The program at the ingress of interfaces: as links (Linux 6.6 and later), which go with our descriptors, or
/// as filters, which stay when a process dies and are cleaned up by the next one.
///
/// A filter's name tells whose it is: its owner holds the same name as an abstract socket of the network
/// namespace for as long as it lives. Until it is cleaned up it does nothing: it only calls on to the real
/// program, and the kernel forgets where that is when the last descriptor of the table of programs is closed.
struct Attachments: Sendable {
  static let namePrefix = "demarc-media-"

  private(set) var links: [Int32] = []
  private var filtered: [UInt32] = []
  private var name = ""
  private var claim: Int32 = -1

  var count: Int { links.count + filtered.count }
  var areLinks: Bool { !links.isEmpty }

  init() {}

  /// Interfaces without Ethernet headers are left out.
  init(
    _ interfaces: Set<UInt32>, _ maps: borrowing KernelMaps, byFilter: Bool
  ) throws(FastPathObstacle) {
    let usable = KernelNetwork.interfaces().filter {
      interfaces.contains($0.index) && $0.hasEthernetHeaders
    }
    guard !usable.isEmpty else { throw .noInterface }
    var failure: SystemError?
    for interface in usable { Self.removeStaleFilters(interface.index) }
    if !byFilter {
      for interface in usable {
        do throws(SystemError) {
          links.append(try maps.link(interface.index))
        } catch {
          failure = error
        }
      }
      if !links.isEmpty { return }
      // Before 6.6 the kernel knows no such link.
      if let failure, failure != .invalidArgument {
        throw .system(step: "attaching", reason: failure.text)
      }
    }
    try addFilters(usable, maps)
  }

  private mutating func addFilters(
    _ interfaces: [KernelInterface], _ maps: borrowing KernelMaps
  ) throws(FastPathObstacle) {
    name = Self.namePrefix + String(Process.random(), radix: 16)
    do throws(SystemError) {
      claim = try KernelFilters.claim(name)
      for interface in interfaces {
        try KernelFilters.add(interface.index, program: maps.door, name: name)
        filtered.append(interface.index)
      }
    } catch {
      close()
      throw .system(step: "adding a filter", reason: error.text)
    }
  }

  /// Of processes that are no more.
  private static func removeStaleFilters(_ interface: UInt32) {
    for filter in KernelFilters.list(interface, prefix: namePrefix) {
      guard let claim = try? KernelFilters.claim(filter.name) else { continue }
      KernelFilters.remove(interface, filter)
      MediaSocket.close(claim)
    }
  }

  mutating func close() {
    for link in links { MediaSocket.close(link) }
    for interface in filtered {
      for filter in KernelFilters.list(interface, prefix: Self.namePrefix)
      where filter.name == name {
        KernelFilters.remove(interface, filter)
      }
    }
    if claim >= 0 { MediaSocket.close(claim) }
    (links, filtered, claim) = ([], [], -1)
  }
}
