import Cluster
import Messages
import Platform
import Primitives
import Protocols
import Replication

// Clients' connections: accepting, reading requests, answering in order, closing those that are slow, silent or broken.

extension Shard {
  /// Connections accepted in one turn.
  static var acceptsMax: Int { 64 }
  /// Answers that all clients together have not read; more closes those that have left the most.
  private static var outputBytesMax: Int { 512 << 20 }
  private static var acceptPauseMilliseconds: UInt64 { 1000 }
  /// A request may take a second more for each of these bytes that have come.
  private static var requestBytesPerSecond: UInt64 { 64 << 10 }

  /// - Parameter isBinary: Those who speak Riak's binary protocol.
  func acceptClients(isBinary: Bool) {
    for _ in 0..<Self.acceptsMax {
      do throws(Errno) {
        guard let descriptor = try isBinary ? acceptBinary() : clientListener.accept() else { return }
        try admit(descriptor, isBinary: isBinary)
      } catch {
        return pauseAccepting(error)
      }
    }
  }

  private func admit(_ descriptor: consuming Descriptor, isBinary: Bool) throws(Errno) {
    guard clients.count < connectionsMax, !isStopping else {
      statistics.connectionsRefused += 1
      let refusal = isBinary ? PBAnswers.error("too many connections") : Refusal503.tooManyConnections
      _ = try? descriptor.write(refusal, from: 0)
      return
    }
    let isLocal = descriptor.peerAddress()?.isLoopback ?? false
    let http = HTTPConfiguration(replicas: node.currentRing.replicas, keySeeds: (random.next(), random.next()))
    let connection = ClientConnection(
      descriptor: descriptor, key: clients.claim(), isLocal: isLocal,
      speaking: isBinary ? .binary(binaryConfiguration(keysFrom: http)) : .http(http), now: now.instant)
    clients.place(connection, at: connection.key)
    statistics.connectionsAccepted += 1
    do throws(Errno) {
      try loop.watch(connection.descriptor, connection.interest, token: Source.client(connection.key).token)
    } catch {
      clients.remove(connection.key)
      throw error
    }
  }

  /// Out of descriptors: a listener that stays ready must not keep the loop awake.
  func pauseAccepting(_ error: Errno) {
    log(.error, "cannot accept a connection: \(error); trying again in a second")
    acceptPausedUntil = now.instant.adding(milliseconds: Self.acceptPauseMilliseconds)
    watchListeners(.none)
  }

  func resumeAccepting() {
    acceptPausedUntil = nil
    watchListeners(.reading)
  }

  private func watchListeners(_ interest: Interest) {
    do throws(Errno) {
      try loop.change(clientListener.descriptor, interest, token: Source.clientListener.token)
      try loop.change(peerListener.descriptor, interest, token: Source.peerListener.token)
      try watchBinaryListener(interest)
    } catch {
      log(.error, "cannot watch the listeners: \(error)")
    }
  }

  // MARK: Requests

  func clientIsReady(_ key: SlabKey, _ event: Readiness) {
    guard let connection = clients[key] else { return }
    if event.writable { markDirty(connection) }
    if event.readable && connection.interest.reading {
      read(connection)
    } else if event.broken {
      close(connection)
    }
  }

  private func read(_ connection: ClientConnection) {
    do throws(Errno) {
      let received = unsafe try readBuffer.read(from: connection.descriptor) {
        unsafe connection.received($0, now: now.instant)
      }
      switch received {
      case .bytes:
        takeRequests(connection)
        if inputBytes > Int(configuration.inputBytesMax) && connection.bufferedBytes > 0 {
          log(.warning, "closed a client: unfinished requests hold more than input_max")
          close(connection)
        }
      case .wouldBlock: break
      case .end:
        // A listing may say nothing for long: whoever has closed its side of the connection does not wait for it.
        if connection.openListing != nil { return close(connection) }
        connection.endInput()
        markDirty(connection)
      }
    } catch {
      close(connection)
    }
  }

  /// Begins the requests that have come, until a bound is reached.
  private func takeRequests(_ connection: ClientConnection) {
    if connection.isBinary { return takeFrames(connection) }
    while connection.mayBeginExchange {
      switch connection.nextAction() {
      case .needMore:
        inputBytes += connection.settle(now: now.instant)
        if connection.isDone { markDirty(connection) }
        return
      case .request(let request, let reply):
        let start = RequestStart(operation: RequestOperation(request), began: now.instant)
        let number = connection.beginExchange(.http(reply), start)
        step(.client(request, session: SessionID(connection: connection.key, number: number)))
      case .list(let request, let reply):
        let number = connection.beginListing(.http(reply), RequestStart(operation: .list, began: now.instant))
        step(.list(request, session: SessionID(connection: connection.key, number: number)))
      case .admin(.merge, let reply) where mayAdminister(connection): ask(.merge, for: connection, reply)
      case .admin(.drainHints, let reply) where mayAdminister(connection): ask(.drainHints, for: connection, reply)
      case .admin(.antiEntropyRound, let reply) where mayAdminister(connection):
        ask(.antiEntropy, for: connection, reply)
      case .admin(.snapshots, let reply) where mayAdminister(connection): ask(.snapshots, for: connection, reply)
      case .snapshot(let parameters, let reply): takeSnapshot(parameters, for: connection, reply)
      case .quarantine(let parameters, let isTask, let reply):
        askQuarantine(parameters, isTask: isTask, for: connection, reply)
      case .backup(let route, let parameters, let reply): answerBackup(route, parameters, for: connection, reply)
      case .admin(let route, let reply):
        var bytes: [UInt8] = []
        answer(route, isLocal: connection.isLocal, reply, into: &bytes)
        connection.send(bytes)
        markDirty(connection)
      case .send(let bytes), .reply(let bytes, close: _):
        connection.send(bytes)
        markDirty(connection)
      }
    }
    inputBytes += connection.settle(now: now.instant)
    if !connection.isFinishing { connection.pause() }
  }

  // MARK: Answers

  func answer(_ session: SessionID, with response: ClientResponse) {
    guard let connection = clients[session.connection], hasRoom(connection) else { return }
    if let request = connection.continuation(of: session.number, after: response) {
      return step(.client(request, session: session))
    }
    if let start = connection.answer(session.number, with: response) {
      requestMetrics.answer(start, RequestOutcome(response))
      markDirty(connection)
    }
    boundUnread(connection)
  }

  func answer(_ session: SessionID, with outcome: AdminOutcome) {
    guard let connection = clients[session.connection], hasRoom(connection) else { return }
    let (document, status) = AdminDocuments.outcome(outcome)
    connection.answer(session.number, with: document, status: status)
    markDirty(connection)
    boundUnread(connection)
  }

  /// Sends on a part of a listing. Its bytes are few: the next part is asked for when they have gone.
  func answer(_ session: SessionID, with part: ListingPart) {
    guard let connection = clients[session.connection], hasRoom(connection) else { return }
    if let start = connection.answer(session.number, with: part) {
      switch part {
      case .names: break
      case .end: requestMetrics.answer(start, .ok)
      case .failed(let failure): requestMetrics.answer(start, RequestOutcome(failure))
      }
      markDirty(connection)
    }
    boundUnread(connection)
  }

  /// False when the connection was closed, because its client leaves too much unread.
  func hasRoom(_ connection: ClientConnection) -> Bool {
    guard connection.unreadBytes > Int(configuration.outputBytesMax) else { return true }
    // Perhaps it would have read, had we written before the end of the turn.
    write(connection)
    guard clients[connection.key] != nil else { return false }
    guard connection.unreadBytes > Int(configuration.outputBytesMax) else { return true }
    log(.warning, "closed a client that left more than output_max unread")
    close(connection)
    return false
  }

  /// Keeps what all clients together leave unread within its bound.
  func boundUnread(_ connection: ClientConnection) {
    outputBytes += connection.recountUnread()
    if outputBytes > Self.outputBytesMax, connection.unreadBytes > ClientConnection.outputBytesPausing {
      write(connection)
      guard clients[connection.key] != nil, connection.unreadBytes > ClientConnection.outputBytesPausing else {
        return
      }
      log(.warning, "closed a client: unread answers of all clients hold more than \(Self.outputBytesMax >> 20) MiB")
      close(connection)
    }
  }

  func markDirty(_ connection: ClientConnection) {
    guard !connection.isDirty else { return }
    connection.isDirty = true
    dirtyClients.append(connection.key)
  }

  /// Writes once to every connection that has something to say.
  func writeClients() {
    var index = 0
    while index < dirtyClients.count {
      if let connection = clients[dirtyClients[index]] { write(connection) }
      index += 1
    }
    dirtyClients.removeAll(keepingCapacity: true)
  }

  private func write(_ connection: ClientConnection) {
    connection.isDirty = false
    do throws(Errno) {
      if try connection.output.write(to: connection.descriptor) > 0 { connection.lastProgress = now.instant }
      outputBytes += connection.recountUnread()
      if connection.isDone || (isStopping && connection.isIdle) { return close(connection) }
      if connection.isPaused && connection.mayBeginExchange {
        connection.resume()
        takeRequests(connection)
      }
      if let number = connection.listingToContinue() {
        step(.listContinues(SessionID(connection: connection.key, number: number)))
      }
      try watch(connection)
    } catch {
      close(connection)
    }
  }

  private func watch(_ connection: ClientConnection) throws(Errno) {
    let wanted = connection.wantedInterest
    guard wanted != connection.interest else { return }
    connection.interest = wanted
    try loop.change(connection.descriptor, wanted, token: Source.client(connection.key).token)
  }

  /// Forgets the connection, which closes it; what the node still answers to it is dropped.
  func close(_ connection: ClientConnection) {
    inputBytes -= connection.bufferedBytes
    outputBytes += connection.forgetUnread()
    if let number = connection.openListing {
      step(.listAbandoned(SessionID(connection: connection.key, number: number)))
    }
    requestMetrics.abandon(connection.unanswered)
    clients.remove(connection.key)
  }

  func closeOverdueClients() {
    for connection in clients.elements where isOverdue(connection) {
      statistics.connectionsTimedOut += 1
      close(connection)
    }
  }

  private func isOverdue(_ connection: ClientConnection) -> Bool {
    let silence = now.instant.milliseconds(since: connection.lastProgress)
    if !connection.output.isEmpty { return silence > configuration.slowRequestTimeoutMilliseconds }
    if connection.exchangesInProgress > 0 { return false }
    if let began = connection.requestBegan {
      let allowance = UInt64(connection.bufferedBytes) * 1000 / Self.requestBytesPerSecond
      return now.instant.milliseconds(since: began) > configuration.slowRequestTimeoutMilliseconds + allowance
    }
    return silence > configuration.idleTimeoutMilliseconds
  }
}

/// What is said without a session.
enum Refusal503 {
  static let tooManyConnections = Array(
    ("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 21\r\nConnection: close\r\n\r\n"
      + "too many connections\n").utf8)
}
