package import Base
package import CallCore
package import MediaControl
package import Persistence
package import Policy
package import SIPWire
import Locking

/// The resources that are in force, and the only way to change them: a document that was compiled first
/// and stored next, whole or not at all.
package final class ResourceStore: Sendable {
  /// What the process has that resources refer to, by name and in the order of the indices.
  package struct Surroundings: Sendable {
    package var listeners: [(name: String, address: SocketAddress)]
    package var media: [(name: String, address: IPAddress)]
    /// Of the listeners; UDP where there is none.
    package var transports: [Transport] = []

    package init(
      listeners: [(name: String, address: SocketAddress)],
      media: [(name: String, address: IPAddress)]
    ) {
      self.listeners = listeners
      self.media = media
    }

    /// Those that are leaving, or closed, keep their place; nothing can name them.
    package init(listeners: [Listener], media: [MediaAddress]) {
      self.listeners = listeners.map { ($0.state == .open ? $0.name : "", $0.bound) }
      self.media = media.map { ($0.name, $0.bound) }
      transports = listeners.map(\.transport)
    }
  }

  /// What is in force, for other listeners.
  package struct Moved: Sendable {
    package var configuration: Configuration
    fileprivate var surroundings: Surroundings
  }

  /// What an apply or a check came to.
  package struct Outcome: Sendable {
    package var configuration: Configuration
    /// False: the document says what was in force already; nothing was stored.
    package var changed: Bool
  }

  package enum Failure: Error, Sendable {
    case invalid(ConfigErrors)
    case store(StoreError)
    case secret(SecretError)
  }

  private let store: any CallStore
  /// What passwords are sealed with in the store.
  private let key: StoreKey
  private let state: Mutex<State>

  private struct State: Sendable {
    var configuration: Configuration
    var surroundings: Surroundings
  }

  /// Loads what was in force. Resources that do not fit the listeners any more are an error that names
  /// each: starting without them would refuse calls silently.
  package init(
    store: any CallStore, key: StoreKey, surroundings: Surroundings
  ) throws(Failure) {
    self.store = store
    self.key = key
    var configuration = Configuration()
    if let (document, revision) = try Self.latest(store, key) {
      configuration = try Self.compile(document, revision, surroundings)
    }
    state = Mutex(State(configuration: configuration, surroundings: surroundings))
  }

  /// Applies a document over what was in force before anything is: so resources that do not fit the
  /// listeners any more can be replaced, together with the listeners.
  package init(
    store: any CallStore, key: StoreKey, surroundings: Surroundings, applying text: String,
    source: String, at milliseconds: Int64
  ) throws(Failure) {
    self.store = store
    self.key = key
    let (stored, revision) = try Self.latest(store, key) ?? (nil, 0)
    let document = try Self.parse(text, source, stored?.resources ?? Resources())
    let isNew = document.resources != stored?.resources
    var configuration = try Self.compile(document, isNew ? revision + 1 : revision, surroundings)
    if isNew {
      let saved = try Self.save(document.resources, in: store, key, milliseconds)
      if saved != configuration.revision {
        configuration = try Self.compile(document, saved, surroundings)
      }
    }
    state = Mutex(State(configuration: configuration, surroundings: surroundings))
  }

  private static func latest(
    _ store: any CallStore, _ key: StoreKey
  ) throws(Failure) -> (ResourceDocument, UInt64)? {
    guard let latest = try storing({ try store.latestResources() }) else { return nil }
    let source = "stored resources, revision \(latest.revision)"
    let document = try invalid { () throws(ConfigErrors) in
      try ResourceDocument.parse(
        stored: latest.document, source: source, key: latest.key == nil ? nil : key)
    }
    return (document, latest.revision)
  }

  package var current: Configuration { state.withLock { $0.configuration } }

  /// What `apply` would do; nothing is stored.
  package func check(
    _ text: String, source: String, isOurs: Bool = false
  ) throws(Failure) -> Outcome {
    let (current, surroundings) = state.withLock { ($0.configuration, $0.surroundings) }
    let document = try Self.parse(text, source, current.resources, isOurs: isOurs)
    let configuration = try Self.compile(document, current.revision, surroundings)
    return Outcome(
      configuration: configuration, changed: document.resources != current.resources)
  }

  /// Replaces each section that the document has by what it says; sections that it leaves out stay.
  /// Stored before it is in force. The caller hands the configuration to the shards.
  ///
  /// - Parameter isOurs: made of what is in force: its passwords are as they are.
  package func apply(
    _ text: String, source: String, isOurs: Bool = false, at milliseconds: Int64
  ) throws(Failure) -> Outcome {
    // One apply at a time: each is checked against what the one before left.
    try state.withLock { state throws(Failure) in
      let (current, surroundings) = (state.configuration, state.surroundings)
      let document = try Self.parse(text, source, current.resources, isOurs: isOurs)
      // Compiled before anything is stored; the number is known only afterwards.
      let next = current.revision + 1
      var configuration = try Self.compile(document, next, surroundings)
      guard document.resources != current.resources else {
        return Outcome(configuration: current, changed: false)
      }
      let revision = try Self.save(document.resources, in: store, key, milliseconds)
      if revision != next {
        configuration = try Self.compile(document, revision, surroundings)
      }
      state.configuration = configuration
      return Outcome(configuration: configuration, changed: true)
    }
  }

  /// What `adopt` would put in force; changes nothing. Nobody may apply in between.
  package func moved(to listeners: [Listener]) throws(Failure) -> Moved {
    let (current, old) = state.withLock { ($0.configuration, $0.surroundings) }
    var surroundings = Surroundings(listeners: listeners, media: [])
    surroundings.media = old.media
    do throws(ConfigurationProblems) {
      let configuration = try Configuration(
        resources: current.resources, revision: current.revision,
        listeners: surroundings.listeners, media: surroundings.media,
        transports: surroundings.transports)
      return Moved(configuration: configuration, surroundings: surroundings)
    } catch {
      let errors = error.problems.map { problem in
        ConfigError(
          source: "resources", path: problem.pathText, message: problem.message,
          suggestion: problem.suggestion,
          remedy: "Apply resources that can do without it first. \(problem.remedy)")
      }
      throw .invalid(ConfigErrors(errors))
    }
  }

  package func adopt(_ moved: Moved) {
    state.withLock { state in
      state = State(configuration: moved.configuration, surroundings: moved.surroundings)
    }
  }

  /// Another key for the store, and every revision sealed with it. Nobody may apply in between.
  package func rotateKey() throws(Failure) -> StoreKeyResource {
    try state.withLock { _ throws(Failure) in
      try Self.storing {
        StoreKeyResource(file: key.path, identifier: try key.rotate(in: store))
      }
    }
  }

  private static func save(
    _ resources: Resources, in store: any CallStore, _ key: StoreKey, _ milliseconds: Int64
  ) throws(Failure) -> UInt64 {
    try storing {
      let sealed = try key.sealed(resources.document(secrets: .written))
      return try store.save(
        resources: DocumentWriter.json(sealed.document), sealedBy: sealed.key, at: milliseconds)
    }
  }

  /// What the store throws, or the key of its passwords.
  private static func storing<Value>(_ body: () throws -> Value) throws(Failure) -> Value {
    do {
      return try body()
    } catch let error as StoreError {
      throw .store(error)
    } catch let error as SecretError {
      throw .secret(error)
    } catch {
      throw .store(StoreError(.other, "\(error)"))
    }
  }

  private static func parse(
    _ text: String, _ source: String, _ existing: Resources, isOurs: Bool = false
  ) throws(Failure) -> ResourceDocument {
    try invalid { () throws(ConfigErrors) in
      try ResourceDocument.parse(text, source: source, over: existing, isOurs: isOurs)
    }
  }

  private static func invalid<Value>(_ body: () throws(ConfigErrors) -> Value) throws(Failure)
    -> Value
  {
    do throws(ConfigErrors) {
      return try body()
    } catch {
      throw .invalid(error)
    }
  }

  private static func compile(
    _ document: ResourceDocument, _ revision: UInt64, _ surroundings: Surroundings
  ) throws(Failure) -> Configuration {
    do throws(ConfigurationProblems) {
      return try Configuration(
        resources: document.resources, revision: revision, listeners: surroundings.listeners,
        media: surroundings.media, transports: surroundings.transports)
    } catch {
      throw .invalid(ConfigErrors(error.problems.map(document.map.locate)))
    }
  }
}
