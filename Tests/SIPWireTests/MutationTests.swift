import Base
import SIPWire
import Testing

/// Random damage to valid messages and descriptions: nothing traps, every range lies inside the input,
/// and no damage makes a header field out of another one's value.
@Suite struct MutationTests {
  #if DEBUG
    static let rounds = 10_000
  #else
    static let rounds = 100_000
  #endif

  /// Pieces that matter to some grammar, so that damage is more than noise.
  private static let pieces = [
    "\r\n", "\r", "\n", "\r\n ", "\r\n\r\n", ":", ";", ",", "\"", "\\", "<", ">", "=", "@", "%",
    "%4",
    "[", "]", "::", " ", "\t", "\0", "/", "?", "&", "*", "SIP/2.0", "sip:", "Via: ", "l: 5\r\n",
    "Content-Length: 99\r\n", "4294967296", "65536", "-1", "m=audio 5 RTP/AVP 0\r\n", "a=rtpmap:",
    "c=IN IP4 1.2.3.4\r\n", "v=0\r\n", ";tag=", "\u{fc}",
  ].map { Array($0.utf8) }

  private func damage(_ bytes: inout [UInt8], _ random: inout RandomSource) {
    for _ in 0...random.next(below: 4) {
      let at = random.next(below: bytes.count + 1)
      switch random.next(below: 6) {
      case 0 where at < bytes.count: bytes[at] = UInt8(truncatingIfNeeded: random.next())
      case 1 where at < bytes.count: bytes.remove(at: at)
      case 2: bytes.insert(contentsOf: Self.pieces[random.next(below: Self.pieces.count)], at: at)
      case 3:
        let end = min(bytes.count, at + random.next(below: 40))
        bytes.insert(contentsOf: Array(bytes[at..<end]), at: random.next(below: bytes.count + 1))
      case 4:
        let end = min(bytes.count, at + random.next(below: 40))
        bytes.removeSubrange(at..<end)
      default: if at > 20 { bytes.removeSubrange(at...) }
      }
    }
  }

  private func run(_ folder: String, _ seed: UInt64, _ body: ([UInt8]) -> String?) throws {
    let seeds = try Files.names(in: folder).map { try Files.read("\(folder)/\($0)") }
    try #require(!seeds.isEmpty)
    var random = RandomSource(seed: seed)
    for round in 0..<Self.rounds {
      var bytes = seeds[random.next(below: seeds.count)]
      damage(&bytes, &random)
      if let problem = body(bytes) {
        Issue.record("\(problem) in round \(round): \(String(decoding: bytes, as: UTF8.self))")
        return
      }
    }
  }

  @Test func messages() throws {
    var exercise = Exercise()
    try run("Fuzz/seeds/sip_datagram", 1) { exercise.datagram($0.rawSpan) }
  }

  @Test func sessionDescriptions() throws {
    var exercise = Exercise()
    try run("Fuzz/seeds/sdp", 2) {
      exercise.sessionDescription($0.rawSpan, ByteRange(0, $0.count))
    }
  }

  /// What the fuzzer found once, and what it reached.
  @Test(arguments: ["Fuzz/seeds", "Fuzz/corpus", "Fuzz/crashes"])
  func files(folder: String) throws {
    var exercise = Exercise()
    for name in Files.names(in: "\(folder)/sip_datagram") {
      let bytes = try Files.read("\(folder)/sip_datagram/\(name)")
      let problem = exercise.datagram(bytes.rawSpan)
      #expect(problem == nil, "\(name)")
    }
    for name in Files.names(in: "\(folder)/sdp") {
      let bytes = try Files.read("\(folder)/sdp/\(name)")
      let problem = exercise.sessionDescription(bytes.rawSpan, ByteRange(0, bytes.count))
      #expect(problem == nil, "\(name)")
    }
  }

  @Test(
    arguments: [
      ("uri", ValueExercise.uri), ("via", ValueExercise.via), ("name_addr", ValueExercise.nameAddr),
      ("auth_params", ValueExercise.authParams),
    ] as [(String, @Sendable ([UInt8]) -> String?)])
  func values(target: String, read: @Sendable ([UInt8]) -> String?) throws {
    try run("Fuzz/seeds/\(target)", 3) { read($0) }
    for folder in ["Fuzz/seeds", "Fuzz/corpus", "Fuzz/crashes"] {
      for name in Files.names(in: "\(folder)/\(target)") {
        let problem = read(try Files.read("\(folder)/\(target)/\(name)"))
        #expect(problem == nil, "\(folder)/\(target)/\(name)")
      }
    }
  }

  @Test func fields() throws {
    var exercise = Exercise()
    try run("Fuzz/seeds/header_field", 4) { ValueExercise.field($0, &exercise) }
  }

  /// What the fuzzer found in URIs and in From: each reader could have believed something else.
  @Test func ambiguousValues() {
    for text in ["sip:a@host: 5060", "sip:a@host :5060", "sip:host: 20"] {
      #expect(
        SIPURI.parse(Array(text.utf8).rawSpan, ByteRange(0, text.utf8.count)) == nil, "\(text)")
    }
    for text in ["<sip:a@b>;tag=1;tag=2", "sip:a@b;tag;tag=1", "<sip:a@b>;tag=1;x;TAG"] {
      #expect(
        NameAddr.parse(Array(text.utf8).rawSpan, ByteRange(0, text.utf8.count)) == nil, "\(text)")
    }
  }
}
