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
    let (sent, otherSent) = numbers(
      one, blocks.bytes(description(of: one, one.fork, session)),
      other, blocks.bytes(description(of: other, other.fork, session)))
    number(session, one, sent)
    number(session, other, otherSent)
  }

  /// What `leg` has described in a provisional response, which may be kept nowhere: it is heard by that until there is an
  /// answer. What the caller says goes to the one that it hears.
  func numbersAnnounced(_ session: Session, _ leg: Leg, _ described: RawSpan) {
    guard let caller = session.caller, mayNumberOtherwise(caller, leg) else { return }
    let (sent, callersSent) = numbers(
      leg, described, caller, blocks.bytes(description(of: caller, caller.fork, session)))
    number(session, leg, sent)
    if session.callee === leg { number(session, caller, callersSent) }
  }

  /// Of most calls two comparisons tell that there is nothing to do.
  private func mayNumberOtherwise(_ one: Leg, _ other: Leg) -> Bool {
    guard let mine = one.media?.remote, let theirs = other.media?.remote, mine.proto == .rtp,
      theirs.proto == .rtp
    else { return false }
    return one.isNumbered || other.isNumbered || mine.mayNumberOtherwise(than: theirs)
      || theirs.mayNumberOtherwise(than: mine)
  }

  private func number(_ session: Session, _ leg: Leg, _ numbers: PayloadNumbers) {
    guard let media = leg.media, !leg.mediaClosing else { return }
    guard leg.isNumbered || !numbers.isEmpty else { return }
    leg.isNumbered = !numbers.isEmpty
    outbox.media.append(.number(media.transport, numbers))
    if !numbers.isEmpty { noteOnce("a format has another payload type each way", session) }
  }

  /// What each of the two, who have described themselves by `bytes` and `otherBytes`, sends on to the other.
  private func numbers(
    _ one: Leg, _ bytes: RawSpan, _ other: Leg, _ otherBytes: RawSpan
  ) -> (PayloadNumbers, PayloadNumbers) {
    var (sdp, otherSDP) = (SessionDescription(), SessionDescription())
    guard (try? SessionDescription.parse(bytes, into: &sdp)) != nil,
      (try? SessionDescription.parse(otherBytes, into: &otherSDP)) != nil,
      let line = sdp.firstAudio, let otherLine = otherSDP.firstAudio
    else { return (PayloadNumbers(), PayloadNumbers()) }
    let (formats, otherFormats) = (sdp.formats(of: line), otherSDP.formats(of: otherLine))
    let added = self.added(otherSDP, otherBytes, otherFormats, from: other, to: one)
    let otherAdded = self.added(sdp, bytes, formats, from: one, to: other)
    return (
      Self.numbers(formats, bytes, otherFormats, otherBytes, added),
      Self.numbers(otherFormats, otherBytes, formats, bytes, otherAdded)
    )
  }

  /// What a side with `formats` sends on to the other.
  private static func numbers(
    _ formats: ArraySlice<SDPFormat>, _ own: RawSpan, _ otherFormats: ArraySlice<SDPFormat>,
    _ others: RawSpan, _ added: [SDPSpeech.Format]
  ) -> PayloadNumbers {
    var numbers = PayloadNumbers()
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
