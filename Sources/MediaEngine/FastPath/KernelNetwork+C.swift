import Base
import CLinux

struct KernelInterface: Hashable, Sendable {
  var index: UInt32
  var mtu: Int
  var hardware: UInt16

  /// ARPHRD_ETHER, ARPHRD_LOOPBACK: 14 bytes stand before each IP header.
  var hasEthernetHeaders: Bool { hardware == 1 || hardware == 772 }
}

/// How packets for somebody leave this machine.
struct KernelWay: Hashable, Sendable {
  var interface: UInt32
  /// 0: that of the interface.
  var mtu: Int
  var source: IPAddress?
  var isLocal: Bool
}

/// Interfaces, addresses and routes of this machine.
enum KernelNetwork {
  static func interfaces() -> [KernelInterface] {
    var found = [clkernel_interface](repeating: clkernel_interface(), count: 1_024)
    let count = unsafe clkernel_interfaces(&found, Int32(found.count))
    return found.prefix(Int(max(count, 0))).filter { $0.is_up != 0 }.map {
      KernelInterface(index: $0.index, mtu: Int($0.mtu), hardware: $0.hardware)
    }
  }

  static func addresses() -> [(ip: IPAddress, interface: UInt32)] {
    var interfaces = [UInt32](repeating: 0, count: 256)
    let count = unsafe clkernel_address_interfaces(&interfaces, Int32(interfaces.count))
    return Array(zip(Process.ownAddresses(), interfaces.prefix(Int(max(count, 0)))))
      .map { (ip: $0.0, interface: $0.1) }
  }

  static func makeLookup() -> Int32 { clkernel_netlink() }
  static func makeWatch() -> Int32 { clkernel_watch() }
  /// -1 on a kernel without IPsec.
  static func makePolicyWatch() -> Int32 { max(clkernel_ipsec_watch(), -1) }
  /// Whether anything that comes or goes has to pass IPsec; also where that cannot be found out.
  static var hasPolicies: Bool { clkernel_ipsec_policies() != 0 }

  static func socket(_ step: String, _ make: () -> Int32) throws(FastPathObstacle) -> Int32 {
    let result = make()
    guard result >= 0 else {
      throw .system(step: step, reason: SystemError(result: result).text)
    }
    return result
  }

  /// Nil where there is none that a packet could take.
  static func way(_ netlink: Int32, to: IPAddress, from: IPAddress) -> KernelWay? {
    var way = clkernel_way()
    let result = unsafe clkernel_route(
      netlink, clmedia_address(SocketAddress(to, 0)), clmedia_address(SocketAddress(from, 0)),
      &way)
    guard result == 0, way.is_usable != 0 else { return nil }
    return KernelWay(
      interface: way.interface, mtu: Int(way.mtu),
      source: way.source.family == 0 ? nil : way.source.socketAddress.ip,
      isLocal: way.is_local != 0)
  }

  static func takeChanges(_ watch: Int32) -> Bool { clkernel_watch_clear(watch) != 0 }
}

/// tc filters of kernels without links.
enum KernelFilters {
  struct Filter {
    fileprivate var raw: clkernel_filter
    var name: String
  }

  static func add(_ interface: UInt32, program: Int32, name: String) throws(SystemError) {
    var result = clkernel_ingress(interface)
    if result == 0 { result = unsafe clkernel_filter_add(interface, program, name) }
    guard result >= 0 else { throw SystemError(result: result) }
  }

  static func list(_ interface: UInt32, prefix: String) -> [Filter] {
    var found = [clkernel_filter](repeating: clkernel_filter(), count: 64)
    let count = unsafe clkernel_filters(interface, prefix, &found, Int32(found.count))
    return found.prefix(Int(max(count, 0))).map { raw in
      let name = unsafe withUnsafeBytes(of: raw.name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      return Filter(raw: raw, name: name)
    }
  }

  static func remove(_ interface: UInt32, _ filter: Filter) {
    var raw = filter.raw
    _ = unsafe clkernel_filter_remove(interface, &raw)
  }

  static func claim(_ name: String) throws(SystemError) -> Int32 {
    let result = unsafe clkernel_claim(name)
    guard result >= 0 else { throw SystemError(result: result) }
    return result
  }
}

/// What the kernel is, and what it lets this process do.
enum KernelSystem {
  static var release: (major: Int, minor: Int) {
    let release = clkernel_release()
    return (Int(release >> 16), Int(release & 0xffff))
  }

  /// Of those that the fast path needs; CAP_SYS_ADMIN stands for CAP_BPF, as it did before that existed.
  static var missingCapabilities: [String] {
    let mayLoad = clkernel_has_capability(39) != 0 || clkernel_has_capability(21) != 0
    return (mayLoad ? [] : ["CAP_BPF"])
      + (clkernel_has_capability(12) != 0 ? [] : ["CAP_NET_ADMIN"])
  }
}
