import NIOCore

/// Keeps a listener quiet for a moment when a connection cannot be taken, as with no descriptor left. Its socket stays
/// readable, so without the pause the event loop would ask again and again.
final class AcceptPause: ChannelInboundHandler, Sendable {
  typealias InboundIn = any Channel

  private static let length = TimeAmount.milliseconds(250)

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let channel = context.channel
    channel.setOption(.autoRead, value: false).whenSuccess {
      _ = channel.eventLoop.scheduleTask(in: Self.length) {
        channel.setOption(.autoRead, value: true).whenFailure { _ in }
      }
    }
    context.fireErrorCaught(error)
  }
}
