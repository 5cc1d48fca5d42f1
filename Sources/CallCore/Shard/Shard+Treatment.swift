import MediaControl
import Policy

// What is done to speech on its way to a peer, by the policy of its trunk or user.

extension Shard {
  func treatment(of caller: CallerKind, _ configuration: Configuration) -> SpeechTreatment {
    switch caller {
    case .phone: []
    case .user(let user): configuration.users[user].treatment
    case .trunk(let trunk): configuration.trunks[trunk].treatment
    }
  }
}

extension Trunk {
  var treatment: SpeechTreatment { SpeechTreatment(playout) }
}

extension User {
  var treatment: SpeechTreatment { SpeechTreatment(playout) }
}

extension SpeechTreatment {
  fileprivate init(_ playout: PlayoutPolicy) {
    self = playout == .adaptive ? [.even] : []
  }
}
