import Glibc
import Simulation

// demarc-sim SEED [CALLS [TRANSFERS]] [tcp] [lamps] [adorned] [crossing] [keys] [messages] [crash]         one run, with the ladder of what failed first
// demarc-sim FIRST-LAST [CALLS [TRANSFERS]] [tcp] [lamps] [adorned] [crossing] [keys] [messages] [crash]   many runs, a line for each
//
// TRANSFERS: how many of a hundred calls phones hand on; 0 where it is missing.
// tcp: a third of the phones, the PBX and a carrier speak by connections.
// lamps: phones watch one another's calls, twenty of them.
// adorned: everybody writes more header fields and lines of SDP than they must, none of which may cross.
// crossing: numbers ring several phones together, and both sides of a call offer at the same time.
// keys: some phones and a carrier must be encrypted.
// messages: behind the ladder all of it, whole.
// crash: the engine is dropped at some instant, and another goes on with what the store kept.
//
// Exit code 0 when every invariant held, 1 when one did not, 2 for arguments that make no sense.

func parse(_ text: String) -> ClosedRange<UInt64>? {
  let parts = text.split(separator: "-").compactMap { UInt64($0) }
  guard let first = parts.first, let last = parts.last, parts.count <= 2, first <= last else {
    return nil
  }
  return first...last
}

func run(
  _ seeds: ClosedRange<UInt64>, calls: Int, transfers: Int, words: Set<String>
) throws -> Bool {
  var rules: [String: Int] = [:]
  var examples: [String: String] = [:]
  var clean = true
  for seed in seeds {
    var settings = SwarmSettings(seed: seed, calls: calls)
    settings.transfers = Double(transfers) / 100
    settings.streams = words.contains("tcp")
    settings.lamps = words.contains("lamps") ? 20 : 0
    settings.isAdorned = words.contains("adorned")
    settings.crosses = words.contains("crossing")
    settings.keys = words.contains("keys")
    settings.tellsMessages = words.contains("messages")
    if words.contains("crash") {
      let report = try Swarm(settings).runWithCrash()
      print("seed \(seed): " + (report.isEmpty ? "all held" : report))
      clean = clean && report.isEmpty
      continue
    }
    let swarm = try Swarm(settings)
    let outcome = swarm.run()
    clean = clean && outcome.isClean
    let (lit, dark) = swarm.lampsSeen
    print(
      "seed \(seed): \(outcome.calls) calls, \(outcome.answered) answered, "
        + "\(outcome.succeeded) of \(outcome.expected) as promised, \(outcome.datagrams) datagrams, "
        + "\(outcome.virtualSeconds) s, \(outcome.violations.count) violations"
        + (settings.lamps > 0 ? ", lamps right \(lit) times lit and \(dark) dark" : ""))
    if seeds.count == 1 {
      for violation in outcome.violations { print(violation) }
      print(outcome.report)
    }
    for violation in outcome.violations {
      let words = violation.text.split(separator: " ").filter { !$0.contains { $0.isNumber } }
      let kind = "[\(violation.rule.rawValue)] " + words.joined(separator: " ").prefix(70)
      rules[kind, default: 0] += 1
      examples[kind] = examples[kind] ?? "seed \(seed): \(violation)"
    }
  }
  for (kind, count) in rules.sorted(by: { $0.value > $1.value }) {
    print("\(count)  \(kind)\n      \(examples[kind] ?? "")")
  }
  return clean
}

let words: Set = ["tcp", "lamps", "adorned", "crossing", "keys", "messages", "crash"]
let all = CommandLine.arguments.dropFirst()
let arguments = all.filter { !words.contains($0) }
let numbers = arguments.dropFirst().map { Int($0) }
guard let seeds = arguments.first.flatMap(parse), numbers.count <= 2, !numbers.contains(nil),
  let calls = numbers.first ?? 260, calls > 0, let transfers = numbers.dropFirst().first ?? 0,
  (0...100).contains(transfers)
else {
  print(
    "demarc-sim SEED|FIRST-LAST [CALLS [TRANSFERS]] "
      + "[tcp] [lamps] [adorned] [crossing] [keys] [messages] [crash]")
  exit(2)
}
exit(try run(seeds, calls: calls, transfers: transfers, words: words.intersection(all)) ? 0 : 1)
