import Base
import CallCore
import CryptoCore
import Edge
import Foundation
import struct Locking.Mutex

/// Keeps a shard's keys, authorities and revocation lists, and fetches the certificates that it asks for.
///
/// Files are read at the start, with every reload, and every hour. What cannot be read later than at the start leaves
/// what was read before in force, and a line in the log.
final class IdentityKeeper: Sendable {
  /// Fetches at once, and those that wait for one of them to end.
  static let fetchers = 8
  static let queueLimit = 256
  /// How often the lists are read again, and the time of day is said.
  static let listInterval = 60
  static let clockInterval = Duration.seconds(60)

  private struct State {
    var settings: STIRSettings
    var fetch: CertificateFetch?
    var queue: [String] = []
    var running = 0
    /// Of each list the last one that could be had.
    var lists: [String: [UInt8]] = [:]
    var reading = Reading()
  }

  /// For metrics.
  struct Reading: Hashable, Sendable {
    /// Seconds since 1970: when the first of the revocation lists is out of date; nil: none says.
    var listsDue: Int64?
    /// Of our own certificates, by name: when each ends.
    var ends: [(name: String, ends: Int64)] = []
    var queueOverflows: UInt64 = 0

    static func == (a: Reading, b: Reading) -> Bool {
      a.listsDue == b.listsDue && a.queueOverflows == b.queueOverflows
        && a.ends.elementsEqual(b.ends) { $0 == $1 }
    }

    func hash(into hasher: inout Hasher) {
      hasher.combine(listsDue)
      hasher.combine(queueOverflows)
    }
  }

  private let state: Mutex<State>
  private let post: ShardPost
  private let log: LogSink
  private let originSecret: @Sendable () -> [UInt8]
  private let work = DispatchQueue(label: "demarc.certificates", attributes: .concurrent)

  init(
    _ settings: STIRSettings, post: ShardPost, log: LogSink,
    originSecret: @escaping @Sendable () -> [UInt8]
  ) throws(ServerError) {
    self.post = post
    self.log = log
    self.originSecret = originSecret
    state = Mutex(State(settings: settings))
    // Lists that are fetched come a little later: a start waits for nobody else.
    if !settings.isEmpty { try load(settings, fetching: false) }
  }

  var settings: STIRSettings { state.withLock { $0.settings } }
  var isInUse: Bool { state.withLock { !$0.settings.isEmpty } }
  var reading: Reading { state.withLock { $0.reading } }

  // MARK: Files

  /// Reads everything and hands it to the shard.
  func load(_ settings: STIRSettings, fetching: Bool = true) throws(ServerError) {
    let fetch: CertificateFetch
    do {
      fetch = try CertificateFetch(settings.fetch)
    } catch {
      throw ServerError("stir.ca: \(error)")
    }
    var material = IdentityMaterial(wall: Self.wall, originSecret: originSecret())
    var reading = Reading()
    for own in settings.certificates {
      let (credential, ends) = try Self.credential(own)
      material.credentials.append(credential)
      reading.ends.append((own.name, ends))
    }
    let lists = lists(settings, fetching: fetching)
    if !settings.trust.isEmpty {
      var files: [[UInt8]] = []
      for path in settings.trust { files.append(try Self.read(path, "stir.trust")) }
      guard let trust = TrustAnchors(authorities: files, lists: Array(lists.values)) else {
        throw ServerError(
          "stir.trust: one of its files has no certificate of an authority, or stir.crls names what"
            + " is no revocation list. Name PEM files, and lists as PEM or DER.")
      }
      material.trust = trust
      reading.listsDue = trust.listsDue
    }
    material.settings.freshness = settings.freshness
    // The fetch itself ends a little earlier, so that its own words are those of the note.
    material.settings.patience = settings.fetchTimeout + .milliseconds(200)
    state.withLock { state in
      state.settings = settings
      state.fetch = fetch
      state.lists = lists
      reading.queueOverflows = state.reading.queueOverflows
      state.reading = reading
    }
    post.send(.identity(settings.isEmpty ? nil : material))
  }

  private static func credential(
    _ own: STIRSettings.Certificate
  ) throws(ServerError) -> (SigningCredential, Int64) {
    let pem = try read(own.certificate, "stir.certificates")
    guard let key = ES256PrivateKey(pem: try read(own.key, "stir.certificates")) else {
      throw ServerError(
        "stir.certificates: \(own.key) has no private key on P-256 without a passphrase. "
          + "Make one with `openssl ecparam -genkey -name prime256v1 -noout`.")
    }
    guard case .success(let certificate) = PassportCertificate.read(pem),
      key.belongs(to: certificate.key)
    else {
      throw ServerError(
        "stir.certificates: \(own.certificate) is no certificate of the key \(own.key) with a"
          + " TNAuthList. Name the file with the certificate first and its chain behind it.")
    }
    let credential = SigningCredential(
      name: own.name, url: own.url, key: key, certificate: certificate)
    return (credential, certificate.ends)
  }

  private static func read(_ path: String, _ setting: String) throws(ServerError) -> [UInt8] {
    do {
      return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    } catch {
      throw ServerError("\(setting): \(path) cannot be read: \(error.localizedDescription)")
    }
  }

  /// What can be had of the lists; of one that cannot, what was had before.
  private func lists(_ settings: STIRSettings, fetching: Bool) -> [String: [UInt8]] {
    var found = state.withLock { $0.lists }.filter { settings.crls.contains($0.key) }
    for source in settings.crls {
      do {
        if HTTPSAddress(source) == nil {
          found[source] = try Self.read(source, "stir.crls")
        } else if fetching {
          found[source] = try CertificateFetch(settings.listFetch).fetch(source).body
        }
      } catch {
        log.write(
          LogLine(
            .warning, "revocation list cannot be had",
            [LogField("list", source), LogField("reason", "\(error)")]))
      }
    }
    return found
  }

  private static var wall: WallAnchor {
    let now = MonotonicClock.now
    return WallAnchor(milliseconds: WallClock.now.milliseconds(at: now), at: now)
  }

  /// Until the task is cancelled: the time of day each minute, files and lists each hour.
  func keepCurrent() async {
    var minutes = 0
    if settings.crls.contains(where: { HTTPSAddress($0) != nil }) { await reloadQuietly() }
    while !Task.isCancelled {
      try? await Task.sleep(for: Self.clockInterval)
      guard !Task.isCancelled, isInUse else { continue }
      post.send(.wallClock(Self.wall))
      minutes += 1
      if minutes % Self.listInterval == 0 { await reloadQuietly() }
    }
  }

  private func reloadQuietly() async {
    let settings = state.withLock { $0.settings }
    await withCheckedContinuation { continuation in
      work.async { [self] in
        do throws(ServerError) {
          try load(settings)
        } catch {
          log.write(
            LogLine(.warning, "stir is not read again", [LogField("reason", error.message)]))
        }
        continuation.resume()
      }
    }
  }

  // MARK: Certificates of others

  /// Each URL is answered once, by `ShardInput.certificate`.
  func fetch(_ urls: [String]) {
    for url in urls {
      let isQueued = state.withLock { state in
        guard state.queue.count < Self.queueLimit else {
          state.reading.queueOverflows &+= 1
          return false
        }
        state.queue.append(url)
        return true
      }
      if !isQueued {
        post.send(.certificate(url: url, .failed("too many certificates are being fetched")))
      }
    }
    startNext()
  }

  private func startNext() {
    let next = state.withLock { state -> (String, CertificateFetch)? in
      guard state.running < Self.fetchers, let fetch = state.fetch, !state.queue.isEmpty else {
        return nil
      }
      state.running += 1
      return (state.queue.removeFirst(), fetch)
    }
    guard let (url, fetch) = next else { return }
    work.async { [self] in
      post.send(.certificate(url: url, Self.answer(url, fetch)))
      state.withLock { $0.running -= 1 }
      startNext()
    }
    startNext()
  }

  private static func answer(_ url: String, _ fetch: CertificateFetch) -> CertificateAnswer {
    do throws(FetchFailure) {
      let response = try fetch.fetch(url)
      // Without a word of the server an hour: certificates live for days at least.
      return .fetched(response.body, maxAge: .seconds(min(response.maxAge ?? 3_600, 86_400)))
    } catch {
      return .failed(error.reason)
    }
  }
}
