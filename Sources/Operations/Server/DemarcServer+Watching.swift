import Base
import CallCore
import Edge
import Policy

// Who watches whom, and what waits in mailboxes.

extension DemarcServer {
  package func subscriptions() async throws -> [SubscriptionResource] {
    guard case .subscriptions(let statuses) = try await queries.ask(.subscriptions) else {
      return []
    }
    let (wall, now) = (WallTime.process, MonotonicClock.now)
    return statuses.map { status in
      let index = Int(status.listener)
      return SubscriptionResource(
        tenant: status.tenant, watcher: status.watcher, user: status.user,
        event: status.event.name, seesCalls: status.seesCalls, source: "\(status.source)",
        listener: settings.listeners.indices.contains(index)
          ? settings.listeners[index].name : "",
        since: Timestamp.text(wall.milliseconds(at: status.since)),
        expires: Timestamp.text(wall.milliseconds(at: status.expires)),
        expiresInSeconds: max(0, (status.expires - now).wholeSeconds), notifies: status.notifies)
    }
  }

  package func mailboxes() async throws -> [MailboxResource] {
    guard case .mailboxes(let statuses) = try await queries.ask(.mailboxes) else { return [] }
    return statuses.map { MailboxResource($0) }
  }

  package func setMailbox(
    _ user: String, tenant: String?, _ counts: MailboxCounts
  ) async throws -> MailboxResource {
    let known = keeper.current.users.filter {
      $0.name == user && (tenant == nil || $0.tenant == tenant)
    }
    guard let account = known.first else {
      throw APIFailure(
        .notFound, "no user is named `\(user)`" + (tenant.map { " in tenant `\($0)`" } ?? ""),
        remedy: "`demarc get users` lists them.")
    }
    guard known.count == 1 else {
      throw APIFailure(
        .badRequest, "several tenants have a user `\(user)`",
        remedy: "Say of which tenant: \(known.map(\.tenant).sorted().joined(separator: ", ")).")
    }
    let status = MailboxStatus(
      tenant: account.tenant, user: account.name, summary: counts.summary)
    post.send(.mailbox(tenant: status.tenant, user: status.user, status.summary))
    return MailboxResource(status)
  }
}
