import Base
import CallCore
import Policy

// Accounts whose outside calls were noticed, and what an operator does about them.

extension DemarcServer {
  package func toll() async throws -> [TollAccountResource] {
    guard case .toll(let statuses) = try await queries.ask(.toll) else { return [] }
    let wall = WallTime.process
    return statuses.map {
      TollAccountResource(
        $0,
        lastAlarm: Timestamp.text(
          wall.milliseconds(at: $0.lastAlarm) - Int64($0.earlier.milliseconds)))
    }
  }

  package func order(
    _ action: TollOrderResource.Action, account: String, tenant: String?
  ) async throws -> TollOrderedResource {
    let owner = try tollOwner(of: account, tenant: tenant)
    let order: TollOrder = action == .unblock ? .unblock : .hangUp
    let answer = try await queries.ask(.tollOrder(order, tenant: owner, account: account))
    guard case .tollOrder(let count) = answer else {
      throw APIFailure(.internalFault, "the order was not carried out", remedy: "Ask again.")
    }
    if action == .unblock { await orderIsKept() }
    return TollOrderedResource(
      tenant: owner, account: account, action: action.rawValue, count: count)
  }

  /// The one tenant that has such a user or trunk.
  private func tollOwner(of account: String, tenant: String?) throws -> String {
    let resources = keeper.current.resources
    let name = String(account.drop { $0 != ":" }.dropFirst())
    let owners: [String] =
      if account.hasPrefix("user:") {
        resources.users.filter { $0.name == name }.map(\.tenant)
      } else if account.hasPrefix("trunk:") {
        resources.trunks.filter { $0.name == name }.map(\.tenant)
      } else if account.hasPrefix("tenant:") {
        resources.tenants.filter { $0.name == name }.map(\.name)
      } else {
        []
      }
    let known = owners.filter { tenant == nil || $0 == tenant }
    guard let owner = known.first else {
      throw APIFailure(
        .notFound, "there is no account `\(account)`",
        remedy:
          "Accounts are user:NAME, trunk:NAME and tenant:NAME; `demarc get users` lists users.")
    }
    guard known.count == 1 else {
      throw APIFailure(
        .badRequest, "several tenants have an account `\(account)`",
        remedy: "Say of which tenant: \(known.sorted().joined(separator: ", ")).")
    }
    return owner
  }
}
