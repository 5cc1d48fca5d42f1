import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// telephone-event (RFC 4733) in offers and answers. It has the clock of the codec that it stands beside (§2.1), so a far
// end with a wide-band codec may offer it with more clocks than one, or only with one that is not 8 kHz.

extension Shard {
  /// What becomes of telephone-event in the line of speech that goes to `leg`. Our first offer always has it with 8 kHz. An
  /// answer has one, that of the codec's clock if it was offered, where the offer had any and the other side's digits can be
  /// turned into it; later offers have what was agreed to, so that the same is said where nothing has changed.
  func events(
    _ sdp: SessionDescription, _ bytes: RawSpan, _ line: Int, _ codecs: CodecFilter,
    _ speech: SDPSpeech, from source: Leg?, to leg: Leg, answering offer: OpenOffer?
  ) -> SDPSpeech.Events {
    if leg.dtmf == .inband { return .withheld }
    let formats = sdp.formats(of: line)
    guard let offer else { return offeredEvents(formats, leg) }
    leg.media?.answeredEvents = nil
    let isThere = formats.contains { $0.encoding == .telephoneEvent }
    let clock = speech.clockRate(of: formats, bytes, codecs)
    let offered = offer.events ?? leg.events ?? EventFormats(of: offer, in: self)
    guard let event = offered.beside(clockRate: clock) else { return .withheld }
    if !isThere {
      guard let kind = source?.media?.remote?.digits, kind == .tones || kind == .info else {
        return .asTheyAre
      }
    }
    leg.media?.answeredEvents = event
    return formats.answer(event)
  }

  private func offeredEvents(_ formats: ArraySlice<SDPFormat>, _ leg: Leg) -> SDPSpeech.Events {
    let wanted: EventFormats.Format
    if let agreed = leg.events {
      let clock = leg.media?.remote?.clockRate ?? EventClock.narrow.rate
      guard let event = agreed.beside(clockRate: clock) else { return .withheld }
      wanted = event
    } else {
      wanted = EventFormats.Format(SDPWriter.telephoneEvent)
    }
    guard formats.events(wanted.clock) == nil else { return .asTheyAre }
    guard let type = formats.freeType(wanted.payloadType) else { return .asTheyAre }
    let own = SDPSpeech.Format(.telephoneEvent, type, clockRate: wanted.clock.rate)
    return formats.contains { $0.encoding == .telephoneEvent } ? .beside(own) : .added(own)
  }
}

extension EventFormats {
  /// Of two clocks that are not 8 kHz that of the codec beside them counts.
  init(_ formats: ArraySlice<SDPFormat>, beside clockRate: UInt32) {
    self.init()
    for format in formats where format.encoding == .telephoneEvent {
      guard let clock = EventClock(rate: format.clockRate),
        clock == .narrow || format.clockRate == clockRate
          || formats.events(EventClock(rate: clockRate) ?? clock) == nil
      else { continue }
      append(Format(format.payloadType, clock))
    }
  }

  init(_ format: Format) {
    self.init()
    append(format)
  }

  /// Of the format that an application has chosen.
  init(_ format: SDPSpeech.Format) {
    self.init()
    if let clock = EventClock(rate: format.clockRate) {
      append(Format(format.payloadType, clock))
    }
  }

  fileprivate init(of offer: OpenOffer, in shard: Shard) {
    self.init()
    let bytes = shard.blocks.bytes(offer.text)
    guard (try? SessionDescription.parse(bytes, into: &shard.known)) != nil,
      let line = shard.known.firstAudio
    else { return }
    self.init(shard.known.formats(of: line), beside: 0)
  }
}

extension ArraySlice<SDPFormat> {
  func events(_ clock: EventClock) -> SDPFormat? {
    first { $0.encoding == .telephoneEvent && $0.clockRate == clock.rate }
  }

  /// An answer with this event alone, by the number that the one who answers gave it if it has.
  fileprivate func answer(_ event: EventFormats.Format) -> SDPSpeech.Events {
    guard let own = events(event.clock) else {
      return .added(
        SDPSpeech.Format(.telephoneEvent, event.payloadType, clockRate: event.clock.rate))
    }
    let isAlone = !contains { $0.encoding == .telephoneEvent && $0 != own }
    return isAlone ? .asTheyAre : .only(own.payloadType)
  }

  /// A payload type that the line has not given away, `wanted` if it may be.
  fileprivate func freeType(_ wanted: UInt8) -> UInt8? {
    func isFree(_ type: UInt8) -> Bool { !contains { $0.payloadType == type } }
    return isFree(wanted) ? wanted : (96...127).first(where: isFree)
  }
}
