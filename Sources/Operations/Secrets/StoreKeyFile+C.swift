import CryptoCore
import Foundation
import Glibc

/// A key as a file: 64 hexadecimal digits and a line's end, readable by its owner alone.
struct StoreKeyFile {
  let path: String

  /// Nil: there is none.
  func read() throws(SecretError) -> [UInt8]? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else {
      if errno == ENOENT { return nil }
      throw failure("cannot be opened")
    }
    defer { Glibc.close(file) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0 else { throw failure("cannot be looked at") }
    guard status.st_mode & 0o077 == 0 else {
      throw SecretError(.tooOpen, "others than its owner may read the key \(path)")
    }
    guard let text = FileHandle(fileDescriptor: file, closeOnDealloc: false).text(upTo: 256),
      let key = Self.key(text)
    else { throw SecretError(.malformed, "\(path) is no key") }
    return key
  }

  /// On the disk when it returns; what was there is replaced whole or not at all.
  func write(_ key: [UInt8]) throws(SecretError) {
    _ = unsafe unlink(path)
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { throw failure("cannot be made") }
    defer { Glibc.close(file) }
    let line = Array((Self.text(key) + "\n").utf8)
    let written = unsafe line.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
    guard written == line.count, fsync(file) == 0 else { throw failure("cannot be written") }
    try syncFolder()
  }

  /// Takes the other's place.
  func move(to other: StoreKeyFile) throws(SecretError) {
    guard unsafe rename(path, other.path) == 0 else {
      throw failure("cannot be put in its place")
    }
    try syncFolder()
  }

  func remove() { _ = unsafe unlink(path) }

  private func syncFolder() throws(SecretError) {
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    let file = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard file >= 0 else { throw failure("cannot be kept") }
    defer { Glibc.close(file) }
    guard fsync(file) == 0 else { throw failure("cannot be kept") }
  }

  private func failure(_ what: String) -> SecretError {
    let reason = NSError(domain: NSPOSIXErrorDomain, code: Int(errno)).localizedDescription
    return SecretError(.unreadable, "the key \(path) \(what): \(reason)")
  }

  private static func text(_ key: [UInt8]) -> String {
    key.map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }

  private static func key(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8).filter { $0 != 0x0a && $0 != 0x0d && $0 != 0x20 }
    guard digits.count == 2 * SecretSeal.keySize else { return nil }
    var key: [UInt8] = []
    for i in stride(from: 0, to: digits.count, by: 2) {
      guard let high = Character(UnicodeScalar(digits[i])).hexDigitValue,
        let low = Character(UnicodeScalar(digits[i + 1])).hexDigitValue
      else { return nil }
      key.append(UInt8(high << 4 | low))
    }
    return key
  }
}

extension FileHandle {
  /// Nil: it cannot be read, is longer, or is no text.
  fileprivate func text(upTo limit: Int) -> String? {
    guard let data = try? read(upToCount: limit + 1), data.count <= limit else { return nil }
    return String(validating: data, as: UTF8.self)
  }
}
