import Base
import SIPWire

/// What the User-Agent of tools begins with that search the internet for SIP servers to misuse. Nobody's phone is called
/// like one of them; somebody who means it calls his tool something else, and is found by what he does.
struct ScannerNames: Sendable {
  static let known = [
    "friendly-scanner", "friendly-request", "sipvicious", "sipcli", "sip-scan", "sipscan",
    "siparmyknife", "sundayddr", "pplsip", "iwar", "smap", "sippts", "vaxsipuseragent",
    "vaxipuseragent", "sivus", "gulp", "scamblaster", "cwu scanner",
  ]

  /// In lower case.
  private let names: [[UInt8]]

  init(further: [String] = []) {
    names = (Self.known + further).filter { !$0.isEmpty }.map { Array($0.lowercased().utf8) }
  }

  func matches(_ agent: RawSpan) -> Bool {
    for name in names where agent.byteCount >= name.count {
      if agent.slice(0, name.count).equalsIgnoringCase(name.rawSpan) { return true }
    }
    return false
  }
}
