// swift-tools-version:6.2
import Foundation
import PackageDescription

// The layers of ARCHITECTURE.md as SwiftPM targets. A target may import only what its row names;
// Tests/ArchitectureTests holds the imports, this table and ARCHITECTURE.md together.
//
// DEMARC_CORE=1 leaves out every target that needs a package from outside (store, HTTP, command line):
// the protocol, the engine and the simulator then build and test in seconds.
let coreOnly = ProcessInfo.processInfo.environment["DEMARC_CORE"] == "1"

// For ThreadSanitizer (`make tsan`): mutexes that it understands.
let underThreadSanitizer = ProcessInfo.processInfo.environment["DEMARC_TSAN"] == "1"

let settings: [SwiftSetting] =
  [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableExperimentalFeature("Lifetimes"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
  ] + (underThreadSanitizer ? [.define("SANITIZE_THREAD")] : [])

// One thread owns a shard, so the run-time check of overlapping accesses to a class's properties can only
// cost (a fifth of the engine's instructions); what the compiler proves at build time stays.
let engineSettings =
  settings + [
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
  ]

struct Layer {
  var name: String
  var imports: [Target.Dependency]
  var core = true
}

let layers: [Layer] = [
  // 0
  Layer(name: "Locking", imports: []),
  // 1
  Layer(name: "Base", imports: []),
  Layer(name: "CryptoCore", imports: ["Base", "COpenSSL"]),
  // 2
  Layer(name: "SIPWire", imports: ["Base"]),
  Layer(name: "RTPWire", imports: ["Base"]),
  // 3
  Layer(name: "SIPCore", imports: ["Base", "SIPWire", "CryptoCore"]),
  Layer(name: "MediaControl", imports: ["Base", "RTPWire"]),
  Layer(name: "Resolution", imports: ["Base"]),
  // 4
  Layer(name: "Policy", imports: ["Base", "SIPWire", "CryptoCore"]),
  Layer(
    name: "CallCore",
    imports: [
      "Base", "SIPWire", "CryptoCore", "SIPCore", "MediaControl", "Resolution", "Policy",
    ]),
  // 5
  Layer(
    name: "MediaEngine",
    imports: [
      "Base", "CLinux", "Locking", "CG729", "CKernelPath", "COpenSSL", "COpus", "CPrompts",
      "CSpanDSP", "CryptoCore", "RTPWire", "MediaControl",
    ]),
  Layer(
    name: "Edge",
    imports: [
      "Base", "CLinux", "Locking", "COpenSSL", "SIPWire", "CryptoCore", "CallCore", "MediaControl",
      "Policy",
      "Resolution",
    ]),
  Layer(
    name: "Persistence",
    imports: [
      "Base", "Locking", "SIPCore", "Policy", "CallCore", "MediaControl",
      .product(name: "GRDB", package: "GRDB.swift"),
      .product(name: "GRDBSQLite", package: "GRDB.swift"),
    ],
    core: false),
  // 6
  Layer(
    name: "Operations",
    imports: [
      "Base", "CLinux", "Locking", "CryptoCore", "SIPWire", "SIPCore", "RTPWire", "MediaControl",
      "Policy",
      "Resolution", "CallCore",
      "MediaEngine", "Edge", "Persistence",
      .product(name: "Hummingbird", package: "hummingbird"),
      .product(name: "HummingbirdCore", package: "hummingbird"),
      .product(name: "Yams", package: "Yams"),
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "NIOHTTP1", package: "swift-nio"),
      .product(name: "Logging", package: "swift-log"),
    ],
    core: false),
  // kit
  Layer(
    name: "Simulation",
    imports: [
      "Base", "SIPWire", "CryptoCore", "SIPCore", "MediaControl", "Policy", "Resolution",
      "CallCore",
    ]),
]

let tests: [Layer] = [
  Layer(name: "BaseTests", imports: ["Base"]),
  Layer(name: "CryptoCoreTests", imports: ["Base", "CryptoCore"]),
  Layer(name: "SIPWireTests", imports: ["Base", "SIPWire"]),
  Layer(name: "RTPWireTests", imports: ["Base", "RTPWire"]),
  Layer(name: "MediaControlTests", imports: ["Base", "RTPWire", "MediaControl"]),
  Layer(name: "ResolutionTests", imports: ["Base", "Resolution"]),
  Layer(name: "SIPCoreTests", imports: ["Base", "SIPWire", "CryptoCore", "SIPCore"]),
  Layer(name: "PolicyTests", imports: ["Base", "SIPWire", "CryptoCore", "Policy"]),
  Layer(
    name: "MediaEngineTests",
    imports: [
      "Base", "CLinux", "CKernelPath", "COpenSSL", "CryptoCore", "RTPWire", "MediaControl",
      "MediaEngine",
    ]),
  Layer(
    name: "CallCoreTests",
    imports: [
      "Base", "SIPWire", "CryptoCore", "SIPCore", "MediaControl", "Policy", "Resolution",
      "CallCore",
      "Simulation",
    ]),
  Layer(
    name: "EdgeTests",
    imports: [
      "Base", "CLinux", "SIPWire", "Policy", "MediaControl", "Resolution", "CallCore", "Edge",
    ]),
  Layer(name: "ArchitectureTests", imports: []),
  Layer(
    name: "PersistenceTests",
    imports: [
      "Base", "SIPCore", "Policy", "CallCore", "MediaControl", "Persistence",
      .product(name: "GRDB", package: "GRDB.swift"),
    ], core: false),
  Layer(
    name: "OperationsTests",
    imports: [
      "Base", "Locking", "SIPWire", "Policy", "CallCore", "MediaControl", "MediaEngine", "Edge",
      "Persistence",
      "Operations",
      .product(name: "GRDB", package: "GRDB.swift"),
    ],
    core: false),
]

var targets: [Target] = [
  .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),
  .target(
    name: "CKernelPath",
    exclude: [
      "relay.bpf.c", "relay.inc", "relay-maps.inc", "door.inc", "door-maps.inc", "regenerate.py",
    ]),
  .target(name: "CPrompts", exclude: ["prompts.inc", "prompts.ulaw", "regenerate.py"]),
  .systemLibrary(
    name: "COpenSSL", pkgConfig: "libssl", providers: [.apt(["libssl-dev"])]),
  .target(name: "CG729"),
  .systemLibrary(
    name: "COpus", pkgConfig: "opus", providers: [.apt(["libopus-dev"])]),
  .systemLibrary(
    name: "CSpanDSP", pkgConfig: "spandsp", providers: [.apt(["libspandsp-dev"])]),
]
for layer in layers where layer.core || !coreOnly {
  let swiftSettings = layer.name == "CallCore" ? engineSettings : settings
  targets.append(
    .target(name: layer.name, dependencies: layer.imports, swiftSettings: swiftSettings))
}
for test in tests where test.core || !coreOnly {
  targets.append(.testTarget(name: test.name, dependencies: test.imports, swiftSettings: settings))
}
targets.append(
  .executableTarget(
    name: "demarc-bench",
    dependencies: [
      "Base", "CLinux", "SIPWire", "CryptoCore", "SIPCore", "RTPWire", "MediaControl", "Policy",
      "CallCore", "MediaEngine", "Simulation",
    ],
    swiftSettings: settings))
targets.append(
  .executableTarget(
    name: "demarc-sim", dependencies: ["Base", "Simulation"], swiftSettings: settings))
if !coreOnly {
  targets.append(
    .executableTarget(
      name: "demarc",
      dependencies: [
        "Base", "Locking", "Policy", "CallCore", "Persistence", "Operations",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings))
}

let package = Package(
  name: "demarc",
  products: coreOnly ? [] : [.executable(name: "demarc", targets: ["demarc"])],
  dependencies: coreOnly
    ? []
    : [
      .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
      .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
      .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
      .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
      .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
      .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    ],
  targets: targets
)
