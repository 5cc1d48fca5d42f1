import Base
import SIPCore
import SIPWire

// Both ends of a dialog in one head: each message is sent by one and received by the other, so their states must be
// mirror images whatever comes after what; then two descriptions, the second of which answers what we make of the first.
//
//     0…n  events, a byte each, up to 0xff     then description | 0xff | description

private func check(_ holds: Bool, _ what: @autoclosure () -> String) {
  if !holds { fatalError(what()) }
}

private func mirrored(_ state: OfferAnswer.State) -> OfferAnswer.State {
  switch state {
  case .idle: .idle
  case .open(let by, let carrier): .open(by: by.other, in: carrier)
  case .wanted(let from): .wanted(from: from.other)
  }
}

private func exchange(_ events: RawSpan) {
  var ours = OfferAnswer()
  var theirs = OfferAnswer()
  for i in 0..<events.byteCount {
    let event = events.byte(at: i)
    let carrier = OfferAnswer.Carrier.allCases[Int(event & 15) % OfferAnswer.Carrier.allCases.count]
    if event & 0x80 != 0 {
      ours.refused(carrier)
      theirs.refused(carrier)
    } else {
      let byUs = event & 0x40 != 0
      let has = event & 0x20 != 0
      let wasAgreed = ours.isAgreed
      let sent = byUs ? ours.handle(carrier, from: .us, hasDescription: has)
        : theirs.handle(carrier, from: .us, hasDescription: has)
      let heard = byUs ? theirs.handle(carrier, from: .them, hasDescription: has)
        : ours.handle(carrier, from: .them, hasDescription: has)
      // What we may not send is a fault of ours, what they may not send is glare or haste of theirs.
      let isRefusal = [.misplaced, .glare, .busy].contains(sent)
      check(
        sent == heard || isRefusal && [.misplaced, .glare, .busy].contains(heard),
        "\(carrier) is \(sent) where it is sent and \(heard) where it comes")
      check(has || ![.offer, .answer, .preview].contains(heard), "\(heard) without a description")
      check(heard != .offer || !ours.isIdle, "an offer that nobody has to answer")
      check(heard != .answer || ours.isIdle && ours.isAgreed, "an answer that closes nothing")
      check(!wasAgreed || ours.isAgreed, "what was agreed is forgotten")
    }
    check(mirrored(ours.state) == theirs.state, "\(ours.state) on one side, \(theirs.state) on the other")
    check(ours.isAgreed == theirs.isAgreed, "agreed on one side")
  }
}

nonisolated(unsafe) private var exercise = Exercise()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: data, count: count))
  let first = bytes.firstIndex(of: 0xff) ?? count
  exchange(bytes.slice(0, first))
  let second = bytes.firstIndex(of: 0xff, from: first + 1) ?? count
  let offer = bytes.slice(first + 1, second)
  let answer = bytes.slice(second + 1, count)
  if let problem = unsafe exercise.answer(answer, to: offer) { fatalError(problem) }
  return 0
}
