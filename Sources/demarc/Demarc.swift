import ArgumentParser
import Foundation
import Operations

/// `demarc`: each sub-command is a thin front of `Operations`.
@main
struct DemarcCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demarc",
    abstract: "One program that is a SIP trunk.",
    discussion: """
      EXAMPLES
        demarc run --config demarc.yaml       start the server
        demarc apply -f acme.yaml             give it trunks, users, routes
        demarc calls                          who talks to whom
        demarc call ladder 1p8x2k7ab-4        a call's messages as a picture
        demarc cdrs --since 1h --cause busy   the last hour's busy calls

      ENVIRONMENT
        DEMARC_SOCKET   the server's socket, where --socket does not say it
        NO_COLOR        no colours, also on a terminal

      EXIT CODES
        0  done
        1  refused or failed; standard error says why and what to do
        2  the command line cannot be understood
        3  no server can be reached
      """,
    version: Version.text,
    subcommands: [
      RunCommand.self, DemoCommand.self, ApplyCommand.self, CheckCommand.self, GetCommand.self,
      NumbersCommand.self,
      CallsCommand.self, CallCommand.self, RecordingsCommand.self, RecordingCommand.self,
      RecordsCommand.self, TrunksCommand.self, TollCommand.self,
      RegistrationsCommand.self, SubscriptionsCommand.self, MailboxCommand.self,
      BansCommand.self,
      CausesCommand.self, ProfilesCommand.self, RulesCommand.self,
      CertificatesCommand.self, SecretCommand.self, DoctorCommand.self,
      ReloadCommand.self, StatusCommand.self,
      VersionCommand.self,
    ])

  static func main() async {
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      end(with: error)
    }
  }

  private static func end(with error: any Error) -> Never {
    let terminal = Terminal.standardError()
    switch error {
    case let failure as CommandFailure:
      Console.complain(failure.text(on: terminal))
      Foundation.exit(failure.exitCode)
    case let error as APIClientError:
      Console.complain("\(terminal.toned("error: ", .bad))\(error)\n")
      Foundation.exit(CommandFailure.exitCode(for: error))
    case let failure as APIFailure:
      Console.complain(FailureView.text(failure, on: terminal))
      Foundation.exit(CommandExit.failure)
    default:
      let code = exitCode(for: error)
      let text = fullMessage(for: error)
      if code == .success {
        Console.print(text + "\n")
        Foundation.exit(CommandExit.done)
      }
      if !text.isEmpty { Console.complain(text + "\n") }
      Foundation.exit(code == .validationFailure ? CommandExit.usage : CommandExit.failure)
    }
  }
}

/// What the command's exit says.
enum CommandExit {
  static let done: Int32 = 0
  static let failure: Int32 = 1
  static let usage: Int32 = 2
  static let notReachable: Int32 = 3
}

/// What went wrong, as it is told on standard error, and the exit that goes with it.
struct CommandFailure: Error {
  var exitCode = CommandExit.failure
  private var content: Content

  private enum Content {
    case message(String)
    case refusal(APIFailure, file: String?)
    case mistakes(ConfigErrors)
  }

  init(_ message: String) { content = .message(message) }

  /// A refusal whose lines and columns are those of a file.
  init(_ failure: APIFailure, file: String?) { content = .refusal(failure, file: file) }

  init(_ errors: ConfigErrors) { content = .mistakes(errors) }

  func text(on terminal: Terminal) -> String {
    switch content {
    case .message(let message): "\(terminal.toned("error: ", .bad))\(message)\n"
    case .refusal(let failure, let file): FailureView.text(failure, file: file, on: terminal)
    case .mistakes(let errors): FailureView.text(errors, on: terminal)
    }
  }

  static func exitCode(for error: APIClientError) -> Int32 {
    switch error {
    case .notReachable, .notPermitted, .socketPathTooLong: CommandExit.notReachable
    case .timedOut, .cutOff, .answerTooLarge, .connection: CommandExit.failure
    }
  }
}
