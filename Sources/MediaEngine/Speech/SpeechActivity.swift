/// Whether a packet of speech holds any, by its loudness beside that of the noise behind it.
///
///     silent ──louder than the noise by 6 dB, or loud at all──▶ speaking ──quiet for `hangover`──▶ silent
///
/// How loud the noise is follows what is quietest: down at once, up slowly while nobody speaks, and to the quietest of the
/// last one and a half seconds where all of that is louder, since nobody speaks so long without a pause. Nothing above
/// `loudest` is ever noise, whatever it is beside: a steady tone is none.
package struct SpeechActivity: Sendable {
  /// Quiet for so long, and the speech is over: there are pauses within a word.
  package static let hangover = 240
  /// Milliseconds over which the quietest is looked for.
  private static let memory = 1_500
  /// Mean squares of 16-bit samples: -40, -62 and -90 dBov.
  private static let loudest: Float = 107_374
  private static let quietest: Float = 678
  private static let nothing: Float = 1
  /// Louder than the noise by 6 dB.
  private static let ratio: Float = 4

  private var noise: Float = quietest
  private var least = Float.greatestFiniteMagnitude
  private var watched = 0
  private var quiet = 0
  package private(set) var isSpeaking = true
  /// Mean square of the noise, smoothed, for who is to be told of it.
  private var told: Float = 0

  package init() {}

  /// Takes the next `count` samples, which last `milliseconds`; whether they are to be heard.
  package mutating func take(_ samples: [Int16], _ count: Int, milliseconds: Int) -> Bool {
    let power = Self.power(samples, count)
    let isLoud = power > Self.loudest || power > max(noise * Self.ratio, Self.quietest)
    follow(power, isLoud, milliseconds)
    if isLoud {
      quiet = 0
      isSpeaking = true
    } else {
      quiet = min(quiet + milliseconds, Self.hangover)
      if quiet >= Self.hangover { isSpeaking = false }
      told = told == 0 ? power : told + (power - told) / 4
    }
    return isSpeaking
  }

  /// As a packet of comfort noise says it (RFC 3389 §3.1): in -dBov, from 0 to 127.
  package var level: UInt8 {
    var level: UInt8 = 0
    var power = max(told, Self.nothing / 100)
    while level < 127, power < 1_073_741_824 {
      power *= 1.258_925_4
      level += 1
    }
    return level
  }

  private mutating func follow(_ power: Float, _ isLoud: Bool, _ milliseconds: Int) {
    if power < noise {
      noise += (power - noise) / 2
    } else if !isLoud {
      noise += (power - noise) / 16
    }
    least = min(least, power)
    watched += milliseconds
    if watched >= Self.memory {
      if least > noise { noise = least }
      least = .greatestFiniteMagnitude
      watched = 0
    }
    noise = min(max(noise, Self.nothing), Self.loudest)
  }

  private static func power(_ samples: [Int16], _ count: Int) -> Float {
    guard count > 0, count <= samples.count else { return 0 }
    var sum: Int64 = 0
    for i in 0..<count { sum &+= Int64(samples[i]) &* Int64(samples[i]) }
    return Float(sum) / Float(count)
  }
}

/// Leaves the silence out of a flow that we make, for a far end that has named comfort noise (RFC 3389): a word of how loud
/// it is when it begins, when that changes by 3 dB, and every 400 ms; and no packet else. The packet before the first of
/// speech is sent after all, so that no word loses its beginning.
package final class SilenceSuppressor {
  package enum Verdict: Hashable, Sendable {
    case speech
    /// The packet that was held back goes first.
    case speechBehindHeld
    case noise(level: UInt8)
    case nothing
  }

  private static let refresh = 400
  private static let change = 3

  private var activity = SpeechActivity()
  private var held = [Int16](repeating: 0, count: 60 * 16)
  private var hasHeld = false
  private var isSilent = false
  private var saidLevel = 0
  private var sinceSaid = 0
  /// The packet at hand has been judged: that before it goes first.
  private var isJudged = false

  package init() {}

  package func judge(_ samples: [Int16], _ count: Int, milliseconds: Int) -> Verdict {
    if isJudged {
      isJudged = false
      return .speech
    }
    guard !activity.take(samples, count, milliseconds: milliseconds) else {
      let goesBehind = isSilent && hasHeld
      isSilent = false
      hasHeld = false
      isJudged = goesBehind
      return goesBehind ? .speechBehindHeld : .speech
    }
    let level = activity.level
    sinceSaid += milliseconds
    let isDue =
      !isSilent || sinceSaid >= Self.refresh || abs(Int(level) - saidLevel) >= Self.change
    isSilent = true
    // What a word of noise stood for has been said.
    hasHeld = !isDue && count <= held.count
    if hasHeld { for i in 0..<count { held[i] = samples[i] } }
    guard isDue else { return .nothing }
    saidLevel = Int(level)
    sinceSaid = 0
    return .noise(level: level)
  }

  /// The samples of the packet that goes first.
  package var heldSamples: [Int16] { held }
}
