import RTPWire

/// 425 Hz for a second, silence for four (ITU-T E.180 supplement 2: most of the world), at about -13 dBm0.
enum Ringback {
  /// Samples of both together.
  static let period = 40_000
  private static let tone = 8_000
  /// 17 periods of the tone are 320 samples.
  private static let linear: [Int16] = {
    // x(n+1) = 2·cos(2π·425/8000)·x(n) - x(n-1), from sin 0 on.
    let twiceCosine = 1.889_612_092_933_756
    var (last, next) = (0.0, 0.327_630_179_561_693_5)
    return (0..<320).map { _ in
      defer { (last, next) = (next, twiceCosine * next - last) }
      return Int16(last * 7_000)
    }
  }()
  private static let ulaw = linear.map { G711.ulaw(linear: $0) }
  private static let alaw = linear.map { G711.alaw(linear: $0) }

  static func code(_ position: Int, alaw: Bool) -> UInt8 {
    guard position % period < tone else { return alaw ? G711.alawSilence : G711.ulawSilence }
    return alaw ? Self.alaw[position % 320] : ulaw[position % 320]
  }
}
