/// The Prometheus text format, version 0.0.4: families of samples with their HELP and TYPE lines.
package struct MetricsText: Sendable {
  package enum Kind: String, Sendable { case counter, gauge, histogram }

  /// What `Content-Type` says of it.
  package static let mediaType = "text/plain; version=0.0.4; charset=utf-8"

  package private(set) var text = ""
  private var family = ""

  package init() {}

  /// Opens a family; every sample up to the next family belongs to it. Names begin with `demarc_`.
  package mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    family = "demarc_\(name)"
    text += "# HELP \(family) \(MetricsText.escapedHelp(help))\n# TYPE \(family) \(kind.rawValue)\n"
  }

  package mutating func sample(
    _ value: Double, _ labels: KeyValuePairs<String, String> = [:], suffix: String = ""
  ) {
    text += family + suffix
    if !labels.isEmpty {
      let pairs = labels.map { "\($0.key)=\"\(MetricsText.escapedLabel($0.value))\"" }
      text += "{\(pairs.joined(separator: ","))}"
    }
    text += " \(MetricsText.number(value))\n"
  }

  package mutating func sample(
    _ value: some BinaryInteger, _ labels: KeyValuePairs<String, String> = [:]
  ) {
    sample(Double(value), labels)
  }

  /// A family of one sample without labels.
  package mutating func single(
    _ name: String, _ kind: Kind, _ help: String, _ value: some BinaryInteger
  ) {
    family(name, kind, help)
    sample(value)
  }

  /// A family with one sample for each value of one label, in the order given.
  package mutating func each(
    _ name: String, _ kind: Kind, _ help: String, by label: String,
    _ values: some Sequence<(String, some BinaryInteger)>
  ) {
    family(name, kind, help)
    for (key, value) in values { sample(value, [label: key]) }
  }

  package mutating func histogram(_ name: String, _ help: String, _ histogram: MetricsHistogram) {
    family(name, .histogram, help)
    var cumulative: UInt64 = 0
    for (bound, count) in zip(histogram.bounds, histogram.counts) {
      cumulative &+= count
      sample(Double(cumulative), ["le": MetricsText.number(bound)], suffix: "_bucket")
    }
    sample(Double(histogram.total), ["le": "+Inf"], suffix: "_bucket")
    sample(histogram.sum, suffix: "_sum")
    sample(Double(histogram.total), suffix: "_count")
  }

  static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == value.rounded(), value.magnitude < 9e15 { return String(Int64(value)) }
    return "\(value)"
  }

  static func escapedLabel(_ value: String) -> String {
    var result = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func escapedHelp(_ value: String) -> String {
    var result = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

/// Counts by upper bound, as Prometheus has them.
package struct MetricsHistogram: Hashable, Sendable {
  package let bounds: [Double]
  package private(set) var counts: [UInt64]
  package private(set) var sum = 0.0
  package private(set) var total: UInt64 = 0

  /// `bounds` ascending.
  package init(bounds: [Double]) {
    self.bounds = bounds
    counts = Array(repeating: 0, count: bounds.count)
  }

  package mutating func observe(_ value: Double) {
    guard value.isFinite, value >= 0 else { return }
    total &+= 1
    sum += value
    if let index = bounds.firstIndex(where: { value <= $0 }) { counts[index] &+= 1 }
  }
}
