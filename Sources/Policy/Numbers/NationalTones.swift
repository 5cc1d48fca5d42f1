/// A ringing tone: Hz of one or two sines that sound together, Hz of what they swell with, milliseconds on and off by turns.
package struct RingingTone: Hashable, Sendable {
  package var first: UInt16
  /// 0: there is one alone.
  package var second: UInt16 = 0
  /// 0: it does not swell.
  package var modulation: UInt16 = 0
  package var cadence: [UInt16]
}

/// What a caller hears while it rings, by country: ITU-T E.180 supplement 2 (the various tones used in national networks),
/// and of Australia, New Zealand, Singapore and the United Kingdom the national documents (S002, TNA 102, IDA TS PSTN 1,
/// BT SIN 350).
package enum NationalTones {
  /// By ISO 3166's code in lower case.
  package static let ringing: [String: RingingTone] = table.mapValues(\.tone)

  /// By the code of E.164. Code 1 is North America's, 7 Russia's and Kazakhstan's.
  private static let countries: [String: String] = table.reduce(into: [:]) {
    $0[$1.value.code] = $1.key
  }

  /// The country whose tones are heard in a numbering plan; nil: none of the table's.
  package static func country(code: String) -> String? { countries[code] }

  private static let table: [String: (code: String, tone: RingingTone)] = {
    var table: [String: (code: String, tone: RingingTone)] = [:]
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 4, let tone = RingingTone(fields[2], fields[3]) else { continue }
      table[String(fields[0])] = (String(fields[1]), tone)
    }
    return table
  }()

  // Country, its code, f1 or f1+f2 or f1*modulation in Hz, and milliseconds on, off, on, off.
  private static let text = """
    at 43 420 1000,5000
    au 61 413+438 400,200,400,2000
    be 32 425 1000,3000
    bg 359 425 1000,4000
    br 55 425 1000,4000
    ch 41 425 1000,4000
    cl 56 400 1000,3000
    cn 86 450 1000,4000
    cz 420 425 1000,4000
    de 49 425 1000,4000
    dk 45 425 1000,4000
    ee 372 425 1000,4000
    es 34 425 1500,3000
    fi 358 425 1000,4000
    fr 33 440 1500,3500
    gb 44 400+450 400,200,400,2000
    gr 30 425 1000,4000
    hu 36 425 1250,3750
    id 62 425 1000,4000
    ie 353 400+450 400,200,400,2000
    il 972 414 1000,3000
    in 91 400*25 400,200,400,2000
    it 39 425 1000,4000
    jp 81 400*16 1000,2000
    lt 370 425 1000,4000
    mx 52 425 1000,4000
    my 60 425 400,200,400,2000
    nl 31 425 1000,4000
    no 47 425 1000,4000
    nz 64 400+450 400,200,400,2000
    ph 63 425+480 1000,4000
    pl 48 425 1000,4000
    pt 351 425 1000,5000
    ru 7 425 1000,4000
    se 46 425 1000,5000
    sg 65 425*24 400,200,400,2000
    th 66 420 1000,5000
    tw 886 440+480 1000,2000
    us 1 440+480 2000,4000
    ve 58 425 1000,4000
    za 27 400*33 400,200,400,2000
    """
}

extension RingingTone {
  /// Of a row of the table.
  fileprivate init?(_ hertz: Substring, _ cadence: Substring) {
    let parts = hertz.split { $0 == "+" || $0 == "*" }.compactMap { UInt16($0) }
    guard let first = parts.first, parts.count <= 2 else { return nil }
    self.init(first: first, cadence: cadence.split(separator: ",").compactMap { UInt16($0) })
    guard parts.count == 2 else { return }
    if hertz.contains("*") { modulation = parts[1] } else { second = parts[1] }
  }
}

extension Configuration {
  /// What callers of the tenant hear where we make the tone; nil: what most of the world has.
  package func ringingTone(ofTenant tenant: Int) -> RingingTone? {
    guard tenants.indices.contains(tenant) else { return nil }
    let country =
      tenants[tenant].tones
      ?? tenants[tenant].numbers.flatMap { NationalTones.country(code: $0.countryCode) }
    return country.flatMap { NationalTones.ringing[$0] }
  }
}

extension ConfigurationCompiler {
  mutating func checkTones() {
    for (index, tenant) in resources.tenants.enumerated() {
      guard let tones = tenant.tones, NationalTones.ringing[tones] == nil else { continue }
      report(
        ["tenants", .index(index), "tones"], "no tones of `\(tones)` are known",
        suggestion: nearestMatch(to: tones, in: NationalTones.ringing.keys.sorted()),
        remedy: "Use the two letters of a country that the documentation names: de, gb, us …")
    }
  }
}
