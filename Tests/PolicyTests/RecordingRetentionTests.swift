import Policy
import Testing

/// How long recordings are kept, of the process and of tenants.
@Suite struct RecordingRetentionTests {
  private func tenant(_ name: String, _ days: Int?) -> Tenant {
    var tenant = Tenant(name: name)
    tenant.recordingRetentionDays = days
    return tenant
  }

  @Test func theShorterOfTheTwo() {
    let retention = RecordingRetention(
      days: 90, tenants: [tenant("a", 30), tenant("b", 400), tenant("c", nil)])
    #expect(retention.days(of: "a") == 30 && retention.days(of: "b") == 90)
    #expect(retention.days(of: "c") == 90 && retention.days(of: nil) == 90)
    #expect(retention.shortest == 30 && retention.differs)
  }

  @Test func forEver() {
    let some = RecordingRetention(days: 0, tenants: [tenant("a", 30), tenant("b", nil)])
    #expect(some.days(of: "a") == 30 && some.days(of: "b") == nil && some.days(of: nil) == nil)
    #expect(some.shortest == 30)
    let none = RecordingRetention(days: 0, tenants: [tenant("b", nil)])
    #expect(none.shortest == nil && !none.differs && none.days(of: "b") == nil)
    #expect(RecordingRetention(days: 7, tenants: []).shortest == 7)
  }
}
