import Base
import CallCore
import MediaControl

/// Bugs that a swarm must notice. Each is made afresh for a run, for some remember what they saw.
package enum PlantedBugs {
  package typealias Maker = @Sendable () -> Mutation

  package static let all: [(name: String, make: Maker)] = messages + media + facts

  /// Those that only show where calls are handed on.
  package static let ofTransfers: [(name: String, make: Maker)] = [
    editing("the first NOTIFY says that it is the last", { isNotify($0) && tells($0, 100) }) {
      message, text in
      replace(&text, message.value(.subscriptionState) ?? "-", "terminated;reason=noresource")
    },
    editing("a NOTIFY tells of nothing", { isNotify($0) }) { _, text in
      replace(&text, "SIP/2.0 100 ", "SIP_2.0 100 ")
    },
    editing("a NOTIFY goes to who did not ask", { isNotify($0) }) { message, text in
      replace(&text, message.callID, "x" + message.callID)
    },
  ]

  /// What only swarms with lamps can notice.
  package static let ofLamps: [(name: String, make: Maker)] = [
    editing("a call that is answered rings on", { isNotify($0) }) { _, text in
      // As long as before.
      replace(&text, "<state>confirmed</state>", "<state>early</state>    ")
    },
    editing("a call that is over goes on", { isNotify($0) }) { _, text in
      replace(&text, "<state>terminated</state>", "<state>confirmed</state> ")
    },
    editing("documents are not numbered", { isNotify($0) }) { _, text in
      for digit in 1...9 { replace(&text, " version=\"\(digit)\"", " version=\"0\"") }
    },
    dropping("nobody is told that a lamp is out") {
      isNotify($0) && $0.value(.subscriptionState)?.hasPrefix("terminated") == true
    },
  ]

  /// What only swarms with keys can notice.
  package static let ofKeys: [(name: String, make: Maker)] = [
    (
      "pictures are plain",
      {
        Mutation("pictures are plain") { (command: MediaCommand) in
          guard case .remote(let id, var remote) = command, remote.proto == .rtpAsSent else {
            return [command]
          }
          remote.security = nil
          return [.remote(id, remote)]
        }
      }
    ),
    (
      "pictures have a key of speech",
      {
        var ofSpeech: SRTPKey?
        return Mutation("pictures have a key of speech") { (command: MediaCommand) in
          guard case .remote(let id, var remote) = command, let security = remote.security,
            let sending = security.sending, let receiving = security.receiving
          else { return [command] }
          guard remote.proto == .rtpAsSent, let key = ofSpeech else {
            ofSpeech = sending
            return [command]
          }
          remote.security = MediaSecurity(sending: key, receiving: receiving)
          return [.remote(id, remote)]
        }
      }
    ),
  ]

  private static func isNotify(_ message: AgentMessage) -> Bool {
    message.isRequest && message.method == .notify
  }

  private static func tells(_ message: AgentMessage, _ status: Int) -> Bool {
    message.bodyText.hasPrefix("SIP/2.0 \(status) ")
  }

  // MARK: Editing

  private static func edit(_ message: AgentMessage, _ change: (inout String) -> Void) -> [UInt8] {
    var text = String(decoding: message.bytes, as: UTF8.self)
    change(&text)
    return Array(text.utf8)
  }

  private static func replace(_ text: inout String, _ old: String, _ new: String) {
    if let range = text.firstRange(of: old) { text.replaceSubrange(range, with: new) }
  }

  /// Drops what the condition names.
  private static func dropping(
    _ name: String, _ condition: @escaping @Sendable (AgentMessage) -> Bool
  ) -> (name: String, make: Maker) {
    (name, { Mutation(name) { message, to in condition(message) ? [] : [(message.bytes, to)] } })
  }

  private static func editing(
    _ name: String, _ condition: @escaping @Sendable (AgentMessage) -> Bool,
    _ change: @escaping @Sendable (AgentMessage, inout String) -> Void
  ) -> (name: String, make: Maker) {
    (
      name,
      {
        Mutation(name) { message, to in
          guard condition(message) else { return [(message.bytes, to)] }
          return [(edit(message) { change(message, &$0) }, to)]
        }
      }
    )
  }

  private static func isAnswer(_ message: AgentMessage, _ statuses: ClosedRange<Int>) -> Bool {
    !message.isRequest && message.method == .invite && statuses.contains(message.status)
  }

  // MARK: Messages

  private static let messages: [(name: String, make: Maker)] = [
    dropping("no ACK is sent") { $0.isRequest && $0.method == .ack },
    dropping("no CANCEL is sent") { $0.isRequest && $0.method == .cancel },
    dropping("no BYE is sent") { $0.isRequest && $0.method == .bye },
    dropping("a BYE is not answered") { !$0.isRequest && $0.method == .bye },
    dropping("a CANCEL is not answered") { !$0.isRequest && $0.method == .cancel },
    dropping("a refusal is not sent") { isAnswer($0, 400...699) },
    dropping("ringing is not passed on") { isAnswer($0, 180...199) },
    editing("tags of a BYE are swapped", { $0.isRequest && $0.method == .bye }) { message, text in
      replace(&text, ";tag=\(message.fromTag)", ";tag=SWAP")
      replace(&text, ";tag=\(message.toTag)", ";tag=\(message.fromTag)")
      replace(&text, ";tag=SWAP", ";tag=\(message.toTag)")
    },
    editing("a 200 has no To tag", { isAnswer($0, 200...200) }) { message, text in
      replace(&text, ";tag=\(message.toTag)", "")
    },
    editing("a 200 has another From tag", { isAnswer($0, 200...200) }) { message, text in
      replace(&text, ";tag=\(message.fromTag)", ";tag=other")
    },
    editing("CSeq starts again", { $0.isRequest && $0.method == .bye }) { message, text in
      replace(&text, "CSeq: \(message.cseq) ", "CSeq: 0 ")
    },
    editing("Content-Length is one too small", { $0.hasBody }) { message, text in
      replace(
        &text, "Content-Length: \(message.body.count)", "Content-Length: \(message.body.count - 1)")
    },
    editing("a line ends in LF alone", { isAnswer($0, 180...180) }) { _, text in
      replace(&text, "\r\n", "\n")
    },
    editing("a header of the other side passes", { $0.isRequest && $0.method == .invite }) {
      _, text in
      replace(&text, "\r\n", "\r\nX-Inside: zqcanary000\r\n")
    },
    editing("Max-Forwards does not fall", { $0.isRequest && $0.method == .invite }) {
      message, text in
      replace(&text, "Max-Forwards: \(message.value(.maxForwards) ?? "")", "Max-Forwards: 70")
    },
    editing("SDP names another port", { isAnswer($0, 200...200) && $0.hasBody }) { _, text in
      replace(&text, "m=audio 3", "m=audio 4")
    },
    editing("a second stream in SDP", { isAnswer($0, 200...200) && $0.hasBody }) { message, text in
      replace(
        &text, "Content-Length: \(message.body.count)", "Content-Length: \(message.body.count + 27)"
      )
      text += "m=audio 30000 RTP/AVP 0 8\r\n"
    },
    editing("a refusal says another code", { isAnswer($0, 408...699) }) { message, text in
      replace(&text, "SIP/2.0 \(message.status)", "SIP/2.0 499")
    },
    (
      "a refusal follows the 200",
      {
        Mutation("a refusal follows the 200") { message, to in
          guard isAnswer(message, 200...200) else { return [(message.bytes, to)] }
          return [
            (message.bytes, to), (edit(message) { replace(&$0, "SIP/2.0 200", "SIP/2.0 486") }, to),
          ]
        }
      }
    ),
    (
      "each answer is sent twice",
      {
        Mutation("each answer is sent twice") { message, to in
          let once = (message.bytes, to)
          return isAnswer(message, 200...200) ? [once, once] : [once]
        }
      }
    ),
    ("a 200 is sent only once", { onlyOnce() }),
    ("a 200 comes again after its ACK", { afterAck() }),
    (
      "a message goes to a stranger",
      {
        Mutation("a message goes to a stranger") { message, to in
          var other = to
          if message.isRequest, message.method == .bye { other.port &+= 7 }
          return [(message.bytes, other)]
        }
      }
    ),
  ]

  /// Of each 2xx the first copy passes.
  private static func onlyOnce() -> Mutation {
    var seen: Set<String> = []
    return Mutation("a 200 is sent only once") { message, to in
      guard isAnswer(message, 200...200) else { return [(message.bytes, to)] }
      return seen.insert(message.branch).inserted ? [(message.bytes, to)] : []
    }
  }

  private static func afterAck() -> Mutation {
    var answers: [String: [UInt8]] = [:]
    return Mutation("a 200 comes again after its ACK") { message, to in
      if isAnswer(message, 200...200) { answers[message.callID] = message.bytes }
      guard message.method == .bye, let old = answers.removeValue(forKey: message.callID) else {
        return [(message.bytes, to)]
      }
      return [(message.bytes, to), (old, to)]
    }
  }

  // MARK: Media

  private static let media: [(name: String, make: Maker)] = [
    (
      "ports are never closed",
      { Mutation("ports are never closed", command: { isClose($0) ? [] : [$0] }) }
    ),
    (
      "ports are closed twice",
      { Mutation("ports are closed twice", command: { isClose($0) ? [$0, $0] : [$0] }) }
    ),
    (
      "ports are not opened",
      {
        Mutation(
          "ports are not opened",
          command: {
            if case .open = $0 { return [] }
            return [$0]
          })
      }
    ),
    (
      "media goes to a stranger",
      {
        Mutation(
          "media goes to a stranger",
          command: { command in
            guard case .remote(let id, var remote) = command else { return [command] }
            remote.rtp.port ^= 1
            return [.remote(id, remote)]
          })
      }
    ),
  ]

  private static func isClose(_ command: MediaCommand) -> Bool {
    if case .close = command { return true }
    return false
  }

  // MARK: Facts

  private static func altering(
    _ name: String, _ change: @escaping @Sendable (inout CallRecord) -> Void
  ) -> (name: String, make: Maker) {
    (
      name,
      {
        Mutation(
          name,
          fact: { fact in
            guard case .callEnded(var record) = fact.event else { return [fact] }
            change(&record)
            var changed = fact
            changed.event = .callEnded(record)
            return [changed]
          })
      }
    )
  }

  private static let facts: [(name: String, make: Maker)] = [
    altering("the answer is noted late") { $0.answer = $0.answer.map { $0 + .seconds(1) } },
    altering("the end is before the answer") {
      $0.end = $0.answer.map { $0 + .seconds(-1) } ?? $0.end
    },
    altering("the record says another status") { $0.status += 1 },
    altering("the record has no cause") { $0.cause = nil },
    (
      "records are lost",
      {
        Mutation(
          "records are lost",
          fact: { fact in
            if case .callEnded = fact.event { return [] }
            return [fact]
          })
      }
    ),
    (
      "records come twice",
      {
        Mutation(
          "records come twice",
          fact: { fact in
            if case .callEnded = fact.event { return [fact, fact] }
            return [fact]
          })
      }
    ),
    (
      "the INVITE does not wait for the record",
      {
        var mutation = Mutation("the INVITE does not wait for the record")
        mutation.confirmsEarly = true
        return mutation
      }
    ),
  ]
}
