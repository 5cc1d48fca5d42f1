import Base
import Foundation
import Operations
import Persistence
import Policy
import Testing

/// Passwords in the store: sealed, whatever was there before, and opened by one key for one resource.
final class StoreKeyTests {
  private let folder = FileManager.default.temporaryDirectory
    .appending(path: "demarc-\(UUID().uuidString)")
  private let surroundings = ResourceStore.Surroundings(
    listeners: [("udp", SocketAddress(.loopbackV4, 5060))], media: [("media", .loopbackV4)])
  private static let canary = "Kanarienvogel"

  init() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private var path: String { folder.appending(path: "store.db").path }

  /// Every place that a resource has for a password.
  private static let document = """
    networks: [{name: inside, listeners: [udp], media: [media]}]
    users:
      - name: alice
        extension: "1001"
        password: \(canary)1
        previousPassword: \(canary)6
        previousPasswordUntil: 2026-12-01T00:00:00Z
      - {name: bob, extension: "1002", password: \(canary)2}
    trunks:
      - name: carrier
        kind: carrier
        targets: [192.0.2.1]
        credentials: {username: us, password: \(canary)3}
        register: {registrar: 192.0.2.1, username: us, password: \(canary)4}
      - name: pbx
        kind: pbx
        targets: [192.0.2.2]
        authentication:
          username: them
          password: \(canary)5
          previousPassword: \(canary)7
          previousPasswordUntil: 2026-12-01T00:00:00.5+01:00
    """
  private static let passwords = (1...7).map { "\(canary)\($0)" }

  private func passwords(_ resources: Resources) -> [String] {
    resources.users.map(\.password)
      + resources.trunks.flatMap {
        [$0.credentials, $0.register?.credentials, $0.authentication].compactMap { $0?.password }
      } + resources.users.compactMap(\.previous?.password)
      + resources.trunks.compactMap(\.previousAuthentication?.password)
  }

  private func with<Value>(_ body: (SQLiteStore) throws -> Value) throws -> Value {
    let store = try SQLiteStore(path: path)
    defer { store.close() }
    return try body(store)
  }

  private func open(_ store: SQLiteStore) throws -> ResourceStore {
    try ResourceStore(
      store: store, key: StoreKey(besides: path, of: store), surroundings: surroundings)
  }

  private func expectPasswords() throws {
    let resources = try with { try open($0).current.resources }
    #expect(passwords(resources) == Self.passwords)
  }

  private func apply() throws {
    try with { _ = try open($0).apply(Self.document, source: "a.yaml", at: 1) }
  }

  /// Files of the folder in which the text stands.
  private func files(with text: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { name in
      let data = try Data(contentsOf: folder.appending(path: name))
      return data.range(of: Data(text.utf8)) != nil
    }
  }

  private func setMode(_ mode: Int, _ suffix: String) throws {
    try FileManager.default.setAttributes(
      [.posixPermissions: mode], ofItemAtPath: path + suffix)
  }

  /// Why a start is refused; nil: it is not. Whoever only looks finds the same.
  private func refusal() throws -> SecretError.Kind? {
    let keys = try SQLiteStore.resourceKeys(path: path)
    let seen = StoreKey.problem(besides: path, keys: keys)?.kind
    let found: SecretError.Kind? = try with { store in
      do {
        _ = try open(store)
        return nil
      } catch let error as SecretError {
        return error.kind
      }
    }
    #expect(seen == found)
    return found
  }

  @Test func noFileOfTheStoreHasAPassword() throws {
    try with { store in
      let resources = try open(store)
      _ = try resources.apply(Self.document, source: "a.yaml", at: 1)
      #expect(passwords(resources.current.resources) == Self.passwords)
      #expect(try files(with: Self.canary) == [])
      #expect(try store.resourceKeys().contains(nil) == false)
    }
    try expectPasswords()
    let mode = try FileManager.default.attributesOfItem(atPath: path + ".key")[.posixPermissions]
    #expect((mode as? NSNumber)?.intValue == 0o600)
  }

  /// As stores were before: all revisions in the clear, some of them long.
  @Test func whatLayThereInTheClearIsSealedAndGone() throws {
    let clear = #"{"users":[{"name":"alice","tenant":"default","network":"inside","extension":"1","#
    try with { store in
      for i in 0..<60 {
        let filler = String(repeating: "x", count: i * 331)
        let text = clear + #""password":"\#(Self.canary)","callerID":"\#(filler)"}]}"#
        _ = try store.save(resources: text, sealedBy: nil, at: 1)
      }
    }
    #expect(try files(with: Self.canary) != [])
    try with { store in
      let key = try StoreKey(besides: path, of: store)
      #expect(try files(with: Self.canary) == [])
      #expect(try store.resourceKeys().count == 1)
      #expect(try store.latestResources()?.revision == 60)
      #expect(try store.resources(revision: 1)?.appliedAt == 1)
      #expect(key.path == path + ".key")
    }
    #expect(try files(with: Self.canary) == [])
  }

  @Test func aRotatedKeyOpensAndTheOldOneDoesNot() throws {
    try apply()
    let before = try String(contentsOfFile: path + ".key", encoding: .utf8)
    let sealed = try with { try $0.latestResources()?.document ?? "" }
    try with { store in
      let resources = try open(store)
      _ = try resources.rotateKey()
      #expect(try store.resourceKeys().count == 1)
      _ = try resources.apply(
        "applications: [{name: echo, kind: echo, extension: '*43'}]", source: "b.yaml", at: 2)
    }
    #expect(try String(contentsOfFile: path + ".key", encoding: .utf8) != before)
    #expect(!FileManager.default.fileExists(atPath: path + ".key.new"))
    try expectPasswords()
    // What the old key could open is in no file any more.
    let seals = sealed.split(separator: "\"").filter { $0.count > 55 && !$0.contains(":") }
    #expect(seals.count >= 7)
    for seal in seals { #expect(try files(with: String(seal)) == []) }
    try before.write(toFile: path + ".key", atomically: false, encoding: .utf8)
    #expect(try refusal() == .wrong)
  }

  /// Between any two steps of a rotation the process may end.
  @Test func aRotationThatWasCutShort() throws {
    try apply()
    let old = try Data(contentsOf: URL(filePath: path + ".key"))
    // The new key was written, the store not yet sealed with it.
    let other = Data((String(repeating: "ab", count: 32) + "\n").utf8)
    try other.write(to: URL(filePath: path + ".key.new"))
    try setMode(0o600, ".key.new")
    try expectPasswords()
    #expect(!FileManager.default.fileExists(atPath: path + ".key.new"))
    // Or only half of it.
    try Data("abab".utf8).write(to: URL(filePath: path + ".key.new"))
    try expectPasswords()
    // The store is sealed with it, and it has not taken the old one's place.
    try with { _ = try open($0).rotateKey() }
    try FileManager.default.moveItem(atPath: path + ".key", toPath: path + ".key.new")
    try old.write(to: URL(filePath: path + ".key"))
    try setMode(0o600, ".key")
    // To look changes nothing, while the store is open and while it is not.
    #expect(
      StoreKey.problem(besides: path, keys: try SQLiteStore.resourceKeys(path: path)) == nil)
    let isOpen = try with { try $0.resourceKeys() == SQLiteStore.resourceKeys(path: path) }
    #expect(isOpen)
    #expect(FileManager.default.fileExists(atPath: path + ".key.new"))
    #expect(try SQLiteStore.resourceKeys(path: path + ".none").isEmpty)
    try expectPasswords()
    #expect(try Data(contentsOf: URL(filePath: path + ".key")) != old)
  }

  @Test func aKeyThatCannotBeUsedSaysWhy() throws {
    try apply()
    try setMode(0o640, ".key")
    #expect(try refusal() == .tooOpen)
    try setMode(0o600, ".key")
    let key = try Data(contentsOf: URL(filePath: path + ".key"))
    try key.dropLast(4).write(to: URL(filePath: path + ".key"))
    #expect(try refusal() == .malformed)
    try FileManager.default.removeItem(atPath: path + ".key")
    #expect(try refusal() == .lost)
    // It was not made anew: that would hide what happened.
    #expect(!FileManager.default.fileExists(atPath: path + ".key"))
    try key.write(to: URL(filePath: path + ".key"))
    try setMode(0o600, ".key")
    try expectPasswords()
  }

  /// Whoever can write to the store cannot give alice's phone bob's password.
  @Test func aPasswordStandsForItsOwnerAlone() throws {
    try apply()
    func sealed(_ name: String, in document: String) -> Substring {
      let user = document.components(separatedBy: #""name":"\#(name)""#)[1]
      return user.components(separatedBy: #""password":""#)[1].prefix { $0 != "\"" }
    }
    try with { store in
      try store.rewriteResources { revision in
        var changed = revision
        let (one, other) = (
          sealed("alice", in: revision.document), sealed("bob", in: revision.document)
        )
        changed.document = revision.document.replacing(one, with: "?").replacing(other, with: one)
          .replacing("?", with: other)
        return changed
      }
    }
    let found = try with { store -> String in
      do {
        _ = try open(store)
        return ""
      } catch {
        return "\(error)"
      }
    }
    #expect(found.contains("users.alice.password") && found.contains("users.bob.password"))
    #expect(!found.contains(Self.canary))
  }
}
