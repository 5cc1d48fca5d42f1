import Base

// Files that have to be there, stay readable to few, or need room.

extension DoctorFacts {
  /// A certificate is renewed in time when half of the last month is left.
  private static let dayOfWarning: Int64 = 14
  private static let day: Int64 = 86_400

  var fileFindings: [DoctorFinding] {
    certificates.flatMap { [certificate($0), key($0)].compactMap { $0 } } + disks.map(disk)
      + [key, revocations].compactMap { $0 }
  }

  private var key: DoctorFinding? {
    guard let storeKey else { return nil }
    let check = "key of the store"
    guard let problem = storeKeyProblem else {
      return DoctorFinding(.files, check, .good, "\(storeKey) opens the store's passwords")
    }
    return DoctorFinding(
      .files, check, .bad, "\(problem.message); a start with it is refused",
      remedy: problem.remedy)
  }

  private var revocations: DoctorFinding? {
    guard let due = revocationsDue else { return nil }
    let check = "revocation lists"
    guard due <= wallClock else {
      return DoctorFinding(.files, check, .good, "good for \((due - wallClock) / 3_600) hours")
    }
    return DoctorFinding(
      .files, check, .advice,
      "one has been out of date for \((wallClock - due) / 3_600) hours, and is used all the same",
      remedy: "get a new one from the authority, or name its URL under `stir.crls`")
  }

  private func certificate(_ facts: CertificateFacts) -> DoctorFinding {
    let check = "certificate of \(facts.listener)"
    guard let expires = facts.expires else {
      return DoctorFinding(
        .files, check, .bad, facts.problem ?? "\(facts.file) cannot be used",
        remedy: facts.problemRemedy
          ?? "name a certificate chain and its key as PEM files that the service's user may read"
      )
    }
    let days = (expires - wallClock) / Self.day
    let renewal =
      "renew it, then `\(facts.reload)`: no call and no connection is dropped"
    if expires <= wallClock {
      return DoctorFinding(
        .files, check, .bad, "\(facts.file) expired \(-days) days ago", remedy: renewal)
    }
    return days < Self.dayOfWarning
      ? DoctorFinding(
        .files, check, .advice, "\(facts.file) expires in \(days) days", remedy: renewal)
      : DoctorFinding(
        .files, check, .good,
        "\(facts.file) is good for \(days) days" + (facts.limits.map { ", and \($0)" } ?? ""))
  }

  private func key(_ facts: CertificateFacts) -> DoctorFinding? {
    guard facts.isKeyOpen else { return nil }
    return DoctorFinding(
      .files, "key of \(facts.listener)", .bad,
      "everybody on this machine may read \(facts.keyFile)",
      remedy: "chmod 600 \(facts.keyFile), and give it to the service's user; then get a new one, "
        + "since this one may be known")
  }

  private func disk(_ facts: DiskFacts) -> DoctorFinding {
    let check = "disk of the \(facts.kind.rawValue)"
    guard facts.isWritable else {
      return DoctorFinding(
        .files, check, .bad, "this user may not write to \(facts.path)",
        remedy:
          "give the folder to the service's user; if this command runs as another, ask as that one"
      )
    }
    guard let free = facts.free else {
      return DoctorFinding(
        .files, check, .bad, "there is no folder \(facts.path)",
        remedy: "make it, and give it to the service's user")
    }
    let room = "\(free >> 20) MiB are free for \(facts.path)"
    guard free < facts.least else { return DoctorFinding(.files, check, .good, room) }
    let effect =
      switch facts.kind {
      case .store: "; when none is left, new calls are refused (`records-stalled`)"
      case .recordings: "; nothing is recorded with less than \(facts.least >> 20) MiB"
      }
    return DoctorFinding(
      .files, check, facts.kind == .store ? .bad : .advice, room + effect,
      remedy: "free some, or keep less: `store.retentionDays`, `recordings.retentionDays`")
  }
}
