import ArgumentParser
import Foundation
import Glibc
import Operations

/// The demonstration needs peers that we did not write (baresip, SIPp, espeak-ng), and a script that
/// drives them; this finds the script and becomes it.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "A phone calls a carrier and a carrier calls a phone, with speech that arrives.",
    discussion: """
      Starts a Demarc of its own and real peers (baresip, SIPp) on loopback, and prints each call's \
      ladder, codec, loss, jitter, MOS and record. `make demo` does the same and installs the peers.

      EXAMPLES
        demarc demo
        demarc demo --script /usr/share/demarc/demo.py
      """)

  @Option(help: "The script, where it is not beside the program or in scripts/.")
  var script: String?

  func run() throws {
    let program = try ownPath()
    guard let script = findScript(beside: program) else {
      throw CommandFailure(
        "the demonstration's script is not here. Run `make demo` in the source tree, "
          + "or name it with --script PATH.")
    }
    // The script ends the peers that it started when it is interrupted, so this waits for it.
    signal(SIGINT, SIG_IGN)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Self.python)
    process.arguments = [script, "--demarc", program]
    do {
      try process.run()
    } catch {
      throw CommandFailure("\(Self.python) cannot be started (\(error)). Install Debian's python3.")
    }
    process.waitUntilExit()
    if process.terminationStatus != 0 { throw ExitCode.failure }
  }

  /// Debian's own, which has the packages that the script wants.
  private static let python = "/usr/bin/python3"

  private func ownPath() throws -> String {
    do {
      return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    } catch {
      throw CommandFailure("/proc/self/exe cannot be read: \(error)")
    }
  }

  private func findScript(beside program: String) -> String? {
    if let script { return FileManager.default.isReadableFile(atPath: script) ? script : nil }
    let folder = URL(fileURLWithPath: program).deletingLastPathComponent()
    var candidates = [
      "scripts/demo.py", folder.appendingPathComponent("../share/demarc/demo.py").path,
    ]
    // .build/x86_64-unknown-linux-gnu/release/demarc, seen from the source tree.
    var parent = folder
    for _ in 0..<4 {
      parent = parent.deletingLastPathComponent()
      candidates.append(parent.appendingPathComponent("scripts/demo.py").path)
    }
    return candidates.first { FileManager.default.isReadableFile(atPath: $0) }
  }
}
