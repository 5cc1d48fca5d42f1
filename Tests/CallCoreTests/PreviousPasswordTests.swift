import Base
import CallCore
import Policy
import Simulation
import Testing

/// A password that was changed is good beside the new one for a while (CAPABILITIES SEC-8).
@Suite struct PreviousPasswordTests {
  private let phone = Scene.address(192, 0, 2, 70)

  /// The bed's clock says 1.7e12 ms since 1970 at its start.
  private func bed(until seconds: Int64) throws -> BorderBed {
    try BorderBed { _, resources in
      resources.users[0].previous = PreviousPassword(
        password: "old-alice", until: 1_700_000_000_000 + seconds * 1_000)
    }
  }

  private func uses(_ bed: BorderBed) -> [String] {
    bed.facts.compactMap {
      if case .previousPasswordUsed(_, let account, _) = $0.event { return account }
      return nil
    }
  }

  @Test func bothAreGoodUntilItsTimeIsOver() throws {
    let bed = try bed(until: 100)
    #expect(bed.register("alice", password: "secret-alice", from: phone) == 200)
    #expect(uses(bed).isEmpty && bed.counters.previousPasswords == 0)
    #expect(bed.register("alice", password: "old-alice", from: phone) == 200)
    #expect(uses(bed) == ["user:alice"] && bed.counters.previousPasswords == 1)
    #expect(bed.register("alice", password: "older-alice", from: phone) == 401)
    // Nobody else's.
    #expect(bed.register("bob", password: "old-alice", from: phone) == 401)
    bed.pass(.seconds(101))
    #expect(bed.register("alice", password: "old-alice", from: phone) == 401)
    #expect(bed.register("alice", password: "secret-alice", from: phone) == 200)
    #expect(bed.counters.previousPasswords == 1)
  }

  /// A guess is one guess, however many passwords it was compared with.
  @Test func guessesAreNotCountedTwice() throws {
    let bed = try bed(until: 100)
    var asked = 0
    while bed.bans.isEmpty, asked < 30 {
      bed.register("alice", password: "guess-\(asked)", from: BorderBed.scanner)
      asked += 1
    }
    #expect(asked == 9)
  }

  @Test func itIsShownNowhere() throws {
    let previous = PreviousPassword(password: "old-alice", until: 5)
    var user = User(
      name: "a", tenant: "t", network: "n", extension: "1", password: "new-alice")
    user.previous = previous
    for value in [previous as Any, user, Optional(previous) as Any] {
      var text = "\(value) \(String(reflecting: value))"
      dump(value, to: &text)
      #expect(!text.contains("old-alice") && !text.contains("new-alice"))
    }
  }
}
