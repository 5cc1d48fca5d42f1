import Base
package import CallCore
package import Edge
package import MediaEngine
package import Persistence
import Resolution

/// Names of trunks are a tenant's own.
package struct TrunkKey: Hashable, Sendable {
  package var tenant: String
  package var name: String

  package init(tenant: String, name: String) {
    self.tenant = tenant
    self.name = name
  }
}

/// Everything that `/metrics` says, collected at one moment.
package struct MetricsPage: Sendable {
  package var version: String
  package var revision: UInt64 = 0
  /// Seconds since 1970.
  package var processStart: Double
  package var processSeconds = 0.0
  package var residentBytes: UInt64 = 0
  package var openDescriptors = 0
  package var draining = false
  package var threadStalls: UInt64 = 0
  package var isStalled = false
  package var shard = ShardCounters()
  package var trunks: [TrunkStatus] = []
  /// Its limit of concurrent calls, for each trunk that has one.
  package var upstreams: [UpstreamStatus] = []
  package var trunkLimits: [TrunkKey: Int] = [:]
  package var tally = FactTally()
  package var readers: [(reader: String, FactReaderCounters)] = []
  package var store = RecordWriter.Counters()
  package var storeBytes: Int64 = 0
  package var media = MediaCounters()
  package var fastPath = FastPathState.off
  package var edge: EdgeCounters.Reading?
  package var streams: StreamCounters.Reading?
  package var names = NameEdge.Reading()
  package var kernelBans: KernelBans.Reading?
  var identityFiles = IdentityKeeper.Reading()
  package var logLines: UInt64 = 0
  package var logDropped: UInt64 = 0
  package var requests: [APIRequestCount] = []

  package init(version: String, processStart: Double) {
    self.version = version
    self.processStart = processStart
  }

  package func render() -> String {
    var text = MetricsText()
    process(&text)
    signalling(&text)
    streams(&text)
    calls(&text)
    trunks(&text)
    registrations(&text)
    names(&text)
    media(&text)
    history(&text)
    return text.text
  }

  private func process(_ text: inout MetricsText) {
    text.family("build_info", .gauge, "Always 1; the labels say what is running.")
    text.sample(1, ["version": version])
    text.family(
      "process_start_time_seconds", .gauge, "When the process started, in seconds since 1970.")
    text.sample(processStart)
    text.family("process_cpu_seconds_total", .counter, "CPU time that the process used.")
    text.sample(processSeconds)
    text.single(
      "process_resident_memory_bytes", .gauge, "Memory that is resident.", residentBytes)
    text.single("process_open_fds", .gauge, "Descriptors that are open.", openDescriptors)
    text.single(
      "configuration_revision", .gauge, "Revision of the resources that calls are routed by.",
      revision)
    text.single(
      "draining", .gauge, "1 while new calls are refused because the process is to end.",
      draining ? 1 : 0)
    text.single(
      "thread_stalled", .gauge, "1 while a thread has not come to the end of its turn for 2 s.",
      isStalled ? 1 : 0)
    text.single(
      "thread_stalls_total", .counter,
      "How often a thread has stalled; the log says which and where.", threadStalls)
  }

  private func signalling(_ text: inout MetricsText) {
    text.each(
      "sip_messages_total", .counter, "SIP messages by direction, retransmissions included.",
      by: "direction", [("received", shard.messagesReceived), ("sent", shard.messagesSent)])
    text.each(
      "sip_retransmissions_total", .counter, "SIP messages that had crossed before.",
      by: "direction",
      [("received", shard.retransmissionsReceived), ("sent", shard.retransmissionsSent)])
    text.each(
      "sip_messages_dropped_total", .counter, "Messages that could not be used or not be sent.",
      by: "reason", complete(shard.dropped, DropReason.allCases.map(\.rawValue)))
    text.each(
      "sip_requests_refused_total", .counter, "Requests that never became a call, by cause.",
      by: "cause", sorted(shard.refused))
    text.single(
      "authentication_failures_total", .counter, "Answers to a challenge that were not accepted.",
      tally.authenticationFailures)
    text.single(
      "sip_stray_acks_total", .counter, "ACKs that belong to nothing that is kept.",
      shard.strayAcks)
    text.single(
      "sip_transactions", .gauge,
      "Transactions that are alive, without the probes of trunks' addresses.", shard.transactions)
    text.single(
      "sip_probes", .gauge, "Probes of trunks' addresses that wait for an answer.", shard.probes)
    text.single(
      "timers", .gauge, "Timers that are running, without those of trunks' addresses.", shard.timers
    )
    text.single(
      "trace_bytes", .gauge, "Memory of the messages that are kept for ladders.", shard.traceBytes)
    text.single(
      "sip_stun_keepalives_total", .counter, "STUN keep-alives that were answered.",
      shard.keepAlives)
    text.each(
      "sip_large_requests_total", .counter,
      "Requests too long for a datagram: moved to TCP, and back where nobody listened.",
      by: "way", [("toTCP", shard.movedToStream), ("back", shard.movedBack)])
    text.single("bindings", .gauge, "Contacts that are registered.", shard.bindings)
    text.single(
      "subscriptions", .gauge, "Subscriptions to calls, messages and contacts of users.",
      shard.subscriptions)
    text.single(
      "notifies_total", .counter, "NOTIFY requests sent for them.", shard.notifies)
    text.single(
      "notifies_failed_total", .counter, "Those that were refused or never answered.",
      shard.notifiesFailed)
    text.each(
      "quality_reports_total", .counter, "Reports on calls for collectors (RFC 6035), by outcome.",
      by: "outcome",
      [
        ("sent", shard.qualityReports), ("failed", shard.qualityReportsFailed),
        ("dropped", shard.qualityReportsDropped),
      ])
    text.single(
      "passed_bindings", .gauge, "Contacts of phones whose registration a PBX keeps.",
      shard.passing.contacts)
    text.single(
      "passed_registrations_pending", .gauge, "Phones' REGISTERs that wait for their PBX.",
      shard.passing.pending)
    text.each(
      "passed_registrations_total", .counter,
      "Phones' REGISTERs for a PBX: answered by it or here, not answered by it, refused at a limit.",
      by: "outcome",
      [
        ("answered", shard.passing.answered), ("answeredHere", shard.passing.answeredHere),
        ("unanswered", shard.passing.unanswered), ("atLimit", shard.passing.atLimit),
      ])
    admission(&text)
    stir(&text)
    load(&text)
    guard let edge else { return }
    text.each(
      "sip_datagrams_total", .counter, "Datagrams that crossed the listeners' sockets.",
      by: "direction", [("received", edge.datagramsReceived), ("sent", edge.datagramsSent)])
    text.each(
      "sip_datagrams_dropped_total", .counter, "Datagrams that were given up, by reason.",
      by: "reason",
      [
        ("kernel", edge.kernelDrops), ("discarded", edge.datagramsDiscarded),
        ("refused", edge.datagramsRefused), ("receiveError", edge.receiveErrors),
      ])
    text.single(
      "sip_datagrams_deferred_total", .counter, "Datagrams that waited for a full socket.",
      edge.datagramsDeferred)
    text.single(
      "sip_unreachable_total", .counter, "Destinations that were reported as unreachable.",
      edge.unreachable)
  }

  private func load(_ text: inout MetricsText) {
    text.family(
      "overload_wait_seconds", .gauge, "How long messages wait at least before they are taken.")
    text.sample(shard.standingWait.seconds)
    text.family(
      "overload_refused_ratio", .gauge, "The part of new calls that is refused for load, by caller."
    )
    text.sample(Double(shard.refusedStrangers) / 1_000, ["caller": "stranger"])
    text.sample(Double(shard.refusedKnown) / 1_000, ["caller": "known"])
    text.single(
      "overloads_total", .counter, "Times that new calls began to be refused for load.",
      shard.overloads)
  }

  private func calls(_ text: inout MetricsText) {
    text.single(
      "calls_attempted_total", .counter, "Calls that were let in and had a destination.",
      shard.callsAttempted)
    text.single("calls_answered_total", .counter, "Calls that were answered.", shard.callsAnswered)
    text.each(
      "calls_recovered_total", .counter,
      "Calls of the process before: they go on, were ended, or nobody could be told.",
      by: "outcome",
      [
        ("recovered", UInt64(shard.recovery.recovered)),
        ("released", UInt64(shard.recovery.released)), ("lost", UInt64(shard.recovery.lost)),
      ])
    text.family("calls_ended_total", .counter, "Calls that ended, by cause and by who let go.")
    let endings = tally.ended.sorted { ($0.key.cause, $0.key.by) < ($1.key.cause, $1.key.by) }
    for (ending, count) in endings {
      text.sample(count, ["cause": ending.cause, "by": ending.by])
    }
    text.single("calls_active", .gauge, "Calls that are alive.", shard.sessions)
    text.single(
      "call_hops_tried_total", .counter, "Targets that calls tried.", tally.hopsTried)
    text.each(
      "call_hops_failed_total", .counter, "Targets that failed, by cause.", by: "cause",
      sorted(tally.hopsFailed))
    text.histogram(
      "call_setup_seconds", "From the INVITE to the first ringing or the answer.", tally.setupTime)
    text.histogram("call_duration_seconds", "From the answer to the release.", tally.duration)
    text.histogram(
      "call_mos", "Estimated mean opinion score (G.107) of what each side sent.", tally.opinion)
    text.single(
      "internal_faults_total", .counter, "Calls that were ended by an impossible state.",
      tally.internalFaults)
  }

  private func trunks(_ text: inout MetricsText) {
    let ordered = trunks.sorted { ($0.tenant, $0.name) < ($1.tenant, $1.name) }
    each(ordered, "trunk_calls", .gauge, "Calls that are alive on a trunk.", &text) { $0.calls }
    each(ordered, "trunk_attempts_total", .counter, "Calls that a trunk was given or gave.", &text)
    {
      $0.attempts
    }
    each(
      ordered, "trunk_refused_total", .counter, "Calls refused because of a trunk's limits.", &text
    ) { $0.refusedByLimit }
    each(ordered, "trunk_usable", .gauge, "Whether a target of the trunk answers.", &text) {
      $0.usable ? 1 : 0
    }
    targets(ordered, &text)
    each(
      ordered, "trunk_calls_limit", .gauge, "Concurrent calls that a trunk may have.", &text
    ) { trunkLimits[TrunkKey(tenant: $0.tenant, name: $0.name)] }
  }

  private func registrations(_ text: inout MetricsText) {
    guard !upstreams.isEmpty else { return }
    text.family(
      "trunk_registered", .gauge, "Whether we are registered with the provider of a trunk.")
    for one in upstreams {
      text.sample(one.isRegistered ? 1 : 0, ["tenant": one.tenant, "trunk": one.trunk])
    }
    text.family(
      "trunk_registration_requests_total", .counter, "REGISTER requests sent to a provider.")
    for one in upstreams {
      text.sample(one.attempts, ["tenant": one.tenant, "trunk": one.trunk])
    }
    text.family(
      "trunk_registration_failures_total", .counter, "Tries to register that a provider refused.")
    for one in upstreams {
      text.sample(one.failures, ["tenant": one.tenant, "trunk": one.trunk])
    }
  }

  private func targets(_ trunks: [TrunkStatus], _ text: inout MetricsText) {
    func each(
      _ name: String, _ kind: MetricsText.Kind, _ help: String, _ value: (TargetStatus) -> Double?
    ) {
      text.family(name, kind, help)
      for trunk in trunks {
        for target in trunk.targets {
          guard let value = value(target) else { continue }
          text.sample(
            value,
            ["tenant": trunk.tenant, "trunk": trunk.name, "address": "\(target.address)"])
        }
      }
    }
    each("target_usable", .gauge, "Whether an address of a trunk takes calls.") {
      $0.state == .usable || $0.state == .doubtful ? 1 : 0
    }
    each("target_share", .gauge, "The part of the calls that an address may have now, 0 to 1.") {
      Double($0.share) / 1_000
    }
    each("target_round_trip_seconds", .gauge, "Smoothed time of an address's responses.") {
      $0.roundTrip?.seconds
    }
    each("target_probes_total", .counter, "OPTIONS sent to find out whether an address answers.") {
      Double($0.probes)
    }
    each("target_probes_failed_total", .counter, "Those that brought no answer.") {
      Double($0.probesFailed)
    }
    each("target_asked_loss_ratio", .gauge, "The part of calls that an address asks not to get.") {
      Double($0.askedLoss) / 100
    }
    each("target_left_out_total", .counter, "Calls that did not go to an address for that.") {
      Double($0.leftOut)
    }
    text.single(
      "targets_lost_total", .counter, "Times that an address of a trunk stopped taking calls.",
      tally.targetsUnusable)
  }

  private func each<Value: BinaryInteger>(
    _ trunks: [TrunkStatus], _ name: String, _ kind: MetricsText.Kind, _ help: String,
    _ text: inout MetricsText, value: (TrunkStatus) -> Value?
  ) {
    text.family(name, kind, help)
    for trunk in trunks {
      guard let value = value(trunk) else { continue }
      text.sample(value, ["tenant": trunk.tenant, "trunk": trunk.name])
    }
  }

  private func names(_ text: inout MetricsText) {
    let resolver = names.resolver
    text.single("names", .gauge, "Names of targets that are kept fresh.", names.names)
    text.single(
      "dns_questions_total", .counter, "Questions sent to name servers, repetitions included.",
      resolver.questions)
    text.each(
      "dns_failures_total", .counter, "Questions that a server did not answer, by reason.",
      by: "reason",
      [
        ("timeout", resolver.timeouts), ("failure", resolver.failures),
        ("wrongReply", resolver.wrongReplies), ("truncated", resolver.truncated),
        ("limit", resolver.refused),
      ])
    text.single(
      "dns_stale_answers_total", .counter, "Uses of an answer beyond its TTL, no server answering.",
      resolver.stale)
    text.single("dns_cached", .gauge, "Answers that are kept.", resolver.cached)
  }

  private func media(_ text: inout MetricsText) {
    text.each(
      "media_ports", .gauge, "RTP port pairs by state.", by: "state",
      [("leased", shard.portsLeased), ("free", shard.portsFree)])
    text.single(
      "media_transports", .gauge, "Media transports that are open.", media.openTransports)
    text.each(
      "media_packets_received_total", .counter, "Packets that reached the media ports.", by: "kind",
      [("rtp", media.received), ("rtcp", media.controlReceived)])
    text.each(
      "media_packets_relayed_total", .counter, "Packets handed on to the other side.", by: "kind",
      [("rtp", media.relayed), ("rtcp", media.controlRelayed)])
    text.single(
      "media_kernel_packets_total", .counter,
      "RTP packets that the kernel relayed; they are in no other figure.", media.relayedByKernel)
    text.single(
      "media_kernel_flows", .gauge, "Directions of calls that the kernel relays.",
      media.kernelFlows)
    text.each(
      "media_fast_path", .gauge, "1 for what became of relaying in the kernel at the start.",
      by: "state", [(fastPath.word, 1)])
    text.single(
      "media_packets_converted_total", .counter,
      "Packets of speech that left in another codec than they came in.", media.converted)
    text.single(
      "media_digits_converted_total", .counter,
      "Digits that were said in another way than they came.", media.digitsConverted)
    text.single(
      "media_digits_refused_total", .counter,
      "Digits that nobody was there for, or that came faster than they can be said.",
      media.digitsRefused)
    text.single(
      "media_packets_concealed_total", .counter,
      "Packets that were put in for late and lost ones where speech is played out evenly.",
      media.playoutConcealed)
    text.single(
      "media_packets_played_total", .counter, "Packets that applications sent.",
      media.applicationPackets)
    text.each(
      "media_packets_dropped_total", .counter, "Packets that were not handed on, by reason.",
      by: "reason",
      [
        ("refused", media.refused), ("malformed", media.malformed), ("unwanted", media.unwanted),
        ("unauthentic", media.unauthentic), ("replayed", media.replayed),
        ("unprotectable", media.unprotectable), ("unkeyed", media.unkeyed),
        ("unbridged", media.unbridged), ("unsendable", media.unsendable),
        ("unconvertible", media.unconvertible), ("suppressed", media.suppressed),
        ("convertedLate", media.convertedLate),
        ("playoutLate", media.playoutLate), ("playoutLeftOut", media.playoutLeftOut),
        ("replacedByDigits", media.replacedByDigits), ("looped", media.looped),
        ("sendFailure", media.sendFailures),
        ("kernel", media.kernelDropped),
      ])
    recordings(&text)
    text.each(
      "media_handshakes_total", .counter,
      "DTLS handshakes of media, by what became of them; refused: there were too many at a time.",
      by: "outcome",
      [
        ("done", media.handshakesDone), ("failed", media.handshakesFailed),
        ("wrongFingerprint", media.handshakesOfOthers), ("refused", media.handshakesRefused),
      ])
    text.each(
      "media_handshake_datagrams_total", .counter,
      "Datagrams of DTLS that cost no handshake, by kind: of nobody's, and hellos that a cookie was asked of.",
      by: "kind", [("stray", media.handshakesStray), ("hello", media.helloCookies)])
    text.single(
      "media_commands_refused_total", .counter, "Commands that media could not follow.",
      media.commandsRefused &+ media.commandsDropped)
    text.single(
      "media_moves_total", .counter,
      "Far ends that were found at another address in the middle of a call.", media.moves)
    text.family("media_cpu_seconds_total", .counter, "CPU time of the media workers.")
    text.sample(Double(media.cpuNanoseconds) / 1e9)
    text.single(
      "media_silences_total", .counter, "Times that a side of a call sent nothing for too long.",
      tally.mediaSilences)
    text.each(
      "audio_verdicts_total", .counter,
      "Sides of calls that were not heard, or heard nothing, by reason.", by: "reason",
      SilenceReason.allCases.map { ($0.rawValue, tally.audioVerdicts[$0] ?? 0) })
    text.each(
      "toll_alarms_total", .counter,
      "Outside calls of an account that cost too much or looked like fraud, by reason.",
      by: "reason", TollAlarm.Reason.allCases.map { ($0.rawValue, tally.tollAlarms[$0] ?? 0) })
  }

  private func recordings(_ text: inout MetricsText) {
    text.single("recordings_active", .gauge, "Calls that are being recorded.", media.recordings)
    text.single(
      "recordings_begun_total", .counter, "Recordings whose file was made.", media.recordingsBegun)
    text.single(
      "recordings_failed_total", .counter,
      "Recordings that could not begin or ended before they should: disk full, write error, notice.",
      media.recordingsFailed)
    text.single(
      "recording_frames_lost_total", .counter,
      "Frames of 20 ms that a recording lacks because the disk was too slow.",
      media.recordingFramesLost)
    text.single(
      "recording_bytes_written_total", .counter, "Bytes written to recordings.",
      media.recordingBytes)
  }

  private func history(_ text: inout MetricsText) {
    text.single(
      "facts_unconfirmed", .gauge, "Facts that are not on disk yet.", shard.unconfirmedFacts)
    text.each(
      "facts_offered_total", .counter, "Facts that a reader was offered.", by: "reader",
      readers.map { ($0.reader, $0.1.offered) })
    text.each(
      "facts_dropped_total", .counter, "Facts that a reader was too slow for.", by: "reader",
      readers.map { ($0.reader, $0.1.dropped) })
    text.single(
      "store_up", .gauge, "Whether the store takes writes.", store.state == .writing ? 1 : 0)
    text.single("store_waiting", .gauge, "Facts that wait for the store.", store.waiting)
    text.single("store_batches_total", .counter, "Groups of facts made durable.", store.batches)
    text.single("store_facts_total", .counter, "Facts made durable.", store.facts)
    text.family("store_write_seconds_total", .counter, "Time spent in making facts durable.")
    text.sample(store.writeSeconds)
    text.family("store_last_write_seconds", .gauge, "How long the last group took to be durable.")
    text.sample(store.lastWriteSeconds)
    text.single("store_failures_total", .counter, "Writes that failed at first.", store.failures)
    text.single(
      "store_left_out_total", .counter, "Refreshes that were left out because too much waited.",
      store.leftOut)
    text.single(
      "store_durable_sequence", .gauge, "The last fact that is on disk.", store.durableUpTo)
    text.single("store_bytes", .gauge, "Size of the store with its log.", storeBytes)
    text.single("log_lines_total", .counter, "Lines that the log took.", logLines)
    text.single(
      "log_lines_dropped_total", .counter, "Lines that the log's reader was too slow for.",
      logDropped)
    text.family("api_requests_total", .counter, "Requests to the local API.")
    for request in requests {
      text.sample(
        request.count,
        ["method": request.method, "route": request.route, "status": String(request.status)])
    }
  }

  private func sorted(_ values: [String: UInt64]) -> [(String, UInt64)] {
    values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// Every known key, also those that never happened: a rate needs a first value.
  private func complete(_ values: [String: UInt64], _ keys: [String]) -> [(String, UInt64)] {
    sorted(values.merging(keys.map { ($0, 0) }) { counted, _ in counted })
  }
}
