internal import CLinux
internal import Glibc

/// A socket of nfnetlink. What is sent is over when `ask` returns: the kernel works on the sender's thread.
final class NetfilterSocket {
  private let descriptor: Int32
  private var buffer = [UInt8](repeating: 0, count: 65_536)

  init() throws(NetfilterFailure) {
    descriptor = clkernel_netfilter()
    guard descriptor >= 0 else { throw NetfilterFailure(code: -descriptor) }
  }

  deinit { clinux_close(descriptor) }

  func ask(_ messages: NetfilterMessages) throws(NetfilterFailure) -> NetfilterAnswer {
    let bytes = messages.bytes
    let count = unsafe bytes.withUnsafeBytes { bytes in
      unsafe buffer.withUnsafeMutableBytes { buffer in
        unsafe clkernel_netfilter_ask(
          descriptor, bytes.baseAddress, bytes.count, buffer.baseAddress, buffer.count)
      }
    }
    guard count >= 0 else { throw NetfilterFailure(code: Int32(truncatingIfNeeded: -count)) }
    let answer = NetfilterAnswer(Array(buffer.prefix(count)), to: messages.awaited)
    guard answer.refusal == 0 else { throw NetfilterFailure(code: answer.refusal) }
    guard answer.isDone else { throw NetfilterFailure(code: EBADMSG) }
    return answer
  }
}

/// What the kernel did not do, or did not answer.
struct NetfilterFailure: Error {
  /// An errno.
  var code: Int32
  /// There is no table of the name, or nothing in it that was named.
  var isMissing: Bool { code == ENOENT }
  /// A flag is not known.
  var isUnknownFlag: Bool { code == EOPNOTSUPP || code == EINVAL }
}

/// Why the kernel does not drop what comes from those who are banned. Without it that is done here, at more CPU a packet.
package enum BanTableObstacle: Error, Hashable, Sendable, CustomStringConvertible {
  /// CAP_NET_ADMIN is missing.
  case notPermitted
  /// Another process has a table of this name.
  case taken
  /// The kernel has no nf_tables, or not all that is needed of it.
  case unsupported
  /// An errno.
  case system(Int32)

  init(_ code: Int32) {
    switch code {
    case EPERM, EACCES: self = clkernel_has_capability(12) == 0 ? .notPermitted : .taken
    case EOPNOTSUPP, EPROTONOSUPPORT, EAFNOSUPPORT, EINVAL, ENOENT: self = .unsupported
    default: self = .system(code)
    }
  }

  /// One word, as metrics say it.
  package var word: String {
    switch self {
    case .notPermitted: "not-permitted"
    case .taken: "taken"
    case .unsupported: "unsupported"
    case .system: "system"
    }
  }

  @usableFromInline package var description: String {
    switch self {
    case .notPermitted: "the process lacks CAP_NET_ADMIN"
    case .taken: "another process has a table of this name"
    case .unsupported: "the kernel has no nf_tables"
    case .system(let code): SystemError.text(code)
    }
  }

  package var remedy: String {
    switch self {
    case .notPermitted:
      "give it to the service (systemd: AmbientCapabilities=CAP_NET_ADMIN), or leave out `admission.kernelTable`"
    case .taken: "give each process a name of its own in `admission.kernelTable`"
    case .unsupported:
      "load the module nf_tables (a container's host has to), or leave out `admission.kernelTable`"
    case .system: "see the kernel's log; it is tried again"
    }
  }

  /// Of a table of the name, for this process; nil: none.
  package static func find(table: String) -> BanTableObstacle? {
    do throws(NetfilterFailure) {
      _ = try NetfilterSocket().ask(BanTable(name: table, size: 1).probe(after: 0))
      return nil
    } catch {
      return error.isMissing ? nil : BanTableObstacle(error.code)
    }
  }
}
