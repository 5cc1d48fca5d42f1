import CallCore

extension MetricsPage {
  /// Calls that are signed and verified.
  func stir(_ text: inout MetricsText) {
    let identity = shard.identity
    text.each(
      "stir_signed_total", .counter, "Calls that were signed, by attestation; and div (RFC 8946).",
      by: "attestation",
      [
        ("A", identity.signedFull), ("B", identity.signedPartial), ("C", identity.signedGateway),
        ("div", identity.signedDiversions),
      ])
    text.single(
      "stir_signing_failures_total", .counter, "Calls that were to be signed and were not.",
      identity.signingFailures)
    text.single(
      "stir_passed_total", .counter, "Calls whose Identity went on as it came.", identity.passed)
    text.each(
      "stir_verified_total", .counter, "Calls that were verified, by what came of it.",
      by: "outcome",
      [
        ("passed", identity.verified), ("absent", identity.absent), ("stale", identity.stale),
        ("unavailable", identity.unavailable), ("untrusted", identity.untrusted),
        ("invalid", identity.invalid),
      ])
    text.each(
      "stir_certificate_fetches_total", .counter, "Certificates of others that were asked for.",
      by: "outcome", [("asked", identity.fetches), ("failed", identity.fetchFailures)])
    text.single(
      "stir_certificates", .gauge, "Certificates of others that are known, or known not to be had.",
      identity.certificates)
    text.single(
      "stir_waiting", .gauge, "Calls that wait for a certificate.", identity.waiting)
    text.single(
      "stir_waits_refused_total", .counter, "Calls that did not wait because too many did.",
      identity.waitsRefused)
    text.single(
      "stir_replays_total", .counter, "PASSporTs that came again in another call.",
      identity.replays)
    text.single(
      "stir_replays_forgotten_total", .counter,
      "PASSporTs that were forgotten while they were fresh, for want of room.",
      identity.replaysForgotten)
    text.single(
      "stir_fetches_refused_total", .counter, "Certificates for which the queue had no room.",
      identityFiles.queueOverflows)
    if let due = identityFiles.listsDue {
      text.single(
        "stir_revocations_due_seconds", .gauge,
        "When the first of the revocation lists is out of date, in seconds since 1970.", due)
    }
    text.each(
      "stir_certificate_expires_seconds", .gauge,
      "When our own certificates end, in seconds since 1970.", by: "certificate",
      identityFiles.ends.map { ($0.name, UInt64(clamping: $0.ends)) })
  }
}
