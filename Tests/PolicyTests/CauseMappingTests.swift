import Policy
import Testing

/// RFC 3398's two tables, whole.
@Suite struct CauseMappingTests {
  @Test(
    "§7.2.4.1",
    arguments: [
      (1, 404), (2, 404), (3, 404), (17, 486), (18, 408), (19, 480), (20, 480), (21, 403),
      (22, 410),
      (23, 410), (26, 404), (27, 502), (28, 484), (29, 501), (31, 480), (34, 503), (38, 503),
      (41, 503), (42, 503), (47, 503), (55, 403), (57, 403), (58, 503), (65, 488), (70, 488),
      (79, 501), (87, 403), (88, 503), (102, 504), (111, 500), (127, 500), (99, 500), (0, 500),
      (-1, 500),
    ])
  func statusOfCause(cause: Int, status: Int) {
    #expect(CauseMapping.sipStatus(ofQ850: cause) == status)
  }

  @Test(
    "§8.2.6.1",
    arguments: [
      (400, 41), (401, 21), (402, 21), (403, 21), (404, 1), (405, 63), (406, 79), (407, 21),
      (408, 102), (410, 22), (413, 127), (414, 127), (415, 79), (416, 127), (420, 127), (421, 127),
      (423, 127), (480, 18), (481, 41), (482, 25), (483, 25), (484, 28), (485, 1), (486, 17),
      (488, 31), (500, 41), (501, 79), (502, 38), (503, 41), (504, 102), (505, 127), (513, 127),
      (600, 17), (603, 21), (604, 1), (606, 31), (422, 31), (699, 31), (0, 31),
    ])
  func causeOfStatus(status: Int, cause: Int) {
    #expect(CauseMapping.q850(ofSIPStatus: status) == cause)
  }

  @Test func whatHasNoCounterpart() {
    #expect(CauseMapping.sipStatus(ofQ850: 16) == nil && CauseMapping.sipStatus(ofQ850: 44) == nil)
    #expect(CauseMapping.q850(ofSIPStatus: 487) == nil)
  }

  /// Whatever a network says, it means something to us.
  @Test func everyNetworkCauseHasAMeaning() {
    for cause in -1...128 {
      let ours = Cause.of(q850: cause)
      #expect(ours == .normalClearing || (400..<700).contains(ours.sipStatus))
    }
    #expect(Cause.of(q850: 17) == .busy && Cause.of(q850: 1) == .numberUnknown)
  }
}
