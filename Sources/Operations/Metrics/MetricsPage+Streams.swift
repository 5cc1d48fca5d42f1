import Edge

extension MetricsPage {
  /// TCP, TLS, WS and WSS; nothing where no listener has any.
  func streams(_ text: inout MetricsText) {
    guard let streams else { return }
    text.single("sip_connections", .gauge, "Connections that are open.", streams.connections)
    text.single(
      "sip_connections_handshaking", .gauge,
      "Of them, those whose TLS handshake or WebSocket upgrade is not over.", streams.handshaking)
    text.each(
      "sip_connections_opened_total", .counter, "Connections that began, by who made them.",
      by: "by",
      [("peer", streams.accepted), ("us", streams.connected)])
    text.each(
      "sip_connections_ended_total", .counter,
      "Connections that ended or were refused, by reason.", by: "reason",
      StreamEnd.allCases.map { ($0.rawValue, streams.ended[$0] ?? 0) })
    text.each(
      "sip_stream_messages_total", .counter, "SIP messages over connections.", by: "direction",
      [("received", streams.messagesReceived), ("sent", streams.messagesSent)])
    text.each(
      "sip_stream_bytes_total", .counter, "Bytes over connections, without TLS's own.",
      by: "direction", [("received", streams.bytesReceived), ("sent", streams.bytesSent)])
    text.single(
      "sip_stream_keepalives_total", .counter, "Keep-alives that were answered.", streams.keepAlives
    )
    text.each(
      "sip_stream_messages_dropped_total", .counter, "Messages that were not written, by reason.",
      by: "reason", [("flowMissing", streams.flowsMissing), ("queueFull", streams.discarded)])
    text.family(
      "certificate_expiry_timestamp_seconds", .gauge,
      "When a certificate expires, in seconds since 1970.")
    for certificate in streams.certificates {
      text.sample(
        Double(certificate.expires),
        ["listener": certificate.listener, "server_name": certificate.name])
    }
  }
}
