import Base
import CallCore
package import Hummingbird
import SIPCore

/// Paths to operations. Everything answers JSON, errors included, but for the texts that say otherwise.
package struct APIRouter: Sendable {
  private typealias Routes = Router<BasicRequestContext>

  private let operations: any ServerOperations
  private let counters: APICounters

  package init(operations: any ServerOperations, counters: APICounters) {
    self.operations = operations
    self.counters = counters
  }

  /// All of the API, for the Unix socket.
  package func local() -> Router<BasicRequestContext> {
    let router = metricsOnly()
    router.json(.get, "v1/status") { _ in try await operations.status() }
    addCalls(router)
    addRecords(router)
    addRecordings(router)
    addResources(router)
    addNumbers(router)
    router.list("v1/trunks") { try await operations.trunks() }
    router.list("v1/registrations") { try await operations.registrations() }
    router.list("v1/registrations/upstream") { try await operations.upstreamRegistrations() }
    addWatching(router)
    addToll(router)
    addBans(router)
    router.list("v1/certificates") { try await operations.certificates() }
    router.list("v1/certificates:reload", .post) { try await operations.reloadCertificates() }
    router.json(.post, "v1/settings:reload") { _ in try await operations.reloadSettings() }
    addSecrets(router)
    return router
  }

  /// What the TCP listener for scrapers has: the metrics and nothing else.
  package func metricsOnly() -> Router<BasicRequestContext> {
    let router = Router(context: BasicRequestContext.self)
    router.middlewares.add(APIErrors(counters: counters))
    router.get("metrics") { _, _ in
      Response.text(await operations.metrics(), type: MetricsText.mediaType)
    }
    return router
  }

  private func addCalls(_ router: Routes) {
    router.list("v1/calls") { try await operations.calls() }
    router.json(.get, "v1/calls/{id}") { asked in
      let id = try asked.callID()
      guard let call = try await operations.call(id) else { throw Self.unknown(id) }
      return call
    }
    router.route(.get, "v1/calls/{id}/ladder", allowed: ["messages", "format"]) { asked in
      let format = try asked.query.choice("format", among: ["json", "text"])
      let id = try asked.callID()
      let includesText = try asked.query.flag("messages")
      guard let ladder = try await operations.ladder(id, includesText: includesText) else {
        throw APIFailure(
          .notFound, "no messages of the call \(id) are kept",
          remedy: "They are kept for recent calls only; `demarc cdrs` lists the records of all.")
      }
      return format == "text"
        ? .text(ladder.ladder.render() + "\n", type: "text/plain; charset=utf-8")
        : try .json(ladder)
    }
    router.route(.delete, "v1/calls/{id}") { asked in
      let id = try asked.callID()
      guard try await operations.hangUp(id) else { throw Self.unknown(id) }
      return try .json(HangUpResource(id: "\(id)", state: "ending"), status: .accepted)
    }
  }

  private static func unknown(_ id: CallID) -> APIFailure {
    APIFailure(
      .notFound, "there is no call \(id)",
      remedy: "`demarc calls` lists the calls that live, `demarc cdrs` the records of all.")
  }

  private func addRecords(_ router: Routes) {
    router.json(.get, "v1/records", allowed: RecordFilter.parameters) { asked in
      try await operations.records(RecordFilter(asked.query))
    }
    router.route(.get, "v1/records/export", allowed: RecordFilter.parameters + ["format"]) {
      asked in
      let name = try asked.query.choice("format", among: RecordFormat.allCases.map(\.rawValue))
      let format = name.flatMap(RecordFormat.init(rawValue:)) ?? .csv
      return try await .stream(operations, RecordFilter(asked.query), format)
    }
    router.json(.post, "v1/records/purge") { asked in
      struct Purge: Decodable { var before: String }
      let before = try await asked.body(
        "does not say before when", remedy: #"Send {"before": "2026-08-01T00:00:00Z"}."#
      ) { (purge: Purge) in Timestamp.milliseconds(purge.before) }
      let purged = try await operations.purgeRecords(before: before)
      return PurgeResource(purged: purged, before: Timestamp.text(before))
    }
  }

  private func addRecordings(_ router: Routes) {
    router.json(.post, "v1/calls/{id}/recording") { asked in
      let id = try asked.callID()
      let order: RecordingOrderResource = try await asked.body(
        "does not say what to do with the recording",
        remedy: #"Send {"action": "start"}, or pause, resume or stop."#)
      guard let call = try await operations.record(id, order) else { throw Self.unknown(id) }
      return call
    }
    router.list("v1/recordings") { try await operations.recordings() }
    router.route(.get, "v1/recordings/{name}") { asked in
      guard let download = try await operations.recordingFile(asked["name"]) else {
        throw Self.unknown(recording: asked["name"])
      }
      return try await .stream(download)
    }
    router.json(.delete, "v1/recordings/{name}") { asked in
      guard let deleted = try await operations.deleteRecording(asked["name"]) else {
        throw Self.unknown(recording: asked["name"])
      }
      return deleted
    }
  }

  private static func unknown(recording name: String) -> APIFailure {
    APIFailure(
      .notFound, "there is no recording \(name)",
      remedy: "`demarc recordings` lists those whose files are there.")
  }

  private func addResources(_ router: Routes) {
    for path: RouterPath in ["v1/resources", "v1/resources/{kind}", "v1/resources/{kind}/{name}"] {
      router.route(.get, path, allowed: ["tenant", "format"]) { asked in
        let formats = ResourceView.Format.allCases.map(\.rawValue)
        let name = try asked.query.choice("format", among: formats)
        let format = name.flatMap(ResourceView.Format.init(rawValue:)) ?? .json
        let text = try await operations.resources(
          ResourceView(
            kind: asked.optional("kind"), name: asked.optional("name"),
            tenant: asked.query.text("tenant"), format: format))
        return format == .json
          ? .json(bytes: text)
          : .text(String(decoding: text, as: UTF8.self), type: "application/yaml")
      }
    }
    router.json(.post, "v1/resources:check") { try await operations.check($0.body()) }
    router.json(.post, "v1/resources:apply") { try await operations.apply($0.body()) }
  }

  private func addNumbers(_ router: Routes) {
    router.list("v1/numbers") { try await operations.numbers() }
    router.json(.get, "v1/numbers/{number}/history", allowed: ["tenant"]) { asked in
      PageResource(
        items: try await operations.history(
          ofNumber: asked["number"], tenant: asked.query.text("tenant")))
    }
    router.json(.post, "v1/numbers/{number}") { asked in
      let change: NumberChange = try await asked.body(
        "is no change of a number",
        remedy: #"Send {"to": {"trunk": "pbx"}} or {"state": "suspended"}."#)
      return try await operations.change(number: asked["number"], change)
    }
  }

  private func addWatching(_ router: Routes) {
    router.list("v1/subscriptions") { try await operations.subscriptions() }
    router.list("v1/mailboxes") { try await operations.mailboxes() }
    router.json(.put, "v1/mailboxes/{user}", allowed: ["tenant"]) { asked in
      let counts = try await asked.body(
        "does not say how many messages wait",
        remedy: #"Send {"new": 2, "old": 1}; no count is negative or above 1000000."#
      ) { (counts: MailboxCounts) in counts.isUsable ? counts : nil }
      return try await operations.setMailbox(
        asked["user"], tenant: asked.query.text("tenant"), counts)
    }
  }

  private func addToll(_ router: Routes) {
    router.list("v1/toll") { try await operations.toll() }
    router.json(.post, "v1/toll/{account}", allowed: ["tenant"]) { asked in
      let order: TollOrderResource = try await asked.body(
        "does not say what to do", remedy: #"Send {"action": "unblock"} or {"action": "hangup"}."#)
      return try await operations.order(
        order.action, account: asked["account"], tenant: asked.query.text("tenant"))
    }
  }

  private func addBans(_ router: Routes) {
    router.list("v1/bans") { try await operations.bans() }
    router.json(.post, "v1/bans") { asked in
      let order = try await asked.body(
        "does not say whom to ban",
        remedy: #"Send {"network": "203.0.113.9", "reason": "why", "seconds": 3600}."#
      ) { (order: BanOrderResource) in order.isUsable ? order : nil }
      return try await operations.ban(order)
    }
    router.json(.delete, "v1/bans/{network}") { try await operations.liftBan(of: $0["network"]) }
  }

  private func addSecrets(_ router: Routes) {
    router.json(.post, "v1/users/{user}/password", allowed: ["tenant"]) { asked in
      let order = try await asked.body(
        "does not say for how long the present password is good",
        remedy: #"Send {"overlapSeconds": 86400}, half a year at most, or {}."#
      ) { (order: PasswordOrderResource) in order.isUsable ? order : nil }
      return try await operations.rotatePassword(
        of: asked["user"], tenant: asked.query.text("tenant"), order)
    }
    router.json(.post, "v1/secrets:rotate-key") { _ in try await operations.rotateStoreKey() }
  }
}
