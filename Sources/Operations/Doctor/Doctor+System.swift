import Edge

// What the kernel and the service's user bring with them.

extension DoctorFacts {
  var systemFindings: [DoctorFinding] {
    [clock, user, buffers].compactMap { $0 }
  }

  private var clock: DoctorFinding? {
    guard let isClockKept else { return nil }
    return isClockKept
      ? DoctorFinding(.system, "clock", .good, "it is kept right by another one")
      : DoctorFinding(
        .system, "clock", .advice,
        "nothing keeps it right: call records have its times, and certificates are judged by it",
        remedy: "run chrony or systemd-timesyncd; in a container, on its host")
  }

  private var user: DoctorFinding? {
    guard isRoot else { return nil }
    return DoctorFinding(
      .system, "user", .advice, "this is root; Demarc needs no more than two capabilities",
      remedy:
        "run it as a user of its own, with CAP_BPF and CAP_NET_ADMIN (packaging/demarc.service)")
  }

  private var buffers: DoctorFinding {
    let wanted = EdgeSockets().receive
    guard receiveBuffer < wanted, !mayExceedBuffers else {
      return DoctorFinding(
        .system, "socket buffers", .good, "a burst of \(wanted >> 20) MiB is kept for each listener"
      )
    }
    return DoctorFinding(
      .system, "socket buffers", .advice,
      "a listener's socket keeps \(receiveBuffer >> 10) KiB of what is not read yet; more is lost",
      remedy: "sysctl -w net.core.rmem_max=\(wanted), or CAP_NET_ADMIN for the service")
  }
}
