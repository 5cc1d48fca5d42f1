import Base
import Operations
import Policy
import Testing

/// What calls may cost, as it stands in documents.
struct TollDocumentTests {
  static let text = """
    tenants:
      - {name: acme, mayCall: [domestic, international], costlyCalls: {maxCalls: 7},
         callsPerMinute: 100, maxCallDuration: 4h}
    networks:
      - {name: inside, listeners: [udp4], media: [media4]}
    trunks:
      - {name: office, kind: pbx, targets: [192.0.2.1], mayCall: [], costlyCalls: {block: true}}
    users:
      - {name: alice, extension: "101", password: one, mayCall: [shared-cost, personal, premium, satellite],
         costlyCalls: {callsPerMinute: 1, minutesPerDay: 2}}
      - {name: bob, extension: "102", password: two, sources: [10.0.0.0/8, "192.0.2.7"]}
    classes:
      - {name: test, prefixes: ["+3716700"], alarm: true}
    """

  private func resources(_ text: String) throws -> Resources {
    try ResourceDocument.parse(text, source: "a.yaml").resources
  }

  @Test func everyKeyIsRead() throws {
    let resources = try resources(Self.text)
    let tenant = resources.tenants[0].toll
    #expect(tenant.mayCall == [.domestic, .international] && tenant.callsPerMinute == 100)
    #expect(tenant.maxCallDuration == .seconds(4 * 3_600))
    #expect(tenant.costlyCalls?.maxCalls == 7)
    #expect(
      tenant.costlyCalls?.minutesPerDay == ResourceDefaults.costlyCallsOfTenant.minutesPerDay)
    var office = ResourceDefaults.costlyCallsOfTrunk
    office.block = true
    #expect(
      resources.trunks[0].toll.mayCall == [] && resources.trunks[0].toll.costlyCalls == office)
    let alice = resources.users[0].toll
    #expect(alice.mayCall == [.sharedCost, .personal, .premium, .satellite])
    #expect(
      alice.costlyCalls == CostlyCalls(maxCalls: 3, callsPerMinute: 1, minutesPerDay: 2))
    #expect(resources.users[1].toll == TollRules())
    #expect(resources.users[1].sources.map(\.prefixLength) == [8, 32])
    #expect(resources.classes[0].alarm)
  }

  @Test func whatIsWrittenReadsBack() throws {
    let resources = try resources(Self.text)
    let node = resources.document(secrets: .written)
    for text in [DocumentWriter.yaml(node), DocumentWriter.json(node)] {
      #expect(try self.resources(text) == resources, "\(text)")
    }
  }

  @Test func mistakesAreToldWithTheirPlace() throws {
    let text = Self.text.replacing("international]", with: "internatonal]")
    do throws(ConfigErrors) {
      _ = try ResourceDocument.parse(text, source: "a.yaml")
      Issue.record("read")
    } catch {
      #expect(error.errors.map(\.path) == ["tenants[0].mayCall[1]"])
      #expect(error.errors.first?.suggestion == "international")
    }
  }
}
