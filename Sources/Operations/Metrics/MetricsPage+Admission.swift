import CallCore
import Edge

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
    if let kernelBans { self.kernelBans(kernelBans, &text) }
  }

  private func kernelBans(_ reading: KernelBans.Reading, _ text: inout MetricsText) {
    text.each(
      "bans_in_kernel_state", .gauge, "1 for whether the kernel drops what comes from the banned.",
      by: "state", [(reading.state.word, 1)])
    text.single(
      "bans_in_kernel", .gauge, "Bans that the kernel has been told of.", reading.elements)
    text.single(
      "bans_in_kernel_failures_total", .counter,
      "Changes of its table that the kernel did not take, and bans that there was no room for.",
      reading.failures)
    text.single(
      "bans_in_kernel_dropped_packets_total", .counter,
      "Packets that the kernel dropped for us, some seconds ago.", reading.dropped)
  }
}
