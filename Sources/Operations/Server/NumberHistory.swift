import Base
import Persistence
import Policy

/// The life of a number, read from the revisions of the resources: each apply has left one.
struct NumberHistory {
  /// So many of the newest revisions are looked through.
  static let limit: UInt64 = 1_000

  /// The changes, the oldest first. One that was there before the first revision that is looked through begins
  /// with what that has.
  static func events(
    of number: String, tenant: String?, in store: any CallStore, upTo last: UInt64
  ) throws -> [NumberEventResource] {
    var events: [NumberEventResource] = []
    var known: [NumberResource] = []
    let first = last > limit ? last - limit + 1 : 1
    guard last > 0 else { return [] }
    for revision in first...last {
      guard let stored = try store.resources(revision: revision) else { continue }
      let next = try numbers(number, tenant, in: stored)
      guard next != known else { continue }
      let at = Timestamp.text(stored.appliedAt)
      if next.isEmpty {
        events.append(NumberEventResource(revision: revision, at: at, became: nil))
      }
      for changed in next where !known.contains(changed) {
        events.append(NumberEventResource(revision: revision, at: at, became: changed))
      }
      known = next
    }
    return events
  }

  /// Most documents need not be read: they do not have the digits at all.
  private static func numbers(
    _ number: String, _ tenant: String?, in stored: ResourceRevision
  ) throws -> [NumberResource] {
    guard stored.document.contains(number) else { return [] }
    let source = "stored resources, revision \(stored.revision)"
    let document = try ResourceDocument.parse(stored: stored.document, source: source)
    return document.resources.numbers
      .filter { $0.number == number && (tenant == nil || $0.tenant == tenant) }
      .map(NumberResource.init)
  }
}
