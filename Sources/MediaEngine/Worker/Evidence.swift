import Base
import MediaControl
import RTPWire

// Looks at a transport some time after the call was answered: does anything speak against both sides being heard?

extension Worker {
  mutating func examine(_ id: MediaTransportID, _ milliseconds: UInt32) -> Bool {
    guard let slot = slots[id] else { return false }
    guard milliseconds > 0 else {
      timers.cancel(timer(.examine, slot))
      return true
    }
    readPassages(slot)
    transports[slot].examined = counted(slot)
    timers.arm(timer(.examine, slot), at: now + .milliseconds(Int(milliseconds)))
    return true
  }

  mutating func giveEvidence(_ slot: Int) {
    guard transports[slot].isOpen else { return }
    readPassages(slot)
    let begin = transports[slot].examined
    var evidence = counted(slot)
    evidence.packets &-= begin.packets
    evidence.refused &-= begin.refused
    evidence.malformed &-= begin.malformed
    evidence.unopened &-= begin.unopened
    evidence.sent &-= begin.sent
    evidence.controlPackets &-= begin.controlPackets
    evidence.handshake = handshakeProgress(slot)
    if !evidence.isInnocent(expecting: transports[slot].remote) {
      facts.append(.evidence(transports[slot].id, evidence))
    }
  }

  private func counted(_ slot: Int) -> MediaEvidence {
    var evidence = MediaEvidence()
    evidence.packets = streams[slot].reception.packets
    evidence.payloadType = streams[slot].reception.lastPayloadType
    evidence.refused = transports[slot].refused
    evidence.refusedSource = transports[slot].refusedSource
    evidence.malformed = transports[slot].malformed
    evidence.unopened = transports[slot].unauthentic
    evidence.sent = transports[slot].sent
    evidence.controlPackets = transports[slot].controlPackets
    evidence.isAimed = !transports[slot].target.isNowhere
    evidence.reportedLoss = transports[slot].remoteFractionLost
    return evidence
  }
}
