internal import Glibc

/// The errnos that mean something of their own here.
enum SystemError {
  case addressInUse, addressNotAvailable, noPermission, familyNotSupported, noDescriptors, other

  init(_ code: Int32) {
    switch code {
    case EADDRINUSE: self = .addressInUse
    case EADDRNOTAVAIL: self = .addressNotAvailable
    case EACCES, EPERM: self = .noPermission
    case EAFNOSUPPORT, EPFNOSUPPORT, EPROTONOSUPPORT: self = .familyNotSupported
    case EMFILE, ENFILE: self = .noDescriptors
    default: self = .other
    }
  }

  /// "Connection refused (errno 111)".
  static func text(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe strerror_r(code, &buffer, buffer.count) == 0 else { return "errno \(code)" }
    let message = String(
      decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return "\(message) (errno \(code))"
  }
}

/// What to do with a datagram that a socket didn't take.
enum SendOutcome {
  /// The socket's buffer is full: keep it, and wait until there is room.
  case later
  /// Nobody is there, or no way leads there: whoever sent it wants to know.
  case unreachable
  /// This one is lost, as any datagram may be.
  case lost

  init(_ code: Int32) {
    switch code {
    case EAGAIN: self = .later
    case ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN, EADDRNOTAVAIL, EAFNOSUPPORT,
      EINVAL, EACCES, ENONET, ENOPROTOOPT:
      self = .unreachable
    default: self = .lost
    }
  }
}

extension SystemError {
  static var outOfMemory: Int32 { ENOMEM }
}
