import Base
import CallCore
import MediaControl
import MediaEngine
import Operations
import Testing

struct ConfigurationSettingsTests {
  private func read(
    _ text: String?, _ environment: [String: String] = [:], _ flags: [SettingOverride] = []
  ) throws(ConfigErrors) -> ProcessSettings {
    try ProcessSettings.read(text, source: "demarc.yaml", environment: environment, flags: flags)
  }

  private func errors(_ text: String?, _ environment: [String: String] = [:]) -> [String] {
    do throws(ConfigErrors) {
      _ = try read(text, environment)
      return []
    } catch {
      return error.errors.map(\.description)
    }
  }

  @Test func withoutAFile() throws {
    let settings = try read(nil)
    #expect(settings == ProcessSettings())
    #expect(settings.listeners.map(\.address) == [.loopbackV4])
    #expect(settings.media.map(\.ports) == [20_000...20_499])
    #expect(settings.metrics == nil)
    #expect(try read("") == ProcessSettings())
  }

  @Test func everyKey() throws {
    let settings = try read(
      """
      listeners:
        - {name: v4, transport: udp, address: 192.0.2.1, port: 5080}
        - {name: v6, address: "2001:db8::1"}
      media:
        - {name: m4, address: 192.0.2.1, ports: 30000-30999}
        - {name: m6, address: "2001:db8::1", ports: 30000-30999}
      mediaFastPath: off
      store: {path: /var/lib/demarc/store.db, retentionDays: 0}
      api: {socket: /run/demarc/api.sock}
      metrics: {address: 192.0.2.1, port: 9100}
      log: {level: debug, format: json, personal: true}
      dns: {servers: [192.0.2.53, "127.0.0.1:5353"], timeout: 500ms, hostsFile: /dev/null}
      limits:
        calls: 5
        transactions: 60
        registrations: 7
        messageMemory: 8MiB
        ladderMemory: 9KiB
        unconfirmedFacts: 1000
      """)
    #expect(settings.listeners.count == 2)
    #expect(settings.listeners[0].port == 5080 && settings.listeners[1].port == 5060)
    #expect(settings.listeners[1].address.description == "2001:db8::1")
    #expect(settings.media[1].ports == 30_000...30_999)
    #expect(settings.mediaFastPath == .off)
    #expect(settings.store.path == "/var/lib/demarc/store.db" && settings.store.retentionDays == 0)
    #expect(settings.api.socket == "/run/demarc/api.sock")
    #expect(settings.dns.servers.map(\.description) == ["192.0.2.53:53", "127.0.0.1:5353"])
    #expect(settings.dns.timeout == .milliseconds(500) && settings.dns.hostsFile == "/dev/null")
    #expect(
      errors("dns: {timeout: 60s}") == [
        "demarc.yaml:1:16: `60s` is not a duration from 100ms to 10s. For example: 1s."
      ])
    #expect(settings.metrics?.port == 9_100 && settings.metrics?.address.description == "192.0.2.1")
    #expect(settings.log.level == .debug && settings.log.format == .json && settings.log.personal)
    #expect(settings.limits.shard.sessions == 5 && settings.limits.shard.transactions == 60)
    #expect(settings.limits.shard.bindings == 7 && settings.limits.shard.blockBytes == 8 << 20)
    #expect(settings.limits.shard.traceBytes == 9 << 10)
    #expect(settings.limits.shard.unconfirmedFacts == 1_000)
  }

  @Test func theEnvironmentOverTheFileAndFlagsOverBoth() throws {
    let text = "log: {level: error}\nstore: {path: a.db, retentionDays: 1}\n"
    let environment = [
      "DEMARC_LOG_LEVEL": "debug", "DEMARC_STORE_RETENTION_DAYS": "30", "DEMARC_METRICS_PORT": "1",
      "DEMARC_SOCKET": "x.sock", "DEMARC_CORE": "1", "DEMARC_CONFIG": "x", "PATH": "/bin",
      "DEMARC_PORT_5060_UDP": "tcp://10.0.0.1",
    ]
    let flags = [
      SettingOverride(path: "log.level", value: "warning", origin: "--log-level"),
      SettingOverride(path: "log.format", value: "json", origin: "--log-format"),
    ]
    let settings = try read(text, environment, flags)
    #expect(settings.log.level == .warning && settings.log.format == .json)
    #expect(settings.store.path == "a.db" && settings.store.retentionDays == 30)
    #expect(settings.metrics?.port == 1 && settings.metrics?.address == .loopbackV4)
    #expect(settings.api.socket == "x.sock")
  }

  @Test func theVariablesNames() {
    #expect(ProcessSettings.variable("store.retentionDays") == "DEMARC_STORE_RETENTION_DAYS")
    #expect(ProcessSettings.variable("log.level") == "DEMARC_LOG_LEVEL")
  }

  @Test func mistakes() {
    #expect(
      errors(
        """
        listeners:
          - {name: a, address: 0.0.0.0}
          - {name: b, address: 127.0.0.1, port: 0}
          - {name: a, address: 127.0.0.2}
          - {name: c, address: 127.0.0.2}
        media:
          - {name: m, address: 127.0.0.1, ports: 20999-20000}
          - {name: n, address: 127.0.0.1, ports: 20000-20999}
          - {name: o, address: 127.0.0.1, ports: 20999-21000}
        stor: {}
        log: {level: verbose}
        limits: {calls: 0, ladderMemory: 5MB}
        """) == [
          "demarc.yaml:2:5: a listener needs one address, not 0.0.0.0. "
            + "Write the address under which the peers reach it; one listener for each.",
          "demarc.yaml:3:41: `0` is not a port from 1 to 65535. For example: 5060.",
          "demarc.yaml:4:5: the name `a` is used twice; line 2 has it already. "
            + "Change one of the two.",
          "demarc.yaml:5:5: 127.0.0.2:5060 is the listener `a`'s already. "
            + "Give each listener an address and port of its own.",
          "demarc.yaml:7:42: `20999-20000` is not a range of ports. For example: 20000-20999.",
          "demarc.yaml:9:5: the ports overlap with those of `n` on the same address. "
            + "Give each a range of its own.",
          "demarc.yaml:10:1: unknown key `stor`; did you mean `store`? "
            + "Known keys: listeners, media, mediaFastPath, store, api, metrics, log, limits, dns, "
            + "recordings, dscp, admission, stir.",
          "demarc.yaml:11:14: `verbose` is not a log level. One of: debug, info, warning, error.",
          "demarc.yaml:12:17: `0` is not a whole number from 1 to 1000000. For example: 20000.",
          "demarc.yaml:12:34: `5MB` is not a size. For example: 64MiB.",
        ])
  }

  @Test func mistakesOfTheEnvironment() {
    #expect(
      errors(nil, ["DEMARC_LOG_LEVEL": "loud", "DEMARC_LOG_LEVLE": "info"]).map {
        $0.replacing(#/Known: .*/#, with: "Known: …")
      } == [
        "environment DEMARC_LOG_LEVLE: there is no such setting; "
          + "did you mean `DEMARC_LOG_LEVEL`? Known: …",
        "environment DEMARC_LOG_LEVEL: `loud` is not a log level. "
          + "One of: debug, info, warning, error.",
      ])
  }
}
