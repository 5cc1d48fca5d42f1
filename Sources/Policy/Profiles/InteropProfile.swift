/// What a kind of peer needs, as data: a trunk that names a profile gets its settings where it says nothing itself.
package struct InteropProfile: Hashable, Sendable {
  /// A setting of the trunk and the message or behaviour that makes it necessary.
  package struct Setting: Hashable, Sendable {
    package var key: String
    package var value: String
    package var reason: String
  }

  package var name: String
  package var title: String
  /// How we know: tried against the peer itself, or read in what its maker publishes.
  package var isTested: Bool
  package var settings: [Setting]
  /// What no setting of ours can do: it is for the reader.
  package var advice: [String]
  fileprivate var numbers: TrunkNumbers

  package static func named(_ name: String) -> InteropProfile? { all.first { $0.name == name } }
}

extension Trunk {
  /// With its profile's settings where it has none of its own.
  package var expanded: Trunk {
    guard let profile = profile.flatMap(InteropProfile.named) else { return self }
    var trunk = self
    var own = numbers ?? TrunkNumbers()
    let standard = TrunkNumbers()
    if own.calledFrom == standard.calledFrom { own.calledFrom = profile.numbers.calledFrom }
    if own.callerFrom.isEmpty { own.callerFrom = profile.numbers.callerFrom }
    if own.form == standard.form { own.form = profile.numbers.form }
    if !own.userPhone { own.userPhone = profile.numbers.userPhone }
    if own.callerIn == nil { own.callerIn = profile.numbers.callerIn }
    trunk.numbers = own
    return trunk
  }
}

extension InteropProfile {
  /// None was tried against the real thing by us yet; each reason names what its maker or a standard says.
  package static let all: [InteropProfile] = [
    InteropProfile(
      "teams", "Microsoft Teams Direct Routing",
      [
        Setting(
          key: "numbers.form", value: "e164",
          reason: "Its INVITEs and those it documents have sip:+1833… in the request URI.")
      ],
      advice: [
        "It knows an SBC by the host name in Contact: add a rule for OPTIONS and INVITE that sets Contact.host to yours.",
        "It takes TLS only, and refuses requests with Replaces and SIPS URIs.",
      ]
    ) { $0.form = .e164 },
    InteropProfile(
      "twilio", "Twilio Elastic SIP Trunking",
      [
        Setting(
          key: "numbers.form", value: "e164",
          reason: "A called number without + and country code is refused (its warning 32101).")
      ],
      advice: [
        "Set callsPerSecond to 30 at most: more from one address to one of theirs runs into its protection.",
        "Its termination domain has to be in the request URI's host: add a rule that sets request-uri.host.",
        "It sends Content-Length twice at times; equal ones are taken as one.",
      ]
    ) { $0.form = .e164 },
    InteropProfile(
      "telnyx", "Telnyx SIP trunking",
      [
        Setting(
          key: "numbers.form", value: "e164",
          reason: "Calls abroad are taken with E.164 numbers only, the caller's too."),
        Setting(
          key: "numbers.callerIn", value: "[p-asserted-identity]",
          reason: "It reads P-Preferred-Identity, P-Asserted-Identity, Remote-Party-ID, then From."),
      ],
      advice: [
        "A caller's number that is not of the account gets 403: use callerID with a default."
      ]
    ) {
      $0.form = .e164
      $0.callerIn = [.assertedIdentity]
    },
    InteropProfile(
      "asterisk", "Asterisk with PJSIP",
      [
        Setting(
          key: "numbers.callerFrom", value: "[p-asserted-identity, remote-party-id, from]",
          reason: "send_pai and send_rpid put the caller there; with neither it is in From."),
        Setting(
          key: "numbers.callerIn", value: "[p-asserted-identity]",
          reason: "trust_id_inbound reads it."),
      ],
      advice: ["An extension can set any caller: give the trunk callerID with allow: owned."]
    ) {
      $0.callerFrom = [.assertedIdentity, .remotePartyID, .from]
      $0.callerIn = [.assertedIdentity]
    },
    InteropProfile(
      "freeswitch", "FreeSWITCH",
      [
        Setting(
          key: "numbers.callerFrom", value: "[p-asserted-identity, remote-party-id, from]",
          reason: "Its gateways send Remote-Party-ID unless sip_cid_type says pid or none."),
        Setting(
          key: "numbers.callerIn", value: "[p-asserted-identity]",
          reason: "It reads P-Preferred-Identity, P-Asserted-Identity, Remote-Party-ID, then From."),
      ],
      advice: ["A dial plan can set any caller: give the trunk callerID with allow: owned."]
    ) {
      $0.callerFrom = [.assertedIdentity, .remotePartyID, .from]
      $0.callerIn = [.assertedIdentity]
    },
    InteropProfile(
      "3cx", "3CX",
      [
        Setting(
          key: "numbers.callerFrom", value: "[p-asserted-identity, remote-party-id, from]",
          reason: "From has the account at first; the caller is where its outbound parameters say.")
      ],
      advice: ["In its trunk, put OutboundCallerId into P-Asserted-Identity or From: User Part."]
    ) { $0.callerFrom = [.assertedIdentity, .remotePartyID, .from] },
    InteropProfile(
      "cisco", "Cisco Unified Communications Manager and CUBE",
      [
        Setting(
          key: "numbers.callerFrom", value: "[p-asserted-identity, remote-party-id, from]",
          reason:
            "Communications Manager tells the caller by Remote-Party-ID (5.0), later by P-Asserted-Identity."
        ),
        Setting(
          key: "numbers.callerIn", value: "[p-asserted-identity, remote-party-id]",
          reason: "Which of them is read depends on asserted-id and its release."),
      ],
      advice: ["Old IOS sends a Via without branch; that is taken without a setting."]
    ) {
      $0.callerFrom = [.assertedIdentity, .remotePartyID, .from]
      $0.callerIn = [.assertedIdentity, .remotePartyID]
    },
    InteropProfile(
      "sipconnect", "A peer by SIPconnect",
      [
        Setting(
          key: "numbers.form", value: "e164", reason: "Its public identities are E.164 with a plus."
        ),
        Setting(
          key: "numbers.userPhone", value: "true", reason: "They are SIP URIs with user=phone."),
        Setting(
          key: "numbers.callerFrom", value: "[p-asserted-identity, from]",
          reason: "An enterprise says its caller there; From is for people."),
        Setting(
          key: "numbers.callerIn", value: "[p-asserted-identity]",
          reason: "The provider says the caller there."),
      ],
      advice: []
    ) {
      $0.form = .e164
      $0.userPhone = true
      $0.callerFrom = [.assertedIdentity, .from]
      $0.callerIn = [.assertedIdentity]
    },
  ]

  private init(
    _ name: String, _ title: String, _ settings: [Setting], advice: [String],
    _ change: (inout TrunkNumbers) -> Void
  ) {
    self.name = name
    self.title = title
    isTested = false
    self.settings = settings
    self.advice = advice
    numbers = TrunkNumbers()
    change(&numbers)
  }
}
