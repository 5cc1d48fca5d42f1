import Base
import Glibc
import MediaControl

/// libsrtp2 of the system as a second opinion, found at run time: nothing is linked with it.
///
/// `srtp_policy_t` as of 2.x (include/srtp.h): type and value of the SSRC, the policies of RTP and RTCP of
/// 24 bytes each, and at 56 a pointer to the key; 88: size of the replay window, 0 for its default.
@safe
final class LibSRTP {
  private typealias Plain = @convention(c) () -> Int32
  private typealias SetPolicy = @convention(c) (UnsafeMutableRawPointer) -> Void
  private typealias Create =
    @convention(c) (
      UnsafeMutablePointer<OpaquePointer?>, UnsafeRawPointer
    ) -> Int32
  private typealias Change =
    @convention(c) (OpaquePointer?, UnsafeMutableRawPointer, UnsafeMutablePointer<Int32>) -> Int32
  private typealias Free = @convention(c) (OpaquePointer?) -> Int32

  private static let library: UInt = {
    let handle = unsafe dlopen("libsrtp2.so.1", RTLD_NOW)
    guard let handle = unsafe handle else { return 0 }
    let start = unsafe dlsym(handle, "srtp_init")
    guard let start = unsafe start else { return 0 }
    return unsafe unsafeBitCast(start, to: Plain.self)() == 0 ? UInt(bitPattern: handle) : 0
  }()

  static var isInstalled: Bool { library != 0 }

  private static func symbol(_ name: String) -> UnsafeMutableRawPointer? {
    unsafe dlsym(UnsafeMutableRawPointer(bitPattern: library), name)
  }

  enum Direction: UInt32 { case receives = 2, sends = 3 }

  private var session: OpaquePointer?

  /// Nil when it has not the suite.
  init?(_ key: SRTPKey, _ direction: Direction) {
    let name: (media: String, control: String) =
      switch key.suite {
      case .aesCM128HMAC80: ("rtp_default", "rtp_default")
      case .aesCM128HMAC32: ("aes_cm_128_hmac_sha1_32", "rtp_default")
      case .aesCM256HMAC80: ("aes_cm_256_hmac_sha1_80", "aes_cm_256_hmac_sha1_80")
      case .aesCM256HMAC32: ("aes_cm_256_hmac_sha1_32", "aes_cm_256_hmac_sha1_80")
      case .aeadAES128GCM: ("aes_gcm_128_16_auth", "aes_gcm_128_16_auth")
      case .aeadAES256GCM: ("aes_gcm_256_16_auth", "aes_gcm_256_16_auth")
      }
    let media = unsafe Self.symbol("srtp_crypto_policy_set_" + name.media)
    let control = unsafe Self.symbol("srtp_crypto_policy_set_" + name.control)
    let create = unsafe Self.symbol("srtp_create")
    guard let media = unsafe media, let control = unsafe control, let create = unsafe create else {
      return nil
    }
    var secret = key.secret.exposed
    var policy = [UInt64](repeating: 0, count: 32)
    let status = unsafe policy.withUnsafeMutableBytes { bytes -> Int32 in
      guard let start = bytes.baseAddress else { return -1 }
      unsafe start.storeBytes(of: direction.rawValue, as: UInt32.self)
      unsafe unsafeBitCast(media, to: SetPolicy.self)(start + 8)
      unsafe unsafeBitCast(control, to: SetPolicy.self)(start + 32)
      return unsafe secret.withUnsafeMutableBytes { place in
        unsafe start.storeBytes(
          of: UInt(bitPattern: place.baseAddress), toByteOffset: 56, as: UInt.self)
        return unsafe unsafeBitCast(create, to: Create.self)(&session, start)
      }
    }
    guard status == 0 else { return nil }
  }

  deinit {
    let free = unsafe Self.symbol("srtp_dealloc")
    if let free = unsafe free { _ = unsafe unsafeBitCast(free, to: Free.self)(session) }
  }

  func protect(_ packet: [UInt8]) -> [UInt8]? { run("srtp_protect", packet) }
  func protectControl(_ packet: [UInt8]) -> [UInt8]? { run("srtp_protect_rtcp", packet) }
  func unprotect(_ packet: [UInt8]) -> [UInt8]? { run("srtp_unprotect", packet) }
  func unprotectControl(_ packet: [UInt8]) -> [UInt8]? { run("srtp_unprotect_rtcp", packet) }

  private func run(_ name: String, _ packet: [UInt8]) -> [UInt8]? {
    let change = unsafe Self.symbol(name)
    guard let change = unsafe change else { return nil }
    // It wants whole words and writes up to 144 bytes behind the packet.
    var buffer = [UInt32](repeating: 0, count: packet.count / 4 + 64)
    var length = Int32(packet.count)
    let status = unsafe buffer.withUnsafeMutableBytes { bytes -> Int32 in
      unsafe bytes.copyBytes(from: packet)
      guard let start = bytes.baseAddress else { return -1 }
      return unsafe unsafeBitCast(change, to: Change.self)(session, start, &length)
    }
    guard status == 0 else { return nil }
    return unsafe buffer.withUnsafeBytes { unsafe Array($0[..<Int(length)]) }
  }
}
