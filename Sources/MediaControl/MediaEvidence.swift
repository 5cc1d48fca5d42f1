package import Base

/// What a transport saw in the time that `MediaCommand.examine` gave it: enough to say why one side of a call is not
/// heard. Counters are of that time alone.
package struct MediaEvidence: Hashable, Sendable {
  /// RTP of the far end, and the payload type of the last packet (255: none ever).
  package var packets: UInt64 = 0
  package var payloadType: UInt8 = 255
  /// RTP of others, and who the last of them was; port 0: nobody.
  package var refused: UInt64 = 0
  package var refusedSource = SocketAddress(.anyV4, 0)
  /// Neither RTP nor RTCP.
  package var malformed: UInt64 = 0
  /// Protected packets that its key does not open, plain ones among them.
  package var unopened: UInt64 = 0
  /// RTP that left for the far end, and RTCP that came from it.
  package var sent: UInt64 = 0
  package var controlPackets: UInt64 = 0
  /// There is an address that may be sent to.
  package var isAimed = false
  /// What the far end last said of our stream: fraction lost in 1/256; 255 is everything.
  package var reportedLoss: UInt8 = 0
  package var handshake = HandshakeProgress.settled

  package init() {}

  /// Nothing of it speaks against both sides being heard.
  package func isInnocent(expecting remote: RemoteMedia) -> Bool {
    packets > 0 && isAimed && (sent == 0 || reportedLoss < 255)
      && (payloadType == remote.payloadType || remote.isEvent(payloadType)
        || payloadType == 13 && remote.treatment.contains(.comfortNoise))
  }
}
