import SIPCore
import Testing

/// RFC 3264 in the messages of RFC 3261, 3262 and 3311: each pattern of RFC 6337 §2.2, what breaks it, and what
/// is to be done then. A row is a dialog's messages, in order, and what the last one means.
@Suite struct OfferAnswerTests {
  struct Message: CustomStringConvertible {
    var carrier: OfferAnswer.Carrier
    var party: OfferAnswer.Party
    var has: Bool
    /// The request of this kind was refused, rather than sent.
    var isRefusal = false
    var description: String {
      "\(party) \(carrier)\(has ? "+SDP" : "")\(isRefusal ? " refused" : "")"
    }
  }

  struct Row: CustomTestStringConvertible {
    var name: String
    var messages: [Message]
    var verdict: OfferAnswer.Verdict
    var state: OfferAnswer.State
    var testDescription: String { name }
    init(
      _ name: String, _ messages: [Message], _ verdict: OfferAnswer.Verdict,
      _ state: OfferAnswer.State
    ) {
      self.name = name
      self.messages = messages
      self.verdict = verdict
      self.state = state
    }
  }

  static func us(_ carrier: OfferAnswer.Carrier, _ has: Bool = true) -> Message {
    Message(carrier: carrier, party: .us, has: has)
  }
  static func them(_ carrier: OfferAnswer.Carrier, _ has: Bool = true) -> Message {
    Message(carrier: carrier, party: .them, has: has)
  }
  static func refused(_ carrier: OfferAnswer.Carrier) -> Message {
    Message(carrier: carrier, party: .us, has: false, isRefusal: true)
  }
  static let agreed = [us(.invite), them(.success)]

  static let rows: [Row] = [
    // Pattern 1: offer in INVITE, answer in 2xx.
    Row("1 offer, ours", [us(.invite)], .offer, .open(by: .us, in: .invite)),
    Row("1 offer, theirs", [them(.invite)], .offer, .open(by: .them, in: .invite)),
    Row("1 answer, theirs", agreed, .answer, .idle),
    Row("1 answer, ours", [them(.invite), us(.success)], .answer, .idle),
    Row("1 answer missing", [us(.invite), them(.success, false)], .missing, .idle),
    Row(
      "1 preview in an unreliable 1xx", [us(.invite), them(.provisional)], .preview,
      .open(by: .us, in: .invite)),
    Row(
      "1 preview, then the answer", [us(.invite), them(.provisional), them(.success)], .answer,
      .idle),
    Row(
      "1 preview of ours", [them(.invite), us(.provisional)], .preview,
      .open(by: .them, in: .invite)),
    Row(
      "1 ringing without", [us(.invite), them(.provisional, false)], .nothing,
      .open(by: .us, in: .invite)),
    Row("1 refused", [us(.invite), refused(.invite)], .nothing, .idle),
    Row("1 ACK repeats it", agreed + [us(.ack)], .repetition, .idle),
    // Pattern 2: offer in 2xx, answer in ACK.
    Row("2 asked, ours", [us(.invite, false)], .nothing, .wanted(from: .them)),
    Row("2 asked, theirs", [them(.invite, false)], .nothing, .wanted(from: .us)),
    Row(
      "2 offer, theirs", [us(.invite, false), them(.success)], .offer,
      .open(by: .them, in: .success)),
    Row(
      "2 offer, ours", [them(.invite, false), us(.success)], .offer,
      .open(by: .us, in: .success)),
    Row("2 answer, ours", [us(.invite, false), them(.success), us(.ack)], .answer, .idle),
    Row("2 answer, theirs", [them(.invite, false), us(.success), them(.ack)], .answer, .idle),
    Row(
      "2 answer missing", [them(.invite, false), us(.success), them(.ack, false)], .missing,
      .idle),
    Row("2 offer missing", [us(.invite, false), them(.success, false)], .missing, .idle),
    Row(
      "2 offer in an unreliable 1xx is none", [us(.invite, false), them(.provisional)],
      .repetition, .wanted(from: .them)),
    Row("2 refused", [them(.invite, false), refused(.invite)], .nothing, .idle),
    // Pattern 3: offer in INVITE, answer in a reliable 1xx.
    Row("3 answer, theirs", [us(.invite), them(.reliable)], .answer, .idle),
    Row("3 answer, ours", [them(.invite), us(.reliable)], .answer, .idle),
    Row("3 not the first", [us(.invite), them(.reliable, false), them(.reliable)], .answer, .idle),
    Row("3 PRACK without", [us(.invite), them(.reliable), us(.prack, false)], .nothing, .idle),
    Row(
      "3 the 2xx without", [us(.invite), them(.reliable), them(.success, false)], .nothing,
      .idle),
    Row("3 the 2xx repeats", [us(.invite), them(.reliable), them(.success)], .repetition, .idle),
    Row(
      "3 a later 1xx repeats", [us(.invite), them(.reliable), them(.reliable)], .repetition,
      .idle),
    Row("3 refused afterwards", [us(.invite), them(.reliable), refused(.invite)], .nothing, .idle),
    // Pattern 4: offer in a reliable 1xx, answer in PRACK.
    Row(
      "4 offer, theirs", [us(.invite, false), them(.reliable)], .offer,
      .open(by: .them, in: .reliable)),
    Row(
      "4 offer, ours", [them(.invite, false), us(.reliable)], .offer,
      .open(by: .us, in: .reliable)),
    Row("4 answer, ours", [us(.invite, false), them(.reliable), us(.prack)], .answer, .idle),
    Row("4 answer, theirs", [them(.invite, false), us(.reliable), them(.prack)], .answer, .idle),
    Row(
      "4 answer missing", [them(.invite, false), us(.reliable), them(.prack, false)], .missing,
      .idle),
    Row(
      "4 reliable without the offer", [us(.invite, false), them(.reliable, false)], .nothing,
      .wanted(from: .them)),
    Row(
      "4 the 2xx without",
      [
        us(.invite, false), them(.reliable), us(.prack),
        them(.success, false),
      ], .nothing, .idle),
    Row("4 given up", [them(.invite, false), us(.reliable), refused(.reliable)], .nothing, .idle),
    Row(
      "4 INVITE refused meanwhile", [us(.invite, false), them(.reliable), refused(.invite)],
      .nothing, .idle),
    // Pattern 5: offer in PRACK, answer in its 2xx.
    Row(
      "5 offer, theirs", [them(.invite), us(.reliable), them(.prack)], .offer,
      .open(by: .them, in: .prack)),
    Row(
      "5 answer, ours", [them(.invite), us(.reliable), them(.prack), us(.prackSuccess)], .answer,
      .idle),
    Row(
      "5 answer, theirs", [us(.invite), them(.reliable), us(.prack), them(.prackSuccess)],
      .answer, .idle),
    Row(
      "5 answer missing",
      [
        us(.invite), them(.reliable), us(.prack),
        them(.prackSuccess, false),
      ], .missing, .idle),
    Row("5 refused", [us(.invite), them(.reliable), us(.prack), refused(.prack)], .nothing, .idle),
    Row(
      "5 before any answer", [them(.invite), us(.reliable, false), them(.prack)], .misplaced,
      .open(by: .them, in: .invite)),
    Row(
      "5 where an offer was asked for",
      [
        them(.invite, false), us(.reliable, false),
        them(.prack),
      ], .misplaced, .wanted(from: .us)),
    Row(
      "5 glare with our UPDATE", [them(.invite), us(.reliable), us(.update), them(.prack)],
      .misplaced, .open(by: .us, in: .update)),
    // Pattern 6: offer in UPDATE, answer in its 2xx.
    Row(
      "6 offer, early", [us(.invite), them(.reliable), them(.update)], .offer,
      .open(by: .them, in: .update)),
    Row("6 offer, confirmed", agreed + [us(.update)], .offer, .open(by: .us, in: .update)),
    Row("6 answer, theirs", agreed + [us(.update), them(.updateSuccess)], .answer, .idle),
    Row("6 answer, ours", agreed + [them(.update), us(.updateSuccess)], .answer, .idle),
    Row("6 answer missing", agreed + [us(.update), them(.updateSuccess, false)], .missing, .idle),
    Row("6 refused", agreed + [us(.update), refused(.update)], .nothing, .idle),
    Row("6 without an offer", agreed + [them(.update, false)], .nothing, .idle),
    Row(
      "6 before the INVITE's offer is answered", [them(.invite), them(.update)], .busy,
      .open(by: .them, in: .invite)),
    Row(
      "6 before our INVITE's offer is answered", [us(.invite), them(.update)], .glare,
      .open(by: .us, in: .invite)),
    Row(
      "6 without, meanwhile", [us(.invite), them(.update, false)], .nothing,
      .open(by: .us, in: .invite)),
    Row(
      "6 before an offer was made", [them(.invite, false), them(.update)], .busy,
      .wanted(from: .us)),
    Row(
      "6 before they made theirs", [us(.invite, false), them(.update)], .glare,
      .wanted(from: .them)),
    Row("6 glare", agreed + [us(.update), them(.update)], .glare, .open(by: .us, in: .update)),
    Row("6 twice", agreed + [them(.update), them(.update)], .busy, .open(by: .them, in: .update)),
    Row("6 begins no session", [them(.update)], .misplaced, .idle),
    Row(
      "6 while the 1xx's offer is open", [them(.invite, false), us(.reliable), them(.update)],
      .glare, .open(by: .us, in: .reliable)),
    Row(
      "6 while the PRACK's offer is open",
      [
        us(.invite), them(.reliable), us(.prack),
        them(.update),
      ], .glare, .open(by: .us, in: .prack)),
    Row(
      "6 while the 2xx's offer is open", [them(.invite, false), us(.success), them(.update)],
      .glare, .open(by: .us, in: .success)),
    Row(
      "6 while their 2xx's offer is open", [us(.invite, false), them(.success), them(.update)],
      .busy, .open(by: .them, in: .success)),
    // re-INVITE.
    Row("re-INVITE", agreed + [them(.invite)], .offer, .open(by: .them, in: .invite)),
    Row("re-INVITE answered", agreed + [them(.invite), us(.success)], .answer, .idle),
    Row(
      "re-INVITE without an offer", agreed + [them(.invite, false)], .nothing,
      .wanted(from: .us)),
    Row(
      "re-INVITE refused keeps the session", agreed + [us(.invite), refused(.invite)], .nothing,
      .idle),
    Row(
      "re-INVITE glare", agreed + [us(.invite), them(.invite)], .glare,
      .open(by: .us, in: .invite)),
    Row(
      "re-INVITE twice", agreed + [them(.invite), them(.invite)], .busy,
      .open(by: .them, in: .invite)),
    Row(
      "re-INVITE meets our UPDATE", agreed + [us(.update), them(.invite)], .glare,
      .open(by: .us, in: .update)),
    Row(
      "re-INVITE behind their UPDATE", agreed + [them(.update), them(.invite)], .busy,
      .open(by: .them, in: .update)),
    Row(
      "UPDATE meets our re-INVITE", agreed + [us(.invite), them(.update)], .glare,
      .open(by: .us, in: .invite)),
    Row(
      "UPDATE meets our wish for an offer", agreed + [us(.invite, false), them(.update)], .glare,
      .wanted(from: .them)),
    Row(
      "re-INVITE meets our wish for an offer", agreed + [us(.invite, false), them(.invite)],
      .glare, .wanted(from: .them)),
    Row(
      "re-INVITE behind their wish", agreed + [them(.invite, false), them(.invite)], .busy,
      .wanted(from: .us)),
    // Ours where none may be.
    Row(
      "ours: UPDATE over their offer", [them(.invite), us(.update)], .misplaced,
      .open(by: .them, in: .invite)),
    Row(
      "ours: re-INVITE over our own", agreed + [us(.update), us(.invite)], .misplaced,
      .open(by: .us, in: .update)),
    Row(
      "ours: UPDATE without, at any time", [us(.invite), us(.update, false)], .nothing,
      .open(by: .us, in: .invite)),
  ]

  @Test(arguments: rows) func row(_ row: Row) {
    var machine = OfferAnswer()
    var verdict = OfferAnswer.Verdict.nothing
    for message in row.messages {
      if message.isRefusal {
        machine.refused(message.carrier)
        verdict = .nothing
      } else {
        verdict = machine.handle(
          message.carrier, from: message.party, hasDescription: message.has)
      }
    }
    #expect(verdict == row.verdict, "\(row.messages)")
    #expect(machine.state == row.state, "\(row.messages)")
  }

  /// What is agreed once stays agreed, whatever is refused afterwards.
  @Test func agreementLasts() {
    var machine = OfferAnswer()
    #expect(!machine.isAgreed)
    _ = machine.handle(.invite, from: .us, hasDescription: true)
    machine.refused(.invite)
    #expect(!machine.isAgreed)
    _ = machine.handle(.invite, from: .us, hasDescription: true)
    _ = machine.handle(.success, from: .them, hasDescription: true)
    _ = machine.handle(.update, from: .them, hasDescription: true)
    machine.refused(.update)
    #expect(machine.isAgreed && machine.isIdle)
  }

  /// Whatever comes in whatever order: no trap, and a refusal of everything leads back to rest.
  @Test func anyOrder() {
    var draw: UInt64 = 88_172_645_463_325_252
    for _ in 0..<3_000 {
      var machine = OfferAnswer()
      for _ in 0..<12 {
        draw ^= draw << 13
        draw ^= draw >> 7
        draw ^= draw << 17
        let carrier = OfferAnswer.Carrier.allCases[
          Int(draw % UInt64(OfferAnswer.Carrier.allCases.count))]
        _ = machine.handle(
          carrier, from: draw & 0x100 == 0 ? .us : .them, hasDescription: draw & 0x200 == 0)
      }
      for carrier in OfferAnswer.Carrier.allCases { machine.refused(carrier) }
      #expect(machine.isIdle)
    }
  }
}
