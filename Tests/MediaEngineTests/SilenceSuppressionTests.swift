import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Silence that is left out of what we make: words keep their beginnings and ends, tones are never silence, and the far end
/// hears how loud the silence is.
@Suite(.serialized) struct SilenceSuppressionTests {
  /// Words with pauses between them, over noise of so many -dBov, in frames of 20 ms; and which of those hold a word.
  private struct Talk {
    var frames: [[Int16]] = []
    var isWord: [Bool] = []
    private var seed: UInt32 = 99

    init(noise level: Double, pause: Int = 60) {
      let amplitude = 32_768 * pow(10, -level / 20) * 3.0.squareRoot()
      append([Int16](repeating: 0, count: 8_000), amplitude)
      for word in SpokenWord.allCases where word != .pause {
        let spoken = SpokenResult.recording(word).map { G711.linear(ulaw: $0) }
        append(Self.trimmed(spoken), amplitude, isWord: true)
        append([Int16](repeating: 0, count: pause * 160), amplitude)
      }
    }

    /// From the first sample to the last that anybody hears.
    private static func trimmed(_ samples: [Int16]) -> [Int16] {
      guard let first = samples.firstIndex(where: { $0.magnitude > 300 }),
        let last = samples.lastIndex(where: { $0.magnitude > 300 })
      else { return [] }
      return Array(samples[first...last])
    }

    private mutating func append(_ samples: [Int16], _ amplitude: Double, isWord: Bool = false) {
      for start in stride(from: 0, to: samples.count, by: 160) {
        var frame = Array(samples[start..<min(start + 160, samples.count)])
        frame += [Int16](repeating: 0, count: 160 - frame.count)
        for i in frame.indices {
          seed = seed &* 1_664_525 &+ 1_013_904_223
          let white = Double(Int32(bitPattern: seed)) / 2_147_483_648
          frame[i] = Int16(clamping: Int(frame[i]) + Int(white * amplitude))
        }
        frames.append(frame)
        self.isWord.append(isWord)
      }
    }
  }

  /// What becomes of each frame.
  private func judged(_ frames: [[Int16]]) -> (isSent: [Bool], levels: [UInt8]) {
    let suppressor = SilenceSuppressor()
    var sent = [Bool](repeating: false, count: frames.count)
    var levels: [UInt8] = []
    for (i, frame) in frames.enumerated() {
      var verdict = suppressor.judge(frame, frame.count, milliseconds: 20)
      if verdict == .speechBehindHeld {
        sent[i - 1] = true
        verdict = suppressor.judge(frame, frame.count, milliseconds: 20)
      }
      switch verdict {
      case .speech: sent[i] = true
      case .speechBehindHeld: Issue.record("twice")
      case .noise(let level): levels.append(level)
      case .nothing: break
      }
    }
    return (sent, levels)
  }

  /// At every level of noise each word is sent from its first frame, or the second, to its end.
  @Test(arguments: [90.0, 70, 60, 55, 50])
  func wordsAreWhole(noise: Double) {
    let talk = Talk(noise: noise)
    let (sent, levels) = judged(talk.frames)
    var late = 0
    for i in talk.frames.indices where talk.isWord[i] && !talk.isWord[i - 1] {
      if !sent[i] {
        late += 1
        #expect(sent[i + 1], "a word at \(i) over -\(noise) dBov")
      }
    }
    // What is inside of a word is never left out.
    for i in talk.frames.indices.dropFirst(2) where talk.isWord[i] && talk.isWord[i - 1] {
      #expect(sent[i] || !talk.isWord[i - 2], "within a word at \(i) over -\(noise) dBov")
    }
    let share = Double(sent.filter { !$0 }.count) / Double(sent.count)
    let pauses = Double(talk.isWord.filter { !$0 }.count) / Double(sent.count)
    print("over -\(noise) dBov \(share) of \(pauses) left out, \(late) words a frame late")
    #expect(share > pauses * 0.6)
    for level in levels.dropFirst(2) where noise < 80 {
      #expect(abs(Double(level) - noise) < 3, "\(level)")
    }
  }

  /// A steady tone, as loud as a tone of the network is, is never taken for noise.
  @Test(arguments: [10.0, 20, 30, 38]) func tonesPass(level: Double) {
    let amplitude = 32_768 * pow(10, -level / 20) * 2.0.squareRoot()
    let frames = (0..<1_000).map { frame in
      (0..<160).map { Int16(amplitude * sin(Double(frame * 160 + $0) * 425 * 2 * .pi / 8_000)) }
    }
    #expect(judged(frames).isSent.allSatisfy { $0 })
  }

  /// Noise that becomes louder is noise again within three seconds.
  @Test func louderNoise() {
    let frames = Talk(noise: 70).frames.prefix(40) + Talk(noise: 50).frames.prefix(40)
    var louder = Array(frames)
    for _ in 0..<5 { louder += Talk(noise: 50).frames.prefix(40) }
    let sent = judged(louder).isSent
    #expect(sent[45...60].contains(true))
    #expect(!sent.suffix(40).contains(true))
  }

  /// A word every 400 ms, however long the silence lasts.
  @Test func saidAgain() {
    let frames = [[Int16]](repeating: [Int16](repeating: 3, count: 160), count: 512)
    let (sent, levels) = judged(frames)
    #expect(sent.filter { $0 }.count == 11)
    #expect(levels.count == 26 && Set(levels).count == 1)
  }

  // MARK: On the wire

  private func remote(
    _ peer: Peer, _ codec: AudioCodec, _ treatment: SpeechTreatment
  ) -> RemoteMedia {
    var remote = RemoteMedia(peer.address, codec: codec)
    remote.speech = SpeechFormats(SpeechFormats.Format(codec, codec == .pcma ? 8 : 0))
    remote.treatment = treatment
    return remote
  }

  private func speech(_ number: Int, isLoud: Bool) -> [UInt8] {
    let tone = (0..<160).map { i in
      isLoud ? G711.ulaw(linear: Int16(8_000 * sin(Double(i) * 0.785))) : G711.ulawSilence
    }
    return Array(rtp(number).prefix(RTPHeader.size)) + tone
  }

  /// One flow without a gap in its numbers, whose time goes on; noise in the place of silence for who has named it and may
  /// have it, and packets as before for others.
  @Test(arguments: [
    ([.comfortNoise, .suppressed] as SpeechTreatment, true), (.comfortNoise, false),
    (.suppressed, false),
  ])
  func whoMayHaveIt(treatment: SpeechTreatment, isLeftOut: Bool) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .pcmu, []), remote(bob, .pcma, treatment))
    for number in 0..<90 {
      alice.send(speech(number, isLoud: number < 10 || number >= 80), to: a.media)
      usleep(2_000)
    }
    let heard = bob.receiveAll(quiet: 200).compactMap { parse($0) }
    let noise = heard.filter { $0.header.payloadType == 13 }
    #expect(
      zip(heard, heard.dropFirst()).allSatisfy { $1.header.sequence == $0.header.sequence &+ 1 })
    let first = try #require(heard.first?.header.timestamp)
    let last = try #require(heard.last?.header.timestamp)
    #expect(last &- first == 89 * 160)
    guard isLeftOut else {
      #expect(heard.count == 90 && noise.isEmpty)
      return
    }
    #expect(noise.count == 3 && noise.allSatisfy { $0.payload.count == 1 && $0.payload[0] > 60 })
    // 10 and 11 before the silence, three words of it, the packet before and ten of speech.
    #expect(heard.count == 10 + 11 + 3 + 11, "\(heard.count)")
    let again = try #require(heard.dropFirst().first { $0.header.marker }?.header)
    #expect(again.timestamp &- first == 79 * 160)
    #expect(rig.counters.suppressed > 40 && rig.counters.unconvertible == 0)
  }

  /// An announcement of two words: its pause is a word of noise now and then for who may be spared it, and whole for others.
  @Test(arguments: [AudioCodec.pcmu, .pcma, .g722], [true, false])
  func pausesOfAnAnnouncement(codec: AudioCodec, isSpared: Bool) throws {
    let word = (0..<2_400).map { Int16(8_000 * sin(Double($0) * 0.785)) }
    let file = try WAVFile(
      word + [Int16](repeating: 0, count: 6_400) + word, rate: 8_000, channels: 1)
    let rig = try Rig(announcements: [AnnouncementSource(name: "words", path: file.path)])
    let (alice, end) = (try Peer(), try rig.open())
    var far = remote(alice, codec, isSpared ? [.comfortNoise, .suppressed] : .comfortNoise)
    far.payloadType = codec == .pcmu ? 0 : codec == .pcma ? 8 : 9
    rig.plane.submit([.remote(end.id, far), .play(end.id, .announcement(0))])
    #expect(rig.log.wait { $0 == .applicationEnded(end.id) ? true : nil } == true)
    let heard = alice.receiveAll().compactMap { parse($0) }
    for (one, next) in zip(heard, heard.dropFirst()) {
      #expect(next.header.sequence == one.header.sequence &+ 1)
      #expect(next.header.ssrc == one.header.ssrc)
    }
    let (first, last) = (try #require(heard.first?.header), try #require(heard.last?.header))
    // 1.4 s in packets of 20 ms; a machine that stands still for long leaves some out, but not their time.
    #expect(last.timestamp &- first.timestamp == 69 * 160)
    let noise = heard.filter { $0.header.payloadType == 13 }
    guard isSpared else {
      #expect(noise.isEmpty && (60...70).contains(heard.count), "\(heard.count)")
      #expect(heard.dropFirst().allSatisfy { !$0.header.marker })
      return
    }
    // 240 ms are sent as speech, then a word at once and after 400 ms, and the packet before the second word.
    #expect((2...3).contains(noise.count) && noise.allSatisfy { $0.payload.count == 1 })
    #expect((38...48).contains(heard.count), "\(heard.count)")
    let again = try #require(heard.dropFirst().first { $0.header.marker }?.header)
    let ahead = again.timestamp &- first.timestamp
    #expect(ahead == 54 * 160 || ahead == 53 * 160, "\(ahead)")
    #expect(rig.counters.suppressed >= 20 && rig.counters.converted == 0)
  }

  /// Who sends nothing but comfort noise is heard: no time-out strikes, and nothing speaks against it.
  @Test func noiseIsASignOfLife() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(
      remote(alice, .pcmu, .comfortNoise), remote(bob, .pcmu, .comfortNoise))
    rig.plane.submit([
      .watch(a.id, silenceMilliseconds: 300), .examine(a.id, afterMilliseconds: 400),
    ])
    for number in 0..<10 {
      alice.send(
        Array(rtp(number, payloadType: 13).prefix(RTPHeader.size)) + [60], to: a.media)
      usleep(100_000)
    }
    rig.measure(a)
    let against = rig.log.all.contains { fact in
      switch fact {
      case .silent, .evidence: true
      default: false
      }
    }
    #expect(!against)
    #expect(bob.receiveAll(quiet: 50).count == 10)
  }
}
