internal import Base
internal import CallCore
internal import SIPWire

/// The streams of a shard on their own thread.
final class StreamEdge: Sendable {
  let counters = StreamCounters()
  let queues: StreamQueues
  private let listeners: [Listener]
  private let thread: EdgeThread

  /// Reads the certificates and starts the thread. The sockets listen already, so nothing is lost meanwhile.
  init(
    listeners: [Listener], sockets: [ListenerIndex: StreamListener], settings: StreamSettings,
    name: String
  ) throws(EdgeError) {
    self.listeners = listeners
    let queues = try StreamQueues(settings.limits)
    self.queues = queues
    let contexts = try Self.contexts(listeners, settings.certificates)
    let gate = try StartGate()
    thread = try EdgeThread(name: name) { [listeners, counters] in
      do throws(EdgeError) {
        var open: [ListenerIndex: (socket: StreamListener, of: Listener)] = [:]
        for (index, socket) in sockets { open[index] = (socket, listeners[Int(index)]) }
        let loop = try StreamLoop(
          listeners: open, settings: settings, contexts: contexts, arrivals: queues.arrivals,
          departures: queues.departures, counters: counters)
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

  private static func contexts(
    _ listeners: [Listener], _ settings: [String: TLSListenerSettings]
  ) throws(EdgeError) -> [String: TLSContext] {
    var contexts: [String: TLSContext] = [:]
    for listener in listeners where listener.transport.isSecure {
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

  /// New connections get what the files hold now; those that are open keep what they began with. Nothing
  /// changes when one of the files cannot be used.
  func reload(_ settings: [String: TLSListenerSettings]) throws(EdgeError) {
    queues.departures.replace(certificates: try Self.contexts(listeners, settings))
  }

  func stop() {
    queues.departures.stop()
    thread.join()
  }
}
