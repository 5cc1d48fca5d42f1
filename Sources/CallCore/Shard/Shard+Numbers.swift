import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// Each side of an offer and an answer names the payload types by which it wants to get its formats (RFC 3264 §5.1, §6.1).
// Nearly all use one number for one format both ways. Where a side does not, its peer should send by the number that it
// was told, which is what the other side of the call has named; many send by their own. Both are understood then.

extension Shard {
  func numbersAgreed(_ session: Session, _ one: Leg?, _ other: Leg?) {
    guard let one, let other, mayNumberOtherwise(one, other) else { return }
    let mineText = blocks.bytes(description(of: one, one.fork, session))
    let theirText = blocks.bytes(description(of: other, other.fork, session))
    number(session, one, mineText, other, theirText)
    number(session, other, theirText, one, mineText)
  }

  /// What `leg` has described in a provisional response, which may be kept nowhere: it is heard by that until there is an
  /// answer. What the caller says goes to the one that it hears.
  func numbersAnnounced(_ session: Session, _ leg: Leg, _ described: RawSpan) {
    guard let caller = session.caller, mayNumberOtherwise(caller, leg) else { return }
    let offer = blocks.bytes(description(of: caller, caller.fork, session))
    number(session, leg, described, caller, offer)
    if session.callee === leg { number(session, caller, offer, leg, described) }
  }

  /// Of most calls two comparisons tell that there is nothing to do.
  private func mayNumberOtherwise(_ one: Leg, _ other: Leg) -> Bool {
    guard let mine = one.media?.remote, let theirs = other.media?.remote, mine.proto == .rtp,
      theirs.proto == .rtp
    else { return false }
    return one.isNumbered || other.isNumbered || mine.mayNumberOtherwise(than: theirs)
      || theirs.mayNumberOtherwise(than: mine)
  }

  /// What `leg`, which has described itself by `own`, sends on to `other`.
  private func number(
    _ session: Session, _ leg: Leg, _ own: RawSpan, _ other: Leg, _ others: RawSpan
  ) {
    guard let media = leg.media, !leg.mediaClosing else { return }
    let numbers = numbers(leg, own, other, others)
    guard leg.isNumbered || !numbers.isEmpty else { return }
    leg.isNumbered = !numbers.isEmpty
    outbox.media.append(.number(media.transport, numbers))
    if !numbers.isEmpty { noteOnce("a format has another payload type each way", session) }
  }

  private func numbers(
    _ leg: Leg, _ own: RawSpan, _ other: Leg, _ others: RawSpan
  ) -> PayloadNumbers {
    var numbers = PayloadNumbers()
    var (mine, theirs) = (SessionDescription(), SessionDescription())
    guard (try? SessionDescription.parse(own, into: &mine)) != nil,
      (try? SessionDescription.parse(others, into: &theirs)) != nil,
      let line = mine.firstAudio, let otherLine = theirs.firstAudio
    else { return numbers }
    let (formats, otherFormats) = (mine.formats(of: line), theirs.formats(of: otherLine))
    let added = self.added(theirs, others, otherFormats, from: other, to: leg)
    // By the number that it was told; what we have told counts before what it has named.
    var told = InlineArray<128, Bool>(repeating: false)
    var wanted: [(own: UInt8, leaving: UInt8)] = []
    for format in formats where format.payloadType < 128 {
      let same = otherFormats.first { $0.isSame(others, as: format, own) }
      let number = same?.payloadType ?? added.first { $0.isSame(as: format) }?.payloadType
      let leaving = same?.payloadType ?? format.payloadType
      wanted.append((format.payloadType, leaving))
      guard let number, number < 128, !told[Int(number)] else { continue }
      told[Int(number)] = true
      if number != format.payloadType || leaving != number {
        numbers.append(
          PayloadNumbers.Entry(heard: number, own: format.payloadType, leaving: leaving))
      }
    }
    for (own, leaving) in wanted where !told[Int(own)] && leaving != own {
      numbers.append(PayloadNumbers.Entry(heard: own, own: own, leaving: leaving))
    }
    return numbers
  }

  /// What an offer to `leg` has had beside what `source` has named. An answer to one of its own has its own numbers.
  private func added(
    _ sdp: SessionDescription, _ bytes: RawSpan, _ formats: ArraySlice<SDPFormat>,
    from source: Leg, to leg: Leg
  ) -> [SDPSpeech.Format] {
    guard leg.media?.answered == nil, leg.media?.answeredEvents == nil else { return [] }
    var added = speechOffer(sdp, bytes, from: source, to: leg).added
    if leg.side == .b, formats.events(.narrow) == nil,
      !formats.contains(where: { $0.payloadType == SDPWriter.telephoneEvent })
    {
      added.append(SDPSpeech.Format(.telephoneEvent, SDPWriter.telephoneEvent))
    }
    return added
  }
}

extension SDPFormat {
  /// The same format under whatever number.
  fileprivate func isSame(_ bytes: RawSpan, as other: SDPFormat, _ others: RawSpan) -> Bool {
    guard encoding == other.encoding, clockRate == other.clockRate, channels == other.channels
    else {
      return false
    }
    if encoding != .other { return true }
    return hasRTPMap && other.hasRTPMap
      && bytes.extracting(name).equalsIgnoringCase(others.extracting(other.name))
  }
}

extension SDPSpeech.Format {
  fileprivate func isSame(as format: SDPFormat) -> Bool {
    encoding == format.encoding && encoding != .other && clockRate == format.clockRate
  }
}
