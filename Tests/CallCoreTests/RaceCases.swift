import Base
import CallCore
import Policy
import Simulation

/// RELIABILITY C2 as a list: two things that happen at nearly the same time, in each order and distance, and what
/// may come of it. Whatever it is, nothing is left over and the record says what the wire says.
struct RaceCase: CustomStringConvertible {
  enum Kind: String, CaseIterable {
    case cancelAndAnswer, cancelAndRefusal, cancelAndReliable, byeAndBye, byeBeforeAck
    case prackAndAnswer, prackLostAndAnswer, updateAndAnswer, updatesBothEarly
    case reofferBoth, updateBoth, updateAndReoffer, reofferAndBye, updateAndBye, bareReofferAndBye
    case ackLate, ackNever, operatorAndAnswer, reofferAndOperator, secondAnswer, deathAndReoffer
  }

  var kind: Kind
  /// Milliseconds that the second thing comes after the first.
  var offset: Int
  var isDelayed = false

  var description: String { "\(kind) \(offset) ms\(isDelayed ? ", delayed offer" : "")" }

  static let all: [RaceCase] = {
    var cases: [RaceCase] = []
    for kind in Kind.allCases {
      switch kind {
      case .ackLate:
        for copy in 2...6 {
          for isDelayed in [false, true] {
            cases.append(RaceCase(kind: kind, offset: copy, isDelayed: isDelayed))
          }
        }
      case .ackNever:
        for isDelayed in [false, true] {
          cases.append(RaceCase(kind: kind, offset: 0, isDelayed: isDelayed))
        }
      default:
        for offset in stride(from: -28, through: 28, by: 7) {
          cases.append(RaceCase(kind: kind, offset: offset))
        }
      }
    }
    return cases
  }()

  private static let middle = 3_000

  var caller: CallerScript {
    CallerScript().with {
      $0.delayedOffer = isDelayed
      $0.updates = true
      $0.hangUpAfter = .seconds(8)
      let second = Interval.milliseconds(Self.middle + offset)
      switch kind {
      case .cancelAndAnswer, .cancelAndRefusal: $0.cancelAfter = second
      case .cancelAndReliable:
        $0.reliable = .supports
        $0.cancelAfter = second
      case .byeAndBye: $0.hangUpAfter = second
      case .prackAndAnswer, .updatesBothEarly: $0.reliable = .supports
      case .prackLostAndAnswer: $0.reliable = .requires
      case .updateAndAnswer:
        $0.reliable = .supports
        $0.updatesEarlyAfter = .milliseconds(1_000 + offset)
      case .reofferBoth: $0.reoffers = [Reoffer(after: second, direction: .sendonly)]
      case .updateBoth: $0.reoffers = [Reoffer(after: second, direction: .sendonly, update: true)]
      case .updateAndReoffer: $0.reoffers = [Reoffer(after: second, update: true)]
      case .reofferAndBye, .reofferAndOperator, .deathAndReoffer:
        $0.reoffers = [Reoffer(after: second, direction: .sendonly)]
      case .updateAndBye: $0.reoffers = [Reoffer(after: second, update: true)]
      case .bareReofferAndBye: $0.reoffers = [Reoffer(after: second, withoutOffer: true)]
      case .ackLate: $0.ack = .fromCopy(offset)
      case .ackNever:
        $0.ack = .never
        $0.hangUpAfter = nil
      case .byeBeforeAck, .operatorAndAnswer, .secondAnswer: break
      }
      if kind == .updatesBothEarly { $0.updatesEarlyAfter = .milliseconds(1_000 + offset) }
    }
  }

  var callee: CalleeScript {
    let first = Interval.milliseconds(Self.middle)
    var script = CalleeScript.answering(after: .milliseconds(1_000))
    script.updates = true
    switch kind {
    case .cancelAndAnswer, .operatorAndAnswer: script = .answering(after: first)
    case .cancelAndRefusal: script = .refusing(486, after: first)
    case .cancelAndReliable:
      script.steps = [
        CalleeStep(after: first, status: 183, sdp: true, reliable: true),
        CalleeStep(after: .seconds(6), status: 200),
      ]
    case .byeAndBye, .reofferAndBye, .updateAndBye, .bareReofferAndBye: script.hangUpAfter = first
    case .byeBeforeAck:
      script.hangsUpUnacknowledged = true
      script.hangUpAfter = .milliseconds(28 + offset)
    case .prackAndAnswer, .prackLostAndAnswer:
      script.steps = [
        CalleeStep(after: .seconds(1), status: 180, reliable: kind == .prackAndAnswer),
        CalleeStep(after: .milliseconds(1_030 + offset), status: 200, sdp: true),
      ]
    case .updateAndAnswer, .updatesBothEarly:
      script.steps = [
        CalleeStep(after: .seconds(1), status: 183, sdp: true, reliable: true),
        CalleeStep(after: .milliseconds(2_060), status: 200),
      ]
      if kind == .updatesBothEarly { script.updatesEarlyAfter = .seconds(1) }
    case .reofferBoth, .updateAndReoffer: script.reoffers = [Reoffer(after: first)]
    case .updateBoth: script.reoffers = [Reoffer(after: first, update: true)]
    case .secondAnswer: script.secondAnswerAfter = .milliseconds(28 + offset)
    case .deathAndReoffer: script.dieAfter = .milliseconds(4_000)
    case .ackLate, .ackNever, .reofferAndOperator: break
    }
    return script
  }

  /// From the start of the call.
  var operatorAfter: Interval? {
    switch kind {
    case .operatorAndAnswer: .milliseconds(Self.middle + offset)
    case .reofferAndOperator: .milliseconds(1_060 + Self.middle)
    default: nil
    }
  }

  /// Which causes the record may have.
  var causes: Set<Cause> {
    switch kind {
    case .cancelAndAnswer, .cancelAndReliable: [.cancelled, .normalClearing]
    case .cancelAndRefusal: [.cancelled, .busy]
    case .operatorAndAnswer, .reofferAndOperator: [.hungUpByOperator]
    // With the offer in the 2xx the callee waits for its ACK too, and may be the first to give up.
    case .ackNever:
      isDelayed ? [.acknowledgementMissing, .normalClearing] : [.acknowledgementMissing]
    case .deathAndReoffer: [.carrierTimeout, .normalClearing, .mediaTimeout]
    case .byeAndBye, .byeBeforeAck, .prackAndAnswer, .prackLostAndAnswer, .updateAndAnswer,
      .updatesBothEarly, .reofferBoth, .updateBoth, .updateAndReoffer, .reofferAndBye,
      .updateAndBye, .bareReofferAndBye, .ackLate, .secondAnswer:
      [.normalClearing]
    }
  }
}
