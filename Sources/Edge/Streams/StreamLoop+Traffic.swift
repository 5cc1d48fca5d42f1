internal import Base
internal import CallCore
internal import SIPWire

// What crosses an open connection.

extension StreamLoop {
  // MARK: In

  func read(_ connection: StreamConnection) {
    for _ in 0..<Self.readsPerTurn {
      guard isOpen(connection) else { return }
      let count: Int
      if let tls = connection.tls {
        let (step, read) = tls.read(into: &chunk)
        switch step {
        case .done: count = read
        case .wantsToRead: return watch(connection, writing: connection.waiting > 0)
        case .wantsToWrite: return watch(connection, writing: true)
        case .ended: return close(connection, .peerClosed)
        case .failed: return close(connection, .handshakeFailed)
        }
      } else {
        count = connection.socket.read(into: &chunk)
        if count <= 0 {
          if count < 0, case .later = StreamOutcome(code: Int32(clamping: -count)) { return }
          return close(connection, .peerClosed)
        }
      }
      tally.bytesReceived += UInt64(count)
      connection.heard = now
      // The chunk is lent for the while: nothing below reads from a socket into it.
      let bytes = chunk
      take(bytes.rawSpan.slice(0, count), connection)
      if count < Self.readBytes, connection.tls == nil { return }
    }
    if isOpen(connection), let tls = connection.tls, tls.hasMore { unread.append(connection) }
  }

  func take(_ bytes: RawSpan, _ connection: StreamConnection) {
    switch connection.stage {
    case .upgrading:
      connection.input.append(copying: bytes)
      upgrade(connection)
    case .open:
      if connection.transport == .ws || connection.transport == .wss {
        takeFrames(bytes, connection)
      } else if connection.input.isEmpty {
        cut(bytes, connection)
      } else {
        connection.input.append(copying: bytes)
        // Out of the connection for the while, so that what is left can be put back: whole where nothing came
        // of it yet, or a message that drips would be copied with each of its bytes.
        let collected = connection.input
        connection.input = []
        cut(collected.rawSpan, connection, collected: collected)
      }
    case .connecting, .handshaking, .closing: break
    }
  }

  /// Messages and keep-alives out of the stream; what is not whole waits. Framing bounds that: a message is
  /// refused when its head says that it will be too long, or its head does not end.
  private func cut(_ bytes: RawSpan, _ connection: StreamConnection, collected: [UInt8] = []) {
    do throws(StreamProblem) {
      // What is behind a message that ended the connection is nobody's.
      while isOpen(connection) {
        switch try connection.framer.next(bytes) {
        case .message(let range): deliver(bytes.extracting(range), connection)
        case .ping: answerPing(connection)
        case .incomplete:
          return keep(bytes, connection, collected)
        }
      }
    } catch {
      refuse(bytes.extracting(error.head), error, connection)
    }
  }

  private func keep(_ bytes: RawSpan, _ connection: StreamConnection, _ collected: [UInt8]) {
    let rest = bytes.slice(connection.framer.consumed, bytes.byteCount)
    if connection.framer.consumed == 0, !collected.isEmpty {
      connection.input = collected
    } else if rest.byteCount > 0 {
      connection.input.append(copying: rest)
    }
    connection.framer.drop()
    notePartial(connection, rest.byteCount > 0)
  }

  private func notePartial(_ connection: StreamConnection, _ isPartial: Bool) {
    guard isPartial else {
      connection.partialSince = nil
      return
    }
    if connection.partialSince == nil {
      connection.partialSince = connection.hasMessage ? now : connection.since
      watchTime(connection)
    }
  }

  private func deliver(_ message: RawSpan, _ connection: StreamConnection) {
    connection.hasMessage = true
    connection.isKnown = true
    connection.partialSince = nil
    tally.messagesReceived += 1
    arrivals.add(
      .message, message, from: connection.key.remote, on: connection.key.listener,
      at: now)
  }

  /// The shard may answer what can be read of it; then the connection ends, since nobody knows where the
  /// next message begins.
  private func refuse(_ head: RawSpan, _ problem: StreamProblem, _ connection: StreamConnection) {
    let end: StreamEnd =
      switch problem.reason {
      case .notSIP: .notSIP
      case .lineEnd: .lineEnd
      case .headersTooLong: .headersTooLong
      case .messageTooLong: .messageTooLong
      case .contentLength: .contentLength
      }
    guard problem.reason != .notSIP else { return close(connection, end) }
    arrivals.add(
      .refused(status: problem.status), head, from: connection.key.remote,
      on: connection.key.listener, at: now)
    finish(connection, end)
  }

  /// RFC 5626 §4.4.1.
  private func answerPing(_ connection: StreamConnection) {
    tally.keepAlives += 1
    connection.output.append(contentsOf: [0x0d, 0x0a])
    queued(connection)
  }

  private func takeFrames(_ bytes: RawSpan, _ connection: StreamConnection) {
    var at = 0
    do throws(WebSocketProblem) {
      while isOpen(connection) {
        switch try connection.webSocket.next(bytes, at: &at) {
        case .more: return notePartial(connection, !connection.webSocket.isBetweenMessages)
        case .message: takeMessage(connection)
        case .ping:
          tally.keepAlives += 1
          let payload = connection.webSocket.control
          WebSocketWriter.header(.pong, count: payload.count, into: &connection.output)
          connection.output += payload
          queued(connection)
        case .pong: break
        case .close(let code):
          WebSocketWriter.close(code == 1005 ? 1000 : code, into: &connection.output)
          return finish(connection, .peerClosed)
        }
      }
    } catch {
      WebSocketWriter.close(error.code, into: &connection.output)
      finish(connection, .frameError)
    }
  }

  /// A WebSocket message is a SIP message (RFC 7118 §5), or the keep-alive that some clients send in one.
  private func takeMessage(_ connection: StreamConnection) {
    let message = connection.webSocket.message
    guard message.count > 4 || message.contains(where: { $0 != 0x0d && $0 != 0x0a }) else {
      tally.keepAlives += 1
      return append([0x0d, 0x0a].rawSpan, to: connection)
    }
    deliver(message.rawSpan, connection)
  }

  // MARK: Out

  func send(_ bytes: RawSpan, on connection: StreamConnection) {
    guard
      connection.stage != .closing || connection.transport == .tcp || connection.transport == .tls
    else { return }
    tally.messagesSent += 1
    connection.isKnown = true
    append(bytes, to: connection)
  }

  private func append(_ bytes: RawSpan, to connection: StreamConnection) {
    if connection.transport == .ws || connection.transport == .wss {
      // Text: SIP is UTF-8, and some browsers' stacks read nothing else (RFC 7118 §5).
      WebSocketWriter.header(.text, count: bytes.byteCount, into: &connection.output)
    }
    connection.output.append(copying: bytes)
    queued(connection)
  }

  /// Something was put behind what waits: who asks for answers and reads none of them is cut off.
  private func queued(_ connection: StreamConnection) {
    if connection.waiting > limits.outputBytes {
      // It may just not have been written to yet in this turn.
      write(connection)
      guard isOpen(connection) else { return }
      if connection.waiting > limits.outputBytes { return close(connection, .slowReader) }
    }
    touch(connection)
  }

  /// It is written to at the end of the turn.
  func touch(_ connection: StreamConnection) {
    guard !connection.isDirty else { return }
    connection.isDirty = true
    dirty.append(connection)
  }

  func flush() {
    guard !dirty.isEmpty else { return }
    let waiting = dirty
    dirty.removeAll(keepingCapacity: true)
    for connection in waiting {
      connection.isDirty = false
      if isOpen(connection) { write(connection) }
    }
  }

  private func write(_ connection: StreamConnection) {
    switch connection.stage {
    case .connecting, .handshaking, .upgrading: return
    case .open, .closing: break
    }
    while connection.waiting > 0 {
      let written: Int
      let pending = connection.output
      let bytes = pending.rawSpan.slice(connection.outputStart, pending.count)
      if let tls = connection.tls {
        let (step, count) = tls.write(bytes)
        switch step {
        case .done: written = count
        case .wantsToRead: return watch(connection, writing: false)
        case .wantsToWrite: return watch(connection, writing: true)
        case .ended, .failed: return close(connection, .peerClosed)
        }
      } else {
        written = connection.socket.write(bytes)
        if written < 0 {
          if case .gone = StreamOutcome(code: Int32(clamping: -written)) {
            return close(connection, .peerClosed)
          }
          return watch(connection, writing: true)
        }
      }
      tally.bytesSent += UInt64(written)
      connection.wrote(written)
    }
    watch(connection, writing: false)
    // Nothing can follow a Close frame or a refusal of HTTP.
    if connection.stage == .closing, connection.transport == .ws { connection.socket.finish() }
  }

  /// What the poller is to tell of.
  func watch(_ connection: StreamConnection, writing: Bool) {
    connection.tlsWantsToWrite = connection.tls != nil && writing
    guard connection.watchesWriting != writing || !connection.watchesReading else { return }
    connection.watchesWriting = writing
    connection.watchesReading = true
    try? poller.watch(
      connection.socket, token: UInt32(truncatingIfNeeded: connection.slot), reading: true,
      writing: writing, isNew: false)
  }
}
