import MediaControl
import Testing

@Suite struct SpeechFormatsTests {
  private func formats(_ all: (AudioCodec, UInt8)...) -> SpeechFormats {
    var formats = SpeechFormats()
    for (codec, type) in all { formats.append(SpeechFormats.Format(codec, type)) }
    return formats
  }

  @Test func theyKeepTheirOrder() {
    let all = formats((.g722, 9), (.pcma, 8), (.gsm, 3), (.pcmu, 0))
    #expect(all.count == 4 && (0..<4).map { all[$0].codec } == [.g722, .pcma, .gsm, .pcmu])
    #expect(all[.gsm]?.payloadType == 3 && all[payloadType: 0]?.codec == .pcmu)
    #expect(all[payloadType: 101] == nil && formats()[.pcmu] == nil && formats().isEmpty)
    // Twice, unknown, no payload type, and one too many.
    #expect(formats((.pcmu, 0), (.pcmu, 96)) == formats((.pcmu, 0)))
    #expect(formats((.unknown, 96), (.pcmu, 128)).isEmpty)
    #expect(formats((.pcmu, 127), (.pcma, 0)).count == 2)
  }

  @Test func wordsComeBack() {
    let all = formats(
      (.g722, 9), (.pcma, 8), (.gsm, 127), (.pcmu, 0), (.opus, 111), (.l16, 96), (.l16Wide, 97),
      (.g729, 18))
    #expect(all.count == SpeechFormats.limit && all[4].codec == .opus && all[7].payloadType == 18)
    #expect(SpeechFormats(words: all.words) == all && SpeechFormats(words: (0, 0)) == formats())
    // No codec, a payload type beyond 127, a gap, and a codec twice.
    for word in [0x00ff, 0x8001, 0x0001_0000, 0x0101_0001] as [UInt64] {
      #expect(SpeechFormats(words: (word, 0)) == nil, "\(word)")
    }
    // A gap between the two, and a codec that the first had.
    #expect(SpeechFormats(words: (0x0001, 0x0802)) == nil)
    #expect(SpeechFormats(words: (all.words.low, 0x0903)) == nil)
  }

  @Test func onlyWhatTheOtherHasNotNamedIsConverted() {
    let (law, other) = (formats((.pcmu, 0)), formats((.pcma, 8)))
    let wide = formats((.g722, 9), (.gsm, 3), (.pcma, 8))
    #expect(law.conversion(of: 0, for: other)?.to.codec == .pcma)
    #expect(law.conversion(of: 0, for: formats((.pcma, 8), (.pcmu, 0))) == nil)
    #expect(
      law.conversion(of: 101, for: other) == nil && law.conversion(of: 0, for: formats()) == nil)
    // To what costs least, in their order.
    #expect(law.conversion(of: 0, for: wide)?.to.codec == .pcma)
    #expect(
      formats((.gsm, 3)).conversion(of: 3, for: formats((.g722, 9), (.pcmu, 0)))?.to.codec == .pcmu)
    #expect(law.conversion(of: 0, for: formats((.gsm, 3), (.g722, 9)))?.to.codec == .g722)
    // A wide band stays one where that is possible.
    let wideband = formats((.pcmu, 0), (.opus, 96), (.g722, 9))
    #expect(formats((.l16Wide, 97)).conversion(of: 97, for: wideband)?.to.codec == .opus)
    #expect(formats((.g729, 18)).conversion(of: 18, for: wideband)?.to.codec == .pcmu)
    #expect(wide.common(with: formats((.pcma, 8), (.g722, 9))) == formats((.g722, 9), (.pcma, 8)))
  }
}
