import Base
import CallCore
import Edge
import Persistence

// Who is banned, and orders about it.

extension DemarcServer {
  package func bans() async throws -> [BanResource] {
    guard case .bans(let bans) = try await queries.ask(.bans) else { return [] }
    let (wall, now) = (WallTime.process, MonotonicClock.now)
    return bans.map { BanResource($0, wall: wall, now: now) }
  }

  package func ban(_ order: BanOrderResource) async throws -> BanResource {
    guard let block = order.block else {
      throw APIFailure(
        .badRequest, "`\(order.network)` is no address or block that can be banned",
        remedy: "Write an address, or a block of /8 or longer.")
    }
    let time = Interval.seconds(order.seconds ?? BanOrderResource.standardSeconds)
    let query = ShardQuery.ban(block, reason: order.reason ?? "", for: time)
    guard case .ban(let answer) = try await queries.ask(query) else {
      throw Self.noBan(block)
    }
    switch answer {
    case .done(let ban):
      await orderIsKept()
      return BanResource(ban, wall: .process, now: MonotonicClock.now)
    case .trunk(let trunk):
      throw APIFailure(
        .conflict, "\(block.shortText) has an address of the trunk `\(trunk)`",
        remedy: "Take the trunk or its source out of the resources if it is to be kept out.")
    case .none: throw Self.noBan(block)
    }
  }

  package func liftBan(of network: String) async throws -> BanResource {
    guard let block = IPNetwork(network) else {
      throw APIFailure(
        .badRequest, "`\(network)` is no address and no block",
        remedy: "Write it as `demarc bans` shows it.")
    }
    guard case .ban(.done(let ban)) = try await queries.ask(.liftBan(block)) else {
      throw Self.noBan(block)
    }
    await orderIsKept()
    return BanResource(ban, wall: .process, now: MonotonicClock.now)
  }

  /// An order that was confirmed outlives a crash in the next moment. Where the store does not write, which the log says,
  /// it holds as long as the process.
  func orderIsKept() async {
    let writer = writer
    _ = await blocking.run { writer.settle(within: .seconds(3)) }
  }

  private static func noBan(_ block: IPNetwork) -> APIFailure {
    APIFailure(
      .notFound, "\(block.shortText) is not banned", remedy: "`demarc bans` lists who is.")
  }
}
