package import Policy

/// A profile as the command prints it.
package struct ProfileResource: Codable, Hashable, Sendable {
  package struct Setting: Codable, Hashable, Sendable {
    package var key: String
    package var value: String
    package var reason: String
  }
  package var name: String
  package var title: String
  package var tested: Bool
  package var settings: [Setting]
  package var advice: [String]

  package init(_ profile: InteropProfile) {
    name = profile.name
    title = profile.title
    tested = profile.isTested
    settings = profile.settings.map {
      Setting(key: $0.key, value: $0.value, reason: $0.reason)
    }
    advice = profile.advice
  }
}

package enum ProfileViews {
  package static func text(_ profile: InteropProfile) -> String {
    let tested = profile.isTested ? "" : " (by what is published; not tried against the real thing)"
    var text = "\(profile.name): \(profile.title)\(tested)\n"
    for setting in profile.settings {
      text += "  \(setting.key): \(setting.value)\n    \(setting.reason)\n"
    }
    for advice in profile.advice { text += "  · \(advice)\n" }
    return text
  }
}
