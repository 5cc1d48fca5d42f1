import ArgumentParser
import Operations
import Policy

struct CausesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "causes",
    abstract: "Why calls are refused or end: each cause, its SIP and Q.850 number, and what to do.",
    discussion: """
      EXAMPLES
        demarc causes
        demarc causes trunk-call-limit
        demarc causes -o json | jq '.[] | select(.sip == 503).name'
      """)

  @Argument(help: "One of them by its name.")
  var name: String?
  @OptionGroup var output: OutputOptions

  func run() throws {
    let causes = try chosen()
    switch output.output {
    case .json: Console.write(try ConsoleJSON.bytes(causes.map { CauseResource($0) }))
    case .table:
      let terminal = Terminal.standardOutput()
      Console.print(
        name == nil
          ? CauseViews.table(causes).render(on: terminal)
          : causes.map { CauseViews.sheet($0).render(on: terminal) }.joined())
    }
  }

  private func chosen() throws -> [Cause] {
    guard let name else { return Cause.allCases }
    if let cause = Cause(name: name) { return [cause] }
    let meant = nearestMatch(to: name, in: Cause.allCases.map(\.name))
    throw CommandFailure(
      "there is no cause `\(name)`" + (meant.map { "; did you mean `\($0)`?" } ?? ""))
  }
}
