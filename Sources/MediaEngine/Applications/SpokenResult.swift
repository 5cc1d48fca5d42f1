import CPrompts
package import MediaControl
import RTPWire

/// The words that were recorded, in the order of Sources/CPrompts/regenerate.py. Numbers stand for
/// themselves up to twenty, then by tens.
package enum SpokenWord: Int, CaseIterable, Sendable {
  case zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen
  case fourteen, fifteen, sixteen, seventeen, eighteen, nineteen
  case twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety
  case hundred, point, percent, loss, jitter, milliseconds, meanOpinionScore
  case good, fair, poor, qualityTest, noAudioReceived
  /// No recording: a quarter of a second.
  case pause
}

/// What the quality test says of what it heard.
package enum SpokenResult {
  /// "quality test, loss 2 point 5 percent, jitter 12 milliseconds, M O S 4 point 1, good".
  package static func words(_ quality: Quality) -> [SpokenWord] {
    guard quality.expected > 0 else { return [.pause, .qualityTest, .pause, .noAudioReceived] }
    var words: [SpokenWord] = [.pause, .qualityTest, .pause, .loss]
    words += tenths(Int((quality.lossPercent * 10).rounded())) + [.percent, .pause, .jitter]
    words += whole((Int(quality.jitter) + 500) / 1_000) + [.milliseconds]
    let mos = Int(quality.mos)
    if mos > 0 {
      words += [.pause, .meanOpinionScore] + tenths((mos + 5) / 10) + [.pause, grade(mos)]
    }
    return words
  }

  static func clip(_ quality: Quality) -> Clip {
    var samples: [UInt8] = []
    for word in words(quality) {
      if word == .pause {
        samples += Array(repeating: G711.ulawSilence, count: 2_000)
      } else {
        samples += recording(word) + Array(repeating: G711.ulawSilence, count: 400)
      }
    }
    return Clip(ulaw: samples)
  }

  package static func recording(_ word: SpokenWord) -> [UInt8] {
    (0..<cprompts_length(word.rawValue)).map { cprompts_sample(word.rawValue, $0) }
  }

  /// Bounds of G.107 annex B: 4.03 and above satisfies, 3.10 leaves nearly all dissatisfied.
  private static func grade(_ mos: Int) -> SpokenWord {
    mos >= 403 ? .good : mos >= 310 ? .fair : .poor
  }

  /// A number of tenths: "4 point 1"; a whole one without its zero.
  package static func tenths(_ value: Int) -> [SpokenWord] {
    let whole = whole(value / 10)
    return value % 10 == 0 ? whole : whole + [.point] + digits(value % 10)
  }

  /// 0...999; what is above says 999.
  package static func whole(_ value: Int) -> [SpokenWord] {
    let value = min(max(value, 0), 999)
    if value < 100 { return digits(value) }
    let rest = value % 100
    return digits(value / 100) + [.hundred] + (rest == 0 ? [] : digits(rest))
  }

  /// 0...99.
  private static func digits(_ value: Int) -> [SpokenWord] {
    if value < 20 { return [SpokenWord(rawValue: value) ?? .zero] }
    let tens = SpokenWord(rawValue: SpokenWord.twenty.rawValue + value / 10 - 2) ?? .twenty
    return value % 10 == 0 ? [tens] : [tens] + digits(value % 10)
  }
}
