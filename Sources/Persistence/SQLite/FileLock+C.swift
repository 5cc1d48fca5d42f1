internal import Foundation
internal import Glibc
internal import Locking

/// Holds a file beside the store for as long as the process lives. Two processes on one store would close
/// each other's calls as interrupted; the kernel lets go of the lock when its holder dies, however.
final class FileLock: Sendable {
  private let descriptor: Mutex<Int32>

  init(path: String) throws(StoreError) {
    let file = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { throw StoreError(opening: path, errno: errno) }
    guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
      let reason = errno
      Glibc.close(file)
      throw reason == EWOULDBLOCK
        ? StoreError(.inUse, "another process holds \(path)")
        : StoreError(opening: path, errno: reason)
    }
    descriptor = Mutex(file)
  }

  deinit { release() }

  func release() {
    descriptor.withLock { file in
      if file >= 0 { Glibc.close(file) }
      file = -1
    }
  }

  /// Makes the file, readable by its owner alone, unless it is there already.
  static func createPrivately(_ path: String) throws(StoreError) {
    let file = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw StoreError(opening: path, errno: errno) }
    // Also where an older file was left readable to others.
    fchmod(file, 0o600)
    Glibc.close(file)
  }
}

extension StoreError {
  init(opening path: String, errno code: Int32) {
    let kind: Kind =
      switch code {
      case EACCES, EPERM, EROFS, ELOOP: .notPermitted
      case ENOSPC, EDQUOT: .full
      case EIO: .disk
      default: .other
      }
    let text = code == ENOENT ? "its folder does not exist" : NSError.text(errno: code)
    self.init(kind, "\(path) could not be opened: \(text)")
  }
}

extension NSError {
  fileprivate static func text(errno code: Int32) -> String {
    NSError(domain: NSPOSIXErrorDomain, code: Int(code)).localizedDescription
  }
}
