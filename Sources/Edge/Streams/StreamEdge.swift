internal import Base
internal import CallCore
internal import Locking
internal import SIPWire

/// The streams of a shard on their own thread.
final class StreamEdge: Sendable {
  let counters = StreamCounters()
  let queues: StreamQueues
  let progress = ThreadProgress("connections")
  private let thread: EdgeThread

  /// Reads the certificates and starts the thread. The sockets listen already, so nothing is lost meanwhile.
  init(
    _ listeners: StreamListeners, settings: StreamSettings, trafficClass: UInt8, name: String
  ) throws(EdgeError) {
    let queues = try StreamQueues(settings.limits)
    self.queues = queues
    // Not by the thread's closure: what that holds is held until the end.
    queues.departures.replace(
      listeners: listeners,
      certificates: try Self.contexts(listeners.listeners.values, settings.certificates))
    let gate = try StartGate()
    thread = try EdgeThread(name: name) { [counters, progress] in
      do throws(EdgeError) {
        let loop = try StreamLoop(
          limits: settings.limits, trafficClass: trafficClass, arrivals: queues.arrivals,
          departures: queues.departures, counters: counters, progress: progress)
        gate.open(nil)
        loop.run()
      } catch {
        gate.open(error)
      }
    }
    if let problem = gate.wait() {
      thread.join()
      throw problem
    }
  }

  static func contexts(
    _ listeners: some Sequence<Listener>, _ settings: [String: TLSListenerSettings]
  ) throws(EdgeError) -> [String: TLSContext] {
    var contexts: [String: TLSContext] = [:]
    for listener in listeners where listener.transport.isSecure && listener.state == .open {
      guard let own = settings[listener.name] else {
        throw .settings("listener \"\(listener.name)\" needs a certificate and its key")
      }
      do throws(TLSProblem) {
        contexts[listener.name] = try TLSContext(own)
      } catch {
        throw .certificates(listener: listener.name, error)
      }
    }
    return contexts
  }

  func stop() {
    queues.departures.stop()
    thread.join()
  }
}

extension CertificateState {
  /// By the listeners' names.
  static func all(of contexts: [String: TLSContext]) -> [CertificateState] {
    contexts.sorted { $0.key < $1.key }.flatMap { $0.value.states(of: $0.key) }
  }
}
