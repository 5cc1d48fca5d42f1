import Base
import MediaControl
import Policy

// What a collector hears in the midst of a call (RFC 6035 §4.5): each so many seconds what was heard since the report before,
// and once for each side that it sounds bad. Calls of tenants that have asked for neither have no watch.

/// Of a call.
final class QualityWatch {
  struct Side {
    let transport: MediaTransportID
    /// Counters at the look before, and at the report before.
    var looked = StreamQuality()
    var reported = StreamQuality()
    var hasAlerted = false
    /// Its counters have been asked for, and when.
    var asked: Instant?
    /// They are for a report too.
    var isDue = false
  }

  let rule: QualityWatchRule
  var timer = TimerID.none
  var looks = 0
  var sides: [Side] = []

  init(_ rule: QualityWatchRule) { self.rule = rule }

  /// Asks for the counters of the sides that there are now; those of a side that is gone are forgotten.
  func look(at transports: [MediaTransportID], _ now: Instant) {
    looks += 1
    let isDue = rule.looksPerReport > 0 && looks % rule.looksPerReport == 0
    sides = transports.map { transport in
      var side = sides.first { $0.transport == transport } ?? Side(transport: transport)
      side.asked = now
      side.isDue = isDue
      return side
    }
  }
}

extension Shard {
  func watchQuality(_ session: Session) {
    guard let rule = session.configuration.qualityWatch(ofTenant: session.tenant) else { return }
    let watch = QualityWatch(rule)
    qualityWatches[session.handle] = watch
    restart(&watch.timer, .quality, .milliseconds(rule.period), session.handle)
  }

  func endQualityWatch(_ session: Session) {
    guard !qualityWatches.isEmpty,
      let watch = qualityWatches.removeValue(forKey: session.handle)
    else { return }
    wheel.cancel(&watch.timer)
  }

  func qualityDue(_ handle: SlabHandle) {
    guard let watch = qualityWatches[handle] else { return }
    watch.timer = .none
    guard let session = session(handle), session.state == .answered else { return }
    let transports = [session.caller, session.callee].compactMap { leg in
      leg.flatMap { $0.mediaClosing ? nil : $0.media?.transport }
    }
    watch.look(at: transports, now)
    for transport in transports { outbox.media.append(.measure(transport)) }
    restart(&watch.timer, .quality, .milliseconds(watch.rule.period), handle)
  }

  func qualityMeasured(_ session: Session, _ leg: Leg, _ quality: StreamQuality) {
    guard let watch = qualityWatches[session.handle], let media = leg.media,
      let i = watch.sides.firstIndex(where: { $0.transport == media.transport }),
      watch.sides[i].asked != nil
    else { return }
    watch.sides[i].asked = nil
    let side = watch.sides[i]
    watch.sides[i].looked = quality
    let look = quality.since(side.looked, media.remote)
    if let alert = watch.rule.alert, !side.hasAlerted, look.mos > 0, look.mos < alert,
      let publication = qualityPublication(session)
    {
      watch.sides[i].hasAlerted = true
      publish(.alert, session, leg, look, publication)
    }
    guard side.isDue, let publication = qualityPublication(session) else { return }
    watch.sides[i].reported = quality
    publish(.interval, session, leg, quality.since(side.reported, media.remote), publication)
  }
}

extension StreamQuality {
  /// What was counted since then. The rating takes losses for random: how they came is not told of a part.
  fileprivate func since(_ before: StreamQuality, _ remote: RemoteMedia?) -> StreamQuality {
    guard before.packets > 0, packets >= before.packets else { return self }
    var part = self
    part.packets = packets - before.packets
    part.lost = lost - min(before.lost, lost)
    part.first = before.last
    let model = Quality(
      expected: part.packets &+ part.lost, lost: part.lost, jitter: jitter, roundTrip: roundTrip,
      packetTime: remote?.packetTime ?? 20, codec: remote?.codec ?? .unknown)
    part.mos = model.mos
    return part
  }
}
