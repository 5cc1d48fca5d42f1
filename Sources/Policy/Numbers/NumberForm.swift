/// The form in which a trunk is sent numbers.
package enum NumberForm: String, Sendable, CaseIterable {
  /// As they are inside.
  case asIs = "as-is"
  case e164
  case withoutPlus = "e164-without-plus"
  /// As dialled within the trunk's country: 030…, and 00… for others.
  case national
  /// With the international prefix, whatever the country: 0049 30….
  case internationalPrefix = "international-prefix"

  /// It can be made only of numbers whose country is known.
  var needsCountryCode: Bool { self != .asIs }
}

/// The scheme of URIs with a telephone number in them.
package enum NumberScheme: String, Sendable, CaseIterable { case sip, tel }

/// Where a called number is read, in a request that comes in.
package enum CalledPlace: String, Sendable, CaseIterable {
  case requestURI = "request-uri"
  case to
  case calledPartyID = "p-called-party-id"
}

/// Where a caller's number is read, and where it is put.
package enum CallerPlace: String, Sendable, CaseIterable {
  case from
  case assertedIdentity = "p-asserted-identity"
  case preferredIdentity = "p-preferred-identity"
  case remotePartyID = "remote-party-id"
  case diversion
}

/// The numbers of a trunk: how they are read, and how they are written.
package struct TrunkNumbers: Hashable, Sendable {
  /// Nil: numbers are taken as they come.
  package var plan: NumberPlan?
  /// The first place that has a number counts.
  package var calledFrom: [CalledPlace] = [.requestURI]
  /// Places whose word is believed, in this order. Empty: P-Asserted-Identity inside a trusted network, then
  /// From.
  package var callerFrom: [CallerPlace] = []
  package var form = NumberForm.asIs
  /// Put before every called number.
  package var prefix = ""
  package var scheme = NumberScheme.sip
  package var userPhone = false
  /// Where the caller stands besides From. Nil: in P-Asserted-Identity inside a trusted network.
  package var callerIn: [CallerPlace]?

  package init(plan: NumberPlan? = nil) { self.plan = plan }
}

/// `TrunkNumbers` ready to write with.
package struct NumberWriter: Hashable, Sendable {
  private let form: NumberForm
  private let country: Country?
  private let prefix: String

  package init(_ numbers: TrunkNumbers, country: Country?) {
    form = numbers.form
    prefix = numbers.prefix
    self.country = country
  }

  package static let asIs = NumberWriter(TrunkNumbers(), country: nil)

  /// A called number as the trunk wants it. What is not E.164 has only one form.
  package func called(_ number: String) -> String { prefix + caller(number) }

  package func caller(_ number: String) -> String {
    guard form != .asIs, number.utf8.first == UInt8(ascii: "+") else { return number }
    let digits = String(number.dropFirst())
    switch form {
    case .asIs, .e164: return number
    case .withoutPlus: return digits
    case .internationalPrefix: return international(digits)
    case .national:
      guard let country, digits.utf8.starts(with: country.code.utf8) else {
        return international(digits)
      }
      return country.nationalPrefix + digits.dropFirst(country.code.count)
    }
  }

  private func international(_ digits: String) -> String {
    (country?.internationalPrefixes.first ?? "00") + digits
  }
}
