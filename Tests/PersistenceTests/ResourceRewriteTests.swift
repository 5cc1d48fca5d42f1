import Foundation
import Persistence
import Testing

struct ResourceRewriteTests {
  private static let canary = "Kanarienvogel"

  private func hasCanary(_ folder: Folder) throws -> Bool {
    try FileManager.default.contentsOfDirectory(atPath: folder.url.path).contains { name in
      let data = try Data(contentsOf: folder.url.appending(path: name))
      return data.range(of: Data(Self.canary.utf8)) != nil
    }
  }

  /// What was there is in no page, gap or log any more, while the store is open.
  @Test func whatWasRewrittenIsGone() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    for i in 0..<200 {
      let filler = String(repeating: Self.canary, count: [8, 40, 310, 1_700][i % 4])
      _ = try store.save(resources: filler, sealedBy: nil, at: Int64(i))
    }
    #expect(try hasCanary(folder))
    try store.rewriteResources { revision in
      ResourceRevision(
        revision: revision.revision, appliedAt: revision.appliedAt,
        document: "sealed \(revision.document.count)", key: "k")
    }
    #expect(try !hasCanary(folder))
    #expect(try store.resourceKeys() == ["k"])
    let first = try #require(try store.resources(revision: 1))
    #expect(first.appliedAt == 0 && first.document == "sealed \(8 * Self.canary.count)")
    #expect(try store.save(resources: "next", sealedBy: "k", at: 1) == 201)
  }

  @Test func allOrNone() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    for i in 1...3 { _ = try store.save(resources: "\(i)", sealedBy: nil, at: 1) }
    let error = #expect(throws: StoreError.self) {
      try store.rewriteResources { revision throws(StoreError) in
        if revision.revision == 3 { throw StoreError(.damaged, "the third") }
        return ResourceRevision(revision: revision.revision, appliedAt: 9, document: "", key: "k")
      }
    }
    #expect(error?.message == "the third")
    #expect(try store.resourceKeys() == [nil])
    #expect(try store.latestResources()?.document == "3")
    #expect(try store.resources(revision: 1)?.document == "1")
  }
}
