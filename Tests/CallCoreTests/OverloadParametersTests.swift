import Base
import CallCore
import Testing

/// RFC 7339 §4 to §5.7: what stands in a Via, and how long it holds.
@Suite struct OverloadParametersTests {
  private func read(_ text: String) -> OverloadParameters {
    let bytes = Array(text.utf8)
    return OverloadParameters(bytes.rawSpan, ByteRange(0, bytes.count))
  }

  @Test func parametersAsTheyStand() {
    let full = read(";branch=z9hG4bK1;oc=20;oc-algo=\"loss\";OC-Validity=500;oc-seq=1282321615.782")
    #expect(full.isPresent && full.loss == 20 && full.hasLossAlgorithm && full.validity == 500)
    #expect(full.sequence == .init(whole: 1_282_321_615, part: 782))
    let offer = read(";oc;oc-algo=\"loss,A\"")
    #expect(offer.isPresent && offer.loss == nil && offer.hasLossAlgorithm)
    #expect(!read(";oc;oc-algo=\"rate\"").hasLossAlgorithm)
    #expect(read(";oc;oc-algo=\"rate, LOSS\"").hasLossAlgorithm)
    #expect(!read(";ocean=5;octet;o").isPresent)
  }

  @Test(arguments: [
    ";oc=", ";oc=-5;oc-seq=1", ";oc=99999999999999999999", ";oc-seq=.;oc=x", ";oc=\"",
    ";oc;oc-algo=\"",
    ";oc-seq=1282321615.782.3;oc=1a", ";oc-validity=99999999999999999999;oc=é",
  ])
  func nonsenseSaysNothing(_ text: String) {
    let parameters = read(text)
    #expect(parameters.loss == nil && parameters.sequence == nil && parameters.validity == nil)
  }

  @Test func moreThanAllIsAll() { #expect(read(";oc=250").loss == 100) }

  @Test func feedbackHoldsForItsTime() {
    let now = Instant(nanoseconds: 1_000_000_000)
    var feedback = OverloadFeedback()
    feedback.take(
      read(";oc=30;oc-algo=\"loss\";oc-validity=1000;oc-seq=1282321615.782"), at: now)
    #expect(feedback.loss(at: now + .milliseconds(999)) == 30)
    #expect(feedback.loss(at: now + .milliseconds(1_000)) == 0)
    // The same number changes nothing, a smaller one is late.
    for text in [";oc=90;oc-seq=1282321615.782", ";oc=90;oc-seq=1282321615.700"] {
      feedback.take(read(text), at: now)
      #expect(feedback.loss(at: now) == 30)
    }
    feedback.take(read(";oc=60;oc-seq=1282321616.0"), at: now)
    #expect(feedback.loss(at: now + .milliseconds(499)) == 60)
    #expect(feedback.loss(at: now + .milliseconds(500)) == 0)
    // §5.7: over.
    feedback.take(read(";oc=60;oc-validity=0;oc-seq=1282321617.0"), at: now)
    #expect(feedback.loss(at: now) == 0)
    // Not for ever, whatever it says.
    feedback.take(read(";oc=10;oc-validity=999999;oc-seq=1282321618.0"), at: now)
    #expect(
      feedback.loss(at: now + .seconds(299)) == 10 && feedback.loss(at: now + .seconds(300)) == 0)
    // §4.4: it counts anew.
    feedback.take(read(";oc=5;oc-validity=999999;oc-seq=1.0"), at: now)
    #expect(feedback.loss(at: now) == 5)
    // Not ours: an algorithm that we did not offer, an `oc` without a value.
    feedback.take(read(";oc=80;oc-algo=\"rate\";oc-seq=2.0"), at: now)
    feedback.take(read(";oc;oc-algo=\"loss\""), at: now)
    #expect(feedback.loss(at: now) == 5)
  }

  /// What has run out is forgotten with its number (§5.4).
  @Test func anOldNumberIsGoodWhenNothingHolds() {
    let now = Instant(nanoseconds: 1_000_000_000)
    var feedback = OverloadFeedback()
    feedback.take(read(";oc=30;oc-seq=1000.0"), at: now)
    feedback.take(read(";oc=40;oc-seq=900.0"), at: now + .seconds(1))
    #expect(feedback.loss(at: now + .seconds(1)) == 40)
  }
}
