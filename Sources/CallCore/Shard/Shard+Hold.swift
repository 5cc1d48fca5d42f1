import Base
import MediaControl
import Policy
import SIPWire

// Music on hold (RFC 5359 §2.3). Who puts the other side on hold takes nothing of it any more (RFC 3264 §8.4: sendonly,
// inactive, or the address 0.0.0.0 of old), and the music that is meant for that comes from us, so that the side that is
// held is told sendonly in each of these cases. The media plane plays while the holder says nothing itself.

/// What hold has to do with a leg.
struct LegHold {
  /// It has taken media in this call: only then can it put somebody on hold.
  var hasListened = false
  /// Music is ordered for it.
  var hearsMusic = false
}

extension Shard {
  /// The leg's side has music for whom it puts on hold.
  func hasMusic(_ leg: Leg) -> Bool { musicOnHold(of: leg) != nil }

  private func musicOnHold(of leg: Leg) -> UInt32? {
    guard configuration.playsMusic, leg.hold.hasListened, let session = leg.session,
      session.state == .answered
    else { return nil }
    let party = leg.side == .a ? session.record.from : session.record.to
    // The media plane has what is in force now, whatever the call has begun with.
    guard let name = session.configuration.musicOnHold(of: party, tenant: session.tenant),
      let tenant = configuration.tenant(named: session.record.tenant)
    else { return nil }
    return configuration.music(named: name, tenant: tenant)
  }

  /// How the main line of `sdp`, in which `source` may hold, is told to `leg`; nil: as without music.
  func musicDirection(
    _ sdp: SessionDescription, _ line: Int, from source: Leg?, to leg: Leg, _ isAnswer: Bool
  ) -> SDPDirection? {
    guard configuration.playsMusic, let source, !sdp.media[line].isFax else { return nil }
    let theirs = sdp.media[line].direction
    let isAtZero = sdp.rtpAddress(of: line)?.ip.isUnspecified == true
    let told = SDPDirection(sends: theirs.sends, receives: theirs.receives && !isAtZero)
    let hears = !told.receives && hasMusic(source)
    // An answer takes no more than was offered (RFC 3264 §6.1), and music has made more of the offer that it answers.
    guard isAnswer, hears || hasMusic(leg) else {
      return hears ? SDPDirection(sends: true, receives: false) : nil
    }
    let asked = leg.reoffer?.remote?.main ?? leg.media?.remote
    return SDPDirection(
      sends: (hears || told.sends) && asked?.weSend ?? true,
      receives: told.receives && asked?.weReceive ?? true)
  }

  /// What both have agreed to is in force: music begins or ends for each of them.
  func followHold(_ one: Leg?, _ other: Leg?) {
    let legs = [one, other]
    guard configuration.playsMusic || legs.contains(where: { $0?.hold.hearsMusic ?? false }) else {
      return
    }
    for leg in legs {
      if let leg, leg.media?.remote?.weSend ?? false { leg.hold.hasListened = true }
    }
    follow(one, heldBy: other)
    follow(other, heldBy: one)
  }

  private func follow(_ leg: Leg?, heldBy holder: Leg?) {
    guard let leg, let media = leg.media, !leg.mediaClosing else { return }
    var music: UInt32?
    if let holder, let theirs = holder.media?.remote, let own = media.remote, own.proto == .rtp,
      theirs.proto == .rtp, own.weSend, !theirs.weSend
    {
      music = musicOnHold(of: holder)
    }
    guard (music != nil) != leg.hold.hearsMusic else { return }
    leg.hold.hearsMusic = music != nil
    outbox.media.append(.interpose(media.transport, music.map { .music($0) }))
    if music != nil, let session = leg.session { noteOnce("music on hold", session) }
  }
}
