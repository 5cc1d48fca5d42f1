import Base
import Foundation
import MediaControl
import Operations
import Policy
import Testing

/// docs/configuration.md says what the code does: its examples are read, its keys and defaults compared.
struct ConfigurationPageTests {
  private let page: String

  init() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    page = try String(contentsOf: root.appending(path: "docs/configuration.md"), encoding: .utf8)
  }

  private func example(_ title: String) throws -> String {
    let blocks = page.components(separatedBy: "```yaml\n").dropFirst()
    let block = try #require(blocks.first { $0.hasPrefix("# \(title)\n") })
    return block.components(separatedBy: "```")[0]
  }

  @Test func theExamplesWorkTogether() throws {
    let settings = try ProcessSettings.read(try example("demarc.yaml"), source: "demarc.yaml")
    let document = try ResourceDocument.parse(try example("resources"), source: "resources")
    let configuration = try Configuration(
      resources: document.resources, revision: 1,
      listeners: settings.listeners.map { ($0.name, SocketAddress($0.address, $0.port)) },
      media: settings.media.map { ($0.name, $0.bound) })
    #expect(document.sections == Set(ResourceSection.allCases))
    var random = RandomSource(seed: 1)
    let plan = try configuration.resolve(
      called: "441632960100", caller: .trunk(1), tenant: 0, random: &random
    ).get()
    #expect(plan.hops.count == 4)
  }

  /// Each list of known keys that an error shows is on the page.
  @Test func everyKeyIsExplained() throws {
    let sections = ResourceSection.allCases.map { "\($0.rawValue): [{x: 1}]" }
    var errors: [ConfigError] = []
    for text in sections + [
      "numbers: [{destinations: [{x: 1}]}]", "routes: [{carriers: [{x: 1}]}]",
      "trunks: [{probe: {x: 1}}]", "trunks: [{stir: {x: 1}}]",
    ] {
      do throws(ConfigErrors) {
        _ = try ResourceDocument.parse(text, source: "")
      } catch {
        errors += error.errors
      }
    }
    for text in ["x: 1", "listeners: [{x: 1}]", "media: [{x: 1}]"]
      + ["store", "api", "metrics", "log", "limits", "dns", "admission", "stir"].map({
        "\($0): {x: 1}"
      })
    {
      do throws(ConfigErrors) {
        _ = try ProcessSettings.read(text, source: "")
      } catch {
        errors += error.errors
      }
    }
    let lists = errors.map(\.remedy).filter { $0.hasPrefix("Known keys: ") }
    #expect(lists.count >= 16)
    for list in lists {
      for key in list.dropFirst(12).dropLast().components(separatedBy: ", ") {
        let isExplained =
          page.contains("`\(key)`") || page.contains(".\(key)`") || page.contains("`\(key).")
          || page.contains("### \(key)\n")
        #expect(isExplained, "\(key)")
      }
    }
  }

  @Test func theDefaultsAreThoseOfTheCode() {
    let causes = { (causes: [Cause]) in causes.map { "`\($0.name)`" }.joined(separator: ", ") }
    #expect(page.contains("| \(causes(ResourceDefaults.continueOn)) | not among them"))
    #expect(page.contains("| \(causes(ResourceDefaults.failoverOn)) | on which the next"))
    let settings = ProcessSettings()
    #expect(page.contains("| `store.retentionDays` | 0–36500 | \(settings.store.retentionDays) |"))
    #expect(page.contains("| `store.path` | file | `\(settings.store.path)` |"))
    #expect(page.contains("| `api.socket` | path | `\(settings.api.socket)` |"))
    #expect(page.contains("| `limits.calls` | number | \(settings.limits.calls) |"))
    #expect(page.contains("| `limits.transactions` | number | \(settings.limits.transactions) |"))
    #expect(page.contains("| `limits.registrations` | number | \(settings.limits.registrations) |"))
    #expect(
      page.contains("| `limits.unconfirmedFacts` | number | \(settings.limits.unconfirmedFacts) |"))
    #expect(
      page.contains(
        "| `limits.messageMemory` | size, `512MiB` | \(settings.limits.messageMemory >> 20)MiB |"))
    #expect(
      page.contains("| `limits.ladderMemory` | size | \(settings.limits.ladderMemory >> 20)MiB |"))
    #expect(
      page.contains(
        "| `destinations[].timeout` | duration | \(ResourceDefaults.hopTimeout.wholeSeconds)s |"))
    #expect(
      page.contains("| `timeout` | duration | \(ResourceDefaults.carrierTimeout.wholeSeconds)s |"))
    #expect(
      page.contains(
        "| `maxContacts` | 1–\(ResourceLimits.maxContacts) | \(ResourceDefaults.maxContacts) |"))
    #expect(
      page.contains(
        "| `carriers[].weight` | 1–\(ResourceLimits.weight) | \(ResourceDefaults.carrierWeight) |"))
  }
}
