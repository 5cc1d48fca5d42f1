import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// How digits go between the two sides of a call. Each side has one way (`DigitKind`), which follows from what it has
// agreed to and from the policy of its trunk or user; where the two differ the media plane turns one into the other, but
// for INFO, which comes and goes here.

/// Digits that wait until the INFO before them is answered, so that none overtakes another.
final class InfoQueue {
  static let limit = 16
  var waiting: [InfoDigits] = []
  /// One of ours is under way.
  var isAsked = false
}

extension Shard {
  func digitPolicy(of caller: CallerKind, _ configuration: Configuration) -> DTMFPolicy {
    switch caller {
    case .phone: .auto
    case .user(let user): configuration.users[user].dtmf
    case .trunk(let trunk): configuration.trunks[trunk].dtmf
    }
  }

  /// The way of a leg whose peer has said `remote`.
  func digitKind(_ leg: Leg, _ remote: RemoteMedia) -> DigitKind {
    guard remote.proto == .rtp else { return .unknown }
    let tones: DigitKind = remote.codec.carriesTones ? .tones : .unknown
    switch leg.dtmf {
    case .info: return leg.passesInfo ? .info : .unknown
    case .inband: return tones
    case .auto, .rtp:
      if !remote.events.isEmpty { return .events }
      guard tones == .unknown, leg.dtmf == .auto, leg.passesInfo, leg.abilities.contains(.info)
      else { return tones }
      return .info
    }
  }

  /// What a peer allows may have come after what it speaks.
  func digitsAgreed(_ one: Leg?, _ other: Leg?) {
    for leg in [one, other] {
      guard let leg, let remote = leg.media?.remote, remote.digits != digitKind(leg, remote) else {
        continue
      }
      follow(remote, leg)
    }
  }

  // MARK: Digits

  /// The media has heard one of `leg`'s.
  func digitSaid(_ leg: Leg, _ digit: MediaDigit) {
    guard let session = leg.session, session.state == .answered else { return }
    if let digits = InfoDigits(
      event: digit.event.exposed, milliseconds: Int(digit.milliseconds)),
      heeds(session, leg, digits)
    {
      return
    }
    let other = session.other(leg)
    let kind = other?.media?.remote?.digits
    if let other, kind == .info {
      sayByInfo(
        session, other,
        InfoDigits(event: digit.event.exposed, milliseconds: Int(digit.milliseconds)))
    }
    digitPassed(session, leg, from: digit.kind, to: kind)
  }

  func digitPassed(_ session: Session, _ leg: Leg, from: DigitKind, to: DigitKind?) {
    tell(.digitPassed(leg.side, from: from, to: to), call: session.id)
    guard let to, to != from else { return }
    noteOnce("digits are converted: \(from.name) to \(to.name)", session)
  }

  /// Digits of an INFO that go to `other` by its media. False: they have to go in INFO, or nowhere.
  func sayByMedia(_ session: Session, _ leg: Leg, _ other: Leg, _ digits: InfoDigits) -> Bool {
    guard let media = other.media, let kind = media.remote?.digits, other.state == .confirmed,
      kind == .events || (kind == .tones && digits.event != MediaDigit.flash)
    else { return false }
    outbox.media.append(
      .digit(
        media.transport,
        MediaDigit(
          event: digits.event, milliseconds: UInt16(clamping: digits.milliseconds), kind: .info)))
    digitPassed(session, leg, from: .info, to: kind)
    return true
  }

  func sayByInfo(_ session: Session, _ leg: Leg, _ digits: InfoDigits?) {
    guard let digits, leg.passesInfo, leg.state == .confirmed else { return }
    let queue = infoQueues[leg.handle] ?? InfoQueue()
    infoQueues[leg.handle] = queue
    guard queue.waiting.count < InfoQueue.limit else {
      return noteOnce("digits were lost: INFO is not answered fast enough", session)
    }
    queue.waiting.append(digits)
    sayNext(leg)
  }

  /// The next of the digits that wait, unless an INFO is under way.
  func sayNext(_ leg: Leg) {
    guard let queue = infoQueues[leg.handle], !queue.isAsked, let next = queue.waiting.first,
      leg.state == .confirmed, leg.session?.other(leg)?.infoServer == nil
    else { return }
    queue.waiting.removeFirst()
    queue.isAsked = sendInfo(leg, next)
  }

  /// What became of one of ours; false: it was none.
  func ownInfoAnswered(_ leg: Leg, _ status: Int) -> Bool {
    guard let queue = infoQueues[leg.handle], queue.isAsked else { return false }
    queue.isAsked = false
    if status >= 300, let session = leg.session {
      noteOnce("digits in INFO were answered with \(status)", session)
    }
    sayNext(leg)
    return true
  }
}

extension AudioCodec {
  /// Two tones come out of it as two tones.
  fileprivate var carriesTones: Bool {
    switch self {
    case .pcmu, .pcma, .g722, .l16, .l16Wide: true
    case .unknown, .gsm, .g729, .opus: false
    }
  }
}
