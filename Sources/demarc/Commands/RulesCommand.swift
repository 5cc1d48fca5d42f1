import ArgumentParser
import Foundation
import Operations
import Policy

struct RulesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rules", abstract: "Try the header rules of a trunk.", subcommands: [Test.self])

  struct Test: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "test",
      abstract: "What a trunk's rules make of a saved message, without a server.",
      discussion: """
        Prints the message with what the rules took away (-) and put there (+), then each rule that is for \
        such messages and why it was applied or not.

        EXAMPLES
          demarc rules test -f acme.yaml --trunk office --direction in invite.sip
          demarc call ladder 1p8x2k7ab-4 --messages    where messages come from
        """)

    @Option(name: .shortAndLong, help: "Resources, YAML or JSON; - for standard input.")
    var file: String
    @Option(help: "The trunk whose rules are tried.")
    var trunk: String
    @Option(help: "in: a message that comes from the trunk; out: one that goes there.")
    var direction: String
    @Argument(help: "A file with one SIP message.")
    var message: String

    func run() throws {
      guard let direction = RuleDirection(rawValue: direction) else {
        throw ValidationError("--direction is in or out.")
      }
      let input = InputFile(file)
      let document: ResourceDocument
      do {
        document = try ResourceDocument.parse(try input.text(), source: input.name)
      } catch let errors as ConfigErrors {
        throw CommandFailure(errors)
      }
      let bytes = try InputFile(message).bytes()
      do {
        let trial = try RulesTrial(
          document.resources, trunk: trunk, direction: direction, message: bytes)
        Console.print(trial.text(on: .standardOutput()))
      } catch RulesTrial.Failure.noTrunk(let name, let suggestion) {
        throw CommandFailure(
          "\(input.name) has no trunk named `\(name)`"
            + (suggestion.map { "; did you mean `\($0)`?" } ?? ""))
      } catch RulesTrial.Failure.noMessage(let reason) {
        throw CommandFailure(
          "\(message) is no SIP message: \(reason). Save it as it was on the wire.")
      } catch RulesTrial.Failure.rules(let problems) {
        throw CommandFailure(ConfigErrors(problems.map { document.map.locate($0) }))
      }
    }
  }
}
