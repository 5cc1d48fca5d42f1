import CallCore

extension MetricsPage {
  /// Who was turned away before anything came of it.
  func admission(_ text: inout MetricsText) {
    let admission = shard.admission
    text.each(
      "strangers_turned_away_total", .counter,
      "Messages of those who are not known that were not answered, or not looked at, by reason.",
      by: "reason",
      AdmissionCounters.Reason.allCases.map { ($0.rawValue, admission[$0]) })
    text.single(
      "previous_passwords_total", .counter,
      "Proofs by the password before the present one, which is good for a while.",
      shard.previousPasswords)
    text.single("bans", .gauge, "Addresses and blocks that are banned.", admission.bans)
    text.single("bans_made_total", .counter, "Bans that there were.", admission.bansMade)
    text.single(
      "bans_missed_total", .counter, "Bans that were left out because too many came at once.",
      admission.bansMissed)
  }
}
