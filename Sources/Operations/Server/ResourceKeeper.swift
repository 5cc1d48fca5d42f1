import Base
import CallCore
import Edge
import MediaControl
import MediaEngine
import Persistence
import Policy
import Locking

/// The resources that calls are routed by, and their way into the shard and the media plane: whole or not
/// at all.
final class ResourceKeeper: Sendable {
  private let resources: ResourceStore
  private let key: StoreKey
  private let log: LogSink
  /// Held for the length of a change, so that the store, media and the shard see changes in one order.
  private let plane = Mutex(Plane())

  private struct Plane {
    var media: MediaPlane?
    var post: ShardPost?
  }

  /// - Parameter document: applied before anything is in force; nil: what was applied last.
  init(
    store: SQLiteStore, settings: ServerSettings, document: [UInt8]?, log: LogSink
  ) throws {
    self.log = log
    let key = try StoreKey(besides: store.path, of: store)
    self.key = key
    let surroundings = ResourceStore.Surroundings(
      listeners: settings.listeners, media: settings.media)
    do throws(ResourceStore.Failure) {
      if let document {
        resources = try ResourceStore(
          store: store, key: key, surroundings: surroundings, applying: try Self.text(document),
          source: Self.source, at: Self.now)
      } else {
        resources = try ResourceStore(store: store, key: key, surroundings: surroundings)
      }
    } catch {
      throw error.apiFailure
    }
  }

  private static var now: Int64 {
    Int64(clamping: WallClock.now.milliseconds(at: MonotonicClock.now))
  }

  var current: Configuration { resources.current }

  /// What names customers to whoever sees the calls that we sign.
  var originSecret: [UInt8] { key.secret(for: "demarc: origid") }

  /// From here on, changes go to the media plane and the shard as well.
  func attach(media: MediaPlane, post: ShardPost) {
    plane.withLock { $0 = Plane(media: media, post: post) }
  }

  func check(_ document: [UInt8]) throws(APIFailure) -> ApplyResource {
    let outcome = try failing { () throws(ResourceStore.Failure) in
      try resources.check(try Self.text(document), source: Self.source)
    }
    try checkFiles(outcome.configuration)
    return ApplyResource(outcome)
  }

  func apply(_ document: [UInt8]) throws(APIFailure) -> ApplyResource {
    try plane.withLock { plane throws(APIFailure) in try change(document, plane) }
  }

  func rotateKey() throws(APIFailure) -> StoreKeyResource {
    let key = try failing { () throws(ResourceStore.Failure) in try resources.rotateKey() }
    log.write(LogLine(.info, "store key rotated", [LogField("key", key.identifier)]))
    return key
  }

  /// Changes one number of what is in force, so that two who change different numbers at once both do.
  func change(number: String, _ wanted: NumberChange) throws(APIFailure) -> NumberResource {
    try plane.withLock { plane throws(APIFailure) in
      var resources = current.resources
      let place = try Self.place(of: number, wanted.of, in: resources)
      resources.numbers[place] = try resources.numbers[place].changed(by: wanted)
      let document = resources.document([.numbers], secrets: .omitted)
      _ = try change(Array(DocumentWriter.json(document).utf8), plane, isOurs: true)
      return NumberResource(resources.numbers[place])
    }
  }

  /// Gives a user another password; the present one is good for a while yet.
  func rotatePassword(
    of name: String, tenant: String?, overlap: Int64
  ) throws(APIFailure) -> NewPasswordResource {
    try plane.withLock { plane throws(APIFailure) in
      var resources = current.resources
      let place = try Self.place(ofUser: name, tenant, in: resources)
      let answer = resources.users[place].rotatePassword(overlap: overlap, at: Self.now)
      let document = resources.document([.users], secrets: .written)
      _ = try change(Array(DocumentWriter.json(document).utf8), plane, isOurs: true)
      return answer
    }
  }

  private static func place(
    ofUser name: String, _ tenant: String?, in resources: Resources
  ) throws(APIFailure) -> Int {
    let places = resources.users.indices.filter {
      resources.users[$0].name == name && (tenant == nil || resources.users[$0].tenant == tenant)
    }
    guard let place = places.first else {
      throw APIFailure(
        .notFound, "there is no user `\(name)`", remedy: "`demarc get users` lists them.")
    }
    guard places.count == 1 else {
      let tenants = places.map { resources.users[$0].tenant }.joined(separator: ", ")
      throw APIFailure(
        .conflict, "several tenants have a user `\(name)`", remedy: "Say whose it is: \(tenants).")
    }
    return place
  }

  private static func place(
    of number: String, _ tenant: String?, in resources: Resources
  ) throws(APIFailure) -> Int {
    let places = resources.numbers.indices.filter {
      resources.numbers[$0].number == number
        && (tenant == nil || resources.numbers[$0].tenant == tenant)
    }
    guard let place = places.first else { throw unknown(number) }
    guard places.count == 1 else {
      let tenants = places.map { resources.numbers[$0].tenant }.joined(separator: ", ")
      throw APIFailure(
        .conflict, "several tenants have the number \(number)",
        remedy: "Say which one's it is: \(tenants).")
    }
    return place
  }

  static func unknown(_ number: String) -> APIFailure {
    APIFailure(
      .notFound, "the number `\(number)` is not in the inventory",
      remedy: "`demarc numbers` lists them, as they are written; `demarc apply` adds more.")
  }

  /// Compiles what is in force for other listeners. The body makes both take effect together; what it throws
  /// changes nothing.
  ///
  /// - Parameter body: given a way to compile, of which the last outcome is in force when it returns.
  func move(
    _ body: (_ compile: ([Listener]) throws -> Configuration) throws -> Void
  ) throws {
    try plane.withLock { _ in
      var latest: ResourceStore.Moved?
      try body { listeners in
        let moved = try failing { () throws(ResourceStore.Failure) in
          try resources.moved(to: listeners)
        }
        latest = moved
        return moved.configuration
      }
      if let latest { resources.adopt(latest) }
    }
  }

  /// Announcements are read before anything is stored: a file that cannot be played is found now, not by
  /// a caller.
  private func change(
    _ document: [UInt8], _ plane: Plane, isOurs: Bool = false
  ) throws(APIFailure) -> ApplyResource {
    let text = try failing { () throws(ResourceStore.Failure) in try Self.text(document) }
    let before = current
    let planned = try failing { () throws(ResourceStore.Failure) in
      try resources.check(text, source: Self.source, isOurs: isOurs)
    }
    try checkFiles(planned.configuration)
    try play(planned.configuration, on: plane.media)
    do throws(APIFailure) {
      let outcome = try failing { () throws(ResourceStore.Failure) in
        try resources.apply(text, source: Self.source, isOurs: isOurs, at: Self.now)
      }
      if outcome.changed { plane.post?.send(.configuration(outcome.configuration)) }
      return ApplyResource(outcome)
    } catch {
      try play(before, on: plane.media)
      throw error
    }
  }

  /// The files that trunks' TLS settings name: a call must not be the first to find one missing.
  private func checkFiles(_ configuration: Configuration) throws(APIFailure) {
    var known: [TrunkSecurity: TLSProblem?] = [:]
    var problems: [APIFailure.Problem] = []
    for (index, trunk) in configuration.trunks.enumerated() {
      guard let security = trunk.security else { continue }
      let problem = known[security] ?? TLSProblem.of(security)
      known[security] = problem
      guard let problem, problems.count < ConfigurationProblems.limit else { continue }
      problems.append(
        APIFailure.Problem(
          path: "trunks[\(index)].tls", message: "\(problem.file): \(problem.reason)",
          remedy: problem.remedy))
    }
    guard problems.isEmpty else {
      throw APIFailure(
        .invalidResources, "the files of a trunk's `tls` cannot be used",
        remedy: "Nothing was changed.", problems: problems)
    }
  }

  private func play(_ configuration: Configuration, on media: MediaPlane?) throws(APIFailure) {
    do throws(AnnouncementError) {
      try media?.replaceAnnouncements(configuration.announcementSources)
    } catch {
      throw APIFailure(
        .invalidResources, "an announcement cannot be played",
        remedy: "Nothing was changed. \(error)",
        problems: [
          APIFailure.Problem(path: "applications", message: "\(error)", remedy: "Replace the file.")
        ])
    }
  }

  func view(_ wanted: ResourceView) throws(APIFailure) -> [UInt8] {
    let resources = current.resources
    let node: DocumentNode
    if let kind = wanted.kind {
      guard let section = ResourceSection(rawValue: kind) else {
        let kinds = ResourceSection.allCases.map(\.rawValue)
        let meant = nearestMatch(to: kind, in: kinds).map { "Did you mean `\($0)`? " } ?? ""
        throw APIFailure(
          .notFound, "there is no kind of resource `\(kind)`",
          remedy: "\(meant)Kinds: \(kinds.joined(separator: ", ")).")
      }
      guard let found = Self.find(section, wanted, in: resources) else {
        throw APIFailure(
          .notFound, "there is nothing named `\(wanted.name ?? "")` among the \(kind)",
          remedy: "`demarc get \(kind)` lists them.")
      }
      node = found
    } else {
      node = resources.document(secrets: .omitted)
    }
    switch wanted.format {
    case .json: return Array(DocumentWriter.json(node).utf8)
    case .yaml: return Array(DocumentWriter.yaml(node).utf8)
    }
  }

  private static func find(
    _ section: ResourceSection, _ wanted: ResourceView, in resources: Resources
  ) -> DocumentNode? {
    if let name = wanted.name {
      return resources.document(section, named: name, tenant: wanted.tenant, secrets: .omitted)
    }
    return resources.document([section], secrets: .omitted)
  }

  /// What errors call the text that came by the API; the command puts its file's name there.
  private static let source = "document"

  private static func text(_ document: [UInt8]) throws(ResourceStore.Failure) -> String {
    guard let text = String(validating: document, as: UTF8.self) else {
      throw .invalid(
        ConfigErrors([
          ConfigError(
            source: source, message: "the document is not text in UTF-8",
            remedy: "Save it as UTF-8.")
        ]))
    }
    return text
  }

  private func failing<Value>(
    _ body: () throws(ResourceStore.Failure) -> Value
  ) throws(APIFailure) -> Value {
    do throws(ResourceStore.Failure) {
      return try body()
    } catch {
      throw error.apiFailure
    }
  }
}

extension ApplyResource {
  init(_ outcome: ResourceStore.Outcome) {
    self.init(
      revision: outcome.configuration.revision, changed: outcome.changed,
      counts: outcome.configuration.resources.counts)
  }
}

extension ResourceStore.Failure {
  var apiFailure: APIFailure {
    switch self {
    case .invalid(let errors): APIFailure(errors)
    case .store(let error): APIFailure(.unavailable, error.message, remedy: error.remedy)
    case .secret(let error): APIFailure(.unavailable, error.message, remedy: error.remedy)
    }
  }
}

extension APIFailure {
  package init(_ errors: ConfigErrors) {
    let count = errors.errors.count
    self.init(
      .invalidResources, count == 1 ? "there is 1 problem" : "there are \(count) problems",
      remedy: "Nothing was changed.",
      problems: errors.errors.map { error in
        Problem(
          path: error.path, line: error.line > 0 ? error.line : nil,
          column: error.line > 0 ? error.column : nil, message: error.message,
          suggestion: error.suggestion, remedy: error.remedy)
      })
  }
}
