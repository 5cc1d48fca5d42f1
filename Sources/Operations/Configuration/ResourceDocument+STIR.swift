import Base
import Policy
import SIPWire

// Whether a trunk's calls are signed and verified, read and written.

extension ResourceReader {
  mutating func stir(_ parent: DocumentFields) -> TrunkSTIR {
    var stir = TrunkSTIR()
    let keys = ["sign", "certificate", "attestation", "verify", "pass", "verstat"]
    guard let fields = reader.group(parent, "stir", keys: keys) else { return stir }
    stir.sign ?= reader.optional(fields, "sign", .flag)
    stir.certificate = reader.optional(
      fields, "certificate", .text("a certificate's name", example: "provider"))
    stir.attestation ?= reader.optional(fields, "attestation", .choice("an attestation"))
    stir.verify ?= reader.optional(fields, "verify", .choice("what unverified calls may do"))
    stir.pass ?= reader.optional(fields, "pass", .flag)
    stir.verstat ?= reader.optional(fields, "verstat", .flag)
    return stir
  }
}

extension TrunkSTIR {
  /// The same, to be written; nil: it says nothing.
  var document: DocumentNode? {
    guard self != TrunkSTIR() else { return nil }
    return .group([
      ("sign", .bare(sign)), ("certificate", certificate.map { .text($0) }),
      ("attestation", .text(attestation.rawValue)), ("verify", .text(verify.rawValue)),
      ("pass", .bare(pass)), ("verstat", .bare(verstat)),
    ])
  }
}
