import Policy
package import Foundation

/// Trunks, registrations and the server itself, for people.
package enum StateViews {
  /// The registration has a column where a trunk has one.
  package static func trunks(_ trunks: [TrunkStateResource]) -> Table {
    let registers = trunks.contains { $0.registration != nil }
    return Table(
      [
        TableColumn("TRUNK", shrinksTo: 10), TableColumn("TENANT", shrinksTo: 8),
        TableColumn("KIND"), TableColumn("NETWORK", shrinksTo: 8),
        TableColumn("TARGETS", shrinksTo: 12), TableColumn("CALLS", .right),
        TableColumn("LIMIT", .right), TableColumn("CPS", .right), TableColumn("ATTEMPTS", .right),
        TableColumn("REFUSED", .right), TableColumn("STATE"),
      ] + (registers ? [TableColumn("REGISTRATION")] : []),
      rows: trunks.map { trunk in
        [
          TableCell(trunk.name), TableCell(trunk.tenant), TableCell(trunk.kind),
          TableCell(trunk.network), TableCell(reach(trunk)),
          TableCell(String(trunk.calls)), TableCell(trunk.maxCalls.map { String($0) } ?? "–"),
          TableCell(trunk.callsPerSecond.map { String($0) } ?? "–"),
          TableCell(String(trunk.attempts)),
          TableCell(String(trunk.refusedByLimit), trunk.refusedByLimit > 0 ? .warning : .plain),
          trunk.usable ? TableCell("usable", .good) : TableCell("unusable", .bad),
          registration(trunk.registration),
        ]
      })
  }

  /// The targets, and what leads there where it is not UDP.
  private static func reach(_ trunk: TrunkStateResource) -> String {
    ((trunk.transport == "udp" ? [] : [trunk.transport]) + trunk.targets).joined(separator: " ")
  }

  private static func preference(_ q: Double) -> String {
    let thousandths = Int((q * 1_000).rounded())
    return thousandths % 100 == 0
      ? "\(thousandths / 1_000).\(thousandths % 1_000 / 100)" : "\(q)"
  }

  private static func registration(_ state: String?) -> TableCell {
    guard let state else { return TableCell("–") }
    return TableCell(state, state == "registered" ? .good : state == "failed" ? .bad : .warning)
  }

  package static func upstream(_ registrations: [UpstreamRegistrationResource]) -> Table {
    Table(
      [
        TableColumn("TRUNK", shrinksTo: 8), TableColumn("TENANT", shrinksTo: 6),
        TableColumn("ADDRESS OF RECORD", shrinksTo: 12), TableColumn("REGISTRAR", shrinksTo: 10),
        TableColumn("STATE"), TableColumn("EXPIRES IN", .right), TableColumn("NEXT IN", .right),
        TableColumn("REASON", shrinksTo: 12),
      ],
      rows: registrations.map { one in
        [
          TableCell(one.trunk), TableCell(one.tenant), TableCell(one.addressOfRecord),
          TableCell(one.address ?? one.registrar), registration(one.state),
          TableCell(one.expiresInSeconds.map { HumanTime.span(Double($0)) } ?? "–"),
          TableCell(one.nextInSeconds.map { HumanTime.span(Double($0)) } ?? "–"),
          TableCell(one.reason ?? "", one.registered ? .faint : .warning),
        ]
      })
  }

  /// Each address of each trunk, as it does now.
  package static func targets(_ trunks: [TrunkStateResource]) -> Table {
    Table(
      [
        TableColumn("TRUNK", shrinksTo: 10), TableColumn("ADDRESS"),
        TableColumn("FROM", shrinksTo: 10), TableColumn("STATE"), TableColumn("FOR", .right),
        TableColumn("WHY"), TableColumn("SHARE", .right), TableColumn("ROUND TRIP", .right),
        TableColumn("NEXT PROBE", .right), TableColumn("PROBES", .right),
        TableColumn("FAILED", .right),
      ],
      rows: trunks.flatMap { trunk in
        trunk.addresses.map { target in
          [
            TableCell(trunk.name), TableCell(target.address),
            target.name == target.address ? TableCell("–") : TableCell(target.name),
            TableCell(target.state, tone(target.state)),
            TableCell(HumanTime.span(Double(target.sinceSeconds))), TableCell(target.reason),
            TableCell("\(target.sharePercent) %"),
            TableCell(target.roundTripMilliseconds.map { "\($0) ms" } ?? "–"),
            TableCell(target.nextProbeInSeconds.map { HumanTime.span($0) } ?? "–"),
            TableCell(String(target.probes)), TableCell(String(target.probesFailed)),
          ]
        }
      })
  }

  private static func tone(_ state: String) -> Tone {
    switch state {
    case "usable": .good
    case "down": .bad
    default: .warning
    }
  }

  /// What it is and its preference have a column where they are not those of any phone.
  package static func registrations(_ registrations: [RegistrationResource]) -> Table {
    let kinds = registrations.contains { $0.kind != "user" }
    let preferences = registrations.contains { $0.q != 1 }
    return Table(
      [
        TableColumn("USER", shrinksTo: 6), TableColumn("TENANT", shrinksTo: 6),
        TableColumn("CONTACT", shrinksTo: 12), TableColumn("SOURCE"),
        TableColumn("VIA"), TableColumn("LISTENER", shrinksTo: 4),
        TableColumn("EXPIRES IN", .right),
        TableColumn("USER AGENT", shrinksTo: 8),
      ] + (kinds ? [TableColumn("KIND")] : []) + (preferences ? [TableColumn("Q", .right)] : []),
      rows: registrations.map { binding in
        let kind =
          binding.passedTo.map { "phone of \($0)" }
          ?? (binding.numberBlock ? "number block" : binding.kind)
        return [
          TableCell(binding.user), TableCell(binding.tenant), TableCell(binding.contact),
          TableCell(binding.source), TableCell(binding.transport), TableCell(binding.listener),
          TableCell(HumanTime.span(Double(binding.expiresInSeconds))),
          TableCell(binding.userAgent, .faint),
        ] + (kinds ? [TableCell(kind)] : [])
          + (preferences ? [TableCell(preference(binding.q))] : [])
      })
  }

  package static func numbers(_ numbers: [NumberResource]) -> Table {
    Table(
      [
        TableColumn("NUMBER"), TableColumn("TENANT", shrinksTo: 6), TableColumn("STATE"),
        TableColumn("LEADS TO", shrinksTo: 12),
      ],
      rows: numbers.map { number in
        [TableCell(number.number), TableCell(number.tenant), state(number)]
          + [TableCell(number.leadsTo.joined(separator: ", then "))]
      })
  }

  package static func history(_ events: [NumberEventResource]) -> Table {
    Table(
      [
        TableColumn("REVISION", .right), TableColumn("SINCE"), TableColumn("TENANT", shrinksTo: 6),
        TableColumn("STATE"), TableColumn("LEADS TO", shrinksTo: 12),
      ],
      rows: events.map { event in
        let number = event.became
        return [
          TableCell(String(event.revision)), TableCell(event.at), TableCell(number?.tenant ?? ""),
          number.map(state) ?? TableCell("removed", .warning),
          TableCell(number?.leadsTo.joined(separator: ", then ") ?? ""),
        ]
      })
  }

  private static func state(_ number: NumberResource) -> TableCell {
    switch NumberState(rawValue: number.state) {
    case .assigned: TableCell(number.state, .good)
    case .suspended: TableCell(number.state, .warning)
    case .available, nil: TableCell(number.state)
    }
  }

  package static func listeners(_ listeners: [ReloadResource.Listener]) -> Table {
    Table(
      [
        TableColumn("LISTENER", shrinksTo: 6), TableColumn("TRANSPORT"), TableColumn("ADDRESS"),
        TableColumn("CHANGE"),
      ],
      rows: listeners.map { listener in
        [
          TableCell(listener.name), TableCell(listener.transport), TableCell(listener.address),
          TableCell(
            listener.change.rawValue,
            listener.change == .leaving ? .warning : listener.change == .unchanged ? .plain : .good),
        ]
      })
  }

  package static func subscriptions(_ subscriptions: [SubscriptionResource]) -> Table {
    Table(
      [
        TableColumn("WATCHER", shrinksTo: 6), TableColumn("EVENT"),
        TableColumn("OF", shrinksTo: 6), TableColumn("TENANT", shrinksTo: 6),
        TableColumn("SEES"), TableColumn("SOURCE"), TableColumn("LISTENER", shrinksTo: 4),
        TableColumn("EXPIRES IN", .right), TableColumn("NOTIFIES", .right),
      ],
      rows: subscriptions.map { one in
        [
          TableCell(one.watcher), TableCell(one.event), TableCell(one.user),
          TableCell(one.tenant),
          TableCell(one.event == "dialog" ? one.seesCalls ? "calls" : "state" : "–"),
          TableCell(one.source), TableCell(one.listener),
          TableCell(HumanTime.span(Double(one.expiresInSeconds))),
          TableCell(String(one.notifies)),
        ]
      })
  }

  package static func bans(_ bans: [BanResource]) -> Table {
    Table(
      [
        TableColumn("NETWORK"), TableColumn("REASON"), TableColumn("EVIDENCE", shrinksTo: 12),
        TableColumn("SINCE"), TableColumn("ENDS IN", .right), TableColumn("HITS", .right),
        TableColumn("BEFORE", .right),
      ],
      rows: bans.map { ban in
        [
          TableCell(ban.network), TableCell(ban.reason), TableCell(ban.evidence),
          TableCell(HumanTime.local(ban.since)),
          TableCell(HumanTime.span(Double(ban.endsInSeconds))), TableCell(String(ban.hits)),
          TableCell(String(ban.before)),
        ]
      })
  }

  package static func mailboxes(_ mailboxes: [MailboxResource]) -> Table {
    Table(
      [
        TableColumn("USER", shrinksTo: 6), TableColumn("TENANT", shrinksTo: 6),
        TableColumn("NEW", .right), TableColumn("OLD", .right), TableColumn("URGENT", .right),
      ],
      rows: mailboxes.map { one in
        [
          TableCell(one.user), TableCell(one.tenant),
          TableCell(String(one.new), one.new > 0 ? .warning : .plain), TableCell(String(one.old)),
          TableCell("\(one.newUrgent)/\(one.oldUrgent)"),
        ]
      })
  }

  package static func toll(_ accounts: [TollAccountResource]) -> Table {
    Table(
      [
        TableColumn("ACCOUNT", shrinksTo: 6), TableColumn("TENANT", shrinksTo: 6),
        TableColumn("STATE"), TableColumn("ALARMS", .right), TableColumn("LAST"),
        TableColumn("AT"),
      ],
      rows: accounts.map { one in
        [
          TableCell(one.account), TableCell(one.tenant),
          TableCell(one.blocked ? "blocked" : "open", one.blocked ? .bad : .plain),
          TableCell(String(one.alarms)), TableCell(one.lastReason), TableCell(one.lastAlarm),
        ]
      })
  }

  package static func certificates(_ certificates: [CertificateResource]) -> Table {
    Table(
      [
        TableColumn("LISTENER", shrinksTo: 6), TableColumn("FOR", shrinksTo: 12),
        TableColumn("EXPIRES"), TableColumn("IN DAYS", .right),
      ],
      rows: certificates.map { certificate in
        [
          TableCell(certificate.listener),
          TableCell(certificate.serverName.isEmpty ? "any name" : certificate.serverName),
          TableCell(certificate.expires),
          TableCell(
            String(certificate.expiresInDays),
            certificate.expiresInDays < 0 ? .bad : certificate.expiresInDays < 14 ? .warning : .good
          ),
        ]
      })
  }

  package static func status(_ status: StatusResource, zone: TimeZone = .current) -> Sheet {
    var sheet = Sheet()
    sheet.add("state", TableCell(status.state, status.state == "running" ? .good : .warning))
    sheet.add("version", status.version)
    sheet.add("process", String(status.processId))
    sheet.add("started", HumanTime.local(status.started, zone: zone))
    sheet.add("up for", HumanTime.span(status.uptimeSeconds))
    sheet.add("resources", "revision \(status.revision)")
    for listener in status.listeners {
      sheet.add(
        "listener \(listener.name)",
        [
          listener.transport, listener.address,
          listener.leaving == true ? "(leaving: closes after its last call)" : nil,
        ]
        .compactMap { $0 }.joined(separator: " "))
    }
    for media in status.media { sheet.add("media \(media.name)", media.address) }
    sheet.add("socket", status.socket)
    sheet.add("store", status.store)
    sheet.add("metrics", status.metrics)
    sheet.add("calls", "\(status.activeCalls) now, \(status.callsAttempted) in all")
    sheet.add("registrations", String(status.registrations))
    sheet.add("media ports", "\(status.mediaPortsFree) free")
    if let overload = status.overload {
      sheet.add("overload", TableCell(text(overload), .bad))
    }
    if status.unconfirmedFacts > 0 {
      sheet.add("not on disk yet", "\(status.unconfirmedFacts) facts")
    }
    return sheet
  }
}

extension StateViews {
  private static func text(_ overload: OverloadResource) -> String {
    let wait = Int(overload.waitMilliseconds.rounded())
    let strangers = Int(overload.refusedStrangersPercent.rounded())
    let known = Int(overload.refusedKnownPercent.rounded())
    return "messages wait \(wait) ms; \(strangers) % of strangers' new calls are refused, "
      + "\(known) % of users' and trunks'"
  }
}

/// What is refused, as lines on standard error.
package enum FailureView {
  /// `file` stands before line and column, as compilers write it.
  package static func text(
    _ failure: APIFailure, file: String? = nil, on terminal: Terminal
  ) -> String {
    var text = ""
    for problem in failure.problems {
      let place = [file, problem.line.map { String($0) }, problem.column.map { String($0) }]
        .compactMap { $0 }.joined(separator: ":")
      text += lines(
        place: place, problem.message, problem.suggestion, problem.remedy, on: terminal)
    }
    let message = terminal.toned("error: ", .bad) + Table.clean(failure.message)
    return text + "\(message). \(Table.clean(failure.remedy))\n"
  }

  package static func text(_ errors: ConfigErrors, on terminal: Terminal) -> String {
    var text = ""
    for error in errors.errors {
      let place = error.line > 0 ? "\(error.source):\(error.line):\(error.column)" : error.source
      text += lines(place: place, error.message, error.suggestion, error.remedy, on: terminal)
    }
    let count = errors.errors.count
    return text + terminal.toned("error: ", .bad)
      + (count == 1 ? "there is 1 problem.\n" : "there are \(count) problems.\n")
  }

  /// `file:3:5: what is wrong; did you mean …?`, and under it what to do.
  private static func lines(
    place: String, _ message: String, _ suggestion: String?, _ remedy: String,
    on terminal: Terminal
  ) -> String {
    let meant = suggestion.map { "; did you mean `\($0)`?" } ?? ""
    let start = place.isEmpty ? "" : terminal.toned("\(Table.clean(place)): ", .heading)
    return start + Table.clean(message + meant) + "\n"
      + terminal.toned("    " + Table.clean(remedy), .faint) + "\n"
  }
}
