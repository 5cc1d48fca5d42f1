import Base
import Policy
import SIPCore
import SIPWire

// Guesses at the passwords of phones that a PBX keeps. It judges them, and its judgement counts here like our own; a
// challenge to somebody who has shown no credentials yet is none.

extension Shard {
  /// Of a REGISTER that is passed on; nil: it names nobody who could be guessed.
  func guesser(_ message: borrowing Message, tenant: Int, _ arrival: Arrival) -> HashKey? {
    let bytes = message.bytes
    for id in [HeaderID.authorization, .proxyAuthorization] {
      guard let value = message.first(id),
        let username = AuthParams.parse(bytes, value)?.username
      else { continue }
      return guesser(bytes, username, tenant: tenant, arrival)
    }
    return nil
  }

  /// More guesses than are looked at have been made from there; whoever is registered from there may go on. The PBX does
  /// not see it, and who has the right password comes back.
  func guessesTooOften(_ request: PassedRequest) -> Bool {
    guard let guesser = request.guesser, !admission.mayGuess(guesser, at: now),
      !isRegistered(request.registrant.key, at: request.arrival.source.ip)
    else { return false }
    admission.counters.count(.guesses)
    return true
  }

  /// What the PBX says of the credentials: 401, 403 or 407. A nonce of its own that is too old is nobody's guess.
  func passedRefused(_ passed: PassedRegister, _ message: borrowing Message) {
    guard let guesser = passed.request.guesser,
      DigestResponder.choose(message)?.isStale != true
    else { return }
    if noise.take(at: now) {
      tell(
        .authenticationFailed(
          username: passed.request.registrant.key.user, source: passed.request.arrival.source,
          reason: "refused by \(passed.peer.name)"))
    }
    // The nonce is not ours: nothing shows that the address gets what is sent there.
    guessed(guesser, RawSpan(), passed.request.arrival)
  }
}
