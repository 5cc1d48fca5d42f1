import Base
import CallCore
import Operations
import Policy
import Testing

/// What may be written of strangers: the access lists of networks, and the process's rates and bans.
@Suite struct AdmissionDocumentTests {
  private static let text = """
    tenants: [{name: acme}]
    networks:
      - name: n
        listeners: [udp]
        media: [m]
        access:
          allow: [192.0.2.0/24, "2001:db8::/32"]
          deny: [192.0.2.66]
    """

  @Test func accessListsReadBackAsTheyAreWritten() throws {
    let read = try ResourceDocument.parse(Self.text, source: "a").resources
    let access = try #require(read.networks.first).access
    #expect(access.allow == [IPNetwork("192.0.2.0/24"), IPNetwork("2001:db8::/32")])
    #expect(access.deny == [IPNetwork("192.0.2.66")])
    let written = DocumentWriter.yaml(read.document(secrets: .written))
    #expect(try ResourceDocument.parse(written, source: "b").resources == read)
  }

  @Test func whatIsNoBlockIsSaid() {
    do throws(ConfigErrors) {
      _ = try ResourceDocument.parse(
        Self.text.replacing("192.0.2.66", with: "192.0.2.66/24"), source: "a")
      Issue.record("bits beyond the length were read")
    } catch {
      #expect(error.errors.map(\.path) == ["networks[0].access.deny[0]"])
    }
  }

  @Test func ratesAndBans() throws {
    let settings = try ProcessSettings.read(
      """
      admission:
        sourceRate: 10
        blockRate: 20
        networkRate: 30
        bans: false
        banTime: 1m
        longestBan: 2h
        scanners: [my-scanner]
      """, source: "demarc.yaml", environment: ["DEMARC_ADMISSION_SOURCE_RATE": "11"])
    var wanted = AdmissionLimits()
    wanted.sourceRate = 11
    wanted.blockRate = 20
    wanted.networkRate = 30
    wanted.bansItself = false
    wanted.banTime = .seconds(60)
    wanted.longestBan = .seconds(7_200)
    wanted.scanners = ["my-scanner"]
    #expect(settings.admission == wanted)
    #expect(settings.kernelTable == nil)
  }

  @Test func tableOfBansInTheKernel() throws {
    let settings = try ProcessSettings.read("admission: {kernelTable: demarc-2_b}", source: "a")
    #expect(settings.kernelTable == "demarc-2_b" && settings.admission == AdmissionLimits())
    #expect(ServerSettings(settings).kernelTable == "demarc-2_b")
  }

  @Test(arguments: ["2demarc", "-x", "de marc", "demarc;", String(repeating: "a", count: 32)])
  func whatIsNoNameOfATableIsSaid(name: String) {
    do throws(ConfigErrors) {
      _ = try ProcessSettings.read("admission: {kernelTable: \"\(name)\"}", source: "a")
      Issue.record("`\(name)` was read")
    } catch {
      #expect(error.errors.map(\.path) == ["admission.kernelTable"])
    }
  }
}
