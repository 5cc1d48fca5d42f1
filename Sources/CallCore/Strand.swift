import Base
import Policy

/// Why a target, a hop or a whole walk came to nothing.
struct Failure: Equatable {
  var status: Int
  var cause: Cause

  init(_ status: Int, _ cause: Cause) {
    self.status = status
    self.cause = cause
  }
  init(_ cause: Cause) { self.init(cause.sipStatus, cause) }

  /// RFC 3261 §16.7 step 6: of several the one to pass on. A 6xx is final for everybody; else the lowest
  /// class, and in the 4xx class what tells the caller how to do better, then what says most of the callee.
  func isBetter(than other: Failure) -> Bool { rank < other.rank }

  private var rank: Int {
    switch status {
    case 600...: 0
    case ..<400: 1
    case 401, 407, 415, 420, 484: 2
    case 486: 3
    case 480: 4
    case 408: 6
    case 487: 7
    case ..<500: 5
    default: 8
    }
  }
}

/// One walk along a plan: the call's own, or that of a member of a group that rings together.
///
///     hop ──▶ all of its members at once ──▶ one answers: the others are given up
///                                        └─▶ all are lost: their best failure leads to the next hop, or
///                                            is what the walk itself came to
final class Strand {
  let plan: RoutePlan
  /// The walk that waits for this one; nil: the caller does.
  var parent: Strand?
  var hopIndex = -1
  /// When everything here is over, whatever the hops of the plan still allow.
  let deadline: Instant?
  var hopDeadline: Instant?

  /// What rings now.
  var branches: [Branch] = []
  var strands: [Strand] = []
  /// How many of those are still to be heard of, and one more while the hop is being started.
  var pending = 0
  /// Contacts of the hop whose turn comes when those before them are lost (§16.6: lower q).
  var later: [[CallTarget]] = []
  /// The best failure of the hop so far.
  var failure: Failure?
  /// The hop has been sent on already: what comes of that is what comes of the hop.
  var isDiverted = false
  /// Who sent the call here, the first of them first.
  let diversions: [Diversion]
  /// Hops whose targets took no calls when their turn came, by index: tried at last when all else failed.
  var passedOver: [(hop: Int, rank: Int)] = []
  var isLastResort = false
  /// The hop's target is a name that has not come to an address yet.
  var awaitsName = false

  init(
    plan: RoutePlan, parent: Strand? = nil, deadline: Instant? = nil,
    diversions: [Diversion]? = nil
  ) {
    self.plan = plan
    self.parent = parent
    self.deadline = deadline
    self.diversions = diversions ?? parent?.diversions ?? []
  }

  var hop: PlannedHop? { plan.hops.indices.contains(hopIndex) ? plan.hops[hopIndex] : nil }

  /// Where the walk goes after its hop ended with `cause`: the next hop that this leads to; else what was
  /// passed over on the way, the best of it first. A called party that was reached and would not or could
  /// not answer is the end.
  func next(after cause: Cause) -> Int? {
    if !isLastResort, let next = plan.next(after: hopIndex, cause: cause) { return next }
    guard cause.leadsBack,
      let best = passedOver.indices.min(by: { passedOver[$0].rank < passedOver[$1].rank })
    else { return nil }
    isLastResort = true
    return passedOver.remove(at: best).hop
  }

  func note(_ failure: Failure) {
    if self.failure.map({ failure.isBetter(than: $0) }) ?? true { self.failure = failure }
  }
}

/// One target of a hop: a contact, or a trunk with its addresses, of which the next is tried when one is
/// not there. It has a leg, and a line of the record, of its own.
final class Branch {
  let strand: Strand
  let targets: [CallTarget]
  var targetIndex = 0
  var leg: Leg?
  /// Index into the record's attempts.
  var attempt = 0
  /// Until when the target at hand may say nothing but 100, and whether it has said that.
  var responseDeadline = Instant.zero
  var hasHeard = false
  /// The channel of the trunk that it holds, and its places in other limits.
  var seat: Int?
  var limits: [Int] = []

  init(_ strand: Strand, _ targets: [CallTarget]) {
    self.strand = strand
    self.targets = targets
  }

  var target: CallTarget? { targets.indices.contains(targetIndex) ? targets[targetIndex] : nil }
}

extension Cause {
  /// Only what says "not there" sends the call to the next address of the same target: a busy user is busy
  /// on every address.
  var triesNextAddress: Bool {
    switch self {
    case .carrierTimeout, .carrierUnavailable, .transportFailed, .unreachable: true
    default: false
    }
  }

  /// Nobody was reached: a target that may be dead is still better than none.
  var leadsBack: Bool {
    switch self {
    case .notRegistered, .nameUnresolved, .noRoute, .allRoutesFailed, .trunkCallLimit,
      .trunkRateLimit, .poolFull:
      true
    default: triesNextAddress
    }
  }
}
