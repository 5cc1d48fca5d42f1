package import Base
internal import CLinux

/// Memory for as many arriving datagrams as one system call reads, each of the largest size.
@safe
package final class ReceiveBatch {
  package static let slots = 32
  private let receiver: OpaquePointer

  package init() throws(EdgeError) {
    guard let receiver = unsafe clinux_receiver_new(Int32(Self.slots)) else {
      throw .system(operation: "memory for receiving", code: SystemError.outOfMemory)
    }
    unsafe self.receiver = receiver
  }

  deinit { unsafe clinux_receiver_free(receiver) }

  /// How many datagrams were waiting, up to `slots`; negative: an errno. Overwrites the batch before.
  package func receive(from socket: UDPSocket) -> Int {
    unsafe Int(clinux_receive(receiver, socket.descriptor))
  }

  /// Of datagram `i`, below what `receive` returned.
  @_lifetime(borrow self)
  package func bytes(_ i: Int) -> RawSpan {
    guard i >= 0, i < Self.slots, let start = unsafe clinux_received_bytes(receiver, Int32(i))
    else {
      return RawSpan()
    }
    let count = unsafe min(clinux_received_count(receiver, Int32(i)), 65_536)
    let span = unsafe RawSpan(_unsafeStart: start, byteCount: count)
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  package func source(_ i: Int) -> SocketAddress? {
    guard i >= 0, i < Self.slots else { return nil }
    return unsafe SocketAddress(clinux_received_from(receiver, Int32(i)))
  }

  /// When the kernel took datagram `i` in, in nanoseconds since 1970; 0 where it does not say.
  func arrival(_ i: Int) -> UInt64 {
    guard i >= 0, i < Self.slots else { return 0 }
    return unsafe clinux_received_at(receiver, Int32(i))
  }

  /// Datagrams dropped for want of buffer since the socket was made, as known with datagram `i`.
  func drops(_ i: Int) -> UInt32 {
    guard i >= 0, i < Self.slots else { return 0 }
    return unsafe clinux_received_drops(receiver, Int32(i))
  }
}

/// Datagrams on their way into one system call.
@safe
package final class SendBatch {
  package static let slots = 32
  private let sender: OpaquePointer
  private var destinations: [SocketAddress] = []

  package init() throws(EdgeError) {
    guard let sender = unsafe clinux_sender_new(Int32(Self.slots)) else {
      throw .system(operation: "memory for sending", code: SystemError.outOfMemory)
    }
    unsafe self.sender = sender
    destinations.reserveCapacity(Self.slots)
  }

  deinit { unsafe clinux_sender_free(sender) }

  /// Sends `count` records of the buffer from `start` on, at most `slots`, which all name this socket.
  /// Calls `failed` for each that the socket refused and goes on with the next. Returns how many are
  /// done with: fewer than `count` when the socket is full.
  package func send(
    _ buffer: borrowing OutputBuffer, from start: Int, count: Int, through socket: UDPSocket,
    failed: (SocketAddress, Int32) -> Void
  ) -> Int {
    unsafe clinux_sender_clear(sender)
    destinations.removeAll(keepingCapacity: true)
    let base = unsafe buffer.unsafeBase
    for i in start..<min(start + min(count, Self.slots), buffer.count) {
      let range = buffer.range(of: i)
      let destination = buffer.destination(of: i)
      destinations.append(destination)
      _ = unsafe clinux_sender_add(
        sender, base + range.start, Int(range.count), clinux_address(destination))
    }
    return transmit(socket, failed)
  }

  private func transmit(_ socket: UDPSocket, _ failed: (SocketAddress, Int32) -> Void) -> Int {
    var done = 0
    var isSecondTry = false
    while done < destinations.count {
      let sent = unsafe Int(clinux_send(sender, socket.descriptor, Int32(done)))
      if sent > 0 {
        done += sent
        isSecondTry = false
        continue
      }
      let code = Int32(truncatingIfNeeded: -sent)
      if case .later = SendOutcome(code) { break }
      // The first refusal may be about another datagram: a queued ICMP error fails the next call once.
      if !isSecondTry {
        isSecondTry = true
        continue
      }
      failed(destinations[done], code)
      done += 1
      isSecondTry = false
    }
    return done
  }
}
