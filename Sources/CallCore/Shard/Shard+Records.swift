import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

extension Shard {
  /// The established call as recovery, hand-over or a second node would read it: a `SessionRecord`, written
  /// straight from the call.
  func establishedRecord(_ session: Session) -> EncodedSession {
    let (one, other) = session.own
    recordText.begin()
    SessionRecord.write(call: session.id, into: &recordText)
    writeSeats(session.ingressSeat, session.ingressLimits, isWayOut: false)
    writeSeats(session.egressSeat, session.egressLimits, isWayOut: true)
    if let partner = session.handover?.partner {
      SessionRecord.write(
        SessionRecord.Seat(
          kind: SessionRecord.Seat.partner, isWayOut: false, tenant: "", name: "\(partner.id)"),
        into: &recordText)
    }
    SessionRecord.writeEndOfSeats(into: &recordText)
    if let one { write(one, session) }
    if let other { write(other, session) }
    defer { recordText.abandon() }
    return EncodedSession(
      encoded: recordText.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) })
  }

  private func writeSeats(_ trunk: Int?, _ places: [Int], isWayOut: Bool) {
    if let trunk, let key = seats.key(trunk) {
      SessionRecord.write(
        SessionRecord.Seat(
          kind: SessionRecord.Seat.channel, isWayOut: isWayOut, tenant: key.tenant, name: key.name),
        into: &recordText)
    }
    for place in places {
      guard let key = limits.key(place) else { continue }
      SessionRecord.write(
        SessionRecord.Seat(
          kind: key.kind.rawValue, isWayOut: isWayOut, tenant: key.tenant, name: key.name),
        into: &recordText)
    }
  }

  private func write(_ leg: Leg, _ session: Session) {
    var state = SessionRecord.LegState(
      side: leg.side, isOurs: leg.isOurs, destination: leg.destination, source: leg.source)
    state.followsSource = leg.followsSource
    state.fork = leg.fork
    state.localCSeq = leg.localCSeq
    state.remoteCSeq = leg.remoteCSeq
    state.abilities = leg.abilities.rawValue
    if let refresher = leg.timer.machine.refresher {
      state.timerSeconds = leg.timer.seconds
      state.isRefreshedByUs = refresher == .us
    }
    state.sdpSession = leg.sdpSession
    state.sdpVersion = UInt64(leg.sdpVersion)
    state.media = leg.media.flatMap { media in
      settings.mediaAddresses.element(at: Int(media.local.address)).map {
        SocketAddress($0.bound, media.local.port)
      }
    }
    state.answered = leg.media?.answered
    let isKeyed = leg.media?.remote?.security != nil
    state.isProtected = isKeyed || leg.protection.renewal != nil
    let hasKeys = isKeyed || leg.further?.isProtected == true
    SessionRecord.write(state, into: &recordText)
    writeTag(leg)
    let text = blocks.bytes(leg.text)
    SessionRecord.write(text.extracting(leg.callID), into: &recordText)
    SessionRecord.write(text.extracting(leg.local), into: &recordText)
    SessionRecord.write(text.extracting(leg.remote), into: &recordText)
    SessionRecord.write(text.extracting(leg.remoteTag), into: &recordText)
    SessionRecord.write(text.extracting(leg.target), into: &recordText)
    SessionRecord.write(text.extracting(leg.routes), into: &recordText)
    let configuration = session.configuration
    // The name alone: a whole trunk is much to copy.
    let (listener, network, trunk) = (Int(leg.listener), leg.network, leg.trunk ?? -1)
    write(listeners.indices.contains(listener) ? listeners[listener].name : "")
    write(
      configuration.networks.indices.contains(network) ? configuration.networks[network].name : "")
    write(configuration.trunks.indices.contains(trunk) ? configuration.trunks[trunk].name : "")
    let description = blocks.bytes(leg.description)
    if hasKeys {
      writeWithoutKeys(description)
    } else {
      SessionRecord.write(description, into: &recordText)
    }
  }

  /// Keys are for memory alone (RFC 4568 §7).
  private func writeWithoutKeys(_ description: RawSpan) {
    guard description.byteCount <= 0xffff else {
      return SessionRecord.write(RawSpan(), into: &recordText)
    }
    SessionRecord.writeLength(description.byteCount, into: &recordText)
    SDPKeyBlanking.write(description, into: &recordText)
  }

  private func writeTag(_ leg: Leg) {
    SessionRecord.writeLength(TokenMint.digits, into: &recordText)
    writeOwnTag(leg, into: &recordText)
  }

  private func write(_ name: String) {
    SessionRecord.write(name.utf8Span.span.rawSpan, into: &recordText)
  }
}

/// The bytes of a `SessionRecord`.
struct EncodedSession {
  var encoded: [UInt8]
}
