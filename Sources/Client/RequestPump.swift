package import Platform
package import Primitives
import Protocols

// Many requests in flight over a few connections to several nodes, on the calling thread. The caller offers encoded
// requests, each with a tag, and takes what became of them in batches: `offer`, `offer`, …, `poll`, over and over.
// Every offered request comes back exactly once, whatever happens. In one `poll` each connection is written to once
// and read from once.
//
// A lost connection gives back what was in flight on it, and is made again after a growing pause; meanwhile requests go
// to the other nodes. A node that failed is asked one thing at a time until it has answered. The pump repeats nothing
// by itself: `PumpCompletion` says when repeating is safe, and else only the caller knows.
//
// An endpoint may have substitutes: then its connection moves on to the next of them at once, around and around, and
// pauses only when all of them have failed since the last answer.

package final class RequestPump {
  package struct Limits: Sendable {
    package var wire = PumpWire.http
    /// Connections to each node.
    package var connectionsPerEndpoint = 2
    /// Requests in flight on one connection. A node of Cairn begins 64 at a time.
    package var inFlightPerConnectionMax = 32
    /// A connection takes no further request while it has this many bytes to write.
    package var outputBytesMax = 1 << 20
    /// The longest body of an answer; a longer one ends the connection.
    package var answerBytesMax = RequestPump.answerBytesMaxDefault
    /// How long a connection with requests in flight may be silent.
    package var patienceMilliseconds = 15_000
    /// A node that answers 503, 507 or "overload" is asked one thing at a time, after a pause: otherwise it would draw requests,
    /// because refusing is quick.
    package var restsAfterRefusal = true
    package init() {}
  }

  package let limits: Limits
  /// When the last `poll` came back.
  package private(set) var now: Instant
  /// Requests that have not come back yet.
  package private(set) var inFlight = 0
  /// Connections that were open and broke, or fell silent.
  package private(set) var connectionsLost: UInt64 = 0

  private let loop: EventLoop
  private let clock = SystemClock()
  private let readBuffer = ReadBuffer(byteCount: RequestPump.readBytesMax)
  private var endpoints: [PumpEndpoint]
  private var lines: [PumpLine]
  private var completions: [PumpCompletion] = []
  private var events: [Readiness] = []
  private var watchedReady: [UInt32] = []
  /// Where the search for a connection begins, so that all get their turn.
  private var turn = 0

  /// The largest value of a node.
  package static let answerBytesMaxDefault = HTTPLimits.bodyBytesMax
  /// Read from one connection in one `poll`.
  private static let readBytesMax = 256 << 10
  /// Tokens of the loop from here on are the caller's.
  private static let watchedTokens: UInt64 = 1 << 32

  /// Begins to connect. From then on a write to a closed connection no longer ends the process (SIGPIPE is ignored).
  /// - Throws: when the system gives no poller.
  package convenience init(_ endpoints: [Endpoint], limits: Limits = Limits()) throws(Errno) {
    try self.init(substitutes: endpoints.map { [$0] }, limits: limits)
  }

  /// - Parameter endpoints: Of each, where to connect to first, and where next when that fails. With more than one
  ///   place an endpoint has one connection.
  package init(substitutes endpoints: [[Endpoint]], limits: Limits = Limits()) throws(Errno) {
    invariant(!endpoints.isEmpty && endpoints.allSatisfy { !$0.isEmpty }, "a pump without an endpoint")
    invariant(limits.connectionsPerEndpoint > 0 && limits.inFlightPerConnectionMax > 0, "a pump without room")
    invariant(
      limits.connectionsPerEndpoint == 1 || endpoints.allSatisfy { $0.count == 1 }, "connections that move together")
    try ignoreBrokenPipes()
    self.limits = limits
    loop = try EventLoop()
    now = clock.now().instant
    self.endpoints = endpoints.map { PumpEndpoint($0) }
    lines = (0..<endpoints.count * limits.connectionsPerEndpoint).map {
      PumpLine(endpoint: $0 % endpoints.count, place: endpoints[$0 % endpoints.count][0])
    }
    connectWhatIsDue()
  }

  // MARK: What it is doing

  package var connectionCount: Int { lines.count }
  package func inFlight(onConnection index: Int) -> Int { lines[index].connection?.inFlight.count ?? 0 }
  /// The node that it leads to, or led to until it was lost.
  package func endpoint(ofConnection index: Int) -> Endpoint { lines[index].place }
  /// A request can be offered now.
  package var hasRoom: Bool { freest() != nil }
  /// The connection that an offer goes to by default; its turn is over then.
  package func takeFreestConnection() -> Int? {
    guard let freest = freest() else { return nil }
    turn = freest + 1 == lines.count ? 0 : freest + 1
    return freest
  }
  package func hasRoom(onConnection index: Int) -> Bool { mayOffer(lines[index]) }

  // MARK: Requests

  /// Takes a request; it leaves with the next `poll`.
  /// - Parameters:
  ///   - tag: Comes back with the completion.
  ///   - connection: Where to send it; by default where the fewest are in flight.
  ///   - toHead: It is a HEAD.
  ///   - encode: Appends the whole request. It is given the endpoint for the Host header.
  /// - Returns: Whether it was taken; if not, there is no room now, and `encode` was not called.
  package func offer(
    _ tag: UInt64, on connection: Int? = nil, toHead: Bool = false, _ encode: (inout [UInt8], Endpoint) -> Void
  ) -> Bool {
    let chosen: Int
    if let connection {
      guard mayOffer(lines[connection]) else { return false }
      chosen = connection
    } else {
      guard let freest = takeFreestConnection() else { return false }
      chosen = freest
    }
    let line = lines[chosen]
    let endpoint = line.place
    line.connection?.offer(tag: tag, toHead: toHead, now: now) { encode(&$0, endpoint) }
    inFlight += 1
    return true
  }

  private func freest() -> Int? {
    var best: Int?
    var least = Int.max
    var index = turn
    for _ in lines.indices {
      let line = lines[index]
      if let connection = line.connection, connection.inFlight.count < least, mayOffer(line) {
        best = index
        least = connection.inFlight.count
      }
      index = index + 1 == lines.count ? 0 : index + 1
    }
    return best
  }

  private func mayOffer(_ line: PumpLine) -> Bool {
    guard let connection = line.connection, !connection.isWriteBroken, !connection.inFlight.isFull,
      connection.output.pendingBytes < limits.outputBytesMax
    else { return false }
    let endpoint = endpoints[line.endpoint]
    if endpoint.isTrusted { return true }
    // One request on the whole endpoint, to see whether it is there again.
    return connection.isOpen && endpoint.mayTry(now: now)
      && lines.allSatisfy { $0.endpoint != line.endpoint || ($0.connection?.inFlight.count ?? 0) == 0 }
  }

  // MARK: Polling

  /// Writes what was offered, waits until something comes (unless something has come already), and returns what became
  /// of requests, in the order of each connection. The bytes that a completion speaks of are there until the next call.
  /// - Throws: when the system refuses to poll.
  package func poll(timeoutMilliseconds: Int) throws(Errno) -> [PumpCompletion] {
    completions.removeAll(keepingCapacity: true)
    watchedReady.removeAll(keepingCapacity: true)
    now = clock.now().instant
    for line in lines { line.dropParsed() }
    connectWhatIsDue()
    for index in lines.indices { write(index) }
    events.removeAll(keepingCapacity: true)
    let wait = completions.isEmpty ? waitMilliseconds(atMost: timeoutMilliseconds) : 0
    try loop.poll(timeoutMilliseconds: wait, into: &events)
    now = clock.now().instant
    for event in events { take(event) }
    giveUpWhatIsSilent()
    return completions
  }

  /// The answer's body. Let go of it before the next `poll`, or the bytes are copied.
  package func body(of completion: PumpCompletion) -> ArraySlice<UInt8> {
    guard case .answered(let answer) = completion.outcome else { return [] }
    return lines[completion.connection].input[answer.body]
  }

  /// Calls `body` with the bytes that hold the answer, and the places of each header's name and value in them.
  package func forEachHeader(
    of completion: PumpCompletion, _ body: (_ bytes: [UInt8], _ name: Range<Int>, _ value: Range<Int>) -> Void
  ) {
    guard case .answered(let answer) = completion.outcome else { return }
    let bytes = lines[completion.connection].input
    HTTPAnswer.forEachHeader(in: bytes, answer.headers) { body(bytes, $0, $1) }
  }

  /// One line: which node, and why there is no success.
  package func reason(_ completion: PumpCompletion) -> String {
    let endpoint = endpoint(ofConnection: completion.connection)
    switch completion.outcome {
    case .answered(let answer):
      let text = String(decoding: body(of: completion).prefix(1000), as: UTF8.self)
        .split(whereSeparator: \.isNewline).joined(separator: " ")
      return "\(endpoint) answered \(answer.status): \(text.isEmpty ? "no reason given" : text)"
    case .answeredFrame(let answer):
      if case .refused(let text) = answer.outcome { return "\(endpoint) answered: \(text)" }
      return "\(endpoint) answered: \(answer.outcome)"
    case .notPerformed(let failure), .unanswered(let failure): return "\(endpoint) \(failure)"
    }
  }

  // MARK: Other descriptors

  /// Lets `poll` end when `descriptor` becomes readable; `isReady` then says so. - Throws: for a plain file, `EPERM`.
  package func watch(_ descriptor: borrowing Descriptor, token: UInt32) throws(Errno) {
    try loop.watch(descriptor, .reading, token: RequestPump.watchedTokens + UInt64(token))
  }

  /// Looks at it no longer. The end of a pipe would wake `poll` for ever.
  package func forget(_ descriptor: borrowing Descriptor) throws(Errno) { try loop.forget(descriptor) }

  /// The last `poll` found it readable, or at its end.
  package func isReady(_ token: UInt32) -> Bool { watchedReady.contains(token) }
}

// MARK: - Connections

extension RequestPump {
  private func connectWhatIsDue() {
    for index in lines.indices where lines[index].connection == nil && mayConnect(index) {
      let endpoint = endpoints[lines[index].endpoint]
      if endpoint.mayTry(now: now) { connect(index, to: endpoint.endpoint) }
    }
  }

  /// The first connection finds out whether a node is there again.
  private func mayConnect(_ index: Int) -> Bool {
    index < endpoints.count || endpoints[lines[index].endpoint].isTrusted
  }

  private func connect(_ index: Int, to endpoint: Endpoint) {
    lines[index].place = endpoint
    do {
      let descriptor = try beginConnecting(to: endpoint.address, from: nil)
      let connection = PumpConnection(descriptor, inFlightMax: limits.inFlightPerConnectionMax, now: now)
      try loop.watch(connection.descriptor, connection.interest, token: UInt64(index))
      lines[index].connection = connection
    } catch {
      // Nothing was in flight: the node is tried again when its pause is over.
      endpoints[lines[index].endpoint].failed(now: now)
    }
  }

  private func write(_ index: Int) {
    guard let connection = lines[index].connection, connection.isOpen, !connection.isWriteBroken else { return }
    do throws(Errno) {
      try connection.write(now: now)
      let wanted = Interest(reading: true, writing: !connection.output.isEmpty)
      if wanted != connection.interest {
        connection.interest = wanted
        try loop.change(connection.descriptor, wanted, token: UInt64(index))
      }
    } catch {
      // The node may have refused a request without reading all of it, and said why.
      connection.isWriteBroken = true
      connection.output.clear()
      connection.interest = .reading
      do throws(Errno) {
        try loop.change(connection.descriptor, .reading, token: UInt64(index))
      } catch {
        lose(index, .broken(error))
      }
    }
  }

  private func take(_ event: Readiness) {
    guard event.token < RequestPump.watchedTokens else {
      watchedReady.append(UInt32(truncatingIfNeeded: event.token))
      return
    }
    let index = Int(event.token)
    guard let connection = lines[index].connection else { return }
    if !connection.isOpen {
      if let failure = connection.descriptor.connectionFailure() { return lose(index, .notReached(failure)) }
      guard event.writable else { return }
      connection.open(now: now)
      if connection.inFlight.count > 0 { write(index) }
    } else if event.writable {
      write(index)
    }
    if event.readable || event.broken { read(index, connection) }
  }

  private func read(_ index: Int, _ connection: PumpConnection) {
    let line = lines[index]
    do throws(Errno) {
      let received = unsafe try readBuffer.read(from: connection.descriptor) {
        unsafe line.input.append(contentsOf: $0)
      }
      switch received {
      case .bytes:
        connection.lastProgress = now
        parse(index, connection)
      case .wouldBlock: break
      case .end: lose(index, .closed)
      }
    } catch {
      lose(index, .broken(error))
    }
  }

  private func parse(_ index: Int, _ connection: PumpConnection) {
    let line = lines[index]
    do throws(PumpFailure) {
      while let request = connection.inFlight.first {
        let found = try limits.wire.answer(
          in: line.input, from: line.parsed, to: request, bytesMax: limits.answerBytesMax)
        guard let answer = found else { return }
        line.parsed = answer.end
        connection.inFlight.removeFirst()
        complete(request, index, answer.outcome)
        if limits.restsAfterRefusal && answer.isOverloaded {
          endpoints[line.endpoint].failed(now: now)
        } else {
          endpoints[line.endpoint].answered()
        }
        if !answer.keepsConnection { return end(index) }
      }
      if line.parsed < line.input.count { lose(index, .notUnderstood("an answer to no request", as: limits.wire)) }
    } catch {
      lose(index, error)
    }
  }

  private func complete(_ request: PumpRequest, _ index: Int, _ outcome: PumpCompletion.Outcome) {
    inFlight -= 1
    completions.append(PumpCompletion(tag: request.tag, connection: index, outcome: outcome))
  }

  /// The node has said that this answer was the last: what is behind it on this connection is not performed (RFC 9112,
  /// 9.6).
  private func end(_ index: Int) {
    giveBack(index, .closed) { _, _ in false }
  }

  private func lose(_ index: Int, _ failure: PumpFailure) {
    if lines[index].connection?.isOpen == true { connectionsLost += 1 }
    endpoints[lines[index].endpoint].failed(now: now)
    giveBack(index, failure) { $0.isSent($1) }
  }

  private func giveBack(_ index: Int, _ failure: PumpFailure, wasSent: (PumpConnection, PumpRequest) -> Bool) {
    guard let connection = lines[index].connection else { return }
    while let request = connection.inFlight.first {
      connection.inFlight.removeFirst()
      complete(request, index, wasSent(connection, request) ? .unanswered(failure) : .notPerformed(failure))
    }
    lines[index].connection = nil
  }

  // MARK: Time

  private func giveUpWhatIsSilent() {
    for index in lines.indices {
      guard let connection = lines[index].connection,
        let deadline = connection.deadline(patienceMilliseconds: limits.patienceMilliseconds), deadline <= now
      else { continue }
      lose(index, connection.isOpen ? .silent : .notReached(.timedOut))
    }
  }

  /// How long to wait at most, so that nothing that is due is missed.
  private func waitMilliseconds(atMost timeout: Int) -> Int {
    var wait = UInt64(max(0, timeout))
    for index in lines.indices {
      let due: Instant?
      if let connection = lines[index].connection {
        due = connection.deadline(patienceMilliseconds: limits.patienceMilliseconds)
      } else {
        due = mayConnect(index) ? endpoints[lines[index].endpoint].restsUntil : nil
      }
      guard let due else { continue }
      wait = min(wait, due > now ? due.milliseconds(since: now) + 1 : 0)
    }
    // Whoever waits for room is to be told when a node's rest is over.
    for endpoint in endpoints where !endpoint.isTrusted && endpoint.restsUntil > now {
      wait = min(wait, endpoint.restsUntil.milliseconds(since: now) + 1)
    }
    return Int(wait)
  }
}
