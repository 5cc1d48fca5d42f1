import Foundation

/// Another program, in the network namespace of the thread that starts it (which Foundation's own does not promise),
/// with nothing of what it says.
struct Subprocess {
  let identifier: pid_t

  init?(_ path: String, _ arguments: [String]) {
    let text = [path] + arguments
    var words: [UnsafeMutablePointer<CChar>?] = unsafe text.map { unsafe strdup($0) }
    defer { unsafe words.forEach { word in unsafe free(word) } }
    unsafe words.append(nil)
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for descriptor in Int32(1)...2 {
      unsafe posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
    }
    var child: pid_t = 0
    guard unsafe posix_spawn(&child, path, &actions, nil, words, environ) == 0 else { return nil }
    identifier = child
  }

  /// Its exit status; -1 when a signal ended it.
  @discardableResult
  func wait() -> Int32 {
    var status: Int32 = 0
    guard unsafe waitpid(identifier, &status, 0) == identifier else { return -1 }
    return status & 0x7f == 0 ? status >> 8 & 0xff : -1
  }

  func end() {
    kill(identifier, SIGTERM)
    wait()
  }

  static func run(_ path: String, _ arguments: [String]) -> Int32 {
    Subprocess(path, arguments)?.wait() ?? -1
  }

  static func find(_ name: String) -> String? {
    let folders = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":") ?? []
    return (folders.map(String.init) + ["/usr/sbin", "/usr/bin"]).map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}
