import Base
import Foundation
import Operations
import Persistence
import Policy
import Testing

/// Applying documents: whole or not at all, in memory and in the store.
final class ConfigurationStoreTests {
  private let folder = FileManager.default.temporaryDirectory
    .appending(path: "demarc-\(UUID().uuidString)")
  private let surroundings = ResourceStore.Surroundings(
    listeners: [("udp", SocketAddress(.loopbackV4, 5060))], media: [("media", .loopbackV4)])

  init() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private func openStore() throws -> SQLiteStore {
    try SQLiteStore(path: folder.appending(path: "store.db").path)
  }

  private func key(of store: SQLiteStore) throws -> StoreKey {
    try StoreKey(besides: store.path, of: store)
  }

  private static let good = """
    networks: [{name: inside, listeners: [udp], media: [media]}]
    users:
      - {name: alice, extension: "1001", password: alpha}
      - {name: bob, extension: "1002", password: beta}
    """

  private func problems(_ body: () throws(ResourceStore.Failure) -> Void) -> [String]? {
    do throws(ResourceStore.Failure) {
      try body()
      return nil
    } catch {
      guard case .invalid(let errors) = error else { return ["\(error)"] }
      return errors.errors.map(\.description)
    }
  }

  @Test func applyStoresAndSurvivesARestart() throws {
    do {
      let store = try openStore()
      defer { store.close() }
      let resources = try ResourceStore(
        store: store, key: key(of: store), surroundings: surroundings)
      #expect(resources.current.revision == 0 && resources.current.users.isEmpty)
      let outcome = try resources.apply(Self.good, source: "a.yaml", at: 1_000)
      #expect(outcome.changed && outcome.configuration.revision == 1)
      #expect(resources.current.user(named: "bob", tenant: 0) == 1)
      // Said again, it is nothing new.
      let again = try resources.apply(Self.good, source: "a.yaml", at: 2_000)
      #expect(!again.changed && again.configuration.revision == 1)
      #expect(again.configuration === resources.current)
    }
    let store = try openStore()
    defer { store.close() }
    let resources = try ResourceStore(store: store, key: key(of: store), surroundings: surroundings)
    #expect(resources.current.revision == 1)
    #expect(resources.current.users.map(\.password) == ["alpha", "beta"])
    #expect(try store.latestResources()?.appliedAt == 1_000)
  }

  @Test func nothingHalfApplied() throws {
    let store = try openStore()
    defer { store.close() }
    let resources = try ResourceStore(store: store, key: key(of: store), surroundings: surroundings)
    _ = try resources.apply(Self.good, source: "a.yaml", at: 1)
    let before = resources.current
    // The users are right, the number's destination is not.
    let bad = """
      users: [{name: carol, extension: "1003", password: x}]
      numbers: [{number: "+441632960100", destinations: [{user: alice}]}]
      """
    #expect(
      problems { () throws(ResourceStore.Failure) in
        _ = try resources.apply(bad, source: "b.yaml", at: 2)
      } == [
        "b.yaml:2:59: no user of tenant `default` is named `alice`. "
          + "Define the user of tenant `default`, or name one that exists."
      ])
    #expect(resources.current === before)
    #expect(try store.latestResources()?.revision == 1)
  }

  @Test func sectionsThatAreLeftOutStay() throws {
    let store = try openStore()
    defer { store.close() }
    let resources = try ResourceStore(store: store, key: key(of: store), surroundings: surroundings)
    _ = try resources.apply(Self.good, source: "a.yaml", at: 1)
    _ = try resources.apply(
      "applications: [{name: echo, kind: echo, extension: '*43'}]", source: "b.yaml", at: 2)
    #expect(resources.current.users.count == 2 && resources.current.applications.count == 1)
    _ = try resources.apply(
      "users: [{name: bob, extension: '1002', password: beta}]", source: "c.yaml", at: 3)
    #expect(resources.current.users.map(\.name) == ["bob"])
    #expect(resources.current.revision == 3)
    // What breaks something that stays is refused, and says where that is.
    _ = try resources.apply(
      "numbers: [{number: '777', destinations: [{user: bob}]}]", source: "d.yaml", at: 4)
    let found = problems { () throws(ResourceStore.Failure) in
      _ = try resources.apply("users: []", source: "e.yaml", at: 5)
    }
    #expect(
      found == [
        "e.yaml: no user of tenant `default` is named `bob` "
          + "(in numbers[0].destinations[0].user, which was applied earlier). "
          + "Define the user of tenant `default`, or name one that exists."
      ])
  }

  @Test func checkStoresNothing() throws {
    let store = try openStore()
    defer { store.close() }
    let resources = try ResourceStore(store: store, key: key(of: store), surroundings: surroundings)
    let outcome = try resources.check(Self.good, source: "a.yaml")
    #expect(outcome.changed && outcome.configuration.users.count == 2)
    #expect(resources.current.users.isEmpty)
    #expect(try store.latestResources() == nil)
  }

  @Test func storedResourcesThatNoLongerFit() throws {
    do {
      let store = try openStore()
      defer { store.close() }
      _ = try ResourceStore(store: store, key: key(of: store), surroundings: surroundings)
        .apply(Self.good, source: "a.yaml", at: 1)
    }
    let store = try openStore()
    defer { store.close() }
    let other = ResourceStore.Surroundings(
      listeners: [("other", SocketAddress(.loopbackV4, 5060))], media: surroundings.media)
    let key = try key(of: store)
    let found = problems { () throws(ResourceStore.Failure) in
      _ = try ResourceStore(store: store, key: key, surroundings: other)
    }
    #expect(found?.count == 1)
    #expect(
      found?.first?.hasPrefix("stored resources, revision 1:1:") == true
        && found?.first?.contains("no listener is named `udp`") == true, "\(found ?? [])")
  }

  @Test func concurrentAppliesAreOneAfterTheOther() async throws {
    let store = try openStore()
    defer { store.close() }
    let resources = try ResourceStore(store: store, key: key(of: store), surroundings: surroundings)
    _ = try resources.apply(Self.good, source: "a.yaml", at: 1)
    try await withThrowingTaskGroup { group in
      for i in 0..<20 {
        group.addTask {
          let text = "applications: [{name: a\(i), kind: echo, extension: '*\(i)'}]"
          _ = try resources.apply(text, source: "\(i)", at: 2)
        }
      }
      try await group.waitForAll()
    }
    #expect(resources.current.revision == 21)
    #expect(try store.latestResources()?.revision == 21)
  }
}
