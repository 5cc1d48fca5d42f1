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
    guard let one, let other, let mine = one.media?.remote, let theirs = other.media?.remote,
      mine.proto == .rtp, theirs.proto == .rtp
    else { return }
    guard
      one.isNumbered || other.isNumbered || mine.mayNumberOtherwise(than: theirs)
        || theirs.mayNumberOtherwise(than: mine)
    else { return }
    let (sent, otherSent) = numbers(session, one, other)
    number(session, one, sent)
    number(session, other, otherSent)
  }

  private func number(_ session: Session, _ leg: Leg, _ numbers: PayloadNumbers) {
    guard let media = leg.media, !leg.mediaClosing else { return }
    guard leg.isNumbered || !numbers.isEmpty else { return }
    leg.isNumbered = !numbers.isEmpty
    outbox.media.append(.number(media.transport, numbers))
    if !numbers.isEmpty { noteOnce("a format has another payload type each way", session) }
  }

  /// What each of the two sends on to the other.
  private func numbers(
    _ session: Session, _ one: Leg, _ other: Leg
  ) -> (PayloadNumbers, PayloadNumbers) {
    let bytes = blocks.bytes(description(of: one, one.fork, session))
    let otherBytes = blocks.bytes(description(of: other, other.fork, session))
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
