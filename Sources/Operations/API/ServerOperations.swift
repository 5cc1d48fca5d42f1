package import CallCore

/// What the local API can ask of a running server. The router above it knows HTTP and nothing of calls;
/// whoever implements this knows calls and nothing of HTTP.
///
/// Every operation is bounded in time by its implementation; what goes wrong is an `APIFailure`.
package protocol ServerOperations: Sendable {
  func status() async throws -> StatusResource
  func metrics() async -> String

  /// Live calls, the oldest first.
  func calls() async throws -> [CallResource]
  /// A call that lives, ended lately, or is in the store.
  func call(_ id: CallID) async throws -> CallResource?
  /// Nil when the call's messages are not kept any more.
  func ladder(_ id: CallID, includesText: Bool) async throws -> LadderResource?
  /// False when no such call lives.
  func hangUp(_ id: CallID) async throws -> Bool

  /// Begins, pauses, continues or ends the recording of a call; nil where no such call lives, and a failure where it
  /// cannot be done.
  func record(_ id: CallID, _ order: RecordingOrderResource) async throws -> CallResource?
  /// The files of recordings, the oldest first.
  func recordings() async throws -> [RecordingFileResource]
  /// Nil: there is none of that name.
  func recordingFile(_ name: String) async throws -> RecordingDownload?
  /// Removes the file; the call's record goes on saying that there was one.
  func deleteRecording(_ name: String) async throws -> DeletedRecordingResource?

  func records(_ filter: RecordFilter) async throws -> PageResource<CallResource>
  /// Whole lines, a bounded batch at a time: ask again with `nextCursor` until there is none. The first
  /// batch of CSV begins with the names of the columns.
  func exportRecords(
    _ filter: RecordFilter, format: RecordFormat
  ) async throws -> ExportBatch
  /// Removes the records that ended before the moment; how many there were.
  func purgeRecords(before millisecondsSince1970: Int64) async throws -> Int

  /// What is in force. Secrets are not shown.
  func resources(_ view: ResourceView) async throws -> [UInt8]
  /// YAML or JSON. Throws `.invalidResources` with all problems.
  func check(_ document: [UInt8]) async throws -> ApplyResource
  /// The same, and makes it what calls are routed by: whole or not at all.
  func apply(_ document: [UInt8]) async throws -> ApplyResource

  /// The inventory, in the order of the resources.
  func numbers() async throws -> [NumberResource]
  /// What became of a number, the oldest first; of one tenant's where several have it.
  func history(ofNumber number: String, tenant: String?) async throws -> [NumberEventResource]
  /// Changes one number and applies the resources with it: whole or not at all.
  func change(number: String, _ change: NumberChange) async throws -> NumberResource

  /// Accounts whose outside calls were noticed.
  func toll() async throws -> [TollAccountResource]
  /// Throws where there is no such account, or several of different tenants.
  func order(
    _ action: TollOrderResource.Action, account: String, tenant: String?
  ) async throws -> TollOrderedResource

  func trunks() async throws -> [TrunkStateResource]
  func registrations() async throws -> [RegistrationResource]
  /// Our own registrations with providers.
  func upstreamRegistrations() async throws -> [UpstreamRegistrationResource]
  /// Who is told of whose calls, messages and contacts.
  func subscriptions() async throws -> [SubscriptionResource]
  func mailboxes() async throws -> [MailboxResource]
  /// Throws where there is no such user, or several of different tenants.
  func setMailbox(
    _ user: String, tenant: String?, _ counts: MailboxCounts
  ) async throws -> MailboxResource
  /// From whom nothing is taken.
  func bans() async throws -> [BanResource]
  /// Throws where it is a trunk's.
  func ban(_ order: BanOrderResource) async throws -> BanResource
  /// Throws where it is not banned.
  func liftBan(of network: String) async throws -> BanResource
  /// What the listeners of TLS and WSS show.
  func certificates() async throws -> [CertificateResource]
  /// Reads their files again; throws, and keeps the old ones, where one cannot be used.
  func reloadCertificates() async throws -> [CertificateResource]
  /// Reads the settings again; throws, and changes nothing, where they cannot be used.
  func reloadSettings() async throws -> ReloadResource
  /// Another key for what the store keeps sealed.
  func rotateStoreKey() async throws -> StoreKeyResource
  /// Throws where there is no such user, or several of different tenants.
  func rotatePassword(
    of user: String, tenant: String?, _ order: PasswordOrderResource
  ) async throws -> NewPasswordResource
}

package enum RecordFormat: String, Sendable, CaseIterable {
  case csv, jsonl

  package var mediaType: String {
    switch self {
    case .csv: "text/csv; charset=utf-8"
    case .jsonl: "application/x-ndjson"
    }
  }
}

package struct ExportBatch: Hashable, Sendable {
  package var lines: [UInt8]
  package var nextCursor: String?

  package init(lines: [UInt8], nextCursor: String? = nil) {
    self.lines = lines
    self.nextCursor = nextCursor
  }
}

/// Which call records, and how many of them.
package struct RecordFilter: Hashable, Sendable {
  package static let defaultLimit = 50
  package static let maximumLimit = 1_000

  package var tenant: String?
  /// Set up at or after, and before; milliseconds since 1970.
  package var since: Int64?
  package var until: Int64?
  /// "trunk:NAME", "user:NAME" or "application:NAME", on either side.
  package var party: String?
  /// Caller or called number, as a whole.
  package var number: String?
  package var state: String?
  package var cause: String?
  package var limit = RecordFilter.defaultLimit
  package var cursor: String?

  package init() {}
}

/// Which resources, and written how.
package struct ResourceView: Hashable, Sendable {
  package enum Format: String, Sendable, CaseIterable { case json, yaml }

  /// Nil: the whole document.
  package var kind: String?
  /// Nil: all of the kind.
  package var name: String?
  /// Where several tenants have one of that name; nil: the first.
  package var tenant: String?
  package var format: Format

  package init(
    kind: String? = nil, name: String? = nil, tenant: String? = nil, format: Format = .json
  ) {
    self.kind = kind
    self.name = name
    self.tenant = tenant
    self.format = format
  }
}
