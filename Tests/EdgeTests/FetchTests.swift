import Base
import Edge
import Foundation
import Testing

/// What may be fetched, from where, and how much of it (RELIABILITY K2).
@Suite struct FetchTests {
  @Test func addresses() throws {
    let address = try #require(HTTPSAddress("HTTPS://Certs.Example.com:8443/a/b.pem?x=1#y"))
    #expect(address.host == "certs.example.com" && address.port == 8_443)
    #expect(address.path == "/a/b.pem?x=1" && address.authority == "certs.example.com:8443")
    #expect(HTTPSAddress("https://a.example")?.path == "/")
    #expect(HTTPSAddress("https://a.example?x")?.path == "/?x")
    let six = try #require(HTTPSAddress("https://[2001:db8::1]:444/p"))
    #expect(six.host == "2001:db8::1" && six.port == 444 && six.authority == "[2001:db8::1]:444")
  }

  @Test(arguments: [
    "", "https://", "http://a.example/", "ftp://a.example/", "//a.example/", "https:///p",
    "https://user@a.example/", "https://a.example:0/", "https://a.example:65536/",
    "https://a.example:x/", "https://a.example:/", "https://[::1/", "https://[x]/",
    "https://[::1]x/",
    "https://a.example/a b", "https://a.example/\r\nX: 1", "https://a.example\\b/",
    "https://ä.example/",
    "https://a_b.example/",
  ])
  func whatIsNone(text: String) {
    #expect(HTTPSAddress(text) == nil, "\(text)")
  }

  @Test func responses() throws {
    func read(_ text: String) -> HTTPResponse? { HTTPResponse(Array(text.utf8)) }
    let plain = try #require(
      read(
        "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=300\r\nContent-Length: 3\r\n\r\nabcdef"))
    #expect(plain.status == 200 && plain.body == Array("abc".utf8) && plain.maxAge == 300)
    #expect(read("HTTP/1.0 404\r\n\r\n")?.status == 404)
    #expect(read("HTTP/1.0 200 ok\r\n\r\nall")?.body == Array("all".utf8))
    #expect(read("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=5, no-cache\r\n\r\n")?.maxAge == 0)
    #expect(read("HTTP/1.1 200 OK\r\nCache-Control: max-age=x\r\n\r\n")?.maxAge == nil)
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    #expect(read(chunked + "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")?.body.count == 13)
    for broken in [
      "", "3\r\nab", "3\r\nabc\r\n", "x\r\n", "fffffff\r\n", "ffffff\r\nabc\r\n0\r\n\r\n",
    ] {
      #expect(read(chunked + broken) == nil, "\(broken)")
    }
    for broken in [
      "", "HTTP/1.1 200 OK\r\n", "SIP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    ] { #expect(read(broken) == nil, "\(broken)") }
  }

  /// Whoever signs a call chooses the URL: it must not lead into networks that he cannot reach himself.
  @Test func privateNetworksAreNobodysToAskFor() throws {
    var settings = FetchSettings()
    settings.privateHosts = ["inside.example"]
    let fetch = try CertificateFetch(settings)
    for text in [
      "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
      "0.0.0.0",
      "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fd00::1",
      "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::1",
    ] {
      let ip = try #require(IPAddress(text))
      #expect(!fetch.mayReach(ip, of: "outside.example"), "\(text)")
      #expect(fetch.mayReach(ip, of: "inside.example"), "\(text)")
    }
    for text in ["8.8.8.8", "192.0.2.1", "2001:db8::1", "2a00:1450::1"] {
      #expect(fetch.mayReach(try #require(IPAddress(text)), of: "outside.example"), "\(text)")
    }
    #expect(throws: FetchFailure.self) { try fetch.fetch("https://127.0.0.1:1/p") }
    #expect(throws: FetchFailure.self) { try fetch.fetch("https://localhost:1/p") }
  }

  @Test func onlyHostsOfTheList() throws {
    var settings = FetchSettings()
    settings.hosts = ["certs.example"]
    let fetch = try CertificateFetch(settings)
    do throws(FetchFailure) {
      _ = try fetch.fetch("https://other.example/p")
      Issue.record("fetched")
    } catch {
      #expect(error.reason == "host other.example is not among those allowed")
    }
  }

  /// Nobody answers: time is over when it is over.
  @Test func aSilentServerIsGivenUp() throws {
    let silent = try #require(SilentServer())
    var settings = FetchSettings()
    settings.privateHosts = ["127.0.0.1"]
    settings.timeout = .milliseconds(300)
    let fetch = try CertificateFetch(settings)
    let start = ContinuousClock.now
    #expect(throws: FetchFailure.self) { try fetch.fetch("https://127.0.0.1:\(silent.port)/p") }
    let time = ContinuousClock.now - start
    #expect(time >= .milliseconds(290) && time < .seconds(5))
  }
}

/// Listens, and never says a word.
private final class SilentServer {
  let descriptor: Int32
  let port: UInt16

  init?() {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        unsafe bind(fd, name, length) == 0 && listen(fd, 4) == 0
          && getsockname(fd, name, &length) == 0
      }
    }
    guard fd >= 0, bound else { return nil }
    descriptor = fd
    port = UInt16(bigEndian: address.sin_port)
  }

  deinit { close(descriptor) }
}
