import Foundation

// demarc-bench                      every measurement inside one process, as a table and into
//                                   bench/results/latest.json
// demarc-bench only NAME            one bench
// demarc-bench workloads            what can be repeated: a name and two counts, for callgrind, a line
// demarc-bench repeat WORKLOAD N    runs a workload N times and nothing else
// demarc-bench record NAME VALUE UNIT   adds a value measured elsewhere to the file
// demarc-bench flood ADDRESS RATE SECONDS SOURCES   INVITEs of strangers from so many addresses of 127.8.0.0/16
// demarc-bench speech FROM TO LOSS SEED [suppress]   16 kHz samples through a conversion, from standard input to output

let resultsPath = "bench/results/latest.json"

let benches: [(name: String, run: (inout BenchResults) -> Void)] = [
  ("parse", parseBench), ("relay", relayBench), ("srtp", srtpBench), ("stir", stirBench),
  ("speech", speechBench),
  ("engine", engineBench),
  ("register", registerBench), ("overload", overloadBench),
  ("admission", admissionBench),
  ("relay-comparison", relayComparisonBench),
  ("transcode-comparison", transcodeComparisonBench),
]

/// What a name stands for, and two counts whose difference tells what one run costs.
let workloads: [(name: String, few: Int, many: Int, make: (String) -> ((Int) -> Void)?)] = [
  ("parse_invite", 1_000, 3_000, parseWorkload),
  ("parse_sdp", 1_000, 3_000, parseWorkload),
  ("engine_call", 1_000, 3_000, engineWorkload),
]

func fail(_ message: String) -> Never {
  FileHandle.standardError.write(Data("demarc-bench: \(message)\n".utf8))
  exit(2)
}

@MainActor
func run(_ name: String?) throws {
  var results = BenchResults()
  let chosen = benches.filter { name == nil || $0.name == name }
  if chosen.isEmpty { fail("no such bench; there are \(benches.map(\.name))") }
  if mallocCount() == nil { print("(allocations aren't counted: see scripts/bench.sh)") }
  for bench in chosen { bench.run(&results) }
  print(results.table)
  try results.write(to: resultsPath)
}

let arguments = Array(CommandLine.arguments.dropFirst())
switch (arguments.first, arguments.count) {
case (nil, _): try run(nil)
case ("only", 2): try run(arguments[1])
case ("workloads", 1):
  for workload in workloads { print(workload.name, workload.few, workload.many) }
case ("repeat", 3):
  guard let count = Int(arguments[2]), count > 0,
    let workload = workloads.first(where: { $0.name == arguments[1] })?.make(arguments[1])
  else { fail("no such workload: \(arguments[1]) \(arguments[2])") }
  workload(count)
case ("record", 4):
  guard let value = Double(arguments[2]) else { fail("no number: \(arguments[2])") }
  var results = BenchResults()
  results.record(arguments[1], value, arguments[3])
  try results.write(to: resultsPath)
case ("flood", 5):
  guard let address = floodTarget(arguments[1]), let rate = Int(arguments[2]),
    let seconds = Int(arguments[3]), let sources = Int(arguments[4]),
    (1...1_000_000).contains(rate), (1...600).contains(seconds), (1...1_000).contains(sources)
  else { fail("a flood goes to a loopback ADDRESS:PORT, for 600 s at most") }
  flood(to: address, rate: rate, seconds: seconds, sources: sources)
case ("speech", 5),
  ("speech", 6) where arguments.count == 5 || arguments[5] == "suppress":
  guard let loss = Double(arguments[3]), let seed = UInt64(arguments[4]) else {
    fail("no numbers: \(arguments[3]) \(arguments[4])")
  }
  speechFile(
    from: codec(named: arguments[1]), to: codec(named: arguments[2]), loss: loss, seed: seed,
    suppresses: arguments.count == 6)
default:
  fail(
    "usage: demarc-bench [only NAME | workloads | repeat WORKLOAD N | record NAME VALUE UNIT"
      + " | flood ADDRESS RATE SECONDS SOURCES | speech FROM TO LOSS SEED [suppress]]")
}
