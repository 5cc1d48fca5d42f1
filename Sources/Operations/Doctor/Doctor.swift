package import Edge
package import MediaControl
package import MediaEngine

/// What of a machine and its settings stands in the way, or open, and what to do about it.
package struct DoctorFinding: Hashable, Sendable, Encodable {
  package enum Verdict: String, Sendable, Encodable { case good, advice, bad }
  package enum Area: String, Sendable, Encodable, CaseIterable {
    case media, ports, files, system, resources
  }

  package var area: Area
  package var check: String
  package var verdict: Verdict
  package var finding: String
  package var remedy: String?

  init(
    _ area: Area, _ check: String, _ verdict: Verdict, _ finding: String, remedy: String? = nil
  ) {
    self.area = area
    self.check = check
    self.verdict = verdict
    self.finding = finding
    self.remedy = remedy
  }
}

/// What is looked at, gathered before it is judged, so that the judgement can be tried with anything.
package struct DoctorFacts: Sendable {
  // Of media.
  package var media: [MediaAddress]
  package var fastPath: FastPathMode
  /// Nil: the kernel takes the program.
  package var obstacle: FastPathObstacle?
  package var hasIPsecPolicies = false
  /// /proc/sys/net/core/bpf_jit_enable; nil where it is not there.
  package var justInTime: Int?
  /// Open files that a process may have, at most.
  package var descriptors: Int
  /// /proc/sys/net/ipv4/ip_local_port_range and ip_local_reserved_ports as they stand there.
  package var localPorts: String
  package var reservedPorts: String
  /// `limits.calls`.
  package var callLimit = 0

  // Of ports that strangers reach.
  package var listeners: [ListenerSettings] = []
  package var metrics: MetricsSettings?

  /// `admission.kernelTable`, and what stands in the way of it; nil: nothing.
  package var kernelTable: String?
  package var kernelTableObstacle: BanTableObstacle?

  // Of files.
  package var certificates: [CertificateFacts] = []
  package var disks: [DiskFacts] = []
  /// The file of the key that the store's passwords are sealed with, and what is wrong with it; nil: there is no store
  /// that has sealed any.
  package var storeKey: String?
  package var storeKeyProblem: SecretError?
  /// When the first of the files with revocation lists is out of date, in seconds since 1970; nil: none says.
  package var revocationsDue: Int64?
  /// Seconds since 1970.
  package var wallClock: Int64 = 0

  // Of the system.
  /// Whether the kernel says that something keeps its clock right; nil: it does not say.
  package var isClockKept: Bool?
  package var isRoot = false
  /// Bytes that a socket may have for what it has not read (net.core.rmem_max), and whether this process may have
  /// more than that.
  package var receiveBuffer = EdgeSockets().receive
  package var mayExceedBuffers = false

  /// Nil: no server was asked, or none told, and then why.
  package var resources: DoctorResources?
  package var resourcesUnseen: String?

  package init(
    media: [MediaAddress], fastPath: FastPathMode = .auto, obstacle: FastPathObstacle? = nil,
    justInTime: Int? = 1, descriptors: Int = 1 << 20, localPorts: String = "32768\t60999",
    reservedPorts: String = ""
  ) {
    self.media = media
    self.fastPath = fastPath
    self.obstacle = obstacle
    self.justInTime = justInTime
    self.descriptors = descriptors
    self.localPorts = localPorts
    self.reservedPorts = reservedPorts
  }
}

/// A certificate that a listener shows, and the file of its key.
package struct CertificateFacts: Hashable, Sendable {
  package var listener: String
  package var file: String
  package var keyFile: String
  /// Seconds since 1970; nil: `problem` says why it cannot be used.
  package var expires: Int64?
  package var problem: String?
  /// What to do about that, where it is more than is to be done about any.
  package var problemRemedy: String?
  /// What it may not be used for, in words; nil: nothing that is known.
  package var limits: String?
  /// Others than its owner and group may read the key.
  package var isKeyOpen = false
  /// What takes a renewed one into use.
  package var reload = "demarc certificates --reload"

  package init(listener: String, file: String, keyFile: String) {
    self.listener = listener
    self.file = file
    self.keyFile = keyFile
  }
}

/// Where something is written to.
package struct DiskFacts: Hashable, Sendable {
  package enum Kind: String, Sendable { case store, recordings }

  package var kind: Kind
  package var path: String
  /// Bytes that this user may still write; nil: the folder cannot be asked.
  package var free: UInt64?
  package var isWritable = true
  /// Less than this is too little: bytes.
  package var least: UInt64

  package init(_ kind: Kind, path: String, free: UInt64?, least: UInt64) {
    self.kind = kind
    self.path = path
    self.free = free
    self.least = least
  }
}

extension DoctorFacts {
  package var findings: [DoctorFinding] {
    mediaFindings + portFindings + fileFindings + systemFindings + resourceFindings
  }
}
