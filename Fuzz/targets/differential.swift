import Base
import Glibc
import Judges
import SIPWire

// One message as we read it and as libre, oSIP and Sofia-SIP do (Fuzz/judges). Where the three take it and agree about a
// field, so must we; what we refuse though all of them take it, and the other way round, is counted by its reason and
// told at the end, with an example of each in .build-fuzz/judges/examples.

// MARK: What is compared

/// A field's text, in the form in which different spellings of one thing are equal; nil where there is none.
private typealias Reading = [[UInt8]?]

/// Stands for a field of ours about which nobody can disagree.
private let notCompared: [UInt8] = [0]

private let fieldNames = [
  "method or status", "scheme of the Request-URI", "its user", "its host", "its port", "Call-ID",
  "CSeq", "method of CSeq",
  "scheme of From", "user of From", "host of From", "tag of From", "scheme of To", "user of To",
  "host of To",
  "tag of To", "host of Via", "port of Via", "branch of Via", "length of the body",
]

private func lowercased(_ text: [UInt8]) -> [UInt8] {
  text.map { 0x41...0x5a ~= $0 ? $0 | 0x20 : $0 }
}

private func unescaped(_ text: [UInt8]) -> [UInt8] {
  func digit(_ octet: UInt8) -> UInt8? {
    switch octet {
    case 0x30...0x39: octet - 0x30
    case 0x41...0x46: octet - 0x37
    case 0x61...0x66: octet - 0x57
    default: nil
    }
  }
  var result: [UInt8] = []
  var i = 0
  while i < text.count {
    if text[i] == UInt8(ascii: "%"), i + 2 < text.count, let high = digit(text[i + 1]),
      let low = digit(text[i + 2])
    {
      result.append(high << 4 | low)
      i += 3
    } else {
      result.append(text[i])
      i += 1
    }
  }
  return result
}

/// One program keeps an IPv6 address's brackets, another unescapes a user, a third tells a port that is not there as 0.
private func normalised(_ text: [UInt8], _ field: judged) -> [UInt8]? {
  switch field {
  case JUDGED_SCHEME, JUDGED_FROM_SCHEME, JUDGED_TO_SCHEME: lowercased(text)
  case JUDGED_HOST, JUDGED_FROM_HOST, JUDGED_TO_HOST, JUDGED_VIA_HOST:
    lowercased(text.filter { $0 != UInt8(ascii: "[") && $0 != UInt8(ascii: "]") })
  case JUDGED_USER, JUDGED_FROM_USER, JUDGED_TO_USER: text.isEmpty ? nil : unescaped(text)
  case JUDGED_FROM_TAG, JUDGED_TO_TAG, JUDGED_VIA_BRANCH: text.isEmpty ? nil : text
  default: text
  }
}

// MARK: Ours

/// Our reading; nil and the reason where we refuse the message.
private func ours(_ bytes: RawSpan, _ index: HeaderIndex) -> (reading: Reading?, reason: String) {
  do throws(SIPParseError) {
    let message = try Message.parse(bytes, using: index)
    if let defect = message.defect() { return (nil, defect.rawValue) }
    guard let via = message.topVia(), let from = message.from, let to = message.to,
      let cseq = message.cseq
    else {
      return (nil, "incomplete")
    }
    var reading = Reading(repeating: nil, count: Int(JUDGED_FIELDS.rawValue))
    func tell(_ field: judged, _ text: [UInt8]) {
      reading[Int(field.rawValue)] = normalised(text, field)
    }
    // From and To say who speaks; nothing is sent there, so a URI that cannot be read is their writers' affair.
    func tellURI(_ scheme: judged, _ range: ByteRange) {
      guard let uri = SIPURI.parse(bytes, range), uri.scheme == .sip || uri.scheme == .sips else {
        for field in 0..<UInt32(3) { reading[Int(scheme.rawValue + field)] = notCompared }
        return
      }
      tell(scheme, Array(uri.scheme == .sip ? "sip".utf8 : "sips".utf8))
      tell(judged(rawValue: scheme.rawValue + 1), bytes.array(uri.user))
      tell(judged(rawValue: scheme.rawValue + 2), bytes.array(uri.host))
    }
    if message.isRequest {
      tell(JUDGED_START, bytes.array(message.methodToken))
      tellURI(JUDGED_SCHEME, message.requestURI)
      tell(JUDGED_PORT, Array("\(SIPURI.parse(bytes, message.requestURI)?.port ?? 0)".utf8))
    } else {
      tell(JUDGED_START, Array("\(message.status)".utf8))
    }
    tell(JUDGED_CALL_ID, bytes.array(message.callID))
    tell(JUDGED_CSEQ, Array("\(cseq.number)".utf8))
    tell(JUDGED_CSEQ_METHOD, bytes.array(cseq.methodToken))
    tellURI(JUDGED_FROM_SCHEME, from.uri)
    tell(JUDGED_FROM_TAG, bytes.array(from.tag))
    tellURI(JUDGED_TO_SCHEME, to.uri)
    tell(JUDGED_TO_TAG, bytes.array(to.tag))
    tell(JUDGED_VIA_HOST, bytes.array(via.host))
    tell(JUDGED_VIA_PORT, Array("\(via.port ?? 0)".utf8))
    tell(JUDGED_VIA_BRANCH, bytes.array(via.branch))
    tell(JUDGED_BODY, Array("\(message.body.count)".utf8))
    return (reading, "")
  } catch {
    return (nil, "\(error.reason)")
  }
}

// MARK: The judges

nonisolated(unsafe) private var answer = [UInt8](repeating: 0, count: Int(JUDGE_READING_BYTES))

/// What one of them reads; nil where it refuses the message, `isSilent` where it did not answer.
private func reading(of which: Int32, _ bytes: RawSpan) -> (reading: Reading?, isSilent: Bool) {
  let length = unsafe bytes.withUnsafeBytes { message in
    unsafe answer.withUnsafeMutableBufferPointer {
      unsafe judges_ask(which, message.baseAddress, message.count, $0.baseAddress, $0.count)
    }
  }
  guard length > 0 else { return (nil, true) }
  guard unsafe answer[0] == 1 else { return (nil, false) }
  var reading = Reading(repeating: nil, count: Int(JUDGED_FIELDS.rawValue))
  var at = 1
  for field in 0..<reading.count {
    let size = unsafe Int(answer[at]) | Int(answer[at + 1]) << 8
    at += 2
    guard size != 0xffff else { continue }
    reading[field] = unsafe normalised(
      Array(answer[at..<at + size]), judged(rawValue: UInt32(field)))
    at += size
  }
  return (reading, false)
}

// MARK: What comes of it

nonisolated(unsafe) private var counts: [String: Int] = [:]
nonisolated(unsafe) private var silences = [0, 0, 0]
private let folder = ".build-fuzz/judges/examples"

private func count(_ what: String, _ bytes: RawSpan) {
  unsafe counts[what, default: 0] += 1
  guard unsafe counts[what] == 1 else { return }
  let name = String(what.map { $0.isLetter || $0.isNumber ? $0 : "-" })
  guard let file = unsafe fopen("\(folder)/\(name)", "w") else { return }
  unsafe bytes.withUnsafeBytes { _ = unsafe fwrite($0.baseAddress, 1, $0.count, file) }
  unsafe fclose(file)
}

private func summary() {
  for (what, number) in unsafe counts.sorted(by: { $0.key < $1.key }) {
    print("differential: \(number) \(what)")
  }
  print("differential: no answer of libre, oSIP, Sofia-SIP: \(unsafe silences)")
}

private func compare(_ bytes: RawSpan, _ index: HeaderIndex) {
  let (own, reason) = ours(bytes, index)
  var theirs: [Reading] = []
  var isSilent = false
  for which in 0..<3 {
    let (reading, silent) = reading(of: Int32(which), bytes)
    if let reading { theirs.append(reading) }
    if silent {
      unsafe silences[which] += 1
      isSilent = true
    }
  }
  guard theirs.count == 3 else {
    if own != nil, theirs.isEmpty, !isSilent { count("taken by us alone", bytes) }
    return
  }
  let isAgreed = (0..<fieldNames.count).map {
    theirs[0][$0] == theirs[1][$0] && theirs[1][$0] == theirs[2][$0]
  }
  guard let own else {
    count(
      "refused by us alone: \(reason)\(isAgreed.allSatisfy { $0 } ? "" : ", and they differ")",
      bytes)
    return
  }
  count(isAgreed.allSatisfy { $0 } ? "agreed by all" : "taken by all, and they differ", bytes)
  for field in 0..<fieldNames.count
  where isAgreed[field] && own[field] != theirs[0][field] && own[field] != notCompared {
    func shown(_ text: [UInt8]?) -> String {
      text.map { "'\(String(decoding: $0, as: UTF8.self))'" } ?? "none"
    }
    fatalError(
      "\(fieldNames[field]): \(shown(own[field])), and all others \(shown(theirs[0][field]))")
  }
}

nonisolated(unsafe) private var index: HeaderIndex?

private func start() -> HeaderIndex {
  _ = unsafe mkdir(folder, 0o755)
  unsafe judges_start(".build-fuzz/judges")
  atexit { summary() }
  return HeaderIndex()
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  if unsafe index == nil { unsafe index = start() }
  if let index = unsafe index {
    compare(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: data, count: count)), index)
  }
  return 0
}
