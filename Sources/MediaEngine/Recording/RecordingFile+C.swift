import Base
import Glibc
import MediaControl

/// Why a file can take no more.
struct RecordingFault: Error, Hashable {
  var code: Int32

  var end: RecordingEnd {
    switch code {
    case ENOSPC, EDQUOT, EFBIG: .diskFull
    default: .writeFailed
    }
  }
}

/// A file that grows at its end. Closed when it is gone.
struct RecordingFile: ~Copyable {
  private let descriptor: Int32
  /// Bytes that are in it for certain.
  private(set) var size: UInt64 = 0

  /// Makes a new one, for its owner alone.
  init(creating path: String) throws(RecordingFault) {
    descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw RecordingFault(code: errno) }
  }

  /// One that lies there, or takes what is written in another way (a test's).
  init(opening path: String) throws(RecordingFault) {
    descriptor = unsafe open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw RecordingFault(code: errno) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// All of it, or nothing: what was written of a part is cut off again.
  mutating func append(_ bytes: [UInt8]) throws(RecordingFault) {
    do throws(RecordingFault) {
      try write(bytes, at: size)
    } catch {
      _ = ftruncate(descriptor, off_t(size))
      throw error
    }
    size += UInt64(bytes.count)
  }

  func write(_ bytes: [UInt8], at offset: UInt64) throws(RecordingFault) {
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { bytes -> Int in
        guard let base = bytes.baseAddress else { return 0 }
        return unsafe pwrite(
          descriptor, base + done, bytes.count - done, off_t(offset) + off_t(done))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw RecordingFault(code: count < 0 ? errno : EIO) }
      done += count
    }
  }

  /// At most `count` bytes from `offset` on.
  func read(_ count: Int, at offset: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: max(count, 0))
    var done = 0
    while done < bytes.count {
      let read = unsafe bytes.withUnsafeMutableBytes { bytes -> Int in
        guard let base = bytes.baseAddress else { return 0 }
        return unsafe pread(
          descriptor, base + done, bytes.count - done, off_t(offset) + off_t(done))
      }
      if read < 0, errno == EINTR { continue }
      guard read > 0 else { break }
      done += read
    }
    return Array(bytes.prefix(done))
  }

  func truncate(to size: UInt64) throws(RecordingFault) {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw RecordingFault(code: errno) }
  }

  /// What the file system says.
  var length: UInt64 {
    var status = stat()
    return unsafe fstat(descriptor, &status) == 0 ? UInt64(max(status.st_size, 0)) : 0
  }

  func flush() { _ = fdatasync(descriptor) }
}

/// The folder that recordings lie in.
package struct RecordingFolder: Hashable, Sendable {
  package let path: String

  package init(_ path: String) { self.path = path }

  /// Made for its owner alone where it is not there; its error's text, or nil.
  package func make() -> String? {
    if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return nil }
    return SystemError(result: -errno).text
  }

  package func path(of name: String) -> String { path + "/" + name }

  /// Bytes that an ordinary user may still write there; `.max` where nobody knows.
  package var free: UInt64 {
    var status = statvfs()
    guard unsafe statvfs(path, &status) == 0 else { return .max }
    return UInt64(status.f_bavail) &* UInt64(status.f_frsize)
  }

  /// Names of its files, sorted.
  package var names: [String] {
    guard let folder = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { text in
        unsafe text.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      names.append(name)
    }
    return names.sorted()
  }

  func rename(_ from: String, to: String) throws(RecordingFault) {
    guard unsafe Glibc.rename(path(of: from), path(of: to)) == 0 else {
      throw RecordingFault(code: errno)
    }
  }

  /// False: there was none.
  @discardableResult
  package func remove(_ name: String) -> Bool { unsafe unlink(path(of: name)) == 0 }

  /// Its length and when it was changed last, in milliseconds since 1970; nil: there is none.
  package func status(of name: String) -> (bytes: UInt64, changed: Int64)? {
    var status = stat()
    guard unsafe lstat(path(of: name), &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      return nil
    }
    return (
      UInt64(max(status.st_size, 0)),
      Int64(status.st_mtim.tv_sec) * 1_000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
    )
  }

  /// A limit of file sizes (RLIMIT_FSIZE) is an error of the write, as a full disk is, and not the process's end.
  static func outliveFileLimits() { _ = signal(SIGXFSZ, SIG_IGN) }
}
