import Base
import MediaControl
import Policy
import SIPWire

// A recording that is begun and ended by digits in the midst of a call. The digits of a side that may do so come here
// first, whichever way they take; what is no code, or cannot become one any more, is said to the other side behind that.

/// The last digits of a leg that may be the beginning of its code.
struct CodeWatch {
  /// How long the next digit may take.
  static let patience = Interval.seconds(2)

  /// Events of RFC 4733.
  let code: [UInt8]
  private(set) var held: [InfoDigits] = []
  var timer = TimerID.none

  enum Step: Equatable {
    /// These are not the code's, in their order.
    case pass([InfoDigits])
    case complete
  }

  init(_ code: [UInt8]) { self.code = code }

  mutating func take(_ digits: InfoDigits) -> Step {
    held.append(digits)
    var passed: [InfoDigits] = []
    while !held.isEmpty, !code.starts(with: held.map(\.event)) { passed.append(held.removeFirst()) }
    guard held.count == code.count else { return .pass(passed) }
    held.removeAll()
    return .complete
  }

  /// Nothing more has come.
  mutating func giveUp() -> [InfoDigits] {
    defer { held.removeAll() }
    return held
  }
}

extension Shard {
  /// Whose digits may be a code, once it is known who speaks.
  func watchCodes(_ one: Leg?, _ other: Leg?) {
    guard configuration.heedsRecordingCodes else { return }
    for leg in [one, other] {
      guard let leg, codeWatches[leg.handle] == nil, let media = leg.media, !leg.mediaClosing,
        let session = leg.session, session.state == .answered, session.application == nil,
        session.configuration.recordRule(
          of: [session.record.from, session.record.to], tenant: session.tenant
        ).policy != .off
      else { continue }
      let party = leg.side == .a ? session.record.from : session.record.to
      guard let code = session.configuration.recordingCode(of: party, tenant: session.tenant) else {
        continue
      }
      codeWatches[leg.handle] = CodeWatch(code)
      outbox.media.append(.heed(media.transport))
    }
  }

  /// Whether the digits of the leg go this way; then they have been dealt with.
  func heeds(_ session: Session, _ leg: Leg, _ digits: InfoDigits) -> Bool {
    guard !codeWatches.isEmpty, var watch = codeWatches[leg.handle] else { return false }
    let step = watch.take(digits)
    if watch.held.isEmpty {
      wheel.cancel(&watch.timer)
    } else {
      restart(&watch.timer, .code, CodeWatch.patience, leg.handle)
    }
    codeWatches[leg.handle] = watch
    switch step {
    case .pass(let passed): sayOn(session, leg, passed)
    case .complete: toggleRecording(session)
    }
    return true
  }

  func codeTimedOut(_ handle: SlabHandle) {
    guard var watch = codeWatches[handle] else { return }
    watch.timer = .none
    let passed = watch.giveUp()
    codeWatches[handle] = watch
    guard let leg = leg(handle), let session = leg.session, session.state == .answered else {
      return
    }
    sayOn(session, leg, passed)
  }

  func forgetCode(_ leg: Leg) {
    guard !codeWatches.isEmpty, var watch = codeWatches.removeValue(forKey: leg.handle) else {
      return
    }
    wheel.cancel(&watch.timer)
  }

  private func sayOn(_ session: Session, _ leg: Leg, _ digits: [InfoDigits]) {
    guard let other = session.other(leg) else { return }
    for digits in digits where !sayByMedia(session, leg, other, digits) {
      sayByInfo(session, other, digits)
      digitPassed(session, leg, from: .info, to: .info)
    }
  }

  private func toggleRecording(_ session: Session) {
    let answer =
      session.recording == nil
      ? startRecordingByCode(session) : recording(.stop, of: session.id)
    switch answer {
    case .done: break
    case .tooMany: note("not recorded by code: as many calls as may be are", session)
    case .noCall, .notAnswered, .notAllowed, .alreadyRecording, .notRecording, .alreadyPaused,
      .notPaused, .oneSided:
      note("the code for a recording did nothing", session)
    }
  }
}
