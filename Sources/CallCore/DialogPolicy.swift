import Base
import Policy
import SIPCore

/// What a trunk's resource says of its dialogs; a user's phone has the defaults.
struct DialogPolicy {
  var earlyMedia = EarlyMedia.pass
  var earlyOffer = false
  var reliableProvisionals = ReliableProvisionals.supported
  var dtmfInfo = true
  var timerPolicy = SessionTimerPolicy(
    expires: UInt32(clamping: ResourceDefaults.sessionExpires.wholeSeconds),
    minimum: UInt32(clamping: ResourceDefaults.minSessionExpires.wholeSeconds))

  init() {}

  init(_ trunk: Trunk) {
    earlyMedia = trunk.earlyMedia
    earlyOffer = trunk.earlyOffer
    reliableProvisionals = trunk.reliableProvisionals
    dtmfInfo = trunk.dtmfInfo
    let refresher: SessionTimerPolicy.Preference =
      switch trunk.sessionRefresher {
      case .auto: .auto
      case .us: .us
      case .them: .them
      }
    timerPolicy = SessionTimerPolicy(
      expires: trunk.sessionTimers ? UInt32(clamping: trunk.sessionExpires.wholeSeconds) : 0,
      minimum: UInt32(clamping: trunk.minSessionExpires.wholeSeconds), refresher: refresher)
  }
}
