import CryptoCore
import Edge
import Locking
package import Persistence
import Policy

/// The key that passwords in the store are sealed with. It lies in a file beside the store, so that a copy of the store
/// alone opens nothing.
///
/// A key takes the place of another in three steps, and a process that dies between any two of them finds its way at the
/// next start by the store, which names the key of its revisions:
///
///     STORE.key.new is written ──▶ every revision is sealed anew, in one transaction ──▶ STORE.key.new becomes STORE.key
package final class StoreKey: Sendable {
  private let file: StoreKeyFile
  private let next: StoreKeyFile
  private let seal: Mutex<SecretSeal>

  /// What `demarc doctor` and errors call it.
  package var path: String { file.path }

  /// The key beside the store, which is made where there was none yet. Whatever lies in the store in the clear is sealed
  /// when it returns.
  package init(besides path: String, of store: any CallStore) throws {
    file = StoreKeyFile(path: path + ".key")
    next = StoreKeyFile(path: path + ".key.new")
    let keys = try store.resourceKeys()
    let seal = try Self.find(file, next, for: keys)
    self.seal = Mutex(seal)
    if keys.contains(nil) { try Self.sealAll(of: store, with: seal) { $0.key == nil ? nil : seal } }
  }

  /// Which key is the store's.
  private enum Choice {
    case present(SecretSeal)
    /// The one that was on its way to take the other's place.
    case next(SecretSeal)
    /// Nothing is sealed.
    case fresh
  }

  private static func choose(
    _ file: StoreKeyFile, _ next: StoreKeyFile, for keys: Set<String?>
  ) throws(SecretError) -> Choice {
    let known = try file.read().flatMap(SecretSeal.init(key:))
    let used = keys.compactMap { $0 }
    if let known, used.allSatisfy({ $0 == known.identifier }) { return .present(known) }
    guard !used.isEmpty else { return .fresh }
    if let moved = try? next.read().flatMap(SecretSeal.init(key:)),
      used.allSatisfy({ $0 == moved.identifier })
    {
      return .next(moved)
    }
    throw known == nil
      ? SecretError(.lost, "the key of the store's passwords, \(file.path), is not there")
      : SecretError(.wrong, "\(file.path) is not the key of the store's passwords")
  }

  private static func find(
    _ file: StoreKeyFile, _ next: StoreKeyFile, for keys: Set<String?>
  ) throws(SecretError) -> SecretSeal {
    switch try choose(file, next, for: keys) {
    case .present(let seal):
      next.remove()
      return seal
    case .next(let seal):
      try next.move(to: file)
      return seal
    case .fresh: return try make(file, next)
    }
  }

  /// What a start with this store would find of its key, without changing anything; nil: nothing is wrong.
  ///
  /// - Parameter keys: what `resourceKeys` says of the store.
  package static func problem(besides path: String, keys: Set<String?>) -> SecretError? {
    do throws(SecretError) {
      _ = try choose(
        StoreKeyFile(path: path + ".key"), StoreKeyFile(path: path + ".key.new"), for: keys)
      return nil
    } catch {
      return error
    }
  }

  private static func make(
    _ file: StoreKeyFile, _ next: StoreKeyFile
  ) throws(SecretError) -> SecretSeal {
    let key = SystemRandom.bytes(SecretSeal.keySize)
    guard let seal = SecretSeal(key: key) else { throw SecretError.noCipher }
    try next.write(key)
    try next.move(to: file)
    return seal
  }

  /// Another key from now on, for every revision that there is.
  ///
  /// - Returns: its identifier.
  package func rotate(in store: any CallStore) throws -> String {
    let key = SystemRandom.bytes(SecretSeal.keySize)
    guard let fresh = SecretSeal(key: key) else { throw SecretError.noCipher }
    let old = seal.withLock { $0 }
    try next.write(key)
    do {
      try Self.sealAll(of: store, with: fresh) { _ in old }
    } catch {
      // Whether a transaction came about is not always known where it failed: the store knows.
      guard let keys = try? store.resourceKeys(), keys.contains(fresh.identifier) else {
        throw error
      }
    }
    seal.withLock { $0 = fresh }
    try next.move(to: file)
    return fresh.identifier
  }

  /// - Parameter opener: what a revision is sealed with now; nil: nothing.
  private static func sealAll(
    of store: any CallStore, with seal: SecretSeal,
    opener: (ResourceRevision) -> SecretSeal?
  ) throws(StoreError) {
    try store.rewriteResources { revision throws(StoreError) in
      guard revision.key != seal.identifier else { return revision }
      do throws(ConfigErrors) {
        let source = "stored resources, revision \(revision.revision)"
        var root = try YAMLDocument.parse(revision.document, source: source, byteLimit: .max)
        if let opener = opener(revision) { root = try opener.opened(root, source: source) }
        guard let sealed = seal.sealed(root) else { throw ConfigErrors(.noCipher) }
        return ResourceRevision(
          revision: revision.revision, appliedAt: revision.appliedAt,
          document: DocumentWriter.json(sealed), key: seal.identifier)
      } catch {
        throw StoreError(.damaged, error.errors.first?.description ?? "\(error)")
      }
    }
  }

  /// 32 octets that stay the same as long as the key does.
  package func secret(for purpose: String) -> [UInt8] {
    seal.withLock { $0 }.secret(for: purpose)
  }

  /// The document as it may be kept, and the name of the key.
  func sealed(_ root: DocumentNode) throws(SecretError) -> (document: DocumentNode, key: String) {
    let seal = seal.withLock { $0 }
    guard let sealed = seal.sealed(root) else { throw SecretError.noCipher }
    return (sealed, seal.identifier)
  }

  /// What `sealed` was given, of a revision of the store.
  func opened(_ root: DocumentNode, source: String) throws(ConfigErrors) -> DocumentNode {
    try seal.withLock { $0 }.opened(root, source: source)
  }
}

extension SecretError {
  fileprivate static let noCipher = SecretError(
    .unreadable, "the system's OpenSSL has no AES-256-GCM")
}

extension ConfigErrors {
  fileprivate init(_ error: SecretError) {
    self.init([ConfigError(source: "store", message: error.message, remedy: error.remedy)])
  }
}

extension SecretSeal {
  fileprivate func sealed(_ root: DocumentNode) -> DocumentNode? {
    var failed = false
    let sealed = root.replacingSecrets { place, secret in
      let random = { UInt64.random(in: .min ... .max) }
      guard let text = seal(secret, for: place.text, random: random) else {
        failed = true
        return ""
      }
      return text
    }
    return failed ? nil : sealed
  }

  fileprivate func opened(_ root: DocumentNode, source: String) throws(ConfigErrors)
    -> DocumentNode
  {
    var errors: [ConfigError] = []
    let opened = root.replacingSecrets { place, sealed in
      if let secret = open(sealed, for: place.text) { return secret }
      if errors.count < ConfigurationProblems.limit {
        let error = SecretError(.notAuthentic, "what is sealed there was not sealed for it")
        errors.append(
          ConfigError(
            source: source, path: place.path, message: "\(place.path): \(error.message)",
            remedy: error.remedy))
      }
      return ""
    }
    guard errors.isEmpty else { throw ConfigErrors(errors) }
    return opened
  }
}
