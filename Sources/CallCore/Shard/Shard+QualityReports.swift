import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// What was heard of each leg of a call, told to a collector when the call is over (RFC 6035): a PUBLISH for each leg, as
// the endpoint that we are there. Nobody waits for it, and a call costs nothing more where no collector is named.

extension Shard {
  /// More than so many that have no answer yet, and no further ones are sent.
  static let qualityReportLimit = 500

  func reportQuality(_ session: Session) {
    guard let publication = qualityPublication(session) else { return }
    for (leg, quality) in [
      (session.caller, session.record.fromCaller), (session.callee, session.record.fromCallee),
    ] {
      guard let leg else { continue }
      publish(.session, session, leg, quality, publication)
    }
  }

  /// Where a tenant's reports go, for each of them anew; nil: nowhere.
  func qualityPublication(_ session: Session) -> (TrunkTarget, Credentials?)? {
    let configuration = session.configuration
    guard let trunk = configuration.qualityCollector(ofTenant: session.tenant),
      configuration.trunks.indices.contains(trunk)
    else { return nil }
    let collector = configuration.trunks[trunk]
    let own = targets.ofSeat(seats.seat(of: collector))
    guard let target = own.first(where: { $0.health.isUsable }) ?? own.first else { return nil }
    return (target, collector.credentials)
  }

  /// Nothing where nothing was heard.
  func publish(
    _ kind: QualityReportKind, _ session: Session, _ leg: Leg, _ quality: StreamQuality,
    _ publication: (target: TrunkTarget, credentials: Credentials?)
  ) {
    guard let media = leg.media, quality.packets > 0 else { return }
    publish(
      QualityReport(kind: kind, session: session, leg: leg, media: media, quality: quality),
      QualityPublication(publication.target, publication.credentials))
  }

  private func publish(_ report: QualityReport, _ publication: QualityPublication) {
    guard qualityReportsPending < Self.qualityReportLimit else {
      counters.qualityReportsDropped &+= 1
      return
    }
    body.begin()
    write(report, into: &body)
    guard send(publication) else {
      counters.qualityReportsDropped &+= 1
      return
    }
    qualityReportsPending += 1
    counters.qualityReports &+= 1
  }

  /// What `body` holds. False: it is too long, or there is no room.
  private func send(
    _ publication: QualityPublication, answering challenge: DigestResponder.Challenge? = nil,
    of bytes: RawSpan = RawSpan()
  ) -> Bool {
    let target = publication.target
    defer { body.abandon() }
    guard !body.isOverflowing else { return false }
    var none: [TransactionEffect] = []
    let transaction = ClientTransaction(
      machine: .nonInvite(NonInviteClientTransaction(timers: timers, into: &none)),
      method: .publish, purpose: .report, cseq: 1, destination: target.key.address,
      listener: target.listener,
      connectPort: isReliable(target.listener) ? target.key.address.port : 0, request: .none)
    guard let handle = clients.insert(transaction) else { return false }
    transaction.handle = handle
    transaction.sender = .report(publication)
    outbox.datagrams.begin()
    writeHead("PUBLISH", target, transaction)
    if let challenge, let credentials = publication.credentials {
      write(credentials, for: challenge, bytes, target)
    }
    writePublish()
    if let security = target.security { secure(security, target.listener, target.key.address) }
    launch(transaction)
    return true
  }

  private func write(
    _ credentials: Credentials, for challenge: DigestResponder.Challenge, _ bytes: RawSpan,
    _ target: TrunkTarget
  ) {
    let copy = body.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) }
    let uri = Array("sip:\(target.host)".utf8)
    DigestResponder.write(
      challenge, bytes, method: "PUBLISH", uri: uri.rawSpan,
      username: credentials.username, password: credentials.password, cnonce: random.next(),
      body: copy.rawSpan, context: digest.context(challenge.algorithm), into: &outbox.datagrams)
  }

  /// A challenge is answered once, with what its trunk has for that; the same report goes again.
  func qualityReportAnswered(
    _ publication: QualityPublication, _ transaction: ClientTransaction,
    _ message: borrowing Message
  ) {
    guard message.status == 401 || message.status == 407, !publication.hasAnswered,
      publication.credentials != nil, let challenge = DigestResponder.choose(message),
      copyReport(transaction)
    else { return qualityReportEnded(status: message.status) }
    publication.hasAnswered = true
    if !send(publication, answering: challenge, of: message.bytes) {
      qualityReportEnded(status: message.status)
    }
  }

  func qualityReportEnded(status: Int) {
    qualityReportsPending -= 1
    if status >= 300 { counters.qualityReportsFailed &+= 1 }
  }

  /// The body of what was sent, to `body`. False: it is not kept any more.
  private func copyReport(_ transaction: ClientTransaction) -> Bool {
    guard !transaction.request.isNone else { return false }
    let text = blocks.bytes(transaction.request)
    let end = Array("\r\n\r\n".utf8)
    var start = 0
    while start + end.count <= text.byteCount {
      if (0..<end.count).allSatisfy({ text.byte(at: start + $0) == end[$0] }) {
        body.begin()
        body.append(text, ByteRange(from: start + end.count, to: text.byteCount))
        return true
      }
      start += 1
    }
    return false
  }

  /// RFC 3903 §4: a state of its own each time, which nobody refreshes.
  private func writePublish() {
    outbox.datagrams.append(
      "Event: vq-rtcpxr\r\nExpires: 0\r\nContent-Type: application/vq-rtcpxr\r\n")
    writeUserAgent()
    outbox.datagrams.append("Content-Length: ")
    outbox.datagrams.append(decimal: body.position)
    outbox.datagrams.append("\r\n\r\n")
    body.withOpenBytes { outbox.datagrams.append($0) }
  }

  // MARK: application/vq-rtcpxr (RFC 6035 §4.6)

  private func write(_ report: QualityReport, into out: inout OutputBuffer) {
    let (leg, quality) = (report.leg, report.quality)
    let text = blocks.bytes(leg.text)
    out.append(report.kind.firstLine)
    out.append("\r\nCallID: ")
    out.append(text, leg.callID)
    out.append("\r\nLocalID: ")
    out.append(text, address(leg.local, text))
    out.append("\r\nRemoteID: ")
    out.append(text, address(leg.remote, text))
    out.append("\r\nOrigID: ")
    out.append(text, address(leg.isOurs ? leg.local : leg.remote, text))
    out.append("\r\nLocalAddr: ")
    place(mediaAddress(leg), report.media.local.port, quality.sentSSRC, &out)
    out.append("\r\nRemoteAddr: ")
    let remote = report.media.remote
    place(remote?.rtp.ip ?? .anyV4, remote?.rtp.port ?? 0, quality.ssrc, &out)
    out.append("\r\nLocalGroup: ")
    out.append(report.session.record.tenant)
    out.append("\r\nRemoteGroup: ")
    out.append(
      leg === report.session.caller ? report.session.record.from : report.session.record.to)
    out.append("\r\nLocalMetrics:\r\n")
    times(quality, &out)
    describe(quality, remote, &out)
    out.append("PacketLoss:NLR=")
    let expected = quality.packets &+ quality.lost
    percent(quality.lost, of: expected, &out)
    // Nothing is played here, so nothing is discarded.
    out.append(" JDR=0.0\r\nDelay:")
    if quality.roundTrip > 0 {
      out.append("RTD=")
      out.append(decimal: min(Int(quality.roundTrip / 1_000), 65_535))
      out.append(" ")
    }
    out.append("IAJ=")
    out.append(decimal: min(Int(quality.jitter / 1_000), 65_535))
    out.append("\r\n")
    estimate(quality.mos, &out)
    remoteMetrics(quality, &out)
    out.append("DialogID: ")
    out.append(text, leg.callID)
    out.append("\r\n")
  }

  /// What the far end's own reports say of what it heard from us.
  private func remoteMetrics(_ quality: StreamQuality, _ out: inout OutputBuffer) {
    guard quality.rtcpPackets > 0 else { return }
    out.append("RemoteMetrics:\r\n")
    times(quality, &out)
    out.append("PacketLoss:NLR=")
    percent(UInt64(quality.remoteFractionLost), of: 256, &out)
    out.append("\r\nDelay:IAJ=")
    out.append(decimal: min(Int(quality.remoteJitter / 1_000), 65_535))
    out.append("\r\n")
    estimate(quality.remoteMOS, &out)
  }

  /// Without its parameters, of which the tag is one.
  private func address(_ value: ByteRange, _ text: RawSpan) -> ByteRange {
    guard let end = text.firstIndex(of: UInt8(ascii: ">"), from: value.start), end < value.end
    else { return value }
    return ByteRange(from: value.start, to: end + 1)
  }

  private func place(_ ip: IPAddress, _ port: UInt16, _ ssrc: UInt32, _ out: inout OutputBuffer) {
    out.append("IP=")
    out.append(ip, bracketed: false)
    out.append(" PORT=")
    out.append(decimal: Int(port))
    out.append(" SSRC=0x")
    out.append(hex: UInt64(ssrc), digits: 8)
  }

  private func times(_ quality: StreamQuality, _ out: inout OutputBuffer) {
    out.append("Timestamps:START=")
    out.append(Timestamp.text(wall(quality.first)))
    out.append(" STOP=")
    out.append(Timestamp.text(wall(quality.last)))
    out.append("\r\n")
  }

  /// Milliseconds since 1970 by the clock that was read at the start.
  private func wall(_ time: Instant) -> Int64 {
    Int64(clamping: settings.incarnation) + (time - started).nanoseconds / 1_000_000
  }

  private func describe(_ quality: StreamQuality, _ remote: RemoteMedia?, _ out: inout OutputBuffer)
  {
    out.append("SessionDesc:PT=")
    out.append(decimal: Int(quality.payloadType))
    if let remote, remote.payloadType == quality.payloadType, remote.codec != .unknown {
      out.append(" PD=")
      out.append(remote.codec.encoding.name)
      out.append(" SR=")
      out.append(decimal: remote.codec.isWide ? 16_000 : 8_000)
      if remote.packetTime > 0 {
        out.append(" FD=")
        out.append(decimal: Int(remote.packetTime))
      }
    }
    out.append("\r\n")
  }

  private func estimate(_ mos: UInt16, _ out: inout OutputBuffer) {
    guard mos > 0 else { return }
    out.append("QualityEstimates:MOSCQ=")
    out.append(decimal: Int(mos / 100))
    out.append(".")
    out.append(decimal: Int(mos / 10 % 10))
    out.append("\r\n")
  }

  /// With one digit behind the point.
  private func percent(_ part: UInt64, of all: UInt64, _ out: inout OutputBuffer) {
    let share = all == 0 ? 0 : Double(min(part, all)) / Double(all)
    let value = UInt64(share * 1_000)
    out.append(decimal: Int(clamping: value / 10))
    out.append(".")
    out.append(decimal: Int(value % 10))
  }
}

/// A report on its way to a collector.
final class QualityPublication {
  let target: TrunkTarget
  let credentials: Credentials?
  var hasAnswered = false

  init(_ target: TrunkTarget, _ credentials: Credentials?) {
    self.target = target
    self.credentials = credentials
  }
}

enum QualityReportKind {
  case session, interval, alert

  fileprivate var firstLine: StaticString {
    switch self {
    case .session: "VQSessionReport: CallTerm"
    case .interval: "VQIntervalReport"
    case .alert: "VQAlertReport: Type=MOSCQ Severity=Warning Dir=local"
    }
  }
}

private struct QualityReport {
  var kind: QualityReportKind
  var session: Session
  var leg: Leg
  var media: LegMedia
  var quality: StreamQuality
}
