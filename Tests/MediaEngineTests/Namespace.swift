import Base
import CLinux
import Glibc
import Testing

/// A network namespace of a test: nothing of the machine's own network is touched, and nothing of it is seen.
///
/// A thread is in one at a time, so what runs inside must not suspend. Sockets and threads that are made inside
/// stay there.
final class Namespace {
  private let descriptor: Int32

  /// Whether tests may make one: they must run as root. Where they may not, that is said, so that nobody takes
  /// what was left out for passed.
  static let isPossible: Bool = {
    if geteuid() == 0, clkernel_has_capability(12) != 0, clkernel_has_capability(21) != 0 {
      return true
    }
    print("NOT TESTED: relaying in the kernel needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF)")
    return false
  }()

  init() throws {
    let before = clkernel_namespace_new()
    try #require(before >= 0)
    defer { close(before) }
    descriptor = clkernel_namespace_current()
    try #require(clkernel_namespace_enter(before) == 0)
    try run("ip link set lo up")
  }

  deinit { close(descriptor) }

  func enter<T>(_ body: () throws -> T) throws -> T {
    let before = clkernel_namespace_current()
    try #require(before >= 0)
    defer { close(before) }
    try #require(clkernel_namespace_enter(descriptor) == 0)
    defer { _ = clkernel_namespace_enter(before) }
    return try body()
  }

  /// As another process names it.
  var path: String { "/proc/\(getpid())/fd/\(descriptor)" }

  func run(_ command: String) throws {
    try enter { try #require(shell(command) == 0, "\(command)") }
  }
}

/// The exit status of a shell command in the thread's network namespace.
func shell(_ command: String) -> Int32 {
  var child: pid_t = 0
  let text: [String] = ["/bin/sh", "-c", command]
  var words: [UnsafeMutablePointer<CChar>?] = unsafe text.map { unsafe strdup($0) }
  defer { unsafe words.forEach { word in unsafe free(word) } }
  unsafe words.append(nil)
  guard unsafe posix_spawn(&child, "/bin/sh", nil, nil, words, environ) == 0 else { return -1 }
  var status: Int32 = 0
  guard unsafe waitpid(child, &status, 0) == child else { return -1 }
  return status & 0x7f == 0 ? status >> 8 & 0xff : -1
}

/// Three namespaces: a caller's, ours and a callee's, each pair joined by Ethernet.
///
///     10.71.1.1 ── 10.71.1.2 ours 10.71.2.2 ── 10.71.2.1       and fd71:1::, fd71:2:: likewise
struct Triangle {
  let caller: Namespace
  let ours: Namespace
  let callee: Namespace

  init() throws {
    (caller, ours, callee) = (try Namespace(), try Namespace(), try Namespace())
    try join(caller, 1)
    try join(callee, 2)
  }

  private func join(_ far: Namespace, _ number: Int) throws {
    try ours.run("ip link add v\(number) type veth peer name far netns \(far.path)")
    for (space, link, host) in [(ours, "v\(number)", 2), (far, "far", 1)] {
      try space.run("ip addr add 10.71.\(number).\(host)/24 dev \(link)")
      try space.run("ip addr add fd71:\(number)::\(host)/64 dev \(link) nodad")
      try space.run("ip link set \(link) up")
    }
    try far.run("ip route add default via 10.71.\(number).2")
    try far.run("ip -6 route add default via fd71:\(number)::2")
    try wait(for: far, IPAddress(v6High: 0xfd71_0000_0000_0000 | UInt64(number) << 32, low: 1))
  }

  /// The kernel looks once a second whether a link has come up, and IPv6 waits for that.
  private func wait(for far: Namespace, _ address: IPAddress) throws {
    let sender = try ours.enter { try Peer(.anyV6) }
    let receiver = try far.enter { try Peer(address) }
    for _ in 0..<300 {
      sender.send([0], to: receiver.address)
      if receiver.receive(within: 10) != nil { return }
    }
    Issue.record("no IPv6 between namespaces")
  }
}
